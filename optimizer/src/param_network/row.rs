//! One row of a tensor, read vector by vector: where channels find what they are made from.

use std::ops::Range;

use super::channels::{FACTORED, FeatureSettings, Source, own_factor, own_momentum_factor};
use super::factors::{FactorViews, RowFactors};
use crate::averages::PLANES;
use crate::simd::Simd;

/// One row of a tensor: everything that its own channels are made from. All slices have the same length.
pub(crate) struct Row<'a> {
    len: usize,
    grads: &'a [f32],
    params: &'a [f32],
    momentum: [&'a [f32]; 3],
    mean_square: &'a [f32],
    /// Where `F` comes from; for tensors without factored statistics the planes of `V`.
    factors: RowFactors<'a>,
    /// `F` of the bias-corrected averages; the same where the bias stays.
    corrected: RowFactors<'a>,
    settings: &'a FeatureSettings,
}

impl<'a> Row<'a> {
    /// The elements `range` of a tensor, which are row `row` of block `block`. The averages are those of the row, `V` is
    /// that of the whole tensor. `products` is scratch for the factors, plain and corrected.
    #[inline(always)]
    pub fn new<'b: 'a>(
        (grads, params): (&'a [f32], &'a [f32]),
        [m0, m1, m2, mean_square]: [&'a [f32]; PLANES],
        unfactored: &'a [&mut [f32]; 3],
        range: Range<usize>,
        views: Option<&'a FactorViews<'b>>,
        (block, row): (usize, usize),
        [plain, corrected]: [&'a mut [f32]; 2],
        settings: &'a FeatureSettings,
    ) -> Self {
        let cols = range.len();
        let (factors, corrected) = match views {
            Some(views) => {
                let factors = views.row_factors(&views.unit, block, row, cols, plain);
                let corrected = match settings.correction {
                    Some(_) => views.row_factors(&views.corrected_unit, block, row, cols, corrected),
                    None => factors,
                };
                (factors, corrected)
            }
            None => {
                let [v0, v1, v2] = unfactored;
                let planes = RowFactors::planes([&v0[range.clone()], &v1[range.clone()], &v2[range.clone()]]);
                (planes, planes)
            }
        };
        Self {
            len: cols,
            grads: &grads[range.clone()],
            params: &params[range],
            momentum: [m0, m1, m2],
            mean_square,
            factors,
            corrected,
            settings,
        }
    }

    /// Number of elements.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// `U` vectors of the row, its channels counted by `CHANNELS`.
    #[inline(always)]
    pub fn vectors<V: Simd, const CHANNELS: usize, const U: usize>(
        &'a self,
        lanes: [Lanes; U],
    ) -> RowVectors<'a, CHANNELS, U> {
        for lanes in lanes {
            assert!(lanes.end::<V>() <= self.len, "a vector must lie inside its row");
        }
        RowVectors { row: self, lanes }
    }
}

/// Some vectors of a row, all inside it.
pub(crate) struct RowVectors<'a, const CHANNELS: usize, const U: usize> {
    row: &'a Row<'a>,
    lanes: [Lanes; U],
}

impl<const CHANNELS: usize, const U: usize> RowVectors<'_, CHANNELS, U> {
    /// How the features of the row are computed.
    #[inline(always)]
    pub fn settings(&self) -> &FeatureSettings {
        self.row.settings
    }

    /// Which elements they are.
    #[inline(always)]
    pub fn lanes(&self) -> [Lanes; U] {
        self.lanes
    }

    #[inline(always)]
    fn load<V: Simd>(&self, slice: &[f32]) -> [V; U] {
        let mut values = [V::splat(0.0); U];
        for (value, lanes) in values.iter_mut().zip(self.lanes) {
            // SAFETY: all slices of a row have `len` elements, and the lanes were found to end before that.
            *value = unsafe { lanes.get_unchecked(slice) };
        }
        values
    }

    #[inline(always)]
    fn scaled<V: Simd>(&self, slice: &[f32], factor: f32) -> [V; U] {
        let mut values = self.load::<V>(slice);
        for value in &mut values {
            *value = value.mul(V::splat(factor));
        }
        values
    }
}

impl<V: Simd, const CHANNELS: usize, const U: usize> Source<V, U> for RowVectors<'_, CHANNELS, U> {
    #[inline(always)]
    fn gradient(&self) -> [V; U] {
        let clip = self.row.settings.clip;
        let mut values = self.load::<V>(self.row.grads);
        for value in &mut values {
            *value = value.max(V::splat(-clip)).min(V::splat(clip));
        }
        values
    }

    #[inline(always)]
    fn param(&self) -> [V; U] {
        self.load(self.row.params)
    }

    #[inline(always)]
    fn momentum(&self, k: usize) -> [V; U] {
        self.load(self.row.momentum[k])
    }

    #[inline(always)]
    fn mean_square(&self) -> [V; U] {
        self.load(self.row.mean_square)
    }

    #[inline(always)]
    fn factor(&self, k: usize) -> [V; U] {
        if CHANNELS == FACTORED {
            return self.scaled(self.row.factors.column[k], self.row.factors.scale[k]);
        }
        let mut values = self.square(k);
        for value in &mut values {
            *value = own_factor(*value);
        }
        values
    }

    #[inline(always)]
    fn momentum_factor(&self, k: usize) -> [V; U] {
        if CHANNELS == FACTORED {
            return self.scaled(self.row.corrected.column[k], self.row.corrected.scale[k]);
        }
        let mut values = self.square(k);
        for value in &mut values {
            *value = own_momentum_factor(*value, self.row.settings);
        }
        values
    }

    #[inline(always)]
    fn square(&self, k: usize) -> [V; U] {
        self.load(self.row.factors.column[k])
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
    pub fn end<V: Simd>(self) -> usize {
        match self {
            Self::Full(at) => at + V::LANES,
            Self::Masked(at, count) => at + count,
        }
    }

    /// # Safety
    /// The slice must reach to [`end`](Self::end).
    #[inline(always)]
    pub unsafe fn get_unchecked<V: Simd>(self, slice: &[f32]) -> V {
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
