//! Multi-head attention (Vaswani et al., arXiv 1706.03762), from queries, keys and values that dense layers made.
//!
//! For each example and head, with `Q`, `K`, `V` of `t × d` numbers:
//!
//! ```text
//! S = Q Kᵀ / √d      P = softmax_rows(S), in the causal case over columns j ≤ i only      O = P V
//! ∂V = Pᵀ ∂O      ∂P = ∂O Vᵀ      ∂S = P ⊙ (∂P - Σ_columns ∂P ⊙ P) / √d      ∂Q = ∂S K      ∂K = ∂Sᵀ Q
//! ```

use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::matrix_product::{Matrix, Start, arrange, multiply, packed_len, room};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;
use crate::graph::simd::{Instructions, kernel};

/// The shape of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attention {
    /// Heads; they divide the width.
    pub heads: usize,
    /// A row sees itself and the rows before it only.
    pub causal: bool,
}

/// What all heads of all examples share.
#[derive(Clone, Copy)]
struct Shape {
    attention: Attention,
    rows: usize,
    width: usize,
}

/// See the [module](self).
struct AttentionStep<T> {
    shape: Shape,
    /// `P`, for each example and head.
    weights: Vec<T>,
    /// `∂S` of one head.
    delta: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// Attention of every row of an example to its rows: `queries_and_keys` holds both side by side, each as wide as
    /// `values`, the heads side by side in each.
    pub(crate) fn attention(&mut self, queries_and_keys: Node, values: Node, attention: Attention) -> Node {
        let Node { rows, width, .. } = values;
        assert!(queries_and_keys.rows == rows && queries_and_keys.width == 2 * width);
        assert_eq!(width % attention.heads, 0, "heads divide the width");
        let weights = vec![T::ZERO; self.most_examples() * attention.heads * rows * rows];
        let shape = Shape { attention, rows, width };
        let step = AttentionStep { shape, weights, delta: vec![T::ZERO; rows * rows] };
        self.step(step, &[queries_and_keys, values], (rows, width), false)
    }
}

impl Shape {
    fn head_width(self) -> usize {
        self.width / self.attention.heads
    }

    fn scale<T: Real>(self) -> T {
        T::from_f64(1.0 / (self.head_width() as f64).sqrt())
    }

    /// First element of the queries, the keys and the values of head `number` of the batch.
    fn offsets(self, number: usize) -> [usize; 3] {
        let (example, head) = (number / self.attention.heads, number % self.attention.heads);
        let (row, column) = (example * self.rows, head * self.head_width());
        let query = row * 2 * self.width + column;
        [query, query + self.width, row * self.width + column]
    }

    /// The block of a head in a matrix whose rows are `stride` apart.
    fn block<T>(self, values: &[T], stride: usize) -> Matrix<'_, T> {
        Matrix::strided(values, self.rows, self.head_width(), stride)
    }
}

impl<T: Real> Operation<T> for AttentionStep<T> {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        attend(output, &mut self.weights, pass.inputs[0], pass.inputs[1], self.shape, pass.panels);
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [Some(queries_and_keys), Some(values)] = pass.input_gradients else {
            unreachable!("queries, keys and values come from dense layers")
        };
        attend_back(
            queries_and_keys,
            values,
            pass.output_gradient,
            pass.inputs[0],
            pass.inputs[1],
            &self.weights,
            &mut self.delta,
            self.shape,
            pass.panels,
        );
    }

    fn flops(&self) -> u64 {
        4 * (self.shape.rows * self.shape.rows * self.shape.width) as u64
    }
}

kernel! {
    fn attend<T, I, ROWS>(
        output: &'a mut [T],
        weights: &'a mut [T],
        queries_and_keys: &'a [T],
        values: &'a [T],
        shape: Shape,
        panels: &'a mut Vec<T>,
    ) {
        let Shape { rows, width, .. } = shape;
        let (depth, heads) = (shape.head_width(), values.len() / (rows * width) * shape.attention.heads);
        let panels = room(panels, packed_len(depth, rows).max(packed_len(rows, depth)));
        for (number, weights) in weights.chunks_exact_mut(rows * rows).take(heads).enumerate() {
            let [query, key, value] = shape.offsets(number);
            let keys = arrange::<T, I>(panels, shape.block(&queries_and_keys[key..], 2 * width).transposed());
            let queries = shape.block(&queries_and_keys[query..], 2 * width);
            multiply::<T, I>(weights, rows, queries, keys, Start::Zero);
            softmax::<T, I>(weights, shape);
            let values = arrange::<T, I>(panels, shape.block(&values[value..], width));
            let weights = Matrix::rows(weights, rows);
            multiply::<T, I>(&mut output[value..], width, weights, values, Start::Zero);
        }
    }
}

/// Scores become weights.
#[inline(always)]
fn softmax<T: Real, I: Instructions>(scores: &mut [T], shape: Shape) {
    let (rows, scale) = (shape.rows, shape.scale::<T>());
    let visible = |row: usize| if shape.attention.causal { row + 1 } else { rows };
    for (i, row) in scores.chunks_exact_mut(rows).enumerate() {
        let mut largest = row[0];
        for s in &row[1..visible(i)] {
            largest = largest.max(*s);
        }
        for s in row.iter_mut() {
            // What is masked may be larger than anything visible, and would overflow.
            *s = ((*s - largest) * scale).min(T::ONE);
        }
    }
    for s in scores.iter_mut() {
        *s = s.exp::<I>();
    }
    for (i, row) in scores.chunks_exact_mut(rows).enumerate() {
        let (visible, masked) = row.split_at_mut(visible(i));
        for s in masked {
            *s = T::ZERO;
        }
        let mut sum = T::ZERO;
        for s in visible.iter() {
            sum += *s;
        }
        let inverse = T::ONE / sum;
        for s in visible {
            *s *= inverse;
        }
    }
}

kernel! {
    fn attend_back<T, I, ROWS>(
        queries_and_keys_gradient: &'a mut [T],
        values_gradient: &'a mut [T],
        output_gradient: &'a [T],
        queries_and_keys: &'a [T],
        values: &'a [T],
        weights: &'a [T],
        delta: &'a mut [T],
        shape: Shape,
        panels: &'a mut Vec<T>,
    ) {
        let Shape { rows, width, .. } = shape;
        let (depth, heads) = (shape.head_width(), values.len() / (rows * width) * shape.attention.heads);
        let panels = room(panels, packed_len(depth, rows).max(packed_len(rows, depth)));
        for (number, weights) in weights.chunks_exact(rows * rows).take(heads).enumerate() {
            let [query, key, value] = shape.offsets(number);
            let output_block = shape.block(&output_gradient[value..], width);

            let transposed = arrange::<T, I>(panels, shape.block(&values[value..], width).transposed());
            multiply::<T, I>(delta, rows, output_block, transposed, Start::Zero);

            let output_block = arrange::<T, I>(panels, output_block);
            let transposed = Matrix::rows(weights, rows).transposed();
            multiply::<T, I>(&mut values_gradient[value..], width, transposed, output_block, Start::Zero);

            let scale = shape.scale::<T>();
            for (delta, weights) in delta.chunks_exact_mut(rows).zip(weights.chunks_exact(rows)) {
                let mut along = T::ZERO;
                for (delta, weight) in delta.iter().zip(weights) {
                    along += *delta * *weight;
                }
                for (delta, weight) in delta.iter_mut().zip(weights) {
                    *delta = scale * *weight * (*delta - along);
                }
            }
            let delta = Matrix::rows(delta, rows);
            let keys = arrange::<T, I>(panels, shape.block(&queries_and_keys[key..], 2 * width));
            let gradient = &mut queries_and_keys_gradient[query..];
            multiply::<T, I>(gradient, 2 * width, delta, keys, Start::Zero);
            let queries = arrange::<T, I>(panels, shape.block(&queries_and_keys[query..], 2 * width));
            let gradient = &mut queries_and_keys_gradient[key..];
            multiply::<T, I>(gradient, 2 * width, delta.transposed(), queries, Start::Zero);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::check::assert_gradients;
    use crate::graph::{Dense, Examples, Regression, TargetSource};

    fn model<T: Real>(g: &mut GraphBuilder<T>, x: Node, attention: Attention) -> Node {
        let queries_and_keys = g.dense("qk", x, Dense::linear(12, 1.0));
        let values = g.dense("v", x, Dense::linear(6, 1.0));
        g.attention(queries_and_keys, values, attention)
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (heads, causal) in [(1, false), (2, true), (3, false), (6, true)] {
            assert_gradients(2, 5 * 4, |g, input| {
                let x = g.reshape(input, 4);
                let x = model(g, x, Attention { heads, causal });
                let out = g.dense("out", x, Dense::linear(4, 0.5));
                g.regression(out, Regression::Squared, TargetSource::Inputs);
            });
        }
    }

    #[test]
    fn a_causal_row_does_not_see_what_comes_after_it() {
        let mut g = GraphBuilder::<f32>::new(1, 12);
        let x = g.reshape(g.input(), 3);
        let x = model(&mut g, x, Attention { heads: 2, causal: true });
        let first = g.reshape(x, 24);
        let first = g.columns(first, 0..12);
        let out = g.dense("out", first, Dense::linear(1, 1.0));
        g.regression(out, Regression::Squared, TargetSource::Values);
        let (mut graph, layout, initials) = g.finish().unwrap();
        let mut params = vec![0.0; layout.len()];
        crate::graph::initialise(&mut params, &layout, &initials, 4);
        let mut loss = |inputs: &[f32]| {
            graph.score(&params, Examples { inputs, labels: &[0], values: &[0.0], noise_seed: 0 }).loss
        };
        let mut inputs = [0.3, -1.0, 2.0, 0.1, 0.7, 0.2, -0.4, 1.5, 0.9, 1.1, -2.0, 0.6];
        let before = loss(&inputs);
        inputs[6..].fill(30.0);
        assert_eq!(loss(&inputs), before, "the first two of four rows");
        inputs[5] = 1.0;
        assert_ne!(loss(&inputs), before);
    }
}
