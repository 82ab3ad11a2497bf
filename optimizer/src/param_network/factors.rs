//! Factored statistics as features: twelve channels that depend on row or column only, and the factors `F_k`.
//!
//! They are tabulated per entry of `R` and `C` ([`FactorTables`]); where a row finds its entries is known to
//! [`FactorViews`].

use super::channels::{FACTOR, FLOOR, FeatureSettings, ROOT_EPSILON};
use crate::accumulators::{Accumulators, for_each_vector, get, put};
use crate::geometry::{FactorMap, Factors, Geometry};
use crate::simd::{Kernel, Simd};
use crate::step::squares_of;

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

/// Fills the tables of `R` and `C`.
pub(crate) struct FillTables<'a, 'b, 'c> {
    pub tables: &'a mut [FactorTables<'b>; 2],
    pub accumulators: &'a Accumulators<'c>,
    pub factors: &'a Factors,
    pub settings: &'a FeatureSettings,
}

impl Kernel for FillTables<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { tables: [row, col], accumulators, factors, settings } = self;
        row.fill::<V>(&accumulators.row, &factors.row, Some(factors.centre), settings);
        col.fill::<V>(&accumulators.col, &factors.col, None, settings);
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
            let start = o * len;
            let total = if inner == 1 {
                sum_of::<V>(&average[start..start + len])
            } else {
                entries.clone().map(|entry| f64::from(average[entry])).sum()
            };
            let mean = (total / len as f64) as f32 * correction;
            let scale = correction / (mean + FLOOR);
            if inner == 1 {
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

/// The sum of a slice, in single precision over stretches and in double precision over those.
#[inline(always)]
fn sum_of<V: Simd>(values: &[f32]) -> f64 {
    let mut total = 0.0;
    for chunk in values.chunks(4096) {
        let mut sum = V::splat(0.0);
        for_each_vector::<V>(
            chunk.len(),
            #[inline(always)]
            |at, count| sum = sum.add(get(chunk, at, count)),
        );
        total += f64::from(sum.sum());
    }
    total
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
    pub scale: [f32; 3],
    pub column: [&'a [f32]; 3],
}

impl<'a> RowFactors<'a> {
    /// Three planes without a scale.
    #[inline(always)]
    pub fn planes(column: [&'a [f32]; 3]) -> Self {
        Self { scale: [1.0; 3], column }
    }
}

impl<'a> FactorViews<'a> {
    /// Tables that are filled.
    pub fn new([row, col]: [FactorTables<'a>; 2], factors: &'a Factors) -> Self {
        Self {
            maps: [&factors.row, &factors.col],
            features: [row.features, col.features],
            unit: [row.unit, col.unit],
            corrected_unit: [row.corrected_unit, col.corrected_unit],
        }
    }

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
    #[inline(always)]
    pub fn sums_of_squares<V: Simd>(&self, block: usize, geometry: &Geometry) -> [[f64; FACTOR]; 2] {
        let (rows, cols) = (geometry.rows, geometry.cols);
        let mut sums = [[0.0; FACTOR]; 2];
        for (which, sums) in sums.iter_mut().enumerate() {
            let map = self.maps[which];
            for (channel, sum) in sums.iter_mut().enumerate() {
                let plane = &self.features[which][channel * map.len..][..map.len];
                if let Some(entries) = map.entries(block, rows, cols) {
                    let repeats = if map.same_for_all_rows() { rows } else { cols };
                    *sum = repeats as f64 * squares_of::<V>(&plane[entries]);
                    continue;
                }
                for row in 0..rows {
                    let at = map.at(block, row);
                    *sum += match map.col_stride {
                        0 => cols as f64 * squares_of::<V>(&plane[at..=at]),
                        _ => squares_of::<V>(&plane[at..at + cols]),
                    };
                }
            }
        }
        sums
    }
}
