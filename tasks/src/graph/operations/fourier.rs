//! Random Fourier features of low-dimensional inputs (Tancik et al., arXiv 2006.10739).
//!
//! ```text
//! y = (sin 2π B x, cos 2π B x)      B: frequencies, fixed, normal with a deviation that sets the finest detail
//! ```

use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;
use crate::graph::simd::Plain;
use crate::rng::normals;

/// See the [module](self).
struct Fourier<T> {
    inputs: usize,
    /// `2π B`, a row for each frequency.
    frequencies: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// Sines, then cosines, of `count` random combinations of the inputs, which must be data.
    pub(crate) fn fourier_features(&mut self, count: usize, deviation: f64, seed: u64) -> Node {
        let x = self.input();
        let mut draws = vec![0.0; count * x.width];
        normals(seed, const { crate::rng::stream_number("fourier frequencies") }, 0, &mut draws);
        let scale = std::f64::consts::TAU * deviation;
        let frequencies = draws.iter().map(|&draw| T::from_f64(scale * f64::from(draw))).collect();
        self.step(Fourier { inputs: x.width, frequencies }, &[x], (1, 2 * count), false)
    }
}

impl<T: Real> Operation<T> for Fourier<T> {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let count = self.frequencies.len() / self.inputs;
        for (features, x) in output.chunks_exact_mut(2 * count).zip(pass.inputs[0].chunks_exact(self.inputs)) {
            let (sines, cosines) = features.split_at_mut(count);
            for (j, frequency) in self.frequencies.chunks_exact(self.inputs).enumerate() {
                let phase: T = frequency.iter().zip(x).map(|(frequency, x)| *frequency * *x).sum();
                sines[j] = phase.sin::<Plain>();
                cosines[j] = phase.cos::<Plain>();
            }
        }
    }

    fn backward(&mut self, _: Backward<'_, T>) {
        unreachable!("features of data are data, which no gradient is asked of")
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::check::assert_gradients;
    use crate::graph::{Dense, Regression, TargetSource};

    #[test]
    fn what_is_learned_from_them_has_the_gradients_of_finite_differences() {
        assert_gradients(4, 2, |g, _| {
            let x = g.fourier_features(5, 0.7, 3);
            let out = g.dense("out", x, Dense::linear(2, 0.5));
            g.regression(out, Regression::Squared, TargetSource::Inputs);
        });
    }
}
