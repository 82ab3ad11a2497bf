//! Gradient history of one tensor: momenta, mean square, factored mean squares. First stage of a learned step.
//!
//! With decays `βᵐ` (three), `βʳ` (one), `βᶠ` (three) and the (clipped) gradient `g`, `q = g² + 1e-30`:
//!
//! ```text
//! m_k ← βᵐ_k m_k + (1-βᵐ_k) g          v ← βʳ v + (1-βʳ) g²
//! R_k ← βᶠ_k R_k + (1-βᶠ_k) mean(q over the longest axis d0)
//! C_k ← βᶠ_k C_k + (1-βᶠ_k) mean(q over the second longest axis d1)
//! V_k ← βᶠ_k V_k + (1-βᶠ_k) q          instead of R and C, for vectors and scalars
//! ```
//!
//! All start at zero. State is kept as one plane per channel, so that a vector load serves sixteen parameters.

use std::ops::Range;

use crate::averages::{AverageSlots, Averages, SharedAverages, thirds};
use crate::cut::Cut;
use crate::geometry::{FactorMap, Geometry};
use crate::parallel::{Shared, for_each_part_with};
use crate::param_network::Workspace;
use crate::param_network::channels::{
    ChannelSums, FeatureSettings, Source, Squares, factor_channels, own_factor, own_momentum_factor, plain_channels,
};
use crate::simd::{Kernel, Processor, Simd};
use crate::state::{Slot, StateLayout};

/// Added to squared gradients that enter factored statistics.
const SQUARE_FLOOR: f32 = 1e-30;

/// Decays of the accumulators.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decays {
    pub momentum: [f32; 3],
    pub mean_square: f32,
    pub factored: [f32; 3],
}

/// Where the accumulators of one tensor lie in the optimizer's state.
#[derive(Debug, Clone)]
pub(crate) struct AccumulatorSlots {
    averages: AverageSlots,
    row: Slot,
    col: Slot,
}

impl AccumulatorSlots {
    /// Lays out the accumulators of the tensor `name`. A tensor without factors keeps `V` in the row slot.
    pub fn new(name: &str, shape: &[usize], geometry: &Geometry, state: &mut StateLayout) -> Self {
        let planes = |shape: &[usize]| [&[3], shape].concat();
        let averages = AverageSlots::new(name, shape, state);
        let (row, col) = match &geometry.factors {
            Some(factors) => (
                state.tensor(&format!("factored_row/{name}"), &planes(&factors.row.shape)),
                state.tensor(&format!("factored_col/{name}"), &planes(&factors.col.shape)),
            ),
            None => (
                state.tensor(&format!("unfactored/{name}"), &planes(shape)),
                state.tensor(&format!("factored_col/{name}"), &[0]),
            ),
        };
        Self { averages, row, col }
    }

    /// The accumulators inside the flat state; update number `step` comes next.
    pub fn resolve<'a>(&self, state: &'a mut [f32], step: u64) -> Accumulators<'a> {
        let (averages, [row, col]) = self.averages.resolve(state, [self.row, self.col], step);
        Accumulators { averages, row: thirds(row), col: thirds(col) }
    }
}

/// The accumulators of one tensor.
pub(crate) struct Accumulators<'a> {
    /// `m_k` and `v`.
    pub averages: Averages<'a>,
    /// `R_k`; `V_k` for tensors without factors.
    pub row: [&'a mut [f32]; 3],
    /// `C_k`; empty for tensors without factors.
    pub col: [&'a mut [f32]; 3],
}

/// A vector of lanes from `slice[at..at + count]`; zeros beyond. Where `count` is the constant `V::LANES`, the
/// compiler keeps only the full load.
#[inline(always)]
pub(crate) fn get<V: Simd>(slice: &[f32], at: usize, count: usize) -> V {
    if count == V::LANES { V::load(&slice[at..]) } else { V::load_partial(&slice[at..at + count]) }
}

/// Writes `count` lanes to `slice[at..]`.
#[inline(always)]
pub(crate) fn put<V: Simd>(value: V, slice: &mut [f32], at: usize, count: usize) {
    if count == V::LANES { value.store(&mut slice[at..]) } else { value.store_partial(&mut slice[at..at + count]) }
}

/// Calls `body(at, count)` for every vector of `len` elements, full or not, with one copy of the code: for
/// large bodies over masked loads.
#[inline(always)]
pub(crate) fn for_each_masked<V: Simd>(len: usize, mut body: impl FnMut(usize, usize)) {
    let mut at = 0;
    while at < len {
        body(at, V::LANES.min(len - at));
        at += V::LANES;
    }
}

/// Calls `body(at, count)` for every full vector of `len` elements and once for the rest.
#[inline(always)]
pub(crate) fn for_each_vector<V: Simd>(len: usize, mut body: impl FnMut(usize, usize)) {
    let full = len / V::LANES * V::LANES;
    for at in (0..full).step_by(V::LANES) {
        body(at, V::LANES);
    }
    if full < len {
        body(full, len - full);
    }
}

/// A decay as the two factors of `average ← keep · average + take · value`.
#[derive(Clone, Copy)]
struct Blend<V> {
    keep: V,
    take: V,
}

impl<V: Simd> Blend<V> {
    #[inline(always)]
    fn new(decay: f32) -> Self {
        Self { keep: V::splat(decay), take: V::splat(1.0 - decay) }
    }

    /// One for each of three decays; a loop rather than `map`, whose closure might become a function of its own.
    #[inline(always)]
    fn three(decays: [f32; 3]) -> [Self; 3] {
        let mut blends = [Self::new(decays[0]); 3];
        for k in 1..3 {
            blends[k] = Self::new(decays[k]);
        }
        blends
    }

    #[inline(always)]
    fn update(self, average: &mut [f32], value: V, at: usize, count: usize) -> V {
        let old: V = get(average, at, count);
        let new = old.mul(self.keep).add(value.mul(self.take));
        put(new, average, at, count);
        new
    }
}

/// Takes this step's gradient, clipped, into all accumulators of a tensor: the first pass of a learned step.
///
/// While the new values are at hand, the squares of the channels that are made of them alone are summed too, piece by
/// piece: all channels of a vector (`VECTOR` of them), and those without factored statistics of any other tensor.
pub(crate) struct Accumulate<'a, 'b> {
    pub accumulators: &'a mut Accumulators<'b>,
    pub grads: &'a [f32],
    pub params: &'a [f32],
    pub geometry: &'a Geometry,
    pub decays: &'a Decays,
    pub settings: &'a FeatureSettings,
    /// Scratch for `R` and `C`, of [`sums_len`] numbers each.
    pub sums: [&'a mut [f32]; 2],
    /// One entry per piece, overwritten.
    pub squares: &'a mut [ChannelSums],
    pub workspaces: &'a mut Vec<Workspace>,
}

/// Numbers of scratch that sums for one factored statistic need: where parts share entries, each has its own.
pub(crate) fn sums_len(map: &FactorMap, cut: &Cut) -> usize {
    if map.is_per_row { map.len } else { cut.parts * map.len }
}

/// Where the sums of the rows `rows` of part `part` lie, and the entry of the statistic that comes first there.
fn sums_of_part(map: &FactorMap, part: usize, rows: &Range<usize>) -> (Range<usize>, usize) {
    if map.is_per_row { (rows.clone(), rows.start) } else { (part * map.len..(part + 1) * map.len, 0) }
}

impl Accumulate<'_, '_> {
    /// Runs the pass.
    pub fn run<const VECTOR: usize>(self, processor: Processor) {
        let Accumulate { accumulators, grads, params, geometry, decays, settings, mut sums, squares, workspaces } =
            self;
        let Accumulators { averages, row, col } = accumulators;
        let (cut, factors) = (&geometry.cut, geometry.factors.as_ref());
        let maps = factors.map(|factors| [&factors.row, &factors.col]);
        {
            let averages = SharedAverages::new(averages);
            let unfactored = row.each_mut().map(|plane| Shared::new(if maps.is_none() { plane } else { &mut [] }));
            let shared_sums = sums.each_mut().map(|sums| Shared::new(sums));
            let shared_squares = Shared::new(&mut *squares);
            for_each_part_with(cut.parts, workspaces, |part, workspace| {
                let pieces = cut.part(part);
                let rows = cut.rows_through(&pieces);
                let range = geometry.rows_through(&rows);
                let own = if maps.is_none() { range.clone() } else { 0..0 };
                let of_part = maps.map(|maps| maps.map(|map| sums_of_part(map, part, &rows)));
                // SAFETY: parts have different pieces, hence different rows, elements and sums.
                let (averages, unfactored, squares, sums) = unsafe {
                    (
                        averages.part(&range),
                        unfactored.each_ref().map(|plane| plane.part(own.clone())),
                        shared_squares.part(pieces.clone()),
                        std::array::from_fn(|which| {
                            let own = of_part.as_ref().map_or(0..0, |of_part| of_part[which].0.clone());
                            shared_sums[which].part(own)
                        }),
                    )
                };
                processor.run(AccumulatePart::<VECTOR> {
                    averages,
                    unfactored,
                    wide: workspace.wide(),
                    grads: &grads[range.clone()],
                    params: &params[range.clone()],
                    geometry,
                    pieces,
                    decays,
                    settings,
                    sums,
                    first_sums: of_part.map_or([0; 2], |[row, col]| [row.1, col.1]),
                    squares,
                });
            });
        }
        let Some(maps) = maps else { return };
        for ((map, sums), averages) in maps.into_iter().zip(sums).zip([row, col]) {
            let (total, others) = sums.split_at_mut(map.len);
            if !map.is_per_row && map.len > 0 {
                for other in others[..(cut.parts - 1) * map.len].chunks_exact(map.len) {
                    total.iter_mut().zip(other).for_each(|(total, other)| *total += other);
                }
            }
            processor.run(DecayFactor { averages, sums: total, map, decays });
        }
    }
}

/// The pass over some pieces. All slices begin with the first element of those.
struct AccumulatePart<'a, const VECTOR: usize> {
    averages: Averages<'a>,
    /// `V_k` of a vector.
    unfactored: [&'a mut [f32]; 3],
    /// Room for rows of averages.
    wide: &'a mut [f32],
    grads: &'a [f32],
    params: &'a [f32],
    geometry: &'a Geometry,
    pieces: Range<usize>,
    decays: &'a Decays,
    settings: &'a FeatureSettings,
    sums: [&'a mut [f32]; 2],
    /// The entries of `R` and `C` that the first sums belong to.
    first_sums: [usize; 2],
    squares: &'a mut [ChannelSums],
}

/// Rows whose squares are summed in single precision before they are added up in double precision.
const SQUARES_ROWS: usize = 64;

impl<const VECTOR: usize> Kernel for AccumulatePart<'_, VECTOR> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { mut averages, mut unfactored, wide, grads, params, geometry, pieces, .. } = self;
        let Self { decays, settings, sums, first_sums, squares, .. } = self;
        let [row_sums, col_sums] = sums;
        let blends = Blends::<V>::new(decays);
        row_sums.fill(0.0);
        col_sums.fill(0.0);
        let mut next = 0;
        for (piece, squares) in pieces.zip(squares) {
            *squares = ChannelSums::default();
            let mut lanes = Squares::<V>::new();
            let (block, rows) = geometry.cut.rows(piece);
            let count_of_rows = rows.len();
            for (count, row_index) in rows.enumerate() {
                let range = next..next + geometry.row(block, row_index).len();
                next = range.end;
                let (grads, params) = (&grads[range.clone()], &params[range.clone()]);
                let [m0, m1, m2, mean_square] = averages.row_mut(range.clone(), wide);
                let maps = geometry.factors.as_ref().map(|factors| {
                    let row_at = factors.row.at(block, row_index) - first_sums[0];
                    (&factors.row, row_at, &factors.col, factors.col.at(block, row_index) - first_sums[1])
                });
                let [v0, v1, v2] = unfactored.each_mut().map(|plane| plane.get_mut(range.clone()).unwrap_or_default());
                let mut row = RowUpdate {
                    grads,
                    params,
                    momentum: [m0, m1, m2],
                    mean_square,
                    unfactored: [v0, v1, v2],
                    row_sums: &mut *row_sums,
                    col_sums: &mut *col_sums,
                    maps,
                    total: V::splat(0.0),
                };
                let paired = grads.len() / (2 * V::LANES) * (2 * V::LANES);
                for at in (0..paired).step_by(2 * V::LANES) {
                    row.update::<VECTOR, 2>(&blends, settings, at, V::LANES, &mut lanes);
                }
                for_each_masked::<V>(
                    grads.len() - paired,
                    #[inline(always)]
                    |at, count| row.update::<VECTOR, 1>(&blends, settings, paired + at, count, lanes.with_count(count)),
                );
                lanes.with_count(V::LANES);
                let row_total = row.total;
                averages.put_back(range, wide);
                if let Some((row_map, row_at, col_map, col_at)) = maps {
                    let total = row_total.sum();
                    if row_map.col_stride == 0 {
                        row_sums[row_at] += total;
                    }
                    if col_map.col_stride == 0 {
                        col_sums[col_at] += total;
                    }
                }
                if count % SQUARES_ROWS == SQUARES_ROWS - 1 || count + 1 == count_of_rows {
                    lanes.empty_into(squares);
                }
            }
        }
    }
}

/// All decays.
struct Blends<V> {
    momentum: [Blend<V>; 3],
    mean_square: Blend<V>,
    factored: [Blend<V>; 3],
}

impl<V: Simd> Blends<V> {
    #[inline(always)]
    fn new(decays: &Decays) -> Self {
        Self {
            momentum: Blend::three(decays.momentum),
            mean_square: Blend::new(decays.mean_square),
            factored: Blend::three(decays.factored),
        }
    }
}

/// One row of a tensor that takes its gradients in.
struct RowUpdate<'a, V> {
    grads: &'a [f32],
    params: &'a [f32],
    momentum: [&'a mut [f32]; 3],
    mean_square: &'a mut [f32],
    /// `V_k` of a vector.
    unfactored: [&'a mut [f32]; 3],
    row_sums: &'a mut [f32],
    col_sums: &'a mut [f32],
    /// The two statistics of a tensor that has them, and where the sums of the row begin.
    maps: Option<(&'a FactorMap, usize, &'a FactorMap, usize)>,
    /// The sum of all squares of the row.
    total: V,
}

impl<V: Simd> RowUpdate<'_, V> {
    /// Takes in `U` vectors from `at` on, all of `count` elements.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "indices over registers; iterators hide their constant length")]
    fn update<const VECTOR: usize, const U: usize>(
        &mut self,
        blends: &Blends<V>,
        settings: &FeatureSettings,
        at: usize,
        count: usize,
        sink: &mut Squares<V>,
    ) {
        let zero = [V::splat(0.0); U];
        let mut fresh = Fresh { g: zero, p: zero, m: [zero; 3], v: zero, square: [zero; 3], settings };
        let mut squares = zero;
        for u in 0..U {
            let at = at + u * V::LANES;
            let g = get::<V>(self.grads, at, count).max(V::splat(-settings.clip)).min(V::splat(settings.clip));
            for k in 0..3 {
                fresh.m[k][u] = blends.momentum[k].update(self.momentum[k], g, at, count);
            }
            squares[u] = g.mul(g);
            fresh.v[u] = blends.mean_square.update(self.mean_square, squares[u], at, count);
            (fresh.g[u], fresh.p[u]) = (g, get(self.params, at, count));
        }
        let Some((row_map, row_at, col_map, col_at)) = self.maps else {
            for u in 0..U {
                let q = squares[u].add(V::splat(SQUARE_FLOOR));
                for k in 0..3 {
                    fresh.square[k][u] = blends.factored[k].update(self.unfactored[k], q, at + u * V::LANES, count);
                }
            }
            plain_channels(&fresh, settings, sink);
            factor_channels::<V, VECTOR, U>(&fresh, sink);
            return;
        };
        plain_channels(&fresh, settings, sink);
        for (u, square) in squares.into_iter().enumerate() {
            self.total = self.total.add(square);
            if row_map.col_stride == 1 {
                let at = row_at + at + u * V::LANES;
                put(get::<V>(self.row_sums, at, count).add(square), self.row_sums, at, count);
            }
            if col_map.col_stride == 1 {
                let at = col_at + at + u * V::LANES;
                put(get::<V>(self.col_sums, at, count).add(square), self.col_sums, at, count);
            }
        }
    }
}

/// What the accumulators of `U` vectors of parameters have just become.
struct Fresh<'a, V, const U: usize> {
    g: [V; U],
    p: [V; U],
    m: [[V; U]; 3],
    v: [V; U],
    square: [[V; U]; 3],
    settings: &'a FeatureSettings,
}

impl<V: Simd, const U: usize> Source<V, U> for Fresh<'_, V, U> {
    #[inline(always)]
    fn gradient(&self) -> [V; U] {
        self.g
    }

    #[inline(always)]
    fn param(&self) -> [V; U] {
        self.p
    }

    #[inline(always)]
    fn momentum(&self, k: usize) -> [V; U] {
        self.m[k]
    }

    #[inline(always)]
    fn mean_square(&self) -> [V; U] {
        self.v
    }

    #[inline(always)]
    fn factor(&self, k: usize) -> [V; U] {
        let mut factors = self.square[k];
        for factor in &mut factors {
            *factor = own_factor(*factor);
        }
        factors
    }

    #[inline(always)]
    fn momentum_factor(&self, k: usize) -> [V; U] {
        let mut factors = self.square[k];
        for factor in &mut factors {
            *factor = own_momentum_factor(*factor, self.settings);
        }
        factors
    }

    #[inline(always)]
    fn square(&self, k: usize) -> [V; U] {
        self.square[k]
    }
}

/// Takes the means of this step's squares into one factored statistic.
struct DecayFactor<'a, 'b> {
    averages: &'a mut [&'b mut [f32]; 3],
    sums: &'a [f32],
    map: &'a FactorMap,
    decays: &'a Decays,
}

impl Kernel for DecayFactor<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { averages, sums, map, decays } = self;
        let blends = Blend::<V>::three(decays.factored);
        let scale = V::splat(1.0 / map.averaged.max(1) as f32);
        for_each_vector::<V>(
            map.len,
            #[inline(always)]
            |at, count| {
                let mean = get::<V>(sums, at, count).mul_add(scale, V::splat(SQUARE_FLOOR));
                for (average, blend) in averages.iter_mut().zip(blends) {
                    blend.update(average, mean, at, count);
                }
            },
        );
    }
}
