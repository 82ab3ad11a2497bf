//! What models are trained for: which losses there are, which data they fit, and what they are for a model that has
//! learned nothing.
//!
//! | loss | formula (mean over rows) | in the graph |
//! | --- | --- | --- |
//! | softmax cross-entropy | `ln Σ_j exp z_j - z_label` | `loss_terms/classification` |
//! | logistic | `Σ_j ln(1 + exp z_j) - [j = label] z_j` | `loss_terms/classification` |
//! | next token | softmax cross-entropy, mean over positions too | `loss_terms/classification` |
//! | mean squared error, Huber (δ = 1) | of `e = z - y`, mean over outputs too | `loss_terms/regression` |
//! | auto-encoding | mean squared error against the inputs of the row | `loss_terms/regression` |
//! | residual | mean squared error of one output against the first target | `loss_terms/regression` |
//! | InfoNCE, sigmoid contrast | of matching and other pairs of the batch | `loss_terms/contrast` |

use serde::{Deserialize, Serialize};

use crate::data::{Dataset, InputKind, TargetKind};
use crate::graph::{Contrast, GraphBuilder, Node, Real, Regression, TargetSource};
use crate::task::Split;

/// Below this no reference is reported, so that ratios to it stay finite.
const SMALLEST_REFERENCE: f64 = 1e-3;

/// What a model is trained to make small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Loss {
    /// What the model itself says, for models that learn from no rows.
    #[default]
    Intrinsic,
    /// For classes.
    SoftmaxCrossEntropy,
    /// For classes: each against all others.
    Logistic,
    /// For sequences: every token from those before it.
    NextToken,
    /// For real targets.
    MeanSquaredError,
    /// For real targets; linear for errors above 1.
    Huber,
    /// Reproduce the inputs; the targets of the data are not used.
    AutoEncoding,
    /// For differential equations: the squared difference to the right-hand side, the first of the real targets.
    Residual,
    /// For pairs: a softmax over the batch, both ways.
    InfoNce,
    /// For pairs: each pair of the batch matches or does not.
    SigmoidContrast,
}

impl Loss {
    /// Outputs that a model of this data needs for each row or position; `None` when the loss does not fit the data.
    pub(crate) fn outputs(self, input: InputKind, target: TargetKind) -> Option<usize> {
        match (self, target, input) {
            (Self::SoftmaxCrossEntropy | Self::Logistic, TargetKind::Class(classes), _) => Some(classes),
            (Self::NextToken, TargetKind::NextToken, InputKind::Tokens { vocabulary, .. }) => Some(vocabulary),
            (Self::MeanSquaredError | Self::Huber, TargetKind::Values(width), _) => Some(width),
            (Self::Residual, TargetKind::Values(_), _) => Some(1),
            (Self::AutoEncoding, _, InputKind::Features(width)) => Some(width),
            (Self::AutoEncoding, _, image @ InputKind::Image { .. }) => Some(image.len()),
            (Self::InfoNce | Self::SigmoidContrast, _, InputKind::ImageAndTokens { .. }) => Some(1),
            _ => None,
        }
    }

    /// The kind of contrast, if it is one.
    pub(super) fn contrast(self) -> Option<Contrast> {
        match self {
            Self::InfoNce => Some(Contrast::InfoNce),
            Self::SigmoidContrast => Some(Contrast::Sigmoid),
            _ => None,
        }
    }

    /// Puts this loss behind the outputs of a model. Contrastive losses compare two nodes: their model attaches them.
    pub(super) fn attach<T: Real>(self, g: &mut GraphBuilder<T>, outputs: Node) {
        match self {
            Self::SoftmaxCrossEntropy => g.softmax_cross_entropy(outputs),
            Self::Logistic => g.logistic(outputs),
            Self::NextToken => g.next_token_cross_entropy(outputs),
            Self::MeanSquaredError => g.regression(outputs, Regression::Squared, TargetSource::Values),
            Self::Huber => g.regression(outputs, Regression::Huber, TargetSource::Values),
            Self::Residual => g.regression(outputs, Regression::Squared, TargetSource::FirstValue),
            Self::AutoEncoding => g.regression(outputs, Regression::Squared, TargetSource::Inputs),
            Self::InfoNce | Self::SigmoidContrast => unreachable!("a contrastive loss is attached to two nodes"),
            Self::Intrinsic => unreachable!("no data fits this loss"),
        }
    }

    /// The loss of the best constant output over the training rows, at least 1e-3: the entropy of classes or tokens, the
    /// variance of real targets (for [`Huber`](Self::Huber) the loss at their mean); for contrasts in batches of
    /// `batch_size`, the loss when all pairs look alike.
    pub(crate) fn reference(self, data: &Dataset, batch_size: usize) -> f32 {
        let rows = data.rows(Split::Train);
        let classes = data.outputs();
        let pairs = batch_size as f64;
        let reference = match self {
            Self::SoftmaxCrossEntropy => entropy(&shares(rows.labels.iter().copied(), classes)),
            Self::Logistic => {
                shares(rows.labels.iter().copied(), classes).iter().map(|&share| entropy(&[share, 1.0 - share])).sum()
            }
            Self::NextToken => {
                let sequences = rows.inputs.chunks_exact(data.input_width());
                entropy(&shares(sequences.flat_map(|tokens| &tokens[1..]).map(|&token| token as u32), classes))
            }
            Self::MeanSquaredError | Self::Huber => self.of_mean(&rows.values, rows.values.len() / rows.len()),
            Self::Residual => {
                let right_hand_sides = rows.values.iter().step_by(rows.values.len() / rows.len());
                self.of_mean(&right_hand_sides.copied().collect::<Vec<_>>(), 1)
            }
            Self::AutoEncoding => self.of_mean(&rows.inputs, data.input_width()),
            Self::Intrinsic => unreachable!("no data fits this loss"),
            Self::InfoNce => pairs.ln(),
            Self::SigmoidContrast => (1.0 + pairs).ln() + (pairs - 1.0) * (1.0 + 1.0 / pairs).ln(),
        };
        reference.max(SMALLEST_REFERENCE) as f32
    }

    /// The loss of rows of `width` targets when each output is the mean of its targets.
    fn of_mean(self, targets: &[f32], width: usize) -> f64 {
        let rows = (targets.len() / width) as f64;
        let mut means = vec![0.0f64; width];
        for row in targets.chunks_exact(width) {
            means.iter_mut().zip(row).for_each(|(mean, &y)| *mean += f64::from(y) / rows);
        }
        let errors = targets.chunks_exact(width).flat_map(|row| row.iter().zip(&means));
        let losses = errors.map(|(&y, mean)| match (self, f64::from(y) - mean) {
            (Self::Huber, error) if error.abs() > 1.0 => error.abs() - 0.5,
            (Self::Huber, error) => 0.5 * error * error,
            (_, error) => error * error,
        });
        losses.sum::<f64>() / targets.len() as f64
    }
}

/// How often each class occurs.
fn shares(labels: impl Iterator<Item = u32>, classes: usize) -> Vec<f64> {
    let (mut counts, mut total) = (vec![0.0; classes], 0.0);
    for label in labels {
        counts[label as usize] += 1.0;
        total += 1.0;
    }
    counts.iter().map(|count| count / total).collect()
}

/// `-Σ_c p_c ln p_c`.
fn entropy(shares: &[f64]) -> f64 {
    -shares.iter().filter(|&&share| share > 0.0).map(|share| share * share.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataConfig;

    #[test]
    fn the_reference_of_balanced_classes_is_the_logarithm_of_their_number() {
        let digits = DataConfig::Digits.load().unwrap();
        assert!((Loss::SoftmaxCrossEntropy.reference(&digits, 64) - 10f32.ln()).abs() < 1e-3);
        let logistic = 10.0 * entropy(&[0.1, 0.9]) as f32;
        assert!((Loss::Logistic.reference(&digits, 64) - logistic).abs() < 1e-2);
    }

    #[test]
    fn the_reference_of_real_targets_is_their_variance() {
        let targets = [1.0, 10.0, 3.0, 10.0];
        assert_eq!(Loss::MeanSquaredError.of_mean(&targets, 2), 0.5);
        assert_eq!(Loss::Huber.of_mean(&targets, 2), 0.25);
    }

    #[test]
    fn a_loss_that_does_not_fit_the_data_needs_no_outputs() {
        let (input, target) = DataConfig::Digits.kinds().unwrap();
        assert_eq!(Loss::AutoEncoding.outputs(input, target), Some(64));
        assert_eq!([Loss::Huber, Loss::NextToken, Loss::InfoNce].map(|loss| loss.outputs(input, target)), [None; 3]);
    }
}
