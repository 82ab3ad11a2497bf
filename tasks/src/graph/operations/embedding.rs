//! Rows of a table, looked up by the whole numbers in the input.
//!
//! ```text
//! y[t] = table[token t]      ∂L/∂table[v] = Σ_{t: token t = v} ∂L/∂y[t]
//! ```
//!
//! Most rows of the table get no gradient from a batch: this is where sparse gradients come from.

use std::ops::Range;

use crate::graph::Initial;
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Examples, Forward, Operation};
use crate::graph::real::Real;

/// See the [module](self).
struct Embedding {
    width: usize,
    /// Which numbers of the input of an example are tokens.
    tokens: Range<usize>,
    table: Range<usize>,
}

impl<T: Real> GraphBuilder<T> {
    /// The rows of a table of `vocabulary` rows, normal with that deviation, for the tokens at these positions of the
    /// input. The tensor is `name/table`.
    pub(crate) fn embedding(
        &mut self,
        name: &str,
        tokens: Range<usize>,
        vocabulary: usize,
        width: usize,
        deviation: f32,
    ) -> Node {
        let table = self.parameter(format!("{name}/table"), vec![vocabulary, width], Initial::Normal(deviation));
        let shape = (tokens.len(), width);
        self.step(Embedding { width, tokens, table }, &[], shape, true)
    }
}

impl Embedding {
    /// Where the table row of each token of the batch begins.
    fn offsets<'a, T: Real>(&'a self, examples: Examples<'a, T>) -> impl Iterator<Item = usize> + 'a {
        let inputs = examples.inputs.chunks_exact(examples.input_width());
        inputs.flat_map(|input| &input[self.tokens.clone()]).map(|token| token.to_f64() as usize * self.width)
    }
}

impl<T: Real> Operation<T> for Embedding {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let table = &pass.params[self.table.clone()];
        for (row, offset) in output.chunks_exact_mut(self.width).zip(self.offsets(pass.examples)) {
            row.copy_from_slice(&table[offset..][..self.width]);
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let table = &mut pass.grads[self.table.clone()];
        table.fill(T::ZERO);
        for (row, offset) in pass.output_gradient.chunks_exact(self.width).zip(self.offsets(pass.examples)) {
            for (sum, delta) in table[offset..][..self.width].iter_mut().zip(row) {
                *sum += *delta;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::check::assert_token_gradients;
    use crate::graph::{Dense, Regression, TargetSource};

    #[test]
    fn gradients_agree_with_finite_differences_and_are_zero_for_tokens_that_do_not_occur() {
        assert_token_gradients(4, 3, 5, |g, _| {
            let x = g.embedding("tokens", 0..3, 7, 4, 1.0);
            let out = g.dense("out", x, Dense::linear(1, 1.0));
            g.regression(out, Regression::Squared, TargetSource::Inputs);
        });
    }
}
