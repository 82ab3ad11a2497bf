//! Contrastive losses: example `i` of one node belongs to example `i` of the other, and to no other of the batch.
//!
//! With rows `a_i` and `b_j` of the two nodes and `s_ij = a_i · b_j`:
//!
//! ```text
//! InfoNCE (Radford et al., arXiv 2103.00020)    L = 1/2n Σ_i (lse_j s_ij - s_ii) + (lse_j s_ji - s_ii)
//! sigmoid (Zhai et al., arXiv 2303.15343)       L = 1/n Σ_ij ln(1 + exp(-y_ij (s_ij - ln n))), y_ij = 1 if i = j, else -1
//! ```
//!
//! The bias of the sigmoid loss is fixed at the odds of a pair, where its published form learns it from there.

use super::{LossTerm, Score, wanted};
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::matrix_product::{Matrix, Start, product};
use crate::graph::operation::{Examples, MAX_INPUTS};
use crate::graph::real::Real;
use crate::graph::simd::kernel;

/// Which contrastive loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contrast {
    /// Softmax over the batch, both ways.
    InfoNce,
    /// One logistic loss for each pair.
    Sigmoid,
}

/// A contrastive loss over at most as many examples as `similarities` has room for.
struct ContrastTerm<T> {
    kind: Contrast,
    width: usize,
    /// `n × n`, then its gradient.
    similarities: Vec<T>,
    panels: Vec<T>,
    normalisers: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// The contrastive loss of two nodes of one row an example.
    pub(crate) fn contrast(&mut self, first: Node, second: Node, kind: Contrast) {
        assert!(first.rows == 1 && second.rows == 1 && first.width == second.width);
        let most = self.most_examples();
        let term = ContrastTerm {
            kind,
            width: first.width,
            similarities: vec![T::ZERO; most * most],
            panels: Vec::new(),
            normalisers: vec![T::ZERO; 3 * most],
        };
        self.term(term, &[first, second]);
    }
}

impl<T: Real> LossTerm<T> for ContrastTerm<T> {
    fn loss_and_grad(
        &mut self,
        [first, second]: [&[T]; MAX_INPUTS],
        [first_gradient, second_gradient]: [Option<&mut [T]>; MAX_INPUTS],
        examples: Examples<'_, T>,
    ) -> Score {
        let n = examples.len();
        let s = &mut self.similarities[..n * n];
        let (a, b) = (Matrix::rows(first, self.width), Matrix::rows(second, self.width));
        product(s, n, a, b.transposed(), Start::Zero, &mut self.panels);
        let correct = (0..n).filter(|&i| (0..n).all(|j| j == i || s[i * n + j] < s[i * n + i])).count();
        let loss = match self.kind {
            Contrast::InfoNce => info_nce(s, n, &mut self.normalisers[..3 * n]),
            Contrast::Sigmoid => sigmoid(s, n),
        };
        let s = Matrix::rows(s, n);
        product(wanted(first_gradient), self.width, s, b, Start::Zero, &mut self.panels);
        product(wanted(second_gradient), self.width, s.transposed(), a, Start::Zero, &mut self.panels);
        Score { loss, correct, counted: n }
    }
}

kernel! {
    /// The loss of `similarities`, which become its gradient; `normalisers` is room for `3 n` numbers.
    fn info_nce<T, I, ROWS>(similarities: &'a mut [T], n: usize, normalisers: &'a mut [T]) -> f64 {
        let (row_logarithms, rest) = normalisers.split_at_mut(n);
        let (column_logarithms, largest) = rest.split_at_mut(n);
        largest.copy_from_slice(&similarities[..n]);
        column_logarithms.fill(T::ZERO);
        let (mut logarithms, mut diagonal) = (0.0, 0.0);
        for (i, row) in similarities.chunks_exact(n).enumerate() {
            diagonal += row[i].to_f64();
            let mut largest_of_row = row[0];
            for (s, largest) in row.iter().zip(largest.iter_mut()) {
                largest_of_row = largest_of_row.max(*s);
                *largest = largest.max(*s);
            }
            let mut sum = T::ZERO;
            for s in row {
                sum += (*s - largest_of_row).exp::<I>();
            }
            row_logarithms[i] = largest_of_row + sum.ln();
            logarithms += row_logarithms[i].to_f64();
        }
        for row in similarities.chunks_exact(n) {
            for ((sum, s), largest) in column_logarithms.iter_mut().zip(row).zip(largest.iter()) {
                *sum += (*s - *largest).exp::<I>();
            }
        }
        for (sum, largest) in column_logarithms.iter_mut().zip(largest) {
            *sum = *largest + sum.ln();
            logarithms += sum.to_f64();
        }
        let half = T::from_f64(0.5 / n as f64);
        for (i, (row, row_logarithm)) in similarities.chunks_exact_mut(n).zip(row_logarithms).enumerate() {
            for (s, column_logarithm) in row.iter_mut().zip(column_logarithms.iter()) {
                *s = half * ((*s - *row_logarithm).exp::<I>() + (*s - *column_logarithm).exp::<I>());
            }
            row[i] -= half + half;
        }
        (0.5 * logarithms - diagonal) / n as f64
    }
}

kernel! {
    /// The loss of `similarities`, which become its gradient.
    fn sigmoid<T, I, ROWS>(similarities: &'a mut [T], n: usize) -> f64 {
        let bias = T::from_f64(-(n as f64).ln());
        let scale = T::from_f64(1.0 / n as f64);
        let mut total = 0.0;
        for (i, row) in similarities.chunks_exact_mut(n).enumerate() {
            for (j, s) in row.iter_mut().enumerate() {
                let sign = if i == j { -T::ONE } else { T::ONE };
                let z = sign * (*s + bias);
                total += (z.max(T::ZERO) + (T::ONE + (-z.abs()).exp::<I>()).ln()).to_f64();
                *s = scale * sign * z.sigmoid::<I>();
            }
        }
        total / n as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Dense;
    use crate::graph::check::assert_gradients;

    #[test]
    fn equal_similarities_cost_the_logarithm_of_the_batch() {
        let mut similarities = [0.7f32; 25];
        assert!((info_nce(&mut similarities, 5, &mut [0.0; 15]) - 5f64.ln()).abs() < 1e-6);
        assert!(similarities.iter().sum::<f32>().abs() < 1e-6);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for kind in [Contrast::InfoNce, Contrast::Sigmoid] {
            assert_gradients(5, 4, |g, input| {
                let first = g.dense("first", input, Dense::linear(3, 1.0));
                let second = g.dense("second", input, Dense::linear(3, 1.0));
                g.contrast(first, second, kind);
            });
        }
    }
}
