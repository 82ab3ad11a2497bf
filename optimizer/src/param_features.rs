//! What the per-parameter network sees: thirty channels, each divided by its root mean square.
//!
//! | channels | value | depends on |
//! | --- | --- | --- |
//! | 1, 1, 1 | `g`, `clip(g, ±0.1)`, `p` | the parameter |
//! | 3, 1 | `m_k`, `v` | the parameter |
//! | 3, 1 | `m_k e`, `e`, with `e = 1/√(v + ε)` | the parameter |
//! | 3, 1 | `g F_k`, `g e` | the parameter |
//! | 3, 3 | `R_k`, `C_k` | row or column only |
//! | 3, 3 | `1/√(R_k + 1e-8)`, `1/√(C_k + 1e-8)` | row or column only |
//! | 3 | `m_k F_k` | the parameter |
//!
//! with `F_k = ρ_k κ_k`, `ρ_k = s(R_k / (mean(R_k) + 1e-9))`, `κ_k = s(C_k)`, `s(x) = 1/√max(x, 1e-9)`. A tensor
//! without factors has `F_k = s(V_k + 1e-9)` in `g F`; it either leaves out what comes after `g e` (fifteen
//! channels), or has `V_k` in the place of both `R_k` and `C_k`, and `m_k / √(V_k + ε')` in the last.
//!
//! Twelve of the thirty depend on row or column only. They are tabulated per entry of `R` and `C`
//! ([`FactorTables`]), their sums of squares are closed sums, and their share of the first layer is computed
//! once per row or column; eighteen channels stay per parameter. Normalised values are never stored:
//! the mean squares found here are folded into the first layer's weights.

use std::ops::Range;

use crate::accumulators::{Accumulators, for_each_masked, for_each_vector, get, put};
use crate::geometry::{FactorMap, Geometry};
use crate::simd::Simd;

/// Channels that are computed for every parameter: `g` to `g e`, in the order of [`own_channels`].
pub(crate) const BARE: usize = 15;

/// The same with `m F`: what a tensor with factored statistics has.
pub(crate) const FACTORED: usize = BARE + 3;

/// The same with `V` and its reciprocal roots: what a vector has that uses all thirty channels.
pub(crate) const UNFACTORED: usize = FACTORED + 6;

/// Room for the own channels of any tensor.
pub(crate) const OWN: usize = UNFACTORED;

/// Channels of one factored statistic: three averages and their three reciprocal roots.
pub(crate) const FACTOR: usize = 6;

const FLOOR: f32 = 1e-9;
const ROOT_EPSILON: f32 = 1e-8;
const GRADIENT_CLIP: f32 = 0.1;

/// Factors that undo the bias of averages that started at zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BiasCorrection {
    pub momentum: [f32; 3],
    pub mean_square: f32,
    pub factored: [f32; 3],
}

/// How features are computed from the accumulators.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeatureSettings {
    /// `±` bound on gradient elements.
    pub clip: f32,
    /// `ε` under the root in `e`.
    pub epsilon: f32,
    /// `ε'` under the root of the last channel of vectors.
    pub vector_epsilon: f32,
    /// Factors on the averages, where their bias is undone.
    pub correction: Option<BiasCorrection>,
}

/// The entries of `R` or `C` as features, tabulated: six planes `[channel][entry]`, and the factors `ρ` or `κ`.
pub(crate) struct FactorTables<'a> {
    pub features: &'a mut [f32],
    /// `ρ_k` or `κ_k` of the plain averages, for `g F`.
    pub unit: &'a mut [f32],
    /// The same of the bias-corrected averages, for `m F`; filled only where the bias is undone.
    pub corrected_unit: &'a mut [f32],
}

impl<'a> FactorTables<'a> {
    /// Numbers of scratch needed for a statistic with `len` entries.
    pub fn scratch_len(len: usize) -> usize {
        (FACTOR + 3 + 3) * len
    }

    /// Cuts the tables out of scratch.
    pub fn new(scratch: &'a mut [f32], len: usize) -> Self {
        let (features, rest) = scratch.split_at_mut(FACTOR * len);
        let (unit, rest) = rest.split_at_mut(3 * len);
        Self { features, unit, corrected_unit: &mut rest[..3 * len] }
    }

    /// Fills the tables from the averages. `centre` is `Some` for `R`, which is divided by its mean over
    /// the axis in the middle of `outer × len × inner`.
    #[inline(always)]
    pub fn fill<V: Simd>(
        &mut self,
        averages: &[&mut [f32]; 3],
        map: &FactorMap,
        centre: Option<(usize, usize, usize)>,
        settings: &FeatureSettings,
    ) {
        let len = map.len;
        for (k, average) in averages.iter().enumerate() {
            let correction = settings.correction.map_or(1.0, |correction| correction.factored[k]);
            let (features, unit) = (&mut *self.features, &mut self.unit[k * len..][..len]);
            for_each_vector::<V>(
                len,
                #[inline(always)]
                |at, count| {
                    let value = get::<V>(average, at, count).mul(V::splat(correction));
                    put(value, features, k * len + at, count);
                    let root = value.add(V::splat(ROOT_EPSILON)).rsqrt();
                    put(root, features, (3 + k) * len + at, count);
                },
            );
            fill_unit::<V>(unit, average, 1.0, centre);
            if settings.correction.is_some() {
                fill_unit::<V>(&mut self.corrected_unit[k * len..][..len], average, correction, centre);
            }
        }
    }
}

/// `1/√max(x, 1e-9)` of `correction · average`, divided by its mean over the centre axis if there is one.
#[inline(always)]
fn fill_unit<V: Simd>(unit: &mut [f32], average: &[f32], correction: f32, centre: Option<(usize, usize, usize)>) {
    let Some((outer, len, inner)) = centre else {
        for_each_vector::<V>(
            unit.len(),
            #[inline(always)]
            |at, count| {
                let value = get::<V>(average, at, count).mul(V::splat(correction));
                put(value.max(V::splat(FLOOR)).rsqrt(), unit, at, count);
            },
        );
        return;
    };
    for o in 0..outer {
        for i in 0..inner {
            let entries = (0..len).map(|l| (o * len + l) * inner + i);
            let total: f64 = entries.clone().map(|entry| f64::from(average[entry])).sum();
            let mean = (total / len as f64) as f32 * correction;
            let scale = correction / (mean + FLOOR);
            if inner == 1 {
                let start = o * len;
                for_each_vector::<V>(
                    len,
                    #[inline(always)]
                    |at, count| {
                        let value = get::<V>(average, start + at, count).mul(V::splat(scale));
                        put(value.max(V::splat(FLOOR)).rsqrt(), unit, start + at, count);
                    },
                );
            } else {
                for entry in entries {
                    unit[entry] = 1.0 / (average[entry] * scale).max(FLOOR).sqrt();
                }
            }
        }
    }
}

/// One vector of parameters with everything its channels are made from.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<V> {
    pub g: V,
    pub p: V,
    pub m: [V; 3],
    pub v: V,
    /// `F_k` for `g F`.
    pub factor: [V; 3],
    /// `F_k` for `m F`; `1/√(V_k + ε')` for vectors.
    pub momentum_factor: [V; 3],
    /// `V_k` for vectors, zero otherwise.
    pub square: [V; 3],
}

/// Yields the own channels of `U` vectors in their order of computation: `push(channel, values)`.
///
/// `CHANNELS` is [`BARE`], [`FACTORED`] or [`UNFACTORED`].
#[inline(always)]
pub(crate) fn own_channels<V: Simd, const CHANNELS: usize, const U: usize>(
    inputs: &[Inputs<V>; U],
    epsilon: f32,
    mut push: impl FnMut(usize, [V; U]),
) {
    // A macro rather than closures: everything here must be inlined into the caller.
    macro_rules! push {
        ($channel:expr, $input:ident => $value:expr) => {{
            let mut values = [V::splat(0.0); U];
            for (value, $input) in values.iter_mut().zip(inputs) {
                *value = $value;
            }
            push($channel, values);
            values
        }};
    }
    let clip = V::splat(GRADIENT_CLIP);
    push!(0, i => i.g);
    push!(1, i => i.g.max(V::splat(-GRADIENT_CLIP)).min(clip));
    push!(2, i => i.p);
    push!(3, i => i.m[0]);
    push!(4, i => i.m[1]);
    push!(5, i => i.m[2]);
    push!(6, i => i.v);
    let e = push!(10, i => i.v.add(V::splat(epsilon)).rsqrt());
    macro_rules! push_times_e {
        ($channel:expr, $input:ident => $value:expr) => {{
            let mut values = e;
            for (value, $input) in values.iter_mut().zip(inputs) {
                *value = value.mul($value);
            }
            push($channel, values);
        }};
    }
    push_times_e!(7, i => i.m[0]);
    push_times_e!(8, i => i.m[1]);
    push_times_e!(9, i => i.m[2]);
    push_times_e!(14, i => i.g);
    push!(11, i => i.g.mul(i.factor[0]));
    push!(12, i => i.g.mul(i.factor[1]));
    push!(13, i => i.g.mul(i.factor[2]));
    if CHANNELS >= FACTORED {
        push!(15, i => i.m[0].mul(i.momentum_factor[0]));
        push!(16, i => i.m[1].mul(i.momentum_factor[1]));
        push!(17, i => i.m[2].mul(i.momentum_factor[2]));
    }
    if CHANNELS >= UNFACTORED {
        push!(18, i => i.square[0]);
        push!(19, i => i.square[1]);
        push!(20, i => i.square[2]);
        push!(21, i => i.square[0].add(V::splat(ROOT_EPSILON)).rsqrt());
        push!(22, i => i.square[1].add(V::splat(ROOT_EPSILON)).rsqrt());
        push!(23, i => i.square[2].add(V::splat(ROOT_EPSILON)).rsqrt());
    }
}

/// True for channels that are not zero where gradient history and parameter are.
#[inline(always)]
fn is_nonzero_at_zero(channel: usize) -> bool {
    channel == 10 || channel >= 21
}

/// The tables of both statistics, read-only, and where a row finds its entries.
pub(crate) struct FactorViews<'a> {
    pub maps: [&'a FactorMap; 2],
    pub features: [&'a [f32]; 2],
    pub unit: [&'a [f32]; 2],
    pub corrected_unit: [&'a [f32]; 2],
}

/// The factors `F_k` along one row: `scale[k] · column[k][j]`.
#[derive(Clone, Copy)]
pub(crate) struct RowFactors<'a> {
    scale: [f32; 3],
    column: [&'a [f32]; 3],
}

impl<'a> FactorViews<'a> {
    /// `F` along a row, from plain or corrected units. When both statistics vary along the row, their product
    /// is written to `products` (three planes of `cols`).
    #[inline(always)]
    pub fn row_factors<'b>(
        &'b self,
        units: &'b [&'a [f32]; 2],
        block: usize,
        row: usize,
        cols: usize,
        products: &'b mut [f32],
    ) -> RowFactors<'b> {
        let [first, second] = self.maps;
        let (first_at, second_at) = (first.at(block, row), second.at(block, row));
        let mut factors = RowFactors { scale: [1.0; 3], column: [&[]; 3] };
        if first.col_stride == 0 || second.col_stride == 0 {
            let (fixed, varying) = if first.col_stride == 0 { (0, 1) } else { (1, 0) };
            let at = [first_at, second_at];
            for k in 0..3 {
                factors.scale[k] = units[fixed][k * self.maps[fixed].len + at[fixed]];
                factors.column[k] = &units[varying][k * self.maps[varying].len + at[varying]..][..cols];
            }
            return factors;
        }
        for (k, target) in products.chunks_exact_mut(cols).take(3).enumerate() {
            let first = &units[0][k * first.len + first_at..];
            let second = &units[1][k * second.len + second_at..];
            for ((product, &a), &b) in target.iter_mut().zip(first).zip(second) {
                *product = a * b;
            }
        }
        for (column, product) in factors.column.iter_mut().zip(products.chunks_exact(cols)) {
            *column = product;
        }
        factors
    }

    /// Sums of squares over one block of the six channels of each statistic.
    pub fn sums_of_squares(&self, block: usize, geometry: &Geometry) -> [[f64; FACTOR]; 2] {
        let (rows, cols) = (geometry.rows, geometry.cols);
        std::array::from_fn(|which| {
            let map = self.maps[which];
            std::array::from_fn(|channel| {
                let plane = &self.features[which][channel * map.len..][..map.len];
                let square = |&x: &f32| f64::from(x) * f64::from(x);
                match map.entries(block, rows, cols) {
                    Some(entries) => {
                        let repeats = if map.same_for_all_rows() { rows } else { cols };
                        repeats as f64 * plane[entries].iter().map(square).sum::<f64>()
                    }
                    None => (0..rows)
                        .map(|row| {
                            let at = map.at(block, row);
                            match map.col_stride {
                                0 => cols as f64 * square(&plane[at]),
                                _ => plane[at..at + cols].iter().map(square).sum(),
                            }
                        })
                        .sum(),
                }
            })
        })
    }
}

/// One row of a tensor: everything that its own channels are made from. All slices have the same length.
pub(crate) struct Row<'a> {
    len: usize,
    grads: &'a [f32],
    params: &'a [f32],
    momentum: [&'a [f32]; 3],
    mean_square: &'a [f32],
    /// Where `F` comes from; for tensors without factored statistics the planes of `V`.
    factors: RowFactors<'a>,
    /// `F` of the bias-corrected averages, where they are used.
    corrected: Option<RowFactors<'a>>,
}

impl<'a> Row<'a> {
    /// The elements `range` of a tensor, which are row `row` of block `block`. `products` is scratch for the
    /// factors, plain and corrected.
    #[inline(always)]
    pub fn new<'b: 'a>(
        (grads, params): (&'a [f32], &'a [f32]),
        accumulators: &'a Accumulators<'_>,
        range: Range<usize>,
        views: Option<&'a FactorViews<'b>>,
        (block, row): (usize, usize),
        [plain, corrected]: [&'a mut [f32]; 2],
        settings: &FeatureSettings,
    ) -> Self {
        let [m0, m1, m2] = &accumulators.momentum;
        let cols = range.len();
        let (factors, corrected) = match views {
            Some(views) => (
                views.row_factors(&views.unit, block, row, cols, plain),
                if settings.correction.is_some() {
                    Some(views.row_factors(&views.corrected_unit, block, row, cols, corrected))
                } else {
                    None
                },
            ),
            None => {
                let [v0, v1, v2] = &accumulators.row;
                let column = [&v0[range.clone()], &v1[range.clone()], &v2[range.clone()]];
                (RowFactors { scale: [1.0; 3], column }, None)
            }
        };
        Self {
            len: cols,
            grads: &grads[range.clone()],
            params: &params[range.clone()],
            momentum: [&m0[range.clone()], &m1[range.clone()], &m2[range.clone()]],
            mean_square: &accumulators.mean_square[range],
            factors,
            corrected,
        }
    }

    /// Number of elements.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The inputs of one vector.
    #[inline(always)]
    pub fn inputs<V: Simd, const CHANNELS: usize>(&self, lanes: Lanes, settings: &FeatureSettings) -> Inputs<V> {
        assert!(lanes.end::<V>() <= self.len, "a vector must lie inside its row");
        macro_rules! load {
            ($slice:expr) => {
                // SAFETY: all slices of a row have `len` elements, and the lanes end before that.
                unsafe { lanes.get_unchecked::<V>($slice) }
            };
        }
        let (mut m, mut factor) = ([V::splat(0.0); 3], [V::splat(0.0); 3]);
        let (mut momentum_factor, mut square) = (factor, factor);
        let mut v = load!(self.mean_square);
        for k in 0..3 {
            m[k] = load!(self.momentum[k]);
            let column = load!(self.factors.column[k]);
            if CHANNELS == FACTORED {
                factor[k] = column.mul(V::splat(self.factors.scale[k]));
                momentum_factor[k] = factor[k];
            } else {
                square[k] = column;
                factor[k] = column.add(V::splat(FLOOR)).max(V::splat(FLOOR)).rsqrt();
                // V is never below 1e-33; the floor serves lanes beyond the row.
                momentum_factor[k] = column.add(V::splat(settings.vector_epsilon)).max(V::splat(1e-36)).rsqrt();
            }
        }
        if let Some(correction) = &settings.correction {
            v = v.mul(V::splat(correction.mean_square));
            for k in 0..3 {
                m[k] = m[k].mul(V::splat(correction.momentum[k]));
                if let Some(corrected) = &self.corrected {
                    momentum_factor[k] = load!(corrected.column[k]).mul(V::splat(corrected.scale[k]));
                }
            }
        }
        Inputs {
            g: load!(self.grads).max(V::splat(-settings.clip)).min(V::splat(settings.clip)),
            p: load!(self.params),
            m,
            v,
            factor,
            momentum_factor,
            square,
        }
    }

    /// Adds the squares of the own channels of this row to `sums`.
    #[inline(always)]
    pub fn add_squares<V: Simd, const CHANNELS: usize>(&self, sums: &mut [V; OWN], settings: &FeatureSettings) {
        const ONES: [f32; 16] = [1.0; 16];
        for_each_masked::<V>(
            self.len,
            #[inline(always)]
            |at, count| {
                let inputs = [self.inputs::<V, CHANNELS>(Lanes::Masked(at, count), settings)];
                // Lanes beyond the row hold zeros, and reciprocal roots of zeros are not zero.
                let mask = V::load_partial(&ONES[..count]);
                own_channels::<V, CHANNELS, 1>(
                    &inputs,
                    settings.epsilon,
                    #[inline(always)]
                    |channel, [value]| {
                        let value = if is_nonzero_at_zero(channel) { value.mul(mask) } else { value };
                        sums[channel] = value.mul_add(value, sums[channel]);
                    },
                );
            },
        );
    }
}

/// Which elements of a row one vector holds.
#[derive(Clone, Copy)]
pub(crate) enum Lanes {
    /// A full vector from an index on.
    Full(usize),
    /// A number of elements from an index on.
    Masked(usize, usize),
}

impl Lanes {
    /// The index after the last element.
    #[inline(always)]
    fn end<V: Simd>(self) -> usize {
        match self {
            Self::Full(at) => at + V::LANES,
            Self::Masked(at, count) => at + count,
        }
    }

    /// # Safety
    /// The slice must reach to [`end`](Self::end).
    #[inline(always)]
    unsafe fn get_unchecked<V: Simd>(self, slice: &[f32]) -> V {
        // SAFETY: the caller promises that the elements exist. One check for a whole row of loads instead of one
        // for each makes the step some 10 % faster.
        unsafe {
            match self {
                Self::Full(at) => V::load(slice.get_unchecked(at..at + V::LANES)),
                Self::Masked(at, count) => V::load_partial(slice.get_unchecked(at..at + count)),
            }
        }
    }

    #[inline(always)]
    pub fn get<V: Simd>(self, slice: &[f32]) -> V {
        match self {
            Self::Full(at) => V::load(&slice[at..]),
            Self::Masked(at, count) => V::load_partial(&slice[at..at + count]),
        }
    }

    #[inline(always)]
    pub fn put<V: Simd>(self, value: V, slice: &mut [f32]) {
        match self {
            Self::Full(at) => value.store(&mut slice[at..]),
            Self::Masked(at, count) => value.store_partial(&mut slice[at..at + count]),
        }
    }
}
