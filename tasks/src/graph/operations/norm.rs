//! Normalisation of each row: layer norm, RMS norm, and rows of length one.
//!
//! With `n` the width and `x̂` the normalised row:
//!
//! ```text
//! layer norm (Ba et al., arXiv 1607.06450)          x̂ = (x - mean x) / √(var x + ε)    y = g ⊙ x̂ + b
//! RMS norm (Zhang and Sennrich, arXiv 1910.07467)   x̂ = x / √(mean x² + ε)             y = g ⊙ x̂
//! unit rows                                         x̂ = x / √(mean x² + ε)             y = x̂ / √n
//!
//! ĝ = ∂L/∂y ⊙ g      ∂L/∂x = (ĝ - mean ĝ - x̂ mean(ĝ ⊙ x̂)) / √(…), mean ĝ only for layer norm
//! ∂L/∂g = Σ_rows ∂L/∂y ⊙ x̂      ∂L/∂b = Σ_rows ∂L/∂y
//! ```

use std::ops::Range;

use crate::graph::Initial;
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;
use crate::graph::simd::{LANES, kernel};

/// `ε`.
pub(super) const EPSILON: f64 = 1e-5;

/// Which normalisation of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norm {
    /// Mean zero and variance one, then a learned gain and bias.
    Layer,
    /// Mean square one, then a learned gain.
    Rms,
    /// Length one; nothing is learned.
    Unit,
}

/// See the [module](self).
struct NormStep<T> {
    kind: Norm,
    width: usize,
    gain: Range<usize>,
    bias: Range<usize>,
    normalised: Vec<T>,
    /// `1 / √(…)` of each row.
    inverses: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// Normalises every row of `x`; the tensors are `name/gain` and `name/bias`, as far as there are any.
    pub(crate) fn norm(&mut self, name: &str, x: Node, kind: Norm) -> Node {
        let mut parameter = |wanted: bool, part: &str, start: f32| match wanted {
            true => self.parameter(format!("{name}/{part}"), vec![x.width], Initial::Constant(start)),
            false => 0..0,
        };
        let gain = parameter(kind != Norm::Unit, "gain", 1.0);
        let bias = parameter(kind == Norm::Layer, "bias", 0.0);
        let inverses = vec![T::ZERO; self.most_examples() * x.rows];
        let step = NormStep { kind, width: x.width, gain, bias, normalised: self.kept(x), inverses };
        self.step(step, &[x], (x.rows, x.width), kind != Norm::Unit)
    }
}

impl<T: Real> NormStep<T> {
    /// The factor that stands for a gain where none is learned.
    fn constant_gain(&self) -> T {
        match self.kind {
            Norm::Unit => T::from_f64(1.0 / (self.width as f64).sqrt()),
            Norm::Layer | Norm::Rms => T::ONE,
        }
    }
}

impl<T: Real> Operation<T> for NormStep<T> {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let (gain, bias) = (&pass.params[self.gain.clone()], &pass.params[self.bias.clone()]);
        let centred = self.kind == Norm::Layer;
        normalise(&mut self.normalised, &mut self.inverses, pass.inputs[0], self.width, centred);
        scale_rows(output, &self.normalised, gain, bias, self.width, self.constant_gain());
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let (delta, centred) = (pass.output_gradient, self.kind == Norm::Layer);
        let normalised = &self.normalised[..delta.len()];
        if !self.gain.is_empty() {
            gain_gradient(&mut pass.grads[self.gain.clone()], delta, normalised);
        }
        if !self.bias.is_empty() {
            column_sums(&mut pass.grads[self.bias.clone()], delta);
        }
        let [gradient, _] = pass.input_gradients;
        if let Some(gradient) = gradient {
            let gain = &pass.params[self.gain.clone()];
            rows_back(gradient, delta, normalised, &self.inverses, gain, self.width, centred, self.constant_gain());
        }
    }
}

/// `Σ f(x)` over a row, sixteen sums side by side.
#[inline(always)]
fn lane_sum<T: Real>(row: &[T], f: impl Fn(T) -> T) -> T {
    let mut sums = [T::ZERO; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f(x);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(rest) {
        *sum += f(x);
    }
    total(sums)
}

/// `Σ a b` over two rows, in the order of [`lane_sum`].
#[inline(always)]
fn lane_product<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::ZERO; LANES];
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += a * b;
    }
    total(sums)
}

/// The sum of all lanes, halved again and again.
#[inline(always)]
fn total<T: Real>(mut sums: [T; LANES]) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

kernel! {
    fn normalise<T, I, ROWS>(
        normalised: &'a mut [T],
        inverses: &'a mut [T],
        x: &'a [T],
        width: usize,
        centred: bool,
    ) {
        let over = T::from_f64(1.0 / width as f64);
        let rows = normalised.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((normalised, x), inverse) in rows.zip(inverses) {
            let mean = if centred { over * lane_sum(x, #[inline(always)] |x| x) } else { T::ZERO };
            let square = over * lane_sum(x, #[inline(always)] |x| (x - mean) * (x - mean));
            *inverse = T::ONE / (square + T::from_f64(EPSILON)).sqrt();
            for (normalised, x) in normalised.iter_mut().zip(x) {
                *normalised = (*x - mean) * *inverse;
            }
        }
    }
}

kernel! {
    /// `gain ⊙ x̂ + bias` for each row of `normalised`; an empty gain is `constant_gain`, an empty bias zero.
    pub(super) fn scale_rows<T, I, ROWS>(
        output: &'a mut [T],
        normalised: &'a [T],
        gain: &'a [T],
        bias: &'a [T],
        width: usize,
        constant_gain: T,
    ) {
        for (output, normalised) in output.chunks_exact_mut(width).zip(normalised.chunks_exact(width)) {
            if gain.is_empty() {
                for (y, x) in output.iter_mut().zip(normalised) {
                    *y = constant_gain * *x;
                }
            } else if bias.is_empty() {
                for ((y, x), gain) in output.iter_mut().zip(normalised).zip(gain) {
                    *y = *gain * *x;
                }
            } else {
                for (((y, x), gain), bias) in output.iter_mut().zip(normalised).zip(gain).zip(bias) {
                    *y = gain.multiply_add::<I>(*x, *bias);
                }
            }
        }
    }
}

kernel! {
    /// `Σ_rows δ ⊙ x̂`.
    pub(super) fn gain_gradient<T, I, ROWS>(sums: &'a mut [T], delta: &'a [T], normalised: &'a [T]) {
        sums.fill(T::ZERO);
        let width = sums.len();
        for (delta, normalised) in delta.chunks_exact(width).zip(normalised.chunks_exact(width)) {
            for ((sum, delta), x) in sums.iter_mut().zip(delta).zip(normalised) {
                *sum = delta.multiply_add::<I>(*x, *sum);
            }
        }
    }
}

kernel! {
    /// `Σ_rows δ`.
    pub(super) fn column_sums<T, I, ROWS>(sums: &'a mut [T], delta: &'a [T]) {
        sums.fill(T::ZERO);
        for row in delta.chunks_exact(sums.len()) {
            for (sum, delta) in sums.iter_mut().zip(row) {
                *sum += *delta;
            }
        }
    }
}

kernel! {
    fn rows_back<T, I, ROWS>(
        gradient: &'a mut [T],
        delta: &'a mut [T],
        normalised: &'a [T],
        inverses: &'a [T],
        gain: &'a [T],
        width: usize,
        centred: bool,
        constant_gain: T,
    ) {
        let over = T::from_f64(1.0 / width as f64);
        let rows = gradient.chunks_exact_mut(width).zip(delta.chunks_exact_mut(width));
        for (((gradient, delta), normalised), inverse) in rows.zip(normalised.chunks_exact(width)).zip(inverses) {
            if gain.is_empty() {
                for delta in delta.iter_mut() {
                    *delta *= constant_gain;
                }
            } else {
                for (delta, gain) in delta.iter_mut().zip(gain) {
                    *delta *= *gain;
                }
            }
            let mean = if centred { over * lane_sum(delta, #[inline(always)] |d| d) } else { T::ZERO };
            let along = over * lane_product(delta, normalised);
            for ((gradient, delta), x) in gradient.iter_mut().zip(delta).zip(normalised) {
                *gradient = *inverse * (*delta - mean - *x * along);
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
        for kind in [Norm::Layer, Norm::Rms, Norm::Unit] {
            for width in [5, 21] {
                assert_gradients(3, 4, |g, input| {
                    let x = g.dense("x", input, Dense::linear(width, 1.0));
                    let y = g.norm("norm", x, kind);
                    let out = g.dense("out", y, Dense::linear(4, 1.0));
                    g.regression(out, Regression::Squared, TargetSource::Inputs);
                });
            }
        }
    }

    #[test]
    fn a_layer_norm_row_has_mean_zero_and_variance_one() {
        let x: Vec<f32> = (0..19).map(|i| 3.0 + (i * i % 7) as f32).collect();
        let (mut normalised, mut inverses) = (vec![0.0; 19], vec![0.0]);
        normalise(&mut normalised, &mut inverses, &x, 19, true);
        let (mean, square) = (normalised.iter().sum::<f32>(), normalised.iter().map(|x| x * x).sum::<f32>());
        assert!(mean.abs() < 1e-4 && (square / 19.0 - 1.0).abs() < 1e-4, "{mean} {square}");
    }
}
