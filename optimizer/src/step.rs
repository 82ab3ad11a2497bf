//! From a direction to new parameters: the last stage of a learned step.

use crate::accumulators::{for_each_vector, get};
use crate::elementwise::for_each_element;
use crate::simd::{Kernel, Simd, dispatch};

/// The sum of squares of a slice, in single precision over stretches and in double precision over those.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    dispatch(SumOfSquares(values))
}

/// `params ← keep · params - scale · direction`.
pub(crate) fn subtract(params: &mut [f32], direction: &[f32], scale: f32, keep: f32) {
    for_each_element(
        params,
        direction,
        [],
        #[inline(always)]
        |p, u, []| (keep * p - scale * u, []),
    );
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
