//! The MLP written in the operations of the autodiff library.

use dfdx::prelude::*;
use velo_optimizer::ParamLayout;

use super::loss::Targets;
use super::mlp::Engine;
use super::{Activation, Loss};
use crate::autodiff::{Bridge, Matrix, TracedLoss};
use crate::data::Rows;

/// The graph of one MLP; rebuilt for each gradient.
pub(super) struct MlpGraph {
    bridge: Bridge,
    layers: usize,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    loss: Loss,
}

impl MlpGraph {
    /// `layout` holds a kernel and a bias for each layer.
    pub(super) fn new(layout: &ParamLayout, activation: Activation, loss: Loss) -> Self {
        let tensors = layout.tensors();
        let (inputs, outputs) = (tensors[0].shape[0], tensors[tensors.len() - 1].len());
        Self { bridge: Bridge::new(layout), layers: tensors.len() / 2, inputs, outputs, activation, loss }
    }

    fn forward<T: Tape<f32, Cpu> + Merge<T>>(&self, inputs: Matrix<T>) -> Matrix<T> {
        (0..self.layers).fold(inputs, |signal, layer| {
            let before = signal.matmul(self.bridge.matrix(2 * layer));
            let shape = *before.shape();
            let before = before + self.bridge.vector(2 * layer + 1).broadcast_like::<_, Axis<0>>(&shape);
            if layer + 1 == self.layers { before } else { apply(self.activation, before) }
        })
    }

    fn traced_loss(&self, outputs: Matrix<OwnedTape<f32, Cpu>>, rows: &Rows) -> TracedLoss {
        match self.loss.targets(rows) {
            Targets::Classes(labels) => {
                let mut one_hot = vec![0.0; rows.len() * self.outputs];
                labels.iter().enumerate().for_each(|(row, &label)| one_hot[row * self.outputs + label as usize] = 1.0);
                cross_entropy_with_logits_loss(outputs, self.bridge.constant(&one_hot, rows.len(), self.outputs))
            }
            Targets::Values(values) => {
                let values = self.bridge.constant(values, rows.len(), self.outputs);
                if self.loss == Loss::Huber { huber_loss(outputs, values, 1.0) } else { mse_loss(outputs, values) }
            }
        }
    }
}

fn apply<T: Tape<f32, Cpu> + Merge<T>>(activation: Activation, x: Matrix<T>) -> Matrix<T> {
    match activation {
        Activation::Relu => x.relu(),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x.with_empty_tape().sigmoid() * x,
        Activation::Gelu => x.fast_gelu(),
    }
}

impl Engine for MlpGraph {
    fn loss_and_grad(&mut self, params: &[f32], rows: &Rows, grads: &mut [f32]) -> f32 {
        self.bridge.set_params(params);
        let inputs = self.bridge.constant(&rows.inputs, rows.len(), self.inputs);
        let loss = self.traced_loss(self.forward(inputs.leaky_trace()), rows);
        self.bridge.backward(loss, grads)
    }

    fn outputs(&mut self, params: &[f32], inputs: &[f32], rows: usize, outputs: &mut [f32]) {
        self.bridge.set_params(params);
        self.forward(self.bridge.constant(inputs, rows, self.inputs)).copy_into(outputs);
    }
}
