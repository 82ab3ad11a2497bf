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

/// Divisors that undo the bias of averages that started at zero; all one when switched off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BiasCorrection {
    pub momentum: [f32; 3],
    pub mean_square: f32,
    pub factored: [f32; 3],
}

impl BiasCorrection {
    /// No correction.
    pub const NONE: Self = Self { momentum: [1.0; 3], mean_square: 1.0, factored: [1.0; 3] };
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
    /// Factors on the averages (reciprocals of the bias).
    pub correction: BiasCorrection,
}

/// The entries of `R` or `C` as features, tabulated: six planes `[channel][entry]`, and the factors `ρ` or `κ`.
pub(crate) struct FactorTables<'a> {
    pub features: &'a mut [f32],
    /// `ρ_k` or `κ_k` of the plain averages, for `g F`.
    pub unit: &'a mut [f32],
    /// The same of the bias-corrected averages, for `m F`.
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
            let correction = settings.correction.factored[k];
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
            fill_unit::<V>(&mut self.corrected_unit[k * len..][..len], average, correction, centre);
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

/// Yields the own channels of a vector in their order of computation: `push(channel, value)`.
///
/// `CHANNELS` is [`BARE`], [`FACTORED`] or [`UNFACTORED`].
#[inline(always)]
pub(crate) fn own_channels<V: Simd, const CHANNELS: usize>(
    inputs: &Inputs<V>,
    epsilon: f32,
    mut push: impl FnMut(usize, V),
) {
    let Inputs { g, p, m, v, factor, momentum_factor, square } = *inputs;
    push(0, g);
    push(1, g.max(V::splat(-GRADIENT_CLIP)).min(V::splat(GRADIENT_CLIP)));
    push(2, p);
    push(3, m[0]);
    push(4, m[1]);
    push(5, m[2]);
    push(6, v);
    let e = v.add(V::splat(epsilon)).rsqrt();
    push(7, m[0].mul(e));
    push(8, m[1].mul(e));
    push(9, m[2].mul(e));
    push(10, e);
    push(11, g.mul(factor[0]));
    push(12, g.mul(factor[1]));
    push(13, g.mul(factor[2]));
    push(14, g.mul(e));
    if CHANNELS >= FACTORED {
        push(15, m[0].mul(momentum_factor[0]));
        push(16, m[1].mul(momentum_factor[1]));
        push(17, m[2].mul(momentum_factor[2]));
    }
    if CHANNELS >= UNFACTORED {
        push(18, square[0]);
        push(19, square[1]);
        push(20, square[2]);
        push(21, square[0].add(V::splat(ROOT_EPSILON)).rsqrt());
        push(22, square[1].add(V::splat(ROOT_EPSILON)).rsqrt());
        push(23, square[2].add(V::splat(ROOT_EPSILON)).rsqrt());
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
pub(crate) struct RowFactors<'a> {
    pub scale: [f32; 3],
    pub column: [&'a [f32]; 3],
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
        let slice = |which: usize, k: usize| {
            let map = self.maps[which];
            &units[which][k * map.len + map.at(block, row)..]
        };
        match (first.col_stride, second.col_stride) {
            (0, _) => RowFactors {
                scale: [slice(0, 0)[0], slice(0, 1)[0], slice(0, 2)[0]],
                column: [&slice(1, 0)[..cols], &slice(1, 1)[..cols], &slice(1, 2)[..cols]],
            },
            (_, 0) => RowFactors {
                scale: [slice(1, 0)[0], slice(1, 1)[0], slice(1, 2)[0]],
                column: [&slice(0, 0)[..cols], &slice(0, 1)[..cols], &slice(0, 2)[..cols]],
            },
            _ => {
                for k in 0..3 {
                    let target = &mut products[k * cols..][..cols];
                    for ((product, &a), &b) in target.iter_mut().zip(slice(0, k)).zip(slice(1, k)) {
                        *product = a * b;
                    }
                }
                let products = &*products;
                RowFactors {
                    scale: [1.0; 3],
                    column: [&products[..cols], &products[cols..2 * cols], &products[2 * cols..3 * cols]],
                }
            }
        }
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

/// One row of a tensor: everything that the own channels are made from.
pub(crate) struct Row<'a> {
    pub grads: &'a [f32],
    pub params: &'a [f32],
    pub momentum: [&'a [f32]; 3],
    pub mean_square: &'a [f32],
    pub factors: RowKind<'a>,
}

/// Where `F` comes from.
pub(crate) enum RowKind<'a> {
    /// From `R` and `C`; the second is of the corrected averages.
    Factored(RowFactors<'a>, RowFactors<'a>),
    /// `s(V_k + 1e-9)` of the three planes.
    Unfactored([&'a [f32]; 3]),
}

impl<'a> Row<'a> {
    /// The elements `range` of a tensor.
    #[inline(always)]
    pub fn new(
        grads: &'a [f32],
        params: &'a [f32],
        accumulators: &'a Accumulators<'_>,
        range: std::ops::Range<usize>,
        factors: RowKind<'a>,
    ) -> Self {
        let [m0, m1, m2] = &accumulators.momentum;
        Self {
            grads: &grads[range.clone()],
            params: &params[range.clone()],
            momentum: [&m0[range.clone()], &m1[range.clone()], &m2[range.clone()]],
            mean_square: &accumulators.mean_square[range],
            factors,
        }
    }

    /// The inputs of one vector.
    #[inline(always)]
    pub fn inputs<V: Simd>(&self, lanes: Lanes, settings: &FeatureSettings) -> Inputs<V> {
        let clip = V::splat(settings.clip);
        let correction = &settings.correction;
        let mut m = [V::splat(0.0); 3];
        let (mut factor, mut momentum_factor, mut square) = (m, m, m);
        for k in 0..3 {
            m[k] = lanes.get::<V>(self.momentum[k]).mul(V::splat(correction.momentum[k]));
            match &self.factors {
                RowKind::Factored(plain, corrected) => {
                    factor[k] = lanes.get::<V>(plain.column[k]).mul(V::splat(plain.scale[k]));
                    momentum_factor[k] = lanes.get::<V>(corrected.column[k]).mul(V::splat(corrected.scale[k]));
                }
                RowKind::Unfactored(planes) => {
                    square[k] = lanes.get(planes[k]);
                    factor[k] = square[k].add(V::splat(FLOOR)).max(V::splat(FLOOR)).rsqrt();
                    // V is never below 1e-33; the floor serves lanes beyond the row.
                    let floored = square[k].add(V::splat(settings.vector_epsilon)).max(V::splat(1e-36));
                    momentum_factor[k] = floored.rsqrt();
                }
            }
        }
        Inputs {
            g: lanes.get::<V>(self.grads).max(V::splat(-settings.clip)).min(clip),
            p: lanes.get(self.params),
            m,
            v: lanes.get::<V>(self.mean_square).mul(V::splat(correction.mean_square)),
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
            self.grads.len(),
            #[inline(always)]
            |at, count| {
                let inputs = self.inputs::<V>(Lanes::Masked(at, count), settings);
                // Lanes beyond the row hold zeros, and reciprocal roots of zeros are not zero.
                let mask = V::load_partial(&ONES[..count]);
                own_channels::<V, CHANNELS>(
                    &inputs,
                    settings.epsilon,
                    #[inline(always)]
                    |channel, value| {
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
