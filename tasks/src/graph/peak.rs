//! The most that this processor's multiply-add units and this crate's matrix product can do: what shares of peak are of.

use std::hint::black_box;
use std::time::Instant;

use super::matrix_product::{Matrix, Start, product};
use super::simd::{LANES, kernel};

/// Side of the matrices: their panels fit the second cache.
const SIDE: usize = 192;

/// Seconds of one repetition, about.
const REPETITION_SECONDS: f64 = 2e-3;

/// Repetitions, of which the fastest counts.
const REPETITIONS: usize = 15;

kernel! {
    /// Adds `count · ROWS` scaled vectors in registers; gives the floating-point operations that this was.
    fn multiply_adds<T, I, ROWS>(count: usize, factor: T, sink: &'a mut T) -> usize {
        let right = [factor; LANES];
        let mut sums = [[T::ZERO; LANES]; ROWS];
        for _ in 0..count {
            for sums in &mut sums {
                T::add_scaled::<I, LANES>(sums, factor, &right);
            }
        }
        for sums in &sums {
            for &sum in sums {
                *sink += sum;
            }
        }
        2 * count * ROWS * LANES
    }
}

/// Floating-point operations per second of multiplications and additions that stay in registers, on one thread.
pub(crate) fn multiply_add_rate() -> f64 {
    let mut sink = 0.0f32;
    rate(|calls| multiply_adds(1000 * calls, black_box(1e-3f32), &mut sink))
}

/// Floating-point operations per second of the product of two square matrices, on one thread.
pub(crate) fn product_rate() -> f64 {
    let (left, right) = (vec![0.5f32; SIDE * SIDE], vec![0.25f32; SIDE * SIDE]);
    let (mut out, mut panels) = (vec![0.0; SIDE * SIDE], Vec::new());
    rate(|calls| {
        for _ in 0..calls {
            let (left, right) = (Matrix::rows(black_box(&left), SIDE), Matrix::rows(black_box(&right), SIDE));
            product(black_box(&mut out), SIDE, left, right, Start::Zero, &mut panels);
        }
        2 * calls * SIDE * SIDE * SIDE
    })
}

/// Operations per second of `work`, which is told how often to repeat itself and says how many operations that was.
fn rate(mut work: impl FnMut(usize) -> usize) -> f64 {
    let mut measured = |calls: usize| {
        let start = Instant::now();
        let operations = work(calls);
        (start.elapsed().as_secs_f64(), operations as f64)
    };
    let mut calls = 1;
    while measured(calls).0 < REPETITION_SECONDS && calls < 1 << 30 {
        calls *= 2;
    }
    let repetitions = (0..REPETITIONS).map(|_| {
        let (seconds, operations) = measured(calls);
        operations / seconds
    });
    repetitions.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_that_are_counted_are_done() {
        let mut sink = 0.0f64;
        let operations = multiply_adds(10, 2.0f64, &mut sink);
        // Every sum is ten times 2 · 2.
        assert_eq!(sink, operations as f64 / 20.0 * 40.0);
    }
}
