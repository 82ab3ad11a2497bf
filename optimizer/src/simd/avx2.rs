//! Eight lanes: AVX2 with fused multiply-add.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

/// # Safety
/// The processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

/// All bits set in the first `n` lanes.
#[inline(always)]
fn first_lanes(n: usize) -> __m256i {
    debug_assert!(n <= 8);
    const BITS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: eight elements starting at 8 - n with n <= 8 lie inside the array; AVX2 is present here.
    unsafe { _mm256_loadu_si256(BITS[8 - n..][..8].as_ptr().cast()) }
}

// SAFETY of every block below: values exist only inside `run`, where the features are present; memory is only
// touched through slices whose length has been checked.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        Self(unsafe { _mm256_loadu_ps(from[..8].as_ptr()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        unsafe { _mm256_storeu_ps(to[..8].as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn load_partial(from: &[f32]) -> Self {
        Self(unsafe { _mm256_maskload_ps(from.as_ptr(), first_lanes(from.len())) })
    }

    #[inline(always)]
    fn store_partial(self, to: &mut [f32]) {
        unsafe { _mm256_maskstore_ps(to.as_mut_ptr(), first_lanes(to.len()), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn rsqrt(self) -> Self {
        // 11 correct bits; one Newton step y ← y + y/2 · (1 - x y²) gives about 22.
        let y = Self(unsafe { _mm256_rsqrt_ps(self.0) });
        let xy = self.mul(y);
        let error = Self(unsafe { _mm256_fnmadd_ps(xy.0, y.0, _mm256_set1_ps(1.0)) });
        y.mul(Self::splat(0.5)).mul_add(error, y)
    }

    #[inline(always)]
    fn round(self) -> Self {
        Self(unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
    }

    #[inline(always)]
    fn scale(self, exponent: Self) -> Self {
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(exponent.0), _mm256_set1_epi32(127));
            self.mul(Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))))
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let quad = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let pair = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        }
    }
}
