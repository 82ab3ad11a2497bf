//! Sums of nodes, and the element-wise kernels that several operations share.
//!
//! ```text
//! y = a + b     ∂L/∂a = ∂L/∂b = ∂L/∂y
//! ```

use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;
use crate::graph::simd::kernel;

kernel! {
    /// `sums += terms`.
    pub(crate) fn add_to<T, I, ROWS>(sums: &'a mut [T], terms: &'a [T]) {
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum += *term;
        }
    }
}

kernel! {
    /// `sums = a + b`.
    fn add_into<T, I, ROWS>(sums: &'a mut [T], a: &'a [T], b: &'a [T]) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = *a + *b;
        }
    }
}

/// `to = from`, a kilobyte at a time.
///
/// From some kilobytes on, the C library copies by a string instruction. Zen 3 takes thirty times as long over it when the
/// destination lies 8 or 16 bytes behind the source modulo a page (measured: 1.9 ns instead of 0.05 for each number), as one
/// buffer behind another does whose length is a power of two.
pub(crate) fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    const PIECE: usize = 256;
    assert_eq!(to.len(), from.len());
    for (to, from) in to.chunks_mut(PIECE).zip(from.chunks(PIECE)) {
        to.copy_from_slice(from);
    }
}

kernel! {
    /// `products *= factors`.
    pub(crate) fn multiply_by<T, I, ROWS>(products: &'a mut [T], factors: &'a [T]) {
        for (product, factor) in products.iter_mut().zip(factors) {
            *product *= *factor;
        }
    }
}

kernel! {
    /// `products = a ⊙ b`.
    pub(crate) fn multiply_into<T, I, ROWS>(products: &'a mut [T], a: &'a [T], b: &'a [T]) {
        for ((product, a), b) in products.iter_mut().zip(a).zip(b) {
            *product = *a * *b;
        }
    }
}

/// `a + b`.
struct Add;

impl<T: Real> GraphBuilder<T> {
    /// `a + b`: the end of a residual branch.
    pub(crate) fn add(&mut self, a: Node, b: Node) -> Node {
        assert_eq!((a.rows, a.width), (b.rows, b.width), "a sum has terms of one shape");
        self.step(Add, &[a, b], (a.rows, a.width), false)
    }
}

impl<T: Real> Operation<T> for Add {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        add_into(output, pass.inputs[0], pass.inputs[1]);
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        for gradient in pass.input_gradients.into_iter().flatten() {
            copy(gradient, pass.output_gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::check::assert_gradients;
    use crate::graph::{Dense, Regression, TargetSource};

    #[test]
    fn gradients_agree_with_finite_differences_also_where_a_node_is_used_several_times() {
        assert_gradients(3, 4, |g, input| {
            let a = g.dense("a", input, Dense::linear(4, 0.7));
            let b = g.dense("b", a, Dense::linear(4, 0.7));
            let sum = g.add(a, b);
            let sum = g.add(sum, sum);
            let sum = g.add(a, sum);
            let sum = g.add(sum, input);
            g.regression(sum, Regression::Squared, TargetSource::Inputs);
            g.regression(a, Regression::Squared, TargetSource::Inputs);
        });
    }
}
