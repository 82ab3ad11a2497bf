//! The plain MLP written in the operations of the autodiff library: the oracle of the graph's gradients.

use dfdx::prelude::*;
use velo_optimizer::ParamLayout;

use super::model_task::Engine;
use super::{Activation, Loss, ModelConfig, Normalisation};
use crate::Error;
use crate::autodiff::{Bridge, Matrix, count_correct};
use crate::graph::{Examples, Score};

/// What outputs are compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    CrossEntropy,
    SquaredError,
    Huber,
    AutoEncoding,
}

/// The graph of one MLP; rebuilt for each gradient.
pub(super) struct AutodiffMlp {
    bridge: Bridge,
    layers: usize,
    outputs: usize,
    activation: Activation,
    comparison: Comparison,
}

/// A loss at the end of a tape or of none.
type LossValue<T> = Tensor<Rank0, f32, Cpu, T>;

impl AutodiffMlp {
    /// `layout` holds a kernel and a bias for each layer.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for any other model, and for losses that the library does not have.
    pub(super) fn new(layout: &ParamLayout, model: &ModelConfig, loss: Loss) -> Result<Self, Error> {
        let ModelConfig::Mlp(mlp) = model else { return Err(unsupported(model)) };
        if mlp.normalisation != Normalisation::None {
            return Err(unsupported(model));
        }
        let comparison = match loss {
            Loss::SoftmaxCrossEntropy => Comparison::CrossEntropy,
            Loss::MeanSquaredError => Comparison::SquaredError,
            Loss::Huber => Comparison::Huber,
            Loss::AutoEncoding => Comparison::AutoEncoding,
            Loss::Intrinsic
            | Loss::Logistic
            | Loss::NextToken
            | Loss::Residual
            | Loss::InfoNce
            | Loss::SigmoidContrast => {
                return Err(Error::invalid("loss", format!("{loss:?}"), "a loss that the autodiff backend has"));
            }
        };
        let tensors = layout.tensors();
        Ok(Self {
            bridge: Bridge::new(layout),
            layers: tensors.len() / 2,
            outputs: tensors[tensors.len() - 1].len(),
            activation: mlp.activation,
            comparison,
        })
    }

    fn forward<T: Tape<f32, Cpu> + Merge<T>>(&self, inputs: Matrix<T>) -> Matrix<T> {
        (0..self.layers).fold(inputs, |signal, layer| {
            let before = signal.matmul(self.bridge.matrix(2 * layer));
            let shape = *before.shape();
            let before = before + self.bridge.vector(2 * layer + 1).broadcast_like::<_, Axis<0>>(&shape);
            if layer + 1 == self.layers { before } else { apply(self.activation, before) }
        })
    }

    fn loss<T: Tape<f32, Cpu> + Merge<T>>(&self, outputs: Matrix<T>, examples: Examples<'_, f32>) -> LossValue<T> {
        let constant = |values: &[f32]| self.bridge.constant(values, examples.len(), self.outputs);
        match self.comparison {
            Comparison::CrossEntropy => {
                let labels = examples.labels.iter().map(|&label| label as usize);
                cross_entropy_with_logits_loss(outputs, self.bridge.one_hot(labels, self.outputs))
            }
            Comparison::SquaredError => mse_loss(outputs, constant(examples.values)),
            Comparison::Huber => huber_loss(outputs, constant(examples.values), 1.0),
            Comparison::AutoEncoding => mse_loss(outputs, constant(examples.inputs)),
        }
    }

    fn inputs(&self, examples: Examples<'_, f32>) -> Matrix {
        self.bridge.constant(examples.inputs, examples.len(), examples.input_width())
    }
}

/// What this backend says to any other model.
pub(super) fn unsupported(model: &ModelConfig) -> Error {
    Error::invalid("model", format!("{model:?}"), "a plain MLP or a transformer, for the autodiff backend")
}

/// `φ(x)`.
pub(super) fn apply<T: Tape<f32, Cpu> + Merge<T>>(activation: Activation, x: Matrix<T>) -> Matrix<T> {
    match activation {
        Activation::Relu => x.relu(),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x.with_empty_tape().sigmoid() * x,
        Activation::Gelu => x.fast_gelu(),
        Activation::Sin => x.sin(),
        Activation::Sigmoid => x.sigmoid(),
    }
}

impl Engine for AutodiffMlp {
    fn loss_and_grad(&mut self, params: &[f32], examples: Examples<'_, f32>, grads: &mut [f32]) -> f32 {
        self.bridge.set_params(params);
        let outputs = self.forward(self.inputs(examples).leaky_trace());
        self.bridge.backward(self.loss(outputs, examples), grads)
    }

    fn score(&mut self, params: &[f32], examples: Examples<'_, f32>) -> Score {
        self.bridge.set_params(params);
        let outputs = self.forward(self.inputs(examples));
        let labels = examples.labels.iter().map(|&label| label as usize);
        let correct = count_correct(&outputs, labels);
        let loss = f64::from(self.loss(outputs, examples).array());
        match self.comparison {
            Comparison::CrossEntropy => Score { loss, correct, counted: examples.len() },
            _ => Score { loss, ..Score::default() },
        }
    }

    fn flops(&self, _: usize) -> Option<u64> {
        None
    }
}
