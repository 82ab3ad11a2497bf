//! Run-time choice of the vector instructions that a whole computation is compiled for.
//!
//! A [`Kernel`] is written once as plain loops and compiled several times: for AVX-512, for AVX2 with fused multiply-add,
//! and for the baseline of the target. [`run`] picks the widest that the processor has, so an ordinary release build is fast.
//!
//! Everything a kernel calls must be `#[inline(always)]`, or it is compiled for the baseline only; for the same reason
//! kernels use `for` loops, because the body of a `for_each` may become a function of its own. What is too large to be
//! inlined wherever it is used is a kernel itself, and other kernels [call](Instructions::call) it.
//!
//! The macro `kernel!` writes such a type, and the function that runs it, around a body that reads like a function.

/// Elements of the widest vector.
pub(crate) const LANES: usize = 16;

/// An instruction set, as far as kernels can tell.
pub(crate) trait Instructions {
    /// Whether a tile of a matrix product has room for two vectors of [`LANES`] in every row. With one, each multiplication has to
    /// load its factor; with two, half as many loads are left, and they no longer set the pace.
    const PAIRS: bool = false;

    /// Runs a part of a kernel as a function of its own, on the same instructions.
    fn call<K: Kernel>(kernel: K) -> K::Output;

    /// `a · b + c`, rounded once where that is one instruction.
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;

    /// `sums += factor · right`.
    ///
    /// The compiler is left no choice here: given the loops of a matrix product, it may prefer another one of them.
    #[inline(always)]
    fn add_scaled<const W: usize>(sums: &mut [f32; W], factor: f32, right: &[f32; W]) {
        for (sum, &right) in sums.iter_mut().zip(right) {
            *sum = Self::multiply_add(factor, right, *sum);
        }
    }

    /// The transpose of eight rows of eight.
    #[inline(always)]
    fn transpose(rows: [&[f32; 8]; 8]) -> [[f32; 8]; 8] {
        let mut columns = [[0.0; 8]; 8];
        for (j, column) in columns.iter_mut().enumerate() {
            for (to, row) in column.iter_mut().zip(rows) {
                *to = row[j];
            }
        }
        columns
    }
}

/// A computation to be compiled for each instruction set.
pub(crate) trait Kernel {
    /// What it computes.
    type Output;

    /// The computation. `ROWS` is the height of a tile of a matrix product that fills the registers.
    fn run<I: Instructions, const ROWS: usize>(self) -> Self::Output;
}

/// Runs `kernel` on the widest instructions there are.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                // SAFETY: the processor has the features that the function is compiled for.
                return unsafe { x86::avx512(kernel) };
            }
            // SAFETY: as above.
            return unsafe { x86::avx2(kernel) };
        }
    }
    // Every 64-bit ARM processor multiplies and adds at once.
    if cfg!(target_arch = "aarch64") { Fused::call(kernel) } else { Plain::call(kernel) }
}

/// Separate multiplications and additions.
pub(crate) struct Plain;

/// Fused multiplications and additions, in whatever vectors the compiler finds.
pub(crate) struct Fused;

impl Instructions for Plain {
    #[inline(never)]
    fn call<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Self, 4>()
    }

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

impl Instructions for Fused {
    #[inline(never)]
    fn call<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Self, 4>()
    }

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Instructions, Kernel};

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
    pub(super) fn avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx512, 8>()
    }

    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx2, 6>()
    }

    /// Private to this module, so that only the functions above, which have the features, run anything on it.
    struct Avx512;

    /// As [`Avx512`].
    struct Avx2;

    impl Instructions for Avx512 {
        const PAIRS: bool = true;

        #[inline(always)]
        fn call<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: only `avx512` hands this type out, so the processor has the features.
            unsafe { avx512(kernel) }
        }

        #[inline(always)]
        fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn add_scaled<const W: usize>(sums: &mut [f32; W], factor: f32, right: &[f32; W]) {
            // Wider than `Avx2`, narrower than a vector: eight.
            if !W.is_multiple_of(16) {
                return Avx2::add_scaled(sums, factor, right);
            }
            // SAFETY: only `avx512` hands this type out; loads and stores are of sixteen floats within arrays of `W`.
            unsafe {
                let factor = _mm512_set1_ps(factor);
                for first in (0..W).step_by(16) {
                    let right = _mm512_loadu_ps(right.as_ptr().add(first));
                    let sum = _mm512_fmadd_ps(factor, right, _mm512_loadu_ps(sums.as_ptr().add(first)));
                    _mm512_storeu_ps(sums.as_mut_ptr().add(first), sum);
                }
            }
        }

        #[inline(always)]
        fn transpose(rows: [&[f32; 8]; 8]) -> [[f32; 8]; 8] {
            Avx2::transpose(rows)
        }
    }

    impl Instructions for Avx2 {
        #[inline(always)]
        fn call<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: only `avx2` runs kernels on this type, so the processor has the features.
            unsafe { avx2(kernel) }
        }

        #[inline(always)]
        fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn add_scaled<const W: usize>(sums: &mut [f32; W], factor: f32, right: &[f32; W]) {
            const { assert!(W.is_multiple_of(8), "whole vectors") };
            // SAFETY: this type, or `Avx512`, is handed out by a function that has the features; loads and stores are of
            // eight floats within arrays of `W`.
            unsafe {
                let factor = _mm256_set1_ps(factor);
                for first in (0..W).step_by(8) {
                    let right = _mm256_loadu_ps(right.as_ptr().add(first));
                    let sum = _mm256_fmadd_ps(factor, right, _mm256_loadu_ps(sums.as_ptr().add(first)));
                    _mm256_storeu_ps(sums.as_mut_ptr().add(first), sum);
                }
            }
        }

        #[inline(always)]
        fn transpose(rows: [&[f32; 8]; 8]) -> [[f32; 8]; 8] {
            let mut columns = [[0.0; 8]; 8];
            // SAFETY: as for `add_scaled`; loads and stores are of arrays of eight floats.
            unsafe {
                let mut halves = [[_mm256_setzero_ps(); 4]; 2];
                // Loops and not closures, which would be compiled without the features.
                for (half, first) in halves.iter_mut().zip([0, 4]) {
                    let a = _mm256_loadu_ps(rows[first].as_ptr());
                    let b = _mm256_loadu_ps(rows[first + 1].as_ptr());
                    let c = _mm256_loadu_ps(rows[first + 2].as_ptr());
                    let d = _mm256_loadu_ps(rows[first + 3].as_ptr());
                    let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                    let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                    *half = [
                        _mm256_shuffle_ps::<0x44>(ab, cd),
                        _mm256_shuffle_ps::<0xee>(ab, cd),
                        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                        _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
                    ];
                }
                let [upper, lower] = halves;
                for j in 0..4 {
                    let (low, high) = (upper[j], lower[j]);
                    _mm256_storeu_ps(columns[j].as_mut_ptr(), _mm256_permute2f128_ps::<0x20>(low, high));
                    _mm256_storeu_ps(columns[j + 4].as_mut_ptr(), _mm256_permute2f128_ps::<0x31>(low, high));
                }
            }
            columns
        }
    }
}

/// Declares a function over a scalar type whose body is compiled for each instruction set: the body may name the
/// scalar, the instructions and the tile height that stand between the angle brackets.
///
/// A macro, because no function can take another one that is still generic over its instructions.
macro_rules! kernel {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident<$scalar:ident, $instructions:ident, $rows:ident>
        ($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name<'a, $scalar: crate::graph::real::Real>($($argument: $type),*) $(-> $output)? {
            struct Call<'a, $scalar: crate::graph::real::Real> {
                $($argument: $type,)*
                scalar: std::marker::PhantomData<&'a $scalar>,
            }
            impl<'a, $scalar: crate::graph::real::Real> crate::graph::simd::Kernel for Call<'a, $scalar> {
                type Output = crate::graph::simd::kernel!(@output $($output)?);

                #[inline(always)]
                fn run<$instructions: crate::graph::simd::Instructions, const $rows: usize>(self) -> Self::Output {
                    let Self { $($argument,)* scalar: _ } = self;
                    $body
                }
            }
            <$scalar as crate::graph::real::Real>::run(Call { $($argument,)* scalar: std::marker::PhantomData })
        }
    };
    (@output $output:ty) => { $output };
    (@output) => { () };
}
pub(crate) use kernel;
