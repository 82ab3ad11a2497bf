//! The scalars that a graph computes in: `f32` for training, `f64` for checking gradients by finite differences.
//!
//! Operations are written once over [`Real`]. In `f32` a kernel runs on the widest vectors and its elementary functions
//! are the polynomials of [`elementary`]; in `f64` everything is plain loops over the standard library, so a mistake in a
//! polynomial shows as well.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use super::elementary;
use super::simd::{self, Instructions, Kernel, Plain};

/// A floating-point number.
pub(crate) trait Real:
    Copy
    + Send
    + Sync
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;

    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
    /// The same number in double precision.
    fn to_f64(self) -> f64;
    /// Runs a kernel on the instructions that suit this scalar.
    fn run<K: Kernel>(kernel: K) -> K::Output;

    /// `self · factor + term`.
    fn multiply_add<I: Instructions>(self, factor: Self, term: Self) -> Self;
    /// `sums += factor · right`.
    fn add_scaled<I: Instructions, const W: usize>(sums: &mut [Self; W], factor: Self, right: &[Self; W]);
    /// The transpose of eight rows of eight.
    fn transpose<I: Instructions>(rows: [&[Self; 8]; 8]) -> [[Self; 8]; 8];
    /// `eˣ`.
    fn exp<I: Instructions>(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh<I: Instructions>(self) -> Self;
    /// `1 / (1 + e⁻ˣ)`.
    fn sigmoid<I: Instructions>(self) -> Self;
    /// Sine.
    fn sin<I: Instructions>(self) -> Self;
    /// Cosine.
    fn cos<I: Instructions>(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// The larger one; a number rather than a NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller one; a number rather than a NaN.
    fn min(self, other: Self) -> Self;
    /// True for what is not a number.
    fn is_nan(self) -> bool;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn run<K: Kernel>(kernel: K) -> K::Output {
        simd::run(kernel)
    }

    #[inline(always)]
    fn multiply_add<I: Instructions>(self, factor: Self, term: Self) -> Self {
        I::multiply_add(self, factor, term)
    }

    #[inline(always)]
    fn add_scaled<I: Instructions, const W: usize>(sums: &mut [Self; W], factor: Self, right: &[Self; W]) {
        I::add_scaled(sums, factor, right);
    }

    #[inline(always)]
    fn transpose<I: Instructions>(rows: [&[Self; 8]; 8]) -> [[Self; 8]; 8] {
        I::transpose(rows)
    }

    #[inline(always)]
    fn exp<I: Instructions>(self) -> Self {
        elementary::exp::<I>(self)
    }

    #[inline(always)]
    fn tanh<I: Instructions>(self) -> Self {
        elementary::tanh::<I>(self)
    }

    #[inline(always)]
    fn sigmoid<I: Instructions>(self) -> Self {
        elementary::sigmoid::<I>(self)
    }

    #[inline(always)]
    fn sin<I: Instructions>(self) -> Self {
        elementary::sin::<I>(self)
    }

    #[inline(always)]
    fn cos<I: Instructions>(self) -> Self {
        elementary::cos::<I>(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        Self::ln(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self::abs(self)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self::max(self, other)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self::min(self, other)
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        Self::is_nan(self)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn run<K: Kernel>(kernel: K) -> K::Output {
        Plain::call(kernel)
    }

    fn multiply_add<I: Instructions>(self, factor: Self, term: Self) -> Self {
        self * factor + term
    }

    fn add_scaled<I: Instructions, const W: usize>(sums: &mut [Self; W], factor: Self, right: &[Self; W]) {
        for (sum, right) in sums.iter_mut().zip(right) {
            *sum += factor * right;
        }
    }

    fn transpose<I: Instructions>(rows: [&[Self; 8]; 8]) -> [[Self; 8]; 8] {
        std::array::from_fn(|j| rows.map(|row| row[j]))
    }

    fn exp<I: Instructions>(self) -> Self {
        Self::exp(self)
    }

    fn tanh<I: Instructions>(self) -> Self {
        Self::tanh(self)
    }

    fn sigmoid<I: Instructions>(self) -> Self {
        1.0 / (1.0 + Self::exp(-self))
    }

    fn sin<I: Instructions>(self) -> Self {
        Self::sin(self)
    }

    fn cos<I: Instructions>(self) -> Self {
        Self::cos(self)
    }

    fn ln(self) -> Self {
        Self::ln(self)
    }

    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }

    fn abs(self) -> Self {
        Self::abs(self)
    }

    fn max(self, other: Self) -> Self {
        Self::max(self, other)
    }

    fn min(self, other: Self) -> Self {
        Self::min(self, other)
    }

    fn is_nan(self) -> bool {
        Self::is_nan(self)
    }
}
