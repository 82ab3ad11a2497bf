//! Multi-layer perceptrons as tasks: parameters, initial values, batches, evaluation.
//!
//! ```text
//! a₀ = x      a_{l+1} = φ(a_l W_l + b_l)      z = a_L W_L + b_L
//! ```
//!
//! Layer `l` has the tensors `dense_l/kernel` (`[inputs, outputs]`) and `dense_l/bias`. Initial kernels are normal with
//! variance `gain² · c / inputs`, where `c` is 2 for one-sided activations and 1 otherwise; those of the last layer
//! are multiplied by `output_scale` besides; biases start at zero.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use velo_optimizer::{FlushDenormals, ParamLayout};

use super::dense::DenseMlp;
use super::loss::{Targets, correct_rows};
use super::mlp_graph::MlpGraph;
use super::simd::Plain;
use super::{Activation, Backend, Loss};
use crate::Error;
use crate::data::{Dataset, Rows};
use crate::error::check_range;
use crate::rng::{Stream, stream_number};
use crate::task::{Batch, Metrics, Split, Task};

/// Rows that are evaluated at once, at least.
const EVALUATION_ROWS: usize = 64;

/// Shape and initialisation of an MLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Widths of the hidden layers, at most 64 of them, each 1 to 8192; empty for a linear model.
    pub hidden: Vec<usize>,
    /// The function after each hidden layer.
    pub activation: Activation,
    /// Factor on all initial kernels, 0.01 to 100.
    #[serde(default = "one")]
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10; 0 starts from equal outputs.
    #[serde(default = "one")]
    pub output_scale: f32,
}

fn one() -> f32 {
    1.0
}

impl MlpConfig {
    /// These hidden widths and this activation, with the usual initialisation.
    pub fn new(hidden: impl Into<Vec<usize>>, activation: Activation) -> Self {
        Self { hidden: hidden.into(), activation, init_gain: 1.0, output_scale: 1.0 }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("model.hidden: number of layers", self.hidden.len(), 0..=64)?;
        for (layer, &width) in self.hidden.iter().enumerate() {
            check_range(format!("model.hidden[{layer}]"), width, 1..=8192)?;
        }
        check_range("model.init_gain", self.init_gain, 0.01..=100.0)?;
        check_range("model.output_scale", self.output_scale, 0.0..=10.0)
    }

    fn layout(&self, inputs: usize, outputs: usize) -> Result<ParamLayout, Error> {
        let widths: Vec<_> = [inputs].into_iter().chain(self.hidden.iter().copied()).chain([outputs]).collect();
        let tensors = widths.windows(2).enumerate().flat_map(|(layer, pair)| {
            [(format!("dense_{layer}/kernel"), pair.to_vec()), (format!("dense_{layer}/bias"), vec![pair[1]])]
        });
        Ok(ParamLayout::new(tensors)?)
    }

    fn init(&self, layout: &ParamLayout, seed: u64, params: &mut [f32]) {
        params.fill(0.0);
        let tensors = layout.tensors();
        let last = tensors.len() / 2 - 1;
        for (layer, kernel) in tensors.iter().step_by(2).enumerate() {
            let stream = Stream::new(seed, const { stream_number("mlp init") }.wrapping_add(layer as u64));
            let values = &mut params[kernel.range.clone()];
            stream.normals(0, values);
            let deviation = self.init_gain * (self.activation.variance_gain() / kernel.shape[0] as f32).sqrt();
            let scale = if layer == last { deviation * self.output_scale } else { deviation };
            values.iter_mut().for_each(|value| *value *= scale);
        }
    }
}

/// Computes outputs and gradients of one model on rows in memory.
pub(super) trait Engine: Send {
    /// The mean loss over `rows`; the gradient is written to `grads`.
    fn loss_and_grad(&mut self, params: &[f32], rows: &Rows, grads: &mut [f32]) -> f32;

    /// The outputs for `rows` rows of inputs.
    fn outputs(&mut self, params: &[f32], inputs: &[f32], rows: usize, outputs: &mut [f32]);
}

/// An MLP on a data set.
pub(crate) struct MlpTask {
    name: String,
    config: MlpConfig,
    loss: Loss,
    data: Arc<Dataset>,
    layout: ParamLayout,
    outputs: usize,
    reference_loss: f32,
    engine: Box<dyn Engine>,
    batch: Rows,
    output_rows: Vec<f32>,
}

impl MlpTask {
    /// Fits the model to the data and the loss.
    pub(crate) fn new(
        name: &str,
        config: &MlpConfig,
        loss: Loss,
        data: Arc<Dataset>,
        batch_size: usize,
        backend: Backend,
    ) -> Result<Self, Error> {
        let outputs = loss.outputs(&data).ok_or_else(|| {
            Error::invalid("loss", format!("{loss:?}"), format!("a loss for targets of kind {:?}", data.target()))
        })?;
        let layout = config.layout(data.input_width(), outputs)?;
        let most_rows = batch_size.max(EVALUATION_ROWS);
        let engine: Box<dyn Engine> = match backend {
            Backend::Dense => Box::new(DenseMlp::new(&layout, config.activation, loss, most_rows)),
            Backend::Autodiff => Box::new(MlpGraph::new(&layout, config.activation, loss)),
        };
        Ok(Self {
            name: name.to_owned(),
            config: config.clone(),
            loss,
            layout,
            outputs,
            reference_loss: loss.reference(&data, outputs),
            engine,
            batch: data.batch_buffer(batch_size),
            output_rows: vec![0.0; most_rows * outputs],
            data,
        })
    }
}

impl Task for MlpTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, seed: u64, params: &mut [f32]) {
        self.config.init(&self.layout, seed, params);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        let _flush = FlushDenormals::new();
        self.data.fill(batch, &mut self.batch);
        self.engine.loss_and_grad(params, &self.batch, grads)
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        let _flush = FlushDenormals::new();
        self.data.fill(batch, &mut self.batch);
        let rows = self.batch.len();
        let outputs = &mut self.output_rows[..rows * self.outputs];
        self.engine.outputs(params, &self.batch.inputs, rows, outputs);
        self.loss.loss_and_grad::<Plain>(outputs, rows, self.loss.targets(&self.batch))
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        let _flush = FlushDenormals::new();
        let (rows, width) = (self.data.rows(split), self.data.input_width());
        let chunk_rows = self.output_rows.len() / self.outputs;
        let (mut total, mut correct) = (0.0f64, 0);
        for (chunk, inputs) in rows.inputs.chunks(chunk_rows * width).enumerate() {
            let (first, count) = (chunk * chunk_rows, inputs.len() / width);
            let outputs = &mut self.output_rows[..count * self.outputs];
            self.engine.outputs(params, inputs, count, outputs);
            let targets = match self.loss.targets(rows) {
                Targets::Classes(labels) => {
                    let labels = &labels[first..first + count];
                    correct += correct_rows(outputs, self.outputs, labels);
                    Targets::Classes(labels)
                }
                Targets::Values(values) => Targets::Values(&values[first * self.outputs..][..outputs.len()]),
            };
            total += f64::from(self.loss.loss_and_grad::<Plain>(outputs, count, targets)) * count as f64;
        }
        let of_all = 1.0 / rows.len() as f64;
        let accuracy = (self.loss == Loss::SoftmaxCrossEntropy).then_some((correct as f64 * of_all) as f32);
        Metrics { loss: (total * of_all) as f32, accuracy }
    }

    fn reference_loss(&self) -> f32 {
        self.reference_loss
    }
}
