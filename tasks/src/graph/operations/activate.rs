//! Activations on their own, where a normalisation stands between a dense layer and its function.
//!
//! ```text
//! y = φ(x)      ∂L/∂x = ∂L/∂y ⊙ φ'(x)
//! ```

use super::elementwise::{copy, multiply_into};
use crate::graph::Activation;
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;

/// See the [module](self).
struct Activate<T> {
    activation: Activation,
    slopes: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// `φ(x)`.
    pub(crate) fn activate(&mut self, x: Node, activation: Activation) -> Node {
        let slopes = self.kept(x);
        self.step(Activate { activation, slopes }, &[x], (x.rows, x.width), false)
    }
}

impl<T: Real> Operation<T> for Activate<T> {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        copy(output, pass.inputs[0]);
        self.activation.apply(output, &mut self.slopes);
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [gradient, _] = pass.input_gradients;
        if let Some(gradient) = gradient {
            multiply_into(gradient, pass.output_gradient, &self.slopes);
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
        assert_gradients(3, 4, |g, input| {
            let x = g.dense("x", input, Dense::linear(4, 1.0));
            let y = g.activate(x, Activation::Silu);
            g.regression(y, Regression::Squared, TargetSource::Inputs);
        });
    }
}
