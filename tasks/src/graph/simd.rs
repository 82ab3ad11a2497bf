//! Run-time choice of the vector instructions that a whole computation is compiled for.
//!
//! A [`Kernel`] is written once as plain loops and compiled several times: for AVX-512, for AVX2 with fused multiply-add,
//! and for the baseline of the target. [`run`] picks the widest that the processor has, so an ordinary release build is fast.
//!
//! Everything a kernel calls must be `#[inline(always)]`, or it is compiled for the baseline only; for the same reason
//! kernels use `for` loops, because the body of a `for_each` may become a function of its own.
//!
//! The macro `kernel!` writes such a type, and the function that runs it, around a body that reads like a function.

/// Elements of the widest vector.
pub(crate) const LANES: usize = 16;

/// An instruction set, as far as kernels can tell.
pub(crate) trait Instructions {
    /// `a · b + c`, rounded once where that is one instruction.
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;

    /// `sums += factor · right`.
    ///
    /// The compiler is left no choice here: given the loops of a matrix product, it may prefer another one of them.
    #[inline(always)]
    fn add_scaled(sums: &mut [f32; LANES], factor: f32, right: &[f32; LANES]) {
        for (sum, &right) in sums.iter_mut().zip(right) {
            *sum = Self::multiply_add(factor, right, *sum);
        }
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
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
            // SAFETY: the processor has the features that the function is compiled for.
            return unsafe { x86::avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { x86::avx2(kernel) };
        }
    }
    // Every 64-bit ARM processor multiplies and adds at once.
    if cfg!(target_arch = "aarch64") { kernel.run::<Fused, 4>() } else { kernel.run::<Plain, 4>() }
}

/// Separate multiplications and additions.
pub(crate) struct Plain;

/// Fused multiplications and additions, in whatever vectors the compiler finds.
pub(crate) struct Fused;

impl Instructions for Plain {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

impl Instructions for Fused {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Instructions, Kernel, LANES};

    #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
    pub(super) fn avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx512, 8>()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx2, 4>()
    }

    /// Private to this module, so that only the functions above, which have the features, run anything on it.
    struct Avx512;

    /// As [`Avx512`].
    struct Avx2;

    impl Instructions for Avx512 {
        #[inline(always)]
        fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn add_scaled(sums: &mut [f32; LANES], factor: f32, right: &[f32; LANES]) {
            // SAFETY: only `avx512` hands this type out; loads and stores are of arrays of sixteen floats.
            unsafe {
                let right = _mm512_loadu_ps(right.as_ptr());
                let sum = _mm512_fmadd_ps(_mm512_set1_ps(factor), right, _mm512_loadu_ps(sums.as_ptr()));
                _mm512_storeu_ps(sums.as_mut_ptr(), sum);
            }
        }
    }

    impl Instructions for Avx2 {
        #[inline(always)]
        fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn add_scaled(sums: &mut [f32; LANES], factor: f32, right: &[f32; LANES]) {
            // SAFETY: only `avx2` hands this type out; loads and stores are of halves of arrays of sixteen floats.
            unsafe {
                let factor = _mm256_set1_ps(factor);
                for half in [0, LANES / 2] {
                    let right = _mm256_loadu_ps(right.as_ptr().add(half));
                    let sum = _mm256_fmadd_ps(factor, right, _mm256_loadu_ps(sums.as_ptr().add(half)));
                    _mm256_storeu_ps(sums.as_mut_ptr().add(half), sum);
                }
            }
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
