//! Losses of real outputs `z` against targets `y`, averaged over rows and outputs.
//!
//! ```text
//! squared     L = 1/n Σ e²                    ∂L/∂z = 2 e / n                e = z - y, n = rows · outputs
//! Huber       L = 1/n Σ ½ e² or |e| - ½       ∂L/∂z = clamp(e, -1, 1) / n
//! ```

use super::{LossTerm, Score, wanted};
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Examples, MAX_INPUTS};
use crate::graph::real::Real;
use crate::graph::simd::{LANES, kernel};

/// How an error is punished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Regression {
    /// Its square.
    Squared,
    /// Half its square up to one, linear beyond.
    Huber,
}

/// What outputs are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetSource {
    /// The values of the examples.
    Values,
    /// The first value of each.
    FirstValue,
    /// Their inputs.
    Inputs,
}

/// A regression loss.
struct RegressionTerm<T> {
    kind: Regression,
    source: TargetSource,
    first_values: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// The loss of `outputs`, which have as many elements an example as its targets.
    pub(crate) fn regression(&mut self, outputs: Node, kind: Regression, source: TargetSource) {
        let first_values = match source {
            TargetSource::FirstValue => vec![T::ZERO; self.most_examples()],
            TargetSource::Values | TargetSource::Inputs => Vec::new(),
        };
        self.term(RegressionTerm { kind, source, first_values }, &[outputs]);
    }
}

impl<T: Real> LossTerm<T> for RegressionTerm<T> {
    fn loss_and_grad(
        &mut self,
        values: [&[T]; MAX_INPUTS],
        gradients: [Option<&mut [T]>; MAX_INPUTS],
        examples: Examples<'_, T>,
    ) -> Score {
        let targets = match self.source {
            TargetSource::Values => examples.values,
            TargetSource::FirstValue => {
                let first_values = &mut self.first_values[..examples.len()];
                let rows = examples.values.chunks_exact(examples.values.len() / examples.len());
                for (first, row) in first_values.iter_mut().zip(rows) {
                    *first = row[0];
                }
                first_values
            }
            TargetSource::Inputs => examples.inputs,
        };
        assert_eq!(values[0].len(), targets.len());
        let [gradient, _] = gradients;
        let gradient = wanted(gradient);
        let loss = match self.kind {
            Regression::Squared => squared(gradient, values[0], targets),
            Regression::Huber => huber(gradient, values[0], targets),
        };
        Score { loss, ..Score::default() }
    }
}

/// The mean of `f(z, y).0`; `gradient` becomes `f(z, y).1` over their number. Sixteen sums run side by side.
#[inline(always)]
fn element_wise<T: Real>(gradient: &mut [T], outputs: &[T], targets: &[T], f: impl Fn(T, T) -> (T, T)) -> f64 {
    let scale = T::from_f64(1.0 / outputs.len() as f64);
    let mut sums = [T::ZERO; LANES];
    for ((gradient, outputs), targets) in
        gradient.chunks_mut(LANES).zip(outputs.chunks(LANES)).zip(targets.chunks(LANES))
    {
        for (((gradient, &z), &y), sum) in gradient.iter_mut().zip(outputs).zip(targets).zip(&mut sums) {
            let (loss, slope) = f(z, y);
            *sum += loss;
            *gradient = scale * slope;
        }
    }
    sums.iter().map(|sum| sum.to_f64()).sum::<f64>() / outputs.len() as f64
}

kernel! {
    fn squared<T, I, ROWS>(gradient: &'a mut [T], outputs: &'a [T], targets: &'a [T]) -> f64 {
        element_wise(gradient, outputs, targets, #[inline(always)] |z, y| {
            let error = z - y;
            (error * error, error + error)
        })
    }
}

kernel! {
    fn huber<T, I, ROWS>(gradient: &'a mut [T], outputs: &'a [T], targets: &'a [T]) -> f64 {
        element_wise(gradient, outputs, targets, #[inline(always)] |z, y| {
            let error = z - y;
            let bounded = error.min(T::ONE).max(-T::ONE);
            // `min` and `max` prefer numbers, and would hide a NaN.
            let bounded = if error.is_nan() { error } else { bounded };
            (bounded * (error - T::from_f64(0.5) * bounded), bounded)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Dense;
    use crate::graph::check::assert_gradients;

    #[test]
    fn huber_is_quadratic_near_zero_and_linear_beyond_one() {
        let mut gradient = [0.0f32; 2];
        assert_eq!(huber(&mut gradient, &[0.5, -3.0], &[0.0, 0.0]), (0.125 + 2.5) / 2.0);
        assert_eq!(gradient, [0.25, -0.5]);
        assert!(huber(&mut gradient, &[f32::NAN, 0.0], &[0.0, 0.0]).is_nan() && gradient[0].is_nan());
    }

    #[test]
    fn a_right_output_costs_nothing_and_pulls_nowhere() {
        let mut gradient = [1.0f32; 3];
        assert_eq!(squared(&mut gradient, &[1.0, 2.0, -1.0], &[1.0, 2.0, -1.0]), 0.0);
        assert_eq!(gradient, [0.0; 3]);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for kind in [Regression::Squared, Regression::Huber] {
            assert_gradients(3, 4, |g, input| {
                let outputs = g.dense("out", input, Dense::linear(4, 1.0));
                g.regression(outputs, kind, TargetSource::Inputs);
            });
        }
    }
}
