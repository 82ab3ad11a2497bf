//! From a direction to new parameters: the last stage of a learned step.

use crate::accumulators::{for_each_vector, get, put};
use crate::simd::Simd;

/// The sum of squares of a slice, in single precision over stretches and in double precision over those.
#[inline(always)]
pub(crate) fn sum_of_squares<V: Simd>(values: &[f32]) -> f64 {
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

/// `params ← keep · params - scale · direction`.
#[inline(always)]
pub(crate) fn subtract<V: Simd>(params: &mut [f32], direction: &[f32], scale: f32, keep: f32) {
    let (scale, keep) = (V::splat(-scale), V::splat(keep));
    for_each_vector::<V>(
        direction.len(),
        #[inline(always)]
        |at, count| {
            let p: V = get(params, at, count);
            put(get::<V>(direction, at, count).mul_add(scale, p.mul(keep)), params, at, count);
        },
    );
}
