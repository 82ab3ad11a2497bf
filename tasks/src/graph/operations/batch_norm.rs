//! Batch norm (Ioffe and Szegedy, arXiv 1502.03167): each column has mean zero and variance one over all rows of the batch.
//!
//! ```text
//! x̂ = (x - mean_rows x) / √(var_rows x + ε)      y = g ⊙ x̂ + b
//! ∂L/∂g = Σ δ ⊙ x̂      ∂L/∂b = Σ δ      ∂L/∂x = g (δ - mean_rows δ - x̂ mean_rows(δ ⊙ x̂)) / √(…),  δ = ∂L/∂y
//! ```
//!
//! The statistics are those of the batch at hand, in evaluation too: a task is a function of parameters and batch only,
//! so there is no place for running averages.

use std::ops::Range;

use super::norm::{EPSILON, column_sums, gain_gradient, scale_rows};
use crate::graph::Initial;
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;
use crate::graph::simd::kernel;

/// See the [module](self).
struct BatchNorm<T> {
    gain: Range<usize>,
    bias: Range<usize>,
    normalised: Vec<T>,
    /// `1 / √(…)` of each column.
    inverses: Vec<T>,
    means: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// Normalises every column of `x`; the tensors are `name/gain` and `name/bias`.
    pub(crate) fn batch_norm(&mut self, name: &str, x: Node) -> Node {
        let gain = self.parameter(format!("{name}/gain"), vec![x.width], Initial::Constant(1.0));
        let bias = self.parameter(format!("{name}/bias"), vec![x.width], Initial::Constant(0.0));
        let columns = vec![T::ZERO; x.width];
        let step = BatchNorm { gain, bias, normalised: self.kept(x), inverses: columns.clone(), means: columns };
        self.step(step, &[x], (x.rows, x.width), true)
    }
}

impl<T: Real> Operation<T> for BatchNorm<T> {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let normalised = &mut self.normalised[..output.len()];
        normalise(normalised, &mut self.means, &mut self.inverses, pass.inputs[0]);
        let (gain, bias) = (&pass.params[self.gain.clone()], &pass.params[self.bias.clone()]);
        scale_rows(output, normalised, gain, bias, gain.len(), T::ONE);
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let normalised = &self.normalised[..pass.output_gradient.len()];
        gain_gradient(&mut pass.grads[self.gain.clone()], pass.output_gradient, normalised);
        column_sums(&mut pass.grads[self.bias.clone()], pass.output_gradient);
        let [gradient, _] = pass.input_gradients;
        if let Some(gradient) = gradient {
            let (along, sums) = (&pass.grads[self.gain.clone()], &pass.grads[self.bias.clone()]);
            for (factor, gain) in self.inverses.iter_mut().zip(&pass.params[self.gain.clone()]) {
                *factor *= *gain;
            }
            columns_back(gradient, pass.output_gradient, normalised, &self.inverses, along, sums);
        }
    }
}

kernel! {
    fn normalise<T, I, ROWS>(normalised: &'a mut [T], means: &'a mut [T], inverses: &'a mut [T], x: &'a [T]) {
        let width = means.len();
        let over = T::from_f64(width as f64 / x.len() as f64);
        means.fill(T::ZERO);
        inverses.fill(T::ZERO);
        for row in x.chunks_exact(width) {
            for (mean, x) in means.iter_mut().zip(row) {
                *mean += *x;
            }
        }
        for mean in means.iter_mut() {
            *mean *= over;
        }
        for (normalised, row) in normalised.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            for (((normalised, x), mean), square) in normalised.iter_mut().zip(row).zip(means.iter()).zip(&mut *inverses) {
                *normalised = *x - *mean;
                *square = normalised.multiply_add::<I>(*normalised, *square);
            }
        }
        for inverse in inverses.iter_mut() {
            *inverse = T::ONE / (*inverse * over + T::from_f64(EPSILON)).sqrt();
        }
        for normalised in normalised.chunks_exact_mut(width) {
            for (normalised, inverse) in normalised.iter_mut().zip(inverses.iter()) {
                *normalised *= *inverse;
            }
        }
    }
}

kernel! {
    fn columns_back<T, I, ROWS>(
        gradient: &'a mut [T],
        delta: &'a [T],
        normalised: &'a [T],
        factors: &'a [T],
        along: &'a [T],
        sums: &'a [T],
    ) {
        let width = factors.len();
        let over = T::from_f64(width as f64 / delta.len() as f64);
        let rows = gradient.chunks_exact_mut(width).zip(delta.chunks_exact(width));
        for ((gradient, delta), normalised) in rows.zip(normalised.chunks_exact(width)) {
            for j in 0..width {
                gradient[j] = factors[j] * (delta[j] - over * (sums[j] + normalised[j] * along[j]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::check::assert_gradients;
    use crate::graph::{Dense, Regression, TargetSource};

    #[test]
    fn gradients_agree_with_finite_differences() {
        assert_gradients(4, 6, |g, input| {
            let rows = g.reshape(input, 3);
            let x = g.dense("x", rows, Dense::linear(5, 1.0));
            let y = g.batch_norm("norm", x);
            let out = g.dense("out", y, Dense::linear(3, 1.0));
            g.regression(out, Regression::Squared, TargetSource::Inputs);
        });
    }

    #[test]
    fn a_column_has_mean_zero_and_variance_one_over_the_batch() {
        let x: Vec<f32> = (0..40).map(|i| (i * i % 11) as f32).collect();
        let mut normalised = vec![0.0; 40];
        normalise(&mut normalised, &mut [0.0; 4], &mut [0.0; 4], &x);
        for column in 0..4 {
            let values = || normalised.iter().skip(column).step_by(4);
            assert!(values().sum::<f32>().abs() < 1e-4);
            assert!((values().map(|x| x * x).sum::<f32>() / 10.0 - 1.0).abs() < 1e-3);
        }
    }
}
