//! One statistics vector per tensor: what the tensor LSTM of VeLO sees besides progress and loss.
//!
//! With `k = 1/√max(1e-9, mean(p²))`, `m̄ = mean(k m)` and `cl(z) = ½ clip(ln(1e-8 + |10 z|), -5, 5)`:
//!
//! ```text
//! mean_rms = cl(mean(k v))      rank: one-hot of the number of axes longer than one
//! var_m_i = cl(mean((k m_i - m̄_i)²))      var_rms_i = cl(mean((k v - m̄_i)²))
//! ```
//!
//! `var_rms` subtracts the mean of the momenta from the mean squares: so does the published implementation,
//! and published weights rely on it.

use crate::accumulators::Accumulators;
use crate::averages::{Averages, MEAN_SQUARE};

/// Length of the vector: mean_rms, five of rank, three and three variances.
pub(crate) const TENSOR_FEATURES: usize = 12;

const RANKS: usize = 5;
const CHUNK: usize = 4096;

/// Mean and sum of squared deviations of one plane, from chunks that fit the first-level cache.
fn moments(averages: &Averages<'_>, plane: usize) -> (f64, f64) {
    let (mut mean, mut deviations, mut seen) = (0.0, 0.0, 0.0);
    averages.for_each_stretch::<CHUNK>(plane, |chunk| {
        let count = chunk.len() as f64;
        let chunk_mean = f64::from(lane_sum(chunk, |x| x)) / count;
        let center = chunk_mean as f32;
        // The deviations are taken from the rounded mean; the shift puts back what rounding took.
        let shift = chunk_mean - f64::from(center);
        let chunk_deviations = f64::from(lane_sum(chunk, |x| (x - center) * (x - center))) - count * shift * shift;
        let difference = chunk_mean - mean;
        deviations += chunk_deviations + difference * difference * seen * count / (seen + count);
        mean += difference * count / (seen + count);
        seen += count;
    });
    (mean, deviations)
}

/// The sum of `term` over a slice, in sixteen interleaved lanes so that it vectorises in a fixed order.
fn lane_sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (full, rest) = values.as_chunks::<16>();
    for chunk in full {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value);
        }
    }
    let rest: f32 = rest.iter().map(|&value| term(value)).sum();
    lanes.iter().sum::<f32>() + rest
}

fn clipped_log(value: f64) -> f32 {
    0.5 * (1e-8 + (10.0 * value as f32).abs()).ln().clamp(-5.0, 5.0)
}

/// The statistics of a tensor of at least one element, from the accumulators before this step's gradient.
pub(crate) fn tensor_features(
    params: &[f32],
    accumulators: &Accumulators<'_>,
    shape: &[usize],
) -> [f32; TENSOR_FEATURES] {
    let count = params.len() as f64;
    let mean_square = params.chunks(CHUNK).map(|chunk| f64::from(lane_sum(chunk, |p| p * p))).sum::<f64>() / count;
    let scale = 1.0 / mean_square.max(1e-9).sqrt();
    let (rms_mean, rms_deviations) = moments(&accumulators.averages, MEAN_SQUARE);
    let mut features = [0.0; TENSOR_FEATURES];
    features[0] = clipped_log(scale * rms_mean);
    let rank = shape.iter().filter(|&&axis| axis > 1).count();
    if rank < RANKS {
        features[1 + rank] = 1.0;
    }
    for i in 0..3 {
        let (mean, deviations) = moments(&accumulators.averages, i);
        let apart = rms_mean - mean;
        let square = scale * scale;
        features[1 + RANKS + i] = clipped_log(square * deviations / count);
        features[1 + RANKS + 3 + i] = clipped_log(square * (rms_deviations / count + apart * apart));
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_long_slice_match_the_definition() {
        let mut values: Vec<f32> = (0..10_000).map(|i| 3.0 + (i as f32 * 0.1).sin()).collect();
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e4;
        let deviations = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
        let (got_mean, got_deviations) = moments(&Averages::Full([&mut values, &mut [], &mut [], &mut []]), 0);
        assert!((got_mean - mean).abs() < 1e-6 && (got_deviations / deviations - 1.0).abs() < 1e-5);
    }
}
