//! From a direction to new parameters: the last stage of a learned step.

use crate::accumulators::{for_each_vector, get, put};
use crate::simd::{Kernel, Simd, dispatch};

/// The sum of squares of a slice, in single precision over stretches and in double precision over those.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    dispatch(SumOfSquares(values))
}

/// `params ← keep · params - scale · direction`.
pub(crate) fn subtract(params: &mut [f32], direction: &[f32], scale: f32, keep: f32) {
    dispatch(Subtract { params, direction, scale, keep });
}

struct SumOfSquares<'a>(&'a [f32]);

impl Kernel for SumOfSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Simd>(self) -> f64 {
        squares_of::<V>(self.0)
    }
}

/// [`sum_of_squares`] inside a kernel.
#[inline(always)]
pub(crate) fn squares_of<V: Simd>(values: &[f32]) -> f64 {
    let mut total = 0.0;
    for chunk in values.chunks(4096) {
        let mut sum = V::splat(0.0);
        for_each_vector::<V>(
            chunk.len(),
            #[inline(always)]
            |at, count| {
                let x: V = get(chunk, at, count);
                sum = x.mul_add(x, sum);
            },
        );
        total += f64::from(sum.sum());
    }
    total
}

struct Subtract<'a> {
    params: &'a mut [f32],
    direction: &'a [f32],
    scale: f32,
    keep: f32,
}

impl Kernel for Subtract<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let (scale, keep) = (V::splat(-self.scale), V::splat(self.keep));
        for_each_vector::<V>(
            self.direction.len(),
            #[inline(always)]
            |at, count| {
                let p: V = get(self.params, at, count);
                put(get::<V>(self.direction, at, count).mul_add(scale, p.mul(keep)), self.params, at, count);
            },
        );
    }
}
