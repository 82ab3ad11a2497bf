//! The MLP with its backward pass written by hand: no tape, no allocation per gradient, a few fused passes.
//!
//! With `a_l` the input of layer `l`, `δ_L = ∂L/∂z` from the loss, and `φ'` kept from the forward pass:
//!
//! ```text
//! ∂L/∂W_l = a_lᵀ δ_l      ∂L/∂b_l = Σ_rows δ_l      δ_{l-1} = (δ_l W_lᵀ) ⊙ φ'(·)
//! ```
//!
//! The graph of [`MlpGraph`](super::mlp_graph::MlpGraph) on the autodiff library is its oracle.

use std::ops::Range;

use velo_optimizer::ParamLayout;

use super::loss::Targets;
use super::matrix_product::{Left, multiply, pack, pack_transposed, packed_len};
use super::mlp::Engine;
use super::simd::{self, Instructions, Kernel};
use super::{Activation, Loss};
use crate::data::Rows;

/// One layer and where its parameters are.
struct Layer {
    inputs: usize,
    outputs: usize,
    kernel: Range<usize>,
    bias: Range<usize>,
}

/// One MLP with the scratch of its passes.
pub(super) struct DenseMlp {
    layers: Vec<Layer>,
    activation: Activation,
    loss: Loss,
    /// Output of each hidden layer.
    values: Vec<Vec<f32>>,
    /// Derivative of the activation at each of them.
    slopes: Vec<Vec<f32>>,
    /// Derivative of the loss with respect to the outputs of the layer at hand, and of the one before.
    delta: Vec<f32>,
    next_delta: Vec<f32>,
    panels: Vec<f32>,
}

impl DenseMlp {
    /// `layout` holds a kernel and a bias for each layer; passes run over at most `most_rows` rows.
    pub(super) fn new(layout: &ParamLayout, activation: Activation, loss: Loss, most_rows: usize) -> Self {
        let (pairs, _) = layout.tensors().as_chunks::<2>();
        let layers = pairs.iter().map(|[kernel, bias]| Layer {
            inputs: kernel.shape[0],
            outputs: kernel.shape[1],
            kernel: kernel.range.clone(),
            bias: bias.range.clone(),
        });
        let layers: Vec<_> = layers.collect();
        let hidden = &layers[..layers.len() - 1];
        let widest = layers.iter().map(|layer| layer.outputs).max().unwrap_or(0);
        let largest_panels = layers.iter().map(|layer| {
            let forward = packed_len(layer.inputs, layer.outputs);
            forward.max(packed_len(most_rows, layer.outputs)).max(packed_len(layer.outputs, layer.inputs))
        });
        Self {
            activation,
            loss,
            values: hidden.iter().map(|layer| vec![0.0; most_rows * layer.outputs]).collect(),
            slopes: hidden.iter().map(|layer| vec![0.0; most_rows * layer.outputs]).collect(),
            delta: vec![0.0; most_rows * widest],
            next_delta: vec![0.0; most_rows * widest],
            panels: vec![0.0; largest_panels.max().unwrap_or(0)],
            layers,
        }
    }

    #[inline(always)]
    fn forward<I: Instructions, const ROWS: usize>(
        &mut self,
        params: &[f32],
        inputs: &[f32],
        rows: usize,
        outputs: &mut [f32],
    ) {
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let panels = &mut self.panels[..packed_len(layer.inputs, layer.outputs)];
            pack(&params[layer.kernel.clone()], layer.outputs, panels);
            let bias = Some(&params[layer.bias.clone()]);
            let (before, after) = self.values.split_at_mut(index);
            let from = before.last().map_or(inputs, |values| &values[..rows * layer.inputs]);
            let left = Left::rows(from, layer.inputs);
            if index == last {
                multiply::<I, ROWS>(left, panels, layer.outputs, bias, outputs);
            } else {
                let values = &mut after[0][..rows * layer.outputs];
                multiply::<I, ROWS>(left, panels, layer.outputs, bias, values);
                self.activation.apply::<I>(values, &mut self.slopes[index]);
            }
        }
    }

    #[inline(always)]
    fn backward<I: Instructions, const ROWS: usize>(
        &mut self,
        params: &[f32],
        inputs: &[f32],
        rows: usize,
        grads: &mut [f32],
    ) {
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let delta = &self.delta[..rows * layer.outputs];
            let from = index.checked_sub(1).map_or(inputs, |before| &self.values[before][..rows * layer.inputs]);

            let panels = &mut self.panels[..packed_len(rows, layer.outputs)];
            pack(delta, layer.outputs, panels);
            let left = Left::transposed(from, layer.inputs);
            multiply::<I, ROWS>(left, panels, layer.outputs, None, &mut grads[layer.kernel.clone()]);

            let bias = &mut grads[layer.bias.clone()];
            bias.fill(0.0);
            for row in delta.chunks_exact(layer.outputs) {
                for (sum, delta) in bias.iter_mut().zip(row) {
                    *sum += delta;
                }
            }

            if let Some(before) = index.checked_sub(1) {
                let panels = &mut self.panels[..packed_len(layer.outputs, layer.inputs)];
                pack_transposed(&params[layer.kernel.clone()], layer.outputs, panels);
                let next = &mut self.next_delta[..rows * layer.inputs];
                multiply::<I, ROWS>(Left::rows(delta, layer.outputs), panels, layer.inputs, None, next);
                for (delta, slope) in next.iter_mut().zip(&self.slopes[before]) {
                    *delta *= slope;
                }
                std::mem::swap(&mut self.delta, &mut self.next_delta);
            }
        }
    }
}

/// Forward, loss and backward as one kernel: the instruction set is chosen once per gradient.
struct LossAndGrad<'a> {
    model: &'a mut DenseMlp,
    params: &'a [f32],
    rows: &'a Rows,
    grads: &'a mut [f32],
}

impl Kernel for LossAndGrad<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Instructions, const ROWS: usize>(self) -> f32 {
        let Self { model, params, rows, grads } = self;
        let (count, inputs) = (rows.len(), &rows.inputs);
        // The buffer leaves the model while the model is borrowed; no allocation comes with it.
        let mut delta = std::mem::take(&mut model.delta);
        let outputs = &mut delta[..count * model.layers[model.layers.len() - 1].outputs];
        model.forward::<I, ROWS>(params, inputs, count, outputs);
        let targets: Targets<'_> = model.loss.targets(rows);
        let loss = model.loss.loss_and_grad::<I>(outputs, count, targets);
        model.delta = delta;
        model.backward::<I, ROWS>(params, inputs, count, grads);
        loss
    }
}

/// The forward pass alone.
struct Outputs<'a> {
    model: &'a mut DenseMlp,
    params: &'a [f32],
    inputs: &'a [f32],
    rows: usize,
    outputs: &'a mut [f32],
}

impl Kernel for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions, const ROWS: usize>(self) {
        self.model.forward::<I, ROWS>(self.params, self.inputs, self.rows, self.outputs);
    }
}

impl Engine for DenseMlp {
    fn loss_and_grad(&mut self, params: &[f32], rows: &Rows, grads: &mut [f32]) -> f32 {
        simd::run(LossAndGrad { model: self, params, rows, grads })
    }

    fn outputs(&mut self, params: &[f32], inputs: &[f32], rows: usize, outputs: &mut [f32]) {
        simd::run(Outputs { model: self, params, inputs, rows, outputs });
    }
}
