//! Run-time choice of the vector instructions that a whole computation is compiled for.
//!
//! A [`Kernel`] is written once as plain loops and compiled several times: for AVX-512, for AVX2 with fused multiply-add, and for the
//! baseline of the target. [`run`] picks the widest that the processor has, so an ordinary release build is fast. Everything a
//! kernel calls must be `#[inline(always)]`, or it is compiled for the baseline only.

/// A computation to be compiled for each instruction set.
pub(super) trait Kernel {
    /// What it computes.
    type Output;

    /// The computation. `ROWS` is the height of a tile of a matrix product that fills the registers; `FUSED` says
    /// that a fused multiply-add is one instruction.
    fn run<const ROWS: usize, const FUSED: bool>(self) -> Self::Output;
}

/// Runs `kernel` on the widest instructions there are.
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
            // SAFETY: the processor has the features that the function is compiled for.
            return unsafe { avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { avx2(kernel) };
        }
    }
    // Every 64-bit ARM processor multiplies and adds at once.
    if cfg!(target_arch = "aarch64") { kernel.run::<4, true>() } else { kernel.run::<4, false>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<8, true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<4, true>()
}

/// `a · b + c`, rounded once where that is cheap.
#[inline(always)]
pub(super) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction, `mul_add` is a slow call.
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
