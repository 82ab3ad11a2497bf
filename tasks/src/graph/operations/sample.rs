//! A random draw that gradients pass through (Kingma and Welling, arXiv 1312.6114).
//!
//! A row holds means `μ` and logarithms `s` of variances:
//!
//! ```text
//! y = μ + exp(s / 2) ε, ε normal      ∂L/∂μ = δ      ∂L/∂s = ½ δ exp(s / 2) ε
//! ```
//!
//! The noise of an element is a function of the noise seed of the batch and its place in it.

use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;
use crate::graph::simd::Plain;
use crate::rng::{Stream, stream_number};

/// See the [module](self).
struct Sample<T> {
    codes: usize,
    noise: Vec<f32>,
    /// `exp(s / 2) ε`.
    deviations: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// A draw from the Gaussian that `moments` describe: a row of means, then logarithms of variances.
    pub(crate) fn sample(&mut self, moments: Node) -> Node {
        assert_eq!((moments.rows, moments.width % 2), (1, 0));
        let (codes, most) = (moments.width / 2, self.most_examples());
        let step = Sample { codes, noise: vec![0.0; most * codes], deviations: vec![T::ZERO; most * codes] };
        self.step(step, &[moments], (1, codes), false)
    }
}

impl<T: Real> Operation<T> for Sample<T> {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let noise = &mut self.noise[..output.len()];
        Stream::new(pass.examples.noise_seed, const { stream_number("sampled codes") }).normals(0, noise);
        let rows = output.chunks_exact_mut(self.codes).zip(self.deviations.chunks_exact_mut(self.codes));
        let rows = rows.zip(noise.chunks_exact(self.codes)).zip(pass.inputs[0].chunks_exact(2 * self.codes));
        for (((output, deviations), noise), moments) in rows {
            let (means, logarithms) = moments.split_at(self.codes);
            for j in 0..self.codes {
                let half = T::from_f64(0.5) * logarithms[j];
                deviations[j] = half.exp::<Plain>() * T::from_f64(f64::from(noise[j]));
                output[j] = means[j] + deviations[j];
            }
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [gradient, _] = pass.input_gradients;
        let Some(gradient) = gradient else { return };
        let rows = gradient.chunks_exact_mut(2 * self.codes).zip(pass.output_gradient.chunks_exact(self.codes));
        for ((gradient, delta), deviations) in rows.zip(self.deviations.chunks_exact(self.codes)) {
            let (means, logarithms) = gradient.split_at_mut(self.codes);
            means.copy_from_slice(delta);
            for ((gradient, delta), deviation) in logarithms.iter_mut().zip(delta).zip(deviations) {
                *gradient = T::from_f64(0.5) * *delta * *deviation;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::check::assert_gradients;
    use crate::graph::{Dense, Regression, TargetSource};

    #[test]
    fn gradients_agree_with_finite_differences() {
        assert_gradients(4, 3, |g, input| {
            let moments = g.dense("moments", input, Dense::linear(6, 1.0));
            let codes = g.sample(moments);
            g.regression(codes, Regression::Squared, TargetSource::Inputs);
        });
    }
}
