//! Gradients from losses alone: antithetic evolution strategies (Salimans et al., arXiv 1703.03864).
//!
//! ```text
//! g = 1/n Σ_k ε_k (L(w + σ ε_k) - L(w - σ ε_k)) / 2σ      ε normal
//! ```
//!
//! This is an unbiased estimate of the gradient of `E L(w + σ ε)`, with a variance that grows with the number of parameters.

use crate::rng::{Stream, derive_seed, stream_number};

/// Room for the estimate.
pub(crate) struct Antithetic {
    deviation: f32,
    pairs: usize,
    perturbation: Vec<f32>,
    moved: Vec<f32>,
}

impl Antithetic {
    /// Estimates over `parameters` parameters from `pairs` pairs of losses, each `deviation` (`σ`) away.
    pub(crate) fn new(parameters: usize, deviation: f32, pairs: usize) -> Self {
        Self { deviation, pairs, perturbation: vec![0.0; parameters], moved: vec![0.0; parameters] }
    }

    /// Writes the estimate to `grads`; the perturbations follow from `seed`.
    pub(crate) fn gradient(
        &mut self,
        grads: &mut [f32],
        params: &[f32],
        seed: u64,
        mut loss: impl FnMut(&[f32]) -> f32,
    ) {
        grads.fill(0.0);
        for pair in 0..self.pairs {
            let stream = Stream::new(derive_seed(seed, pair as u64), const { stream_number("evolution") });
            stream.normals(0, &mut self.perturbation);
            let mut at = |step: f32| {
                for ((moved, param), perturbation) in self.moved.iter_mut().zip(params).zip(&self.perturbation) {
                    *moved = param + step * perturbation;
                }
                loss(&self.moved)
            };
            let difference = at(self.deviation) - at(-self.deviation);
            let scale = difference / (2.0 * self.deviation * self.pairs as f32);
            for (gradient, perturbation) in grads.iter_mut().zip(&self.perturbation) {
                *gradient += scale * perturbation;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_many_estimates_is_the_gradient() {
        let params = [0.5, -1.0, 2.0];
        let loss = |w: &[f32]| w[0] * w[0] + 3.0 * w[1] - 0.5 * w[2] * w[2];
        let mut grads = [0.0; 3];
        Antithetic::new(3, 0.1, 20_000).gradient(&mut grads, &params, 7, loss);
        // Five standard errors: the variance of a pair is about the square of the gradient's length.
        for (gradient, exact) in grads.iter().zip([1.0, 3.0, -2.0]) {
            assert!((gradient - exact).abs() < 5.0 * 4.0 / 20_000f32.sqrt(), "{gradient} against {exact}");
        }
    }
}
