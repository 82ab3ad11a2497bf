//! Sums over tensors, in an order that depends on the length alone.
//!
//! Inside a block of 1024 elements sixteen `f32` lanes run side by side (what the compiler turns into vector
//! instructions); blocks are added in `f64`, so that the sum of ten million squares keeps its digits.

use crate::simd::{Kernel, Simd, dispatch};

const BLOCK: usize = 1024;
const LANES: usize = 16;

/// `Σ x²`.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    dot(values, values)
}

/// `Σ |x|`.
pub(super) fn sum_of_magnitudes(values: &[f32]) -> f64 {
    sum_of_products(values, values, |x, _| x.abs())
}

/// `Σ x y`.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f64 {
    sum_of_products(left, right, |x, y| x * y)
}

/// `√mean(x²)`.
pub(super) fn root_mean_square(values: &[f32]) -> f32 {
    (sum_of_squares(values) / values.len().max(1) as f64).sqrt() as f32
}

/// `1 / √(floor + mean(x²))`: what scales a tensor to a root mean square of one.
pub(super) fn reciprocal_rms(values: &[f32], floor: f32) -> f32 {
    let mean_square = sum_of_squares(values) / values.len().max(1) as f64;
    (f64::from(floor) + mean_square).sqrt().recip() as f32
}

/// `Σ term(i)` over `0..len`, for terms of more than two slices.
pub(crate) fn sum_of(len: usize, term: impl Fn(usize) -> f32) -> f64 {
    let mut terms = [0.0; BLOCK];
    let mut total = 0.0;
    for start in (0..len).step_by(BLOCK) {
        let terms = &mut terms[..BLOCK.min(len - start)];
        for (offset, value) in terms.iter_mut().enumerate() {
            *value = term(start + offset);
        }
        total += sum_of_products(terms, terms, |x, _| x);
    }
    total
}

fn sum_of_products(left: &[f32], right: &[f32], product: impl Fn(f32, f32) -> f32) -> f64 {
    dispatch(Products { left, right, product })
}

struct Products<'a, F> {
    left: &'a [f32],
    right: &'a [f32],
    product: F,
}

impl<F: Fn(f32, f32) -> f32> Kernel for Products<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Simd>(self) -> f64 {
        let mut total = 0.0;
        for (left, right) in self.left.chunks(BLOCK).zip(self.right.chunks(BLOCK)) {
            total += f64::from(block_sum(left, right, &self.product));
        }
        total
    }
}

/// One block: element `i` goes to lane `i mod 16`, then the lanes are added in order.
#[inline(always)]
fn block_sum(left: &[f32], right: &[f32], product: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (left_rows, left_tail) = left.as_chunks::<LANES>();
    let (right_rows, right_tail) = right.as_chunks::<LANES>();
    for (left, right) in left_rows.iter().zip(right_rows) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(left).zip(right) {
            *lane += product(x, y);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(left_tail).zip(right_tail) {
        *lane += product(x, y);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_many_blocks_and_a_tail_are_exact_for_small_integers() {
        let values: Vec<f32> = (0..2050).map(|index| (index % 7) as f32 - 3.0).collect();
        let squares: i64 = (0..2050).map(|index| (index % 7 - 3i64).pow(2)).sum();
        let magnitudes: i64 = (0..2050).map(|index| (index % 7 - 3i64).abs()).sum();
        assert_eq!(sum_of_squares(&values), squares as f64);
        assert_eq!(sum_of_magnitudes(&values), magnitudes as f64);
        assert_eq!(sum_of(2050, |index| values[index] * values[index]), squares as f64);
    }

    #[test]
    fn nothing_sums_to_zero_and_its_rms_is_the_floor() {
        assert_eq!(sum_of_squares(&[]), 0.0);
        assert_eq!(reciprocal_rms(&[], 0.25), 2.0);
    }
}
