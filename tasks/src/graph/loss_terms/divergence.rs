//! How far a diagonal Gaussian is from the standard one: the price of a code of a variational auto-encoder.
//!
//! A row holds the means `μ` and the logarithms `s` of the variances of `d` numbers (Kingma and Welling, arXiv 1312.6114):
//!
//! ```text
//! L = w/n Σ_rows ½ Σ_j (exp s_j + μ_j² - 1 - s_j)      ∂L/∂μ = w μ / n      ∂L/∂s = w (exp s - 1) / 2n
//! ```

use super::{LossTerm, Score, wanted};
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Examples, MAX_INPUTS};
use crate::graph::real::Real;
use crate::graph::simd::kernel;

/// The divergence of rows of `codes` means and as many logarithms of variances, times `weight`.
struct Divergence {
    codes: usize,
    weight: f64,
}

impl<T: Real> GraphBuilder<T> {
    /// `weight` times the divergence of `moments`, whose row is the means and then the logarithms of the variances.
    pub(crate) fn gaussian_divergence(&mut self, moments: Node, weight: f64) {
        assert_eq!((moments.rows, moments.width % 2), (1, 0));
        self.term(Divergence { codes: moments.width / 2, weight }, &[moments]);
    }
}

impl<T: Real> LossTerm<T> for Divergence {
    fn loss_and_grad(
        &mut self,
        values: [&[T]; MAX_INPUTS],
        gradients: [Option<&mut [T]>; MAX_INPUTS],
        examples: Examples<'_, T>,
    ) -> Score {
        let [gradient, _] = gradients;
        let loss = divergence(wanted(gradient), values[0], self.codes, self.weight / examples.len() as f64);
        Score { loss, ..Score::default() }
    }
}

kernel! {
    fn divergence<T, I, ROWS>(gradient: &'a mut [T], moments: &'a [T], codes: usize, scale: f64) -> f64 {
        let (factor, half) = (T::from_f64(scale), T::from_f64(0.5 * scale));
        let mut total = 0.0;
        for (gradient, moments) in gradient.chunks_exact_mut(2 * codes).zip(moments.chunks_exact(2 * codes)) {
            let (means, logarithms) = moments.split_at(codes);
            let (mean_gradient, logarithm_gradient) = gradient.split_at_mut(codes);
            for j in 0..codes {
                let (mean, variance) = (means[j], logarithms[j].exp::<I>());
                total += (variance + mean * mean - T::ONE - logarithms[j]).to_f64();
                mean_gradient[j] = factor * mean;
                logarithm_gradient[j] = half * (variance - T::ONE);
            }
        }
        0.5 * scale * total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Dense;
    use crate::graph::check::assert_gradients;

    #[test]
    fn the_standard_normal_is_free_and_a_shifted_one_costs_half_the_square() {
        let mut gradient = [1.0f32; 4];
        assert_eq!(divergence(&mut gradient, &[0.0; 4], 2, 1.0), 0.0);
        assert_eq!(gradient, [0.0; 4]);
        assert!((divergence(&mut gradient, &[3.0, 0.0, 0.0, 0.0], 2, 1.0) - 4.5).abs() < 1e-6);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        assert_gradients(3, 4, |g, input| {
            let moments = g.dense("moments", input, Dense::linear(6, 1.0));
            g.gaussian_divergence(moments, 0.3);
        });
    }
}
