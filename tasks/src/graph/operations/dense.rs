//! Dense layers, the activation fused.
//!
//! ```text
//! y = φ(x W + b)      δ = ∂L/∂y ⊙ φ'      ∂L/∂W = xᵀ δ      ∂L/∂b = Σ_rows δ      ∂L/∂x = δ Wᵀ
//! ```
//!
//! The tensors are `name/kernel` and, unless there is none, `name/bias`, which starts at zero.

use std::ops::Range;

use crate::graph::Activation;
use crate::graph::Initial;
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::matrix_product::{Matrix, Start, product, product_and_sums};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::operations::elementwise::multiply_by;
use crate::graph::real::Real;

/// Shape and initial values of a dense layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dense {
    outputs: usize,
    activation: Option<Activation>,
    deviation: f32,
    bias: bool,
    shape: Option<Vec<usize>>,
}

impl Dense {
    /// A layer without activation, its kernel normal with that deviation.
    pub(crate) fn linear(outputs: usize, deviation: f32) -> Self {
        Self { outputs, activation: None, deviation, bias: true, shape: None }
    }

    /// With this function behind it.
    pub(crate) fn activated(self, activation: Activation) -> Self {
        Self { activation: Some(activation), ..self }
    }

    /// Without the bias, which a normalisation behind it would take out again.
    pub(crate) fn without_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// Outputs of a row.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The kernel has this shape in the layout; elements and order are the same.
    pub(super) fn with_kernel_shape(self, shape: Vec<usize>) -> Self {
        Self { shape: Some(shape), ..self }
    }
}

/// See the [module](self).
struct DenseStep<T> {
    rows: usize,
    inputs: usize,
    outputs: usize,
    kernel: Range<usize>,
    bias: Option<Range<usize>>,
    activation: Option<Activation>,
    /// `φ'` at each output.
    slopes: Vec<T>,
}

impl<T: Real> GraphBuilder<T> {
    /// A dense layer on every row of `x`.
    pub(crate) fn dense(&mut self, name: &str, x: Node, layer: Dense) -> Node {
        let outputs = layer.outputs;
        let shape = layer.shape.unwrap_or_else(|| vec![x.width, outputs]);
        let kernel = self.parameter(format!("{name}/kernel"), shape, Initial::Normal(layer.deviation));
        assert_eq!(kernel.len(), x.width * outputs);
        let bias = layer.bias.then(|| self.parameter(format!("{name}/bias"), vec![outputs], Initial::Constant(0.0)));
        let slopes = match layer.activation {
            Some(_) => vec![T::ZERO; self.most_examples() * x.rows * outputs],
            None => Vec::new(),
        };
        let step =
            DenseStep { rows: x.rows, inputs: x.width, outputs, kernel, bias, activation: layer.activation, slopes };
        self.step(step, &[x], (x.rows, outputs), true)
    }
}

impl<T: Real> Operation<T> for DenseStep<T> {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let left = Matrix::rows(pass.inputs[0], self.inputs);
        let kernel = Matrix::rows(&pass.params[self.kernel.clone()], self.outputs);
        let start = self.bias.as_ref().map_or(Start::Zero, |bias| Start::Row(&pass.params[bias.clone()]));
        product(output, self.outputs, left, kernel, start, pass.panels);
        if let Some(activation) = self.activation {
            activation.apply(output, &mut self.slopes);
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let delta = pass.output_gradient;
        if self.activation.is_some() {
            multiply_by(delta, &self.slopes[..delta.len()]);
        }
        let (x, delta) = (Matrix::rows(pass.inputs[0], self.inputs), Matrix::rows(delta, self.outputs));
        match &self.bias {
            Some(bias) => {
                // The bias lies right behind its kernel.
                let (kernel, bias) = pass.grads[self.kernel.start..bias.end].split_at_mut(self.kernel.len());
                product_and_sums(kernel, bias, x, delta, pass.panels);
            }
            None => {
                let kernel = &mut pass.grads[self.kernel.clone()];
                product(kernel, self.outputs, x.transposed(), delta, Start::Zero, pass.panels);
            }
        }
        let [gradient, _] = pass.input_gradients;
        if let Some(gradient) = gradient {
            let kernel = Matrix::rows(&pass.params[self.kernel.clone()], self.outputs).transposed();
            product(gradient, self.inputs, delta, kernel, Start::Zero, pass.panels);
        }
    }

    fn flops(&self) -> u64 {
        2 * (self.rows * self.inputs * self.outputs) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::check::assert_gradients;
    use crate::graph::{Regression, TargetSource};

    #[test]
    fn gradients_agree_with_finite_differences_for_every_activation() {
        use Activation::{Gelu, Relu, Sigmoid, Silu, Sin, Tanh};
        for activation in [Relu, Tanh, Silu, Gelu, Sin, Sigmoid] {
            assert_gradients(4, 6, |g, input| {
                let rows = g.reshape(input, 3);
                let hidden = g.dense("hidden", rows, Dense::linear(5, 0.8).activated(activation));
                let out = g.dense("out", hidden, Dense::linear(3, 0.8).without_bias());
                g.regression(out, Regression::Squared, TargetSource::Inputs);
            });
        }
    }
}
