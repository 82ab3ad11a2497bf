//! Small rearrangements of rows and columns.
//!
//! | method | an example's rows `x` become | gradient |
//! | --- | --- | --- |
//! | `add_positions` | `x[t] + table[t]`, the table learned | the same; to the table, the sum over examples |
//! | `transpose` | `y[j, t] = x[t, j]`: rows are mixed by a dense layer behind it | transposed back |
//! | `last_row` | the last row alone | zeros elsewhere |
//! | `columns` | a range of the columns, as one row | zeros elsewhere |
//! | `inner_product` | `Σ_j a[t, j] b[t, j]`, a column | `δ[t] b`, `δ[t] a` |
//! | `scale_by_exp` | `x · exp s`, `s` one learned number | `δ exp s`; to `s`, `Σ δ ⊙ y` |

use std::ops::Range;

use crate::graph::Initial;
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::operations::norm::column_sums;
use crate::graph::operations::{add_to, copy};
use crate::graph::real::Real;
use crate::graph::simd::Plain;

/// Adds a learned row to each row.
struct AddPositions {
    table: Range<usize>,
}

/// Swaps rows and columns.
struct Transpose {
    rows: usize,
    width: usize,
}

/// A range of the elements of an example.
struct Part {
    elements: usize,
    part: Range<usize>,
}

/// Row-wise inner products.
struct InnerProduct {
    width: usize,
}

/// A learned positive factor.
struct ScaleByExp {
    logarithm: Range<usize>,
}

impl<T: Real> GraphBuilder<T> {
    /// `x` plus a learned table, normal with that deviation; the tensor is `name/table`.
    pub(crate) fn add_positions(&mut self, name: &str, x: Node, deviation: f32) -> Node {
        let table = self.parameter(format!("{name}/table"), vec![x.rows, x.width], Initial::Normal(deviation));
        self.step(AddPositions { table }, &[x], (x.rows, x.width), true)
    }

    /// Rows become columns.
    pub(crate) fn transpose(&mut self, x: Node) -> Node {
        self.step(Transpose { rows: x.rows, width: x.width }, &[x], (x.width, x.rows), false)
    }

    /// The last row.
    pub(crate) fn last_row(&mut self, x: Node) -> Node {
        let elements = x.rows * x.width;
        self.step(Part { elements, part: elements - x.width..elements }, &[x], (1, x.width), false)
    }

    /// These columns of a node of one row.
    pub(crate) fn columns(&mut self, x: Node, columns: Range<usize>) -> Node {
        assert_eq!(x.rows, 1, "columns are taken from one row");
        let width = columns.len();
        self.step(Part { elements: x.width, part: columns }, &[x], (1, width), false)
    }

    /// The inner product of each row of `a` with that of `b`.
    pub(crate) fn inner_product(&mut self, a: Node, b: Node) -> Node {
        assert_eq!((a.rows, a.width), (b.rows, b.width), "an inner product has factors of one shape");
        self.step(InnerProduct { width: a.width }, &[a, b], (a.rows, 1), false)
    }

    /// `x` times the exponential of a learned number, which starts at `logarithm`; the tensor is `name/logarithm`.
    pub(crate) fn scale_by_exp(&mut self, name: &str, x: Node, logarithm: f32) -> Node {
        let logarithm = self.parameter(format!("{name}/logarithm"), vec![], Initial::Constant(logarithm));
        self.step(ScaleByExp { logarithm }, &[x], (x.rows, x.width), true)
    }
}

impl<T: Real> Operation<T> for AddPositions {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        copy(output, pass.inputs[0]);
        let table = &pass.params[self.table.clone()];
        for example in output.chunks_exact_mut(table.len()) {
            add_to(example, table);
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        column_sums(&mut pass.grads[self.table.clone()], pass.output_gradient);
        let [gradient, _] = pass.input_gradients;
        if let Some(gradient) = gradient {
            copy(gradient, pass.output_gradient);
        }
    }
}

/// Writes the transpose of each `rows × width` block.
fn transpose<T: Copy>(to: &mut [T], from: &[T], rows: usize, width: usize) {
    for (to, from) in to.chunks_exact_mut(rows * width).zip(from.chunks_exact(rows * width)) {
        for (j, column) in to.chunks_exact_mut(rows).enumerate() {
            for (to, row) in column.iter_mut().zip(from.chunks_exact(width)) {
                *to = row[j];
            }
        }
    }
}

impl<T: Real> Operation<T> for Transpose {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        transpose(output, pass.inputs[0], self.rows, self.width);
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [gradient, _] = pass.input_gradients;
        if let Some(gradient) = gradient {
            transpose(gradient, pass.output_gradient, self.width, self.rows);
        }
    }
}

impl<T: Real> Operation<T> for Part {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        for (part, example) in output.chunks_exact_mut(self.part.len()).zip(pass.inputs[0].chunks_exact(self.elements))
        {
            part.copy_from_slice(&example[self.part.clone()]);
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [gradient, _] = pass.input_gradients;
        if let Some(gradient) = gradient {
            gradient.fill(T::ZERO);
            let parts = pass.output_gradient.chunks_exact(self.part.len());
            for (example, part) in gradient.chunks_exact_mut(self.elements).zip(parts) {
                example[self.part.clone()].copy_from_slice(part);
            }
        }
    }
}

impl<T: Real> Operation<T> for InnerProduct {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let rows = pass.inputs[0].chunks_exact(self.width).zip(pass.inputs[1].chunks_exact(self.width));
        for (product, (a, b)) in output.iter_mut().zip(rows) {
            *product = a.iter().zip(b).map(|(a, b)| *a * *b).sum();
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let others = [pass.inputs[1], pass.inputs[0]];
        for (gradient, other) in pass.input_gradients.into_iter().zip(others) {
            let Some(gradient) = gradient else { continue };
            let rows = gradient.chunks_exact_mut(self.width).zip(other.chunks_exact(self.width));
            for ((gradient, other), delta) in rows.zip(pass.output_gradient.iter()) {
                for (gradient, other) in gradient.iter_mut().zip(other) {
                    *gradient = *delta * *other;
                }
            }
        }
    }
}

impl<T: Real> Operation<T> for ScaleByExp {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let factor = pass.params[self.logarithm.start].exp::<Plain>();
        for (y, x) in output.iter_mut().zip(pass.inputs[0]) {
            *y = factor * *x;
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let factor = pass.params[self.logarithm.start].exp::<Plain>();
        let products = pass.output_gradient.iter().zip(pass.output).map(|(delta, y)| *delta * *y);
        pass.grads[self.logarithm.start] = products.sum();
        let [gradient, _] = pass.input_gradients;
        if let Some(gradient) = gradient {
            for (gradient, delta) in gradient.iter_mut().zip(pass.output_gradient.iter()) {
                *gradient = factor * *delta;
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
        assert_gradients(3, 6, |g, input| {
            let x = g.reshape(input, 3);
            let x = g.dense("x", x, Dense::linear(5, 1.0));
            let x = g.add_positions("positions", x, 0.5);
            let x = g.transpose(x);
            let x = g.dense("mixed", x, Dense::linear(3, 1.0));
            let last = g.last_row(x);
            let x = g.reshape(x, 15);
            let x = g.columns(x, 2..5);
            let scaled = g.scale_by_exp("scale", x, 0.3);
            let product = g.inner_product(last, scaled);
            g.regression(product, Regression::Squared, TargetSource::Values);
        });
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let x: Vec<u32> = (0..24).collect();
        let (mut y, mut z) = (vec![0; 24], vec![0; 24]);
        transpose(&mut y, &x, 3, 4);
        assert_eq!(y[..4], [0, 4, 8, 1]);
        transpose(&mut z, &y, 4, 3);
        assert_eq!(z, x);
    }
}
