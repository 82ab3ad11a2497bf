//! Losses of choosing a class: softmax cross-entropy, and one logistic loss for each class.
//!
//! Over `n` rows of `c` outputs `z`:
//!
//! ```text
//! softmax cross-entropy   L = 1/n Σ_rows (ln Σ_j exp z_j - z_label)        ∂L/∂z_j = (softmax(z)_j - [j = label]) / n
//! logistic                L = 1/n Σ_rows Σ_j ln(1 + exp z_j) - [j = label] z_j   ∂L/∂z_j = (σ(z_j) - [j = label]) / n
//! ```
//!
//! A row is an example with its label, or a position of a sequence, whose target is the token after it.

use super::{LossTerm, Score, wanted};
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Examples, MAX_INPUTS};
use crate::graph::operations::copy;
use crate::graph::real::Real;
use crate::graph::simd::kernel;

/// Where the right class of a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// In the label of the example.
    Label,
    /// In the inputs: row `t` of an example predicts its token `t + 1`.
    NextToken,
}

/// Softmax cross-entropy or logistic loss over `rows` rows of `classes` outputs an example.
struct Classification {
    rows: usize,
    classes: usize,
    target: Target,
    logistic: bool,
    labels: Vec<u32>,
}

impl<T: Real> GraphBuilder<T> {
    /// Softmax cross-entropy of one row of `logits` an example, against its label.
    pub(crate) fn softmax_cross_entropy(&mut self, logits: Node) {
        self.classification(logits, Target::Label, false);
    }

    /// Logistic loss of each class against all others, on one row of `logits` an example.
    pub(crate) fn logistic(&mut self, logits: Node) {
        self.classification(logits, Target::Label, true);
    }

    /// Softmax cross-entropy of row `t` of an example against token `t + 1` of its inputs.
    pub(crate) fn next_token_cross_entropy(&mut self, logits: Node) {
        assert_eq!(logits.rows + 1, self.input().width, "the last token is only predicted, the first one only read");
        self.classification(logits, Target::NextToken, false);
    }

    fn classification(&mut self, logits: Node, target: Target, logistic: bool) {
        let labels = vec![0; self.most_examples() * logits.rows];
        let term = Classification { rows: logits.rows, classes: logits.width, target, logistic, labels };
        self.term(term, &[logits]);
    }
}

impl<T: Real> LossTerm<T> for Classification {
    fn loss_and_grad(
        &mut self,
        values: [&[T]; MAX_INPUTS],
        gradients: [Option<&mut [T]>; MAX_INPUTS],
        examples: Examples<'_, T>,
    ) -> Score {
        let labels = match self.target {
            Target::Label => examples.labels,
            Target::NextToken => {
                let labels = &mut self.labels[..self.rows * examples.len()];
                let tokens = examples.inputs.chunks_exact(examples.input_width());
                for (labels, tokens) in labels.chunks_exact_mut(self.rows).zip(tokens) {
                    for (label, token) in labels.iter_mut().zip(&tokens[1..]) {
                        *label = token.to_f64() as u32;
                    }
                }
                labels
            }
        };
        let [gradient, _] = gradients;
        let gradient = wanted(gradient);
        copy(gradient, values[0]);
        if self.logistic { logistic(gradient, self.classes, labels) } else { softmax(gradient, self.classes, labels) }
    }
}

/// Whether the largest output of a row is that of `label`; of equal ones, the first counts.
#[inline(always)]
fn is_largest<T: Real>(row: &[T], label: usize, largest: T) -> bool {
    row[label] == largest && row[..label].iter().all(|z| *z < largest)
}

#[inline(always)]
fn largest_of<T: Real>(row: &[T]) -> T {
    let mut largest = row[0];
    for z in &row[1..] {
        largest = largest.max(*z);
    }
    largest
}

kernel! {
    /// Softmax cross-entropy of `logits`, which become its gradient.
    fn softmax<T, I, ROWS>(logits: &'a mut [T], classes: usize, labels: &'a [u32]) -> Score {
        /// Rows whose sums are multiplied before one logarithm is taken: each is at most the number of classes.
        const FACTORS: usize = 16;
        let scale = T::from_f64(1.0 / labels.len() as f64);
        let (mut total, mut correct) = (0.0, 0);
        for (row, &label) in logits.chunks_exact_mut(classes).zip(labels) {
            let largest = largest_of(row);
            correct += usize::from(is_largest(row, label as usize, largest));
            for z in row.iter_mut() {
                *z -= largest;
            }
            total -= row[label as usize].to_f64();
        }
        // One pass over all rows: a row alone is too short for vector instructions.
        for z in logits.iter_mut() {
            *z = z.exp::<I>();
        }
        for (rows, labels) in logits.chunks_mut(classes * FACTORS).zip(labels.chunks(FACTORS)) {
            let mut product = 1.0;
            for (row, &label) in rows.chunks_exact_mut(classes).zip(labels) {
                let mut sum = T::ZERO;
                for z in row.iter() {
                    sum += *z;
                }
                product *= sum.to_f64();
                let inverse = scale / sum;
                for z in row.iter_mut() {
                    *z *= inverse;
                }
                row[label as usize] -= scale;
            }
            total += product.ln();
        }
        Score { loss: total / labels.len() as f64, correct, counted: labels.len() }
    }
}

kernel! {
    /// The logistic loss of `logits`, which become its gradient.
    fn logistic<T, I, ROWS>(logits: &'a mut [T], classes: usize, labels: &'a [u32]) -> Score {
        let scale = T::from_f64(1.0 / labels.len() as f64);
        let (mut total, mut correct) = (0.0, 0);
        for (row, &label) in logits.chunks_exact_mut(classes).zip(labels) {
            correct += usize::from(is_largest(row, label as usize, largest_of(row)));
            total -= row[label as usize].to_f64();
            for z in row.iter_mut() {
                // ln(1 + eᶻ) = max(z, 0) + ln(1 + e^-|z|), which does not overflow.
                total += (z.max(T::ZERO) + (T::ONE + (-z.abs()).exp::<I>()).ln()).to_f64();
                *z = scale * z.sigmoid::<I>();
            }
            row[label as usize] -= scale;
        }
        Score { loss: total / labels.len() as f64, correct, counted: labels.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::check::assert_gradients;

    #[test]
    fn equal_outputs_cost_the_logarithm_of_the_number_of_classes() {
        let mut outputs = [0.3f32; 12];
        let score = softmax(&mut outputs, 4, &[0, 1, 3]);
        assert!((score.loss - 4f64.ln()).abs() < 1e-6);
        assert_eq!((score.correct, score.counted), (1, 3), "of equal outputs the first is the guess");
        let (right, wrong) = ((0.25 - 1.0) / 3.0, 0.25 / 3.0);
        for (row, label) in outputs.chunks(4).zip([0, 1, 3]) {
            for (j, &gradient) in row.iter().enumerate() {
                assert!((gradient - if j == label { right } else { wrong }).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn confident_outputs_neither_overflow_nor_underflow() {
        let mut outputs = [1e4f32, -1e4];
        assert_eq!(softmax(&mut outputs, 2, &[0]).loss, 0.0);
        let mut outputs = [1e4f32, -1e4];
        assert_eq!(softmax(&mut outputs, 2, &[1]).loss, 2e4);
        assert_eq!(outputs, [1.0, -1.0]);
        let mut outputs = [1e4f32, -1e4];
        assert_eq!(logistic(&mut outputs, 2, &[1]).loss, 2e4);
        assert_eq!(outputs, [1.0, -1.0]);
    }

    #[test]
    fn many_classes_in_many_rows_do_not_overflow_the_product_of_their_sums() {
        let (rows, classes) = (40, 70_000);
        let mut outputs = vec![0.0f32; rows * classes];
        let loss = softmax(&mut outputs, classes, &vec![3; rows]).loss;
        assert!((loss - (classes as f64).ln()).abs() < 1e-4);
    }

    #[test]
    fn gradients_of_logistic_losses_agree_with_finite_differences() {
        assert_gradients(5, 4, |g, input| {
            let logits = g.dense("out", input, crate::graph::Dense::linear(3, 1.0));
            g.logistic(logits);
        });
    }
}
