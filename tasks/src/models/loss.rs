//! Losses on the outputs of a model, their gradients, and what they are for a model that has learned nothing.
//!
//! Over `n` rows of `w` outputs `z`:
//!
//! ```text
//! softmax cross-entropy   L = 1/n Σ_rows (ln Σ_j exp z_j - z_label)       ∂L/∂z_j = (softmax(z)_j - [j = label]) / n
//! mean squared error      L = 1/(n w) Σ (z - y)²                          ∂L/∂z = 2 (z - y) / (n w)
//! Huber, δ = 1            L = 1/(n w) Σ ½ e² or |e| - ½, e = z - y        ∂L/∂z = clamp(e, -1, 1) / (n w)
//! ```
//!
//! Auto-encoding is the mean squared error with `y` the inputs of the row.

use serde::{Deserialize, Serialize};

use super::elementary::exp;
use super::simd::Instructions;
use crate::data::{Dataset, Rows, TargetKind};
use crate::task::Split;

/// Below this no reference is reported, so that ratios to it stay finite.
const SMALLEST_REFERENCE: f32 = 1e-3;

/// What a model is trained to make small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// For classes.
    SoftmaxCrossEntropy,
    /// For real targets.
    MeanSquaredError,
    /// For real targets; linear for errors above 1.
    Huber,
    /// Reproduce the inputs; the targets of the data are not used.
    AutoEncoding,
}

/// What outputs are compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Targets<'a> {
    /// A class for each row.
    Classes(&'a [u32]),
    /// As many numbers as outputs.
    Values(&'a [f32]),
}

impl Loss {
    /// The part of `rows` that this loss compares outputs with.
    pub(crate) fn targets(self, rows: &Rows) -> Targets<'_> {
        match self {
            Self::SoftmaxCrossEntropy => Targets::Classes(&rows.labels),
            Self::MeanSquaredError | Self::Huber => Targets::Values(&rows.values),
            Self::AutoEncoding => Targets::Values(&rows.inputs),
        }
    }

    /// Outputs that a model of this data needs; `None` when the loss does not fit the data.
    pub(crate) fn outputs(self, data: &Dataset) -> Option<usize> {
        match (self, data.target()) {
            (Self::SoftmaxCrossEntropy, TargetKind::Class(classes)) => Some(classes),
            (Self::MeanSquaredError | Self::Huber, TargetKind::Values(width)) => Some(width),
            (Self::AutoEncoding, _) => Some(data.input_width()),
            _ => None,
        }
    }

    /// The loss of the best constant output over the training rows: the entropy of the classes, the variance of the
    /// targets (for [`Huber`](Self::Huber) the loss at their mean), at least 1e-3.
    pub(crate) fn reference(self, data: &Dataset, outputs: usize) -> f32 {
        let reference = match self.targets(data.rows(Split::Train)) {
            Targets::Classes(labels) => entropy(labels, outputs),
            Targets::Values(values) => {
                let rows = (values.len() / outputs) as f64;
                let mut means = vec![0.0f64; outputs];
                for row in values.chunks_exact(outputs) {
                    means.iter_mut().zip(row).for_each(|(mean, &y)| *mean += f64::from(y) / rows);
                }
                let errors = values.chunks_exact(outputs).flat_map(|row| row.iter().zip(&means));
                errors.map(|(&y, mean)| self.of_error(f64::from(y) - mean)).sum::<f64>() / values.len() as f64
            }
        };
        (reference as f32).max(SMALLEST_REFERENCE)
    }

    /// The loss of one real output with this error, for the reference.
    fn of_error(self, error: f64) -> f64 {
        match self {
            Self::Huber if error.abs() > 1.0 => error.abs() - 0.5,
            Self::Huber => 0.5 * error * error,
            _ => error * error,
        }
    }

    /// The mean loss over `rows` rows; `outputs` is replaced by its gradient.
    #[inline(always)]
    pub(super) fn loss_and_grad<I: Instructions>(self, outputs: &mut [f32], rows: usize, targets: Targets<'_>) -> f32 {
        match targets {
            Targets::Classes(labels) => softmax_cross_entropy::<I>(outputs, outputs.len() / rows, labels),
            Targets::Values(values) if self == Self::Huber => element_wise(outputs, values, |error| {
                let bounded = error.clamp(-1.0, 1.0);
                (bounded * (error - 0.5 * bounded), bounded)
            }),
            Targets::Values(values) => element_wise(outputs, values, |error| (error * error, 2.0 * error)),
        }
    }
}

/// Independent sums in [`element_wise`]: one vector register of them.
const LANES: usize = 16;

/// The mean of `f(error).0`; `outputs` become `f(error).1` over their number.
#[inline(always)]
fn element_wise(outputs: &mut [f32], values: &[f32], f: impl Fn(f32) -> (f32, f32)) -> f32 {
    let count = outputs.len() as f32;
    let scale = 1.0 / count;
    let mut sums = [0.0f32; LANES];
    for (outputs, values) in outputs.chunks_mut(LANES).zip(values.chunks(LANES)) {
        for ((z, y), sum) in outputs.iter_mut().zip(values).zip(&mut sums) {
            let (loss, slope) = f(*z - y);
            *sum += loss;
            *z = scale * slope;
        }
    }
    sums.iter().sum::<f32>() / count
}

/// `-Σ_c p_c ln p_c` with `p` the frequencies of the classes.
fn entropy(labels: &[u32], classes: usize) -> f64 {
    let mut counts = vec![0u32; classes];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    let shares = counts.iter().map(|&count| f64::from(count) / labels.len() as f64);
    -shares.filter(|&share| share > 0.0).map(|share| share * share.ln()).sum::<f64>()
}

#[inline(always)]
fn softmax_cross_entropy<I: Instructions>(outputs: &mut [f32], classes: usize, labels: &[u32]) -> f32 {
    let scale = 1.0 / labels.len() as f32;
    let mut total = 0.0f64;
    for (row, &label) in outputs.chunks_exact_mut(classes).zip(labels) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for z in row.iter_mut() {
            *z -= largest;
        }
        total -= f64::from(row[label as usize]);
    }
    // One pass over all rows: a row alone is too short for vector instructions.
    for z in outputs.iter_mut() {
        *z = exp::<I>(*z);
    }
    for (row, &label) in outputs.chunks_exact_mut(classes).zip(labels) {
        let sum: f32 = row.iter().sum();
        total += f64::from(sum.ln());
        let inverse = scale / sum;
        for z in row.iter_mut() {
            *z *= inverse;
        }
        row[label as usize] -= scale;
    }
    (total / labels.len() as f64) as f32
}

/// Number of rows whose largest output is that of their class.
pub(crate) fn correct_rows(outputs: &[f32], classes: usize, labels: &[u32]) -> usize {
    let largest = |row: &[f32]| (1..classes).fold(0, |best, j| if row[j] > row[best] { j } else { best });
    outputs.chunks_exact(classes).zip(labels).filter(|(row, label)| largest(row) == **label as usize).count()
}

#[cfg(test)]
mod tests {
    use super::super::simd::Plain;
    use super::*;

    #[test]
    fn equal_outputs_cost_the_logarithm_of_the_number_of_classes() {
        let mut outputs = [0.3; 12];
        let loss = Loss::SoftmaxCrossEntropy.loss_and_grad::<Plain>(&mut outputs, 3, Targets::Classes(&[0, 1, 3]));
        assert!((loss - 4f32.ln()).abs() < 1e-6);
        let (right, wrong) = ((0.25 - 1.0) / 3.0, 0.25 / 3.0);
        for (row, label) in outputs.chunks(4).zip([0, 1, 3]) {
            for (j, &gradient) in row.iter().enumerate() {
                assert!((gradient - if j == label { right } else { wrong }).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn confident_outputs_neither_overflow_nor_underflow() {
        let mut outputs = [1e4, -1e4];
        assert_eq!(Loss::SoftmaxCrossEntropy.loss_and_grad::<Plain>(&mut outputs, 1, Targets::Classes(&[0])), 0.0);
        let mut outputs = [1e4, -1e4];
        assert_eq!(Loss::SoftmaxCrossEntropy.loss_and_grad::<Plain>(&mut outputs, 1, Targets::Classes(&[1])), 2e4);
        assert_eq!(outputs, [1.0, -1.0]);
    }

    #[test]
    fn huber_is_quadratic_near_zero_and_linear_beyond_one() {
        let mut outputs = [0.5, -3.0];
        let loss = Loss::Huber.loss_and_grad::<Plain>(&mut outputs, 2, Targets::Values(&[0.0, 0.0]));
        assert_eq!(loss, (0.125 + 2.5) / 2.0);
        assert_eq!(outputs, [0.25, -0.5]);
    }

    #[test]
    fn accuracy_counts_the_largest_output() {
        assert_eq!(correct_rows(&[0.0, 1.0, 2.0, 1.0, 5.0, 5.0], 2, &[1, 1, 0]), 2);
    }
}
