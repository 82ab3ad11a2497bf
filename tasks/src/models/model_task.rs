//! A model on a data set as a [`Task`]: batches, noise, evaluation.

use std::sync::Arc;

use velo_optimizer::{FlushDenormals, ParamLayout};

use super::autodiff_mlp::AutodiffMlp;
use super::autodiff_transformer::AutodiffTransformer;
use super::{Backend, Loss, ModelConfig};
use crate::Error;
use crate::data::{Dataset, InputKind, Rows, TargetKind};
use crate::graph::{Examples, Graph, Initial, Real, Score, initialise};
use crate::rng::derive_seed;
use crate::task::{Batch, Metrics, Split, Task};

/// Rows that are evaluated at once, about.
const EVALUATION_ROWS: usize = 64;

/// Computes losses and gradients of one model on rows in memory.
pub(super) trait Engine: Send {
    /// The mean loss; the gradient is written to `grads`.
    fn loss_and_grad(&mut self, params: &[f32], examples: Examples<'_, f32>, grads: &mut [f32]) -> f32;

    /// The mean loss and the targets met.
    fn score(&mut self, params: &[f32], examples: Examples<'_, f32>) -> Score;

    /// Floating-point operations of one gradient, if they were counted.
    fn flops(&self, examples: usize) -> Option<u64>;
}

impl Engine for Graph<f32> {
    fn loss_and_grad(&mut self, params: &[f32], examples: Examples<'_, f32>, grads: &mut [f32]) -> f32 {
        self.loss_and_grad(params, examples, grads)
    }

    fn score(&mut self, params: &[f32], examples: Examples<'_, f32>) -> Score {
        self.score(params, examples)
    }

    fn flops(&self, examples: usize) -> Option<u64> {
        Some(self.flops(examples))
    }
}

/// A model on a data set.
pub(crate) struct ModelTask {
    name: String,
    data: Arc<Dataset>,
    layout: ParamLayout,
    initials: Vec<Initial>,
    reference_loss: f32,
    engine: Box<dyn Engine>,
    batch: Rows,
    most_rows: usize,
}

/// The graph of a model on data, for batches of at most `most_rows` rows, with its parameters.
///
/// # Errors
/// [`Error::InvalidField`] when loss, model and data do not fit each other.
pub(crate) fn graph<T: Real>(
    model: &ModelConfig,
    loss: Loss,
    data: &Dataset,
    most_rows: usize,
) -> Result<(Graph<T>, ParamLayout, Vec<Initial>), Error> {
    graph_on(model, loss, (data.input_kind(), data.target()), most_rows)
}

/// The graph of a model on such inputs and targets, for batches of at most `most_rows` rows, with its parameters.
///
/// # Errors
/// [`Error::InvalidField`] when loss, model and data do not fit each other.
pub(crate) fn graph_on<T: Real>(
    model: &ModelConfig,
    loss: Loss,
    (input, target): (InputKind, TargetKind),
    most_rows: usize,
) -> Result<(Graph<T>, ParamLayout, Vec<Initial>), Error> {
    let mut builder = crate::graph::GraphBuilder::new(most_rows, input.len());
    let outputs = loss.outputs(input, target).ok_or_else(|| {
        let expected = format!("a loss for inputs of kind {input:?} and targets of kind {target:?}");
        Error::invalid("loss", format!("{loss:?}"), expected)
    })?;
    model.build(&mut builder, input, loss, outputs)?;
    builder.finish()
}

impl ModelTask {
    /// Fits the model to the data and the loss.
    pub(crate) fn new(
        name: &str,
        model: &ModelConfig,
        loss: Loss,
        data: Arc<Dataset>,
        batch_size: usize,
        backend: Backend,
    ) -> Result<Self, Error> {
        // Every further row of a batch makes a contrast harder: its evaluation has to be in batches like those of training.
        let most_rows = if loss.contrast().is_some() { batch_size } else { batch_size.max(EVALUATION_ROWS) };
        let (graph, layout, initials) = graph::<f32>(model, loss, &data, most_rows)?;
        let engine: Box<dyn Engine> = match backend {
            Backend::Graph => Box::new(graph),
            Backend::Autodiff => match model {
                ModelConfig::Mlp(_) => Box::new(AutodiffMlp::new(&layout, model, loss)?),
                _ => Box::new(AutodiffTransformer::new(&layout, model, loss, data.input_kind())?),
            },
        };
        Ok(Self {
            name: name.to_owned(),
            layout,
            initials,
            reference_loss: loss.reference(&data, batch_size),
            engine,
            batch: data.batch_buffer(batch_size),
            most_rows,
            data,
        })
    }
}

/// The seed of the noise inside a model on this batch.
fn noise_seed(batch: Batch) -> u64 {
    derive_seed(derive_seed(batch.seed, batch.split as u64), batch.index)
}

/// All of `rows`.
fn examples(rows: &Rows, noise_seed: u64) -> Examples<'_, f32> {
    Examples { inputs: &rows.inputs, labels: &rows.labels, values: &rows.values, noise_seed }
}

impl Task for ModelTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, seed: u64, params: &mut [f32]) {
        initialise(params, &self.layout, &self.initials, seed);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        let _flush = FlushDenormals::new();
        self.data.fill(batch, &mut self.batch);
        self.engine.loss_and_grad(params, examples(&self.batch, noise_seed(batch)), grads)
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        let _flush = FlushDenormals::new();
        self.data.fill(batch, &mut self.batch);
        self.engine.score(params, examples(&self.batch, noise_seed(batch))).loss as f32
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        let _flush = FlushDenormals::new();
        let rows = self.data.rows(split);
        let (input_width, value_width) = (self.data.input_width(), rows.values.len() / rows.len());
        // Parts of nearly equal size: statistics over a batch would mean little in a last part of one row.
        let parts = rows.len().div_ceil(self.most_rows);
        let (mut total, mut score) = (0.0, Score::default());
        for part in 0..parts {
            let range = part * rows.len() / parts..(part + 1) * rows.len() / parts;
            let found = self.engine.score(
                params,
                Examples {
                    inputs: &rows.inputs[range.start * input_width..range.end * input_width],
                    labels: &rows.labels[range.clone()],
                    values: &rows.values[range.start * value_width..range.end * value_width],
                    noise_seed: derive_seed(split as u64, part as u64),
                },
            );
            total += found.loss * range.len() as f64;
            score = score.plus(found);
        }
        let accuracy = (score.counted > 0).then(|| score.correct as f32 / score.counted as f32);
        Metrics { loss: (total / rows.len() as f64) as f32, accuracy }
    }

    fn reference_loss(&self) -> f32 {
        self.reference_loss
    }

    fn flops_per_gradient(&self) -> Option<u64> {
        self.engine.flops(self.batch.len())
    }
}
