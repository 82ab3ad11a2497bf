//! Four lanes: SSE2, part of every x86-64 processor.

use std::arch::x86_64::*;

use super::Simd;

#[derive(Clone, Copy)]
pub(super) struct Sse2(__m128);

// SAFETY of every block below: SSE2 is part of the x86-64 baseline; memory is only touched through slices
// whose length has been checked.
#[allow(clippy::undocumented_unsafe_blocks, unused_unsafe)]
impl Simd for Sse2 {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm_set1_ps(value) })
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        Self(unsafe { _mm_loadu_ps(from[..4].as_ptr()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        unsafe { _mm_storeu_ps(to[..4].as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn load_partial(from: &[f32]) -> Self {
        let mut lanes = [0.0; 4];
        lanes[..from.len()].copy_from_slice(from);
        Self::load(&lanes)
    }

    #[inline(always)]
    fn store_partial(self, to: &mut [f32]) {
        let mut lanes = [0.0; 4];
        self.store(&mut lanes);
        to.copy_from_slice(&lanes[..to.len()]);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { _mm_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { _mm_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }

    #[inline(always)]
    fn rsqrt(self) -> Self {
        Self(unsafe { _mm_div_ps(_mm_set1_ps(1.0), _mm_sqrt_ps(self.0)) })
    }

    #[inline(always)]
    fn round(self) -> Self {
        Self(unsafe { _mm_cvtepi32_ps(_mm_cvtps_epi32(self.0)) })
    }

    #[inline(always)]
    fn scale(self, exponent: Self) -> Self {
        unsafe {
            let biased = _mm_add_epi32(_mm_cvtps_epi32(exponent.0), _mm_set1_epi32(127));
            self.mul(Self(_mm_castsi128_ps(_mm_slli_epi32::<23>(biased))))
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let pair = _mm_add_ps(self.0, _mm_movehl_ps(self.0, self.0));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        }
    }
}
