//! Gradients known along a few random directions only, as evolution strategies know them:
//!
//! ```text
//! g' = 1/n Σ_k v_k (v_k · g)      v_k: independent fair signs, so that E[v vᵀ] = I and E[g'] = g
//! ```
//!
//! Signs instead of normals: 64 of them are one hash, and the projection has slightly less variance.

use velo_optimizer::ParamLayout;

use super::disguised_gradients::{GradientDisguise, batch_seed};
use crate::rng::{Stream, stream_number};
use crate::task::Batch;

/// Signs in one word of random bits.
const WORD: usize = 64;

/// See the [module](self).
pub(super) struct Projection {
    directions: usize,
    seed: u64,
    sum: Vec<f32>,
}

impl Projection {
    pub(super) fn new(directions: usize, seed: u64, params: usize) -> Self {
        Self { directions, seed, sum: vec![0.0; params] }
    }
}

/// `±value`: minus where bit `bit` of `word` is set.
fn signed(value: f32, word: u64, bit: usize) -> f32 {
    f32::from_bits(value.to_bits() ^ ((((word >> bit) & 1) as u32) << 31))
}

impl GradientDisguise for Projection {
    fn disguise(&mut self, grads: &mut [f32], batch: Batch, _layout: &ParamLayout) {
        let stream = Stream::new(batch_seed(self.seed, batch), const { stream_number("projection") });
        let words = grads.len().div_ceil(WORD) as u64;
        self.sum.fill(0.0);
        for direction in 0..self.directions as u64 {
            let word = |chunk: usize| stream.bits(direction * words + chunk as u64);
            let mut along = 0.0f64;
            for (chunk, grads) in grads.chunks(WORD).enumerate() {
                let word = word(chunk);
                let terms = grads.iter().enumerate().map(|(bit, &g)| signed(g, word, bit));
                along += f64::from(terms.sum::<f32>());
            }
            let step = (along / self.directions as f64) as f32;
            for (chunk, sum) in self.sum.chunks_mut(WORD).enumerate() {
                let word = word(chunk);
                sum.iter_mut().enumerate().for_each(|(bit, sum)| *sum += signed(step, word, bit));
            }
        }
        grads.copy_from_slice(&self.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    fn projected(grads: &[f32], directions: usize, index: u64) -> Vec<f32> {
        let layout = ParamLayout::new([("w", vec![grads.len()])]).unwrap();
        let mut grads = grads.to_vec();
        let batch = Batch { seed: 2, split: Split::Train, index };
        Projection::new(directions, 9, grads.len()).disguise(&mut grads, batch, &layout);
        grads
    }

    #[test]
    fn one_direction_gives_a_multiple_of_a_sign_vector_whose_size_is_the_slope() {
        let grads: Vec<_> = (0..100).map(|i| (i as f32 * 0.7).sin()).collect();
        let given = projected(&grads, 1, 0);
        let slope = given[0].abs();
        assert!(slope > 0.0 && given.iter().all(|g| g.abs() == slope));
        let along: f32 = given.iter().zip(&grads).map(|(v, g)| v.signum() * g).sum();
        assert!((along.abs() - slope).abs() < 1e-4, "{along} against {slope}");
    }

    #[test]
    fn the_mean_over_batches_is_the_gradient() {
        let grads: Vec<_> = (0..70).map(|i| (i as f32 * 0.3).cos()).collect();
        let batches = 20_000u64;
        let mut mean = vec![0.0f64; 70];
        for index in 0..batches {
            let given = projected(&grads, 4, index);
            mean.iter_mut().zip(given).for_each(|(mean, g)| *mean += f64::from(g) / batches as f64);
        }
        // The variance of one entry is below |g|² / directions.
        let square: f64 = grads.iter().map(|&g| f64::from(g).powi(2)).sum();
        let five_errors = 5.0 * (square / 4.0 / batches as f64).sqrt();
        for (mean, &g) in mean.iter().zip(&grads) {
            assert!((mean - f64::from(g)).abs() < five_errors, "{mean} against {g}");
        }
    }
}
