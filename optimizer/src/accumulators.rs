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

use crate::geometry::{FactorMap, Geometry};
use crate::param_network::channels::{
    ChannelSums, FeatureSettings, Source, Squares, factor_channels, own_factor, own_momentum_factor, plain_channels,
};
use crate::simd::Simd;
use crate::state::{Slot, StateLayout, parts};

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
    momentum: Slot,
    mean_square: Slot,
    row: Slot,
    col: Slot,
}

impl AccumulatorSlots {
    /// Lays out the accumulators of the tensor `name`. A tensor without factors keeps `V` in the row slot.
    pub fn new(name: &str, shape: &[usize], geometry: &Geometry, state: &mut StateLayout) -> Self {
        let planes = |shape: &[usize]| [&[3], shape].concat();
        let momentum = state.tensor(&format!("momentum/{name}"), &planes(shape));
        let mean_square = state.tensor(&format!("mean_square/{name}"), shape);
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
        Self { momentum, mean_square, row, col }
    }

    /// The accumulators inside the flat state.
    pub fn resolve<'a>(&self, state: &'a mut [f32]) -> Accumulators<'a> {
        let [momentum, mean_square, row, col] = parts(state, [self.momentum, self.mean_square, self.row, self.col]);
        Accumulators { momentum: planes(momentum), mean_square, row: planes(row), col: planes(col) }
    }
}

/// Three equally long planes of one array.
#[inline(always)]
pub(crate) fn planes(array: &mut [f32]) -> [&mut [f32]; 3] {
    let third = array.len() / 3;
    let (first, rest) = array.split_at_mut(third);
    let (second, third) = rest.split_at_mut(third);
    [first, second, third]
}

/// The accumulators of one tensor.
pub(crate) struct Accumulators<'a> {
    /// `m_k`.
    pub momentum: [&'a mut [f32]; 3],
    /// `v`.
    pub mean_square: &'a mut [f32],
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
/// While the new values are at hand, the squares of the channels that are made of them alone are summed too, block
/// by block: all channels of a vector (`VECTOR` of them), and those without factored statistics of any other tensor.
pub(crate) struct Accumulate<'a, 'b> {
    pub accumulators: &'a mut Accumulators<'b>,
    pub grads: &'a [f32],
    pub params: &'a [f32],
    pub geometry: &'a Geometry,
    pub decays: &'a Decays,
    pub settings: &'a FeatureSettings,
    /// Scratch for one number per entry of `R` and of `C`.
    pub sums: [&'a mut [f32]; 2],
    /// One entry per block, overwritten.
    pub squares: &'a mut [ChannelSums],
}

/// Rows whose squares are summed in single precision before they are added up in double precision.
const SQUARES_ROWS: usize = 64;

impl Accumulate<'_, '_> {
    /// Runs the pass.
    #[inline(always)]
    pub fn run<V: Simd, const VECTOR: usize>(self) {
        let Accumulate { accumulators, grads, params, geometry, decays, settings, sums, squares } = self;
        let [row_sums, col_sums] = sums;
        let mut momentum = [Blend::<V>::new(decays.momentum[0]); 3];
        let mut factored = [Blend::<V>::new(decays.factored[0]); 3];
        for k in 1..3 {
            momentum[k] = Blend::new(decays.momentum[k]);
            factored[k] = Blend::new(decays.factored[k]);
        }
        let square_blend = Blend::<V>::new(decays.mean_square);
        row_sums.fill(0.0);
        col_sums.fill(0.0);
        let Accumulators { momentum: [m0, m1, m2], mean_square, row, col } = accumulators;
        for (block, squares) in squares.iter_mut().enumerate().take(geometry.blocks) {
            *squares = ChannelSums::default();
            let mut lanes = Squares::<V>::new();
            for row_index in 0..geometry.rows {
                let range = geometry.row(block, row_index);
                let (grads, params) = (&grads[range.clone()], &params[range.clone()]);
                let (m0, m1, m2) = (&mut m0[range.clone()], &mut m1[range.clone()], &mut m2[range.clone()]);
                let mean_square = &mut mean_square[range.clone()];
                let maps = geometry.factors.as_ref().map(|factors| {
                    (&factors.row, factors.row.at(block, row_index), &factors.col, factors.col.at(block, row_index))
                });
                let mut row_total = V::splat(0.0);
                for_each_vector::<V>(
                    grads.len(),
                    #[inline(always)]
                    |at, count| {
                        let g = get::<V>(grads, at, count).max(V::splat(-settings.clip)).min(V::splat(settings.clip));
                        let m = [
                            momentum[0].update(m0, g, at, count),
                            momentum[1].update(m1, g, at, count),
                            momentum[2].update(m2, g, at, count),
                        ];
                        let square = g.mul(g);
                        let v = square_blend.update(mean_square, square, at, count);
                        let mut fresh = Fresh { g, p: get(params, at, count), m, v, square: [square; 3], settings };
                        let sink = lanes.with_count(count);
                        match maps {
                            Some((row_map, row_at, col_map, col_at)) => {
                                plain_channels(&fresh, settings, sink);
                                row_total = row_total.add(square);
                                if row_map.col_stride == 1 {
                                    let at = row_at + at;
                                    put(get::<V>(row_sums, at, count).add(square), row_sums, at, count);
                                }
                                if col_map.col_stride == 1 {
                                    let at = col_at + at;
                                    put(get::<V>(col_sums, at, count).add(square), col_sums, at, count);
                                }
                            }
                            None => {
                                let q = square.add(V::splat(SQUARE_FLOOR));
                                for k in 0..3 {
                                    fresh.square[k] = factored[k].update(row[k], q, range.start + at, count);
                                }
                                plain_channels(&fresh, settings, sink);
                                factor_channels::<V, VECTOR, 1>(&fresh, sink);
                            }
                        }
                    },
                );
                if let Some((row_map, row_at, col_map, col_at)) = maps {
                    let total = row_total.sum();
                    if row_map.col_stride == 0 {
                        row_sums[row_at] += total;
                    }
                    if col_map.col_stride == 0 {
                        col_sums[col_at] += total;
                    }
                }
                if row_index % SQUARES_ROWS == SQUARES_ROWS - 1 || row_index + 1 == geometry.rows {
                    lanes.empty_into(squares);
                }
            }
        }
        if let Some(factors) = &geometry.factors {
            decay_factor(row, row_sums, &factors.row, &factored);
            decay_factor(col, col_sums, &factors.col, &factored);
        }
    }
}

/// What the accumulators of one vector of parameters have just become.
struct Fresh<'a, V> {
    g: V,
    p: V,
    m: [V; 3],
    v: V,
    square: [V; 3],
    settings: &'a FeatureSettings,
}

impl<V: Simd> Source<V, 1> for Fresh<'_, V> {
    #[inline(always)]
    fn gradient(&self) -> [V; 1] {
        [self.g]
    }

    #[inline(always)]
    fn param(&self) -> [V; 1] {
        [self.p]
    }

    #[inline(always)]
    fn momentum(&self, k: usize) -> [V; 1] {
        [self.m[k]]
    }

    #[inline(always)]
    fn mean_square(&self) -> [V; 1] {
        [self.v]
    }

    #[inline(always)]
    fn factor(&self, k: usize) -> [V; 1] {
        [own_factor(self.square[k])]
    }

    #[inline(always)]
    fn momentum_factor(&self, k: usize) -> [V; 1] {
        [own_momentum_factor(self.square[k], self.settings)]
    }

    #[inline(always)]
    fn square(&self, k: usize) -> [V; 1] {
        [self.square[k]]
    }
}

#[inline(always)]
fn decay_factor<V: Simd>(averages: &mut [&mut [f32]; 3], sums: &[f32], map: &FactorMap, blends: &[Blend<V>; 3]) {
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
