//! The contract of everything that can be trained here.
//!
//! A task hides its data, its model and the autodiff behind flat slices: nothing outside this crate knows how
//! a gradient came about.

use velo_optimizer::ParamLayout;

/// Which rows a batch is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Rows that are trained on.
    Train,
    /// Held-out rows, never trained on: settings and checkpoints are chosen by them.
    Validation,
    /// Other held-out rows, by which nothing is ever chosen.
    Test,
}

/// Names one batch: the rows are a pure function of these three values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Batch {
    /// Seed of the training run.
    pub seed: u64,
    /// Rows to draw from.
    pub split: Split,
    /// Number of the batch within the run.
    pub index: u64,
}

/// What [`Task::evaluate`] measured over all rows of a split (or a fixed large sample of a generator).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// Mean loss.
    pub loss: f32,
    /// Share of rows classified correctly, for classification tasks.
    pub accuracy: Option<f32>,
}

/// A loss over flat parameters, with its gradient.
///
/// A task owns the scratch that its computation needs, so that once it is warm nothing is allocated for a gradient or a
/// loss (the autodiff library, where it is asked for, allocates): make one per thread, they share their data.
pub trait Task: Send {
    /// A short name for tables and messages.
    fn name(&self) -> &str;

    /// Names, shapes and ranges of the parameters.
    fn layout(&self) -> &ParamLayout;

    /// Writes initial parameters: a pure function of the task and `seed`.
    fn init(&self, seed: u64, params: &mut [f32]);

    /// The mean loss of `batch` at `params`; its gradient is written to `grads`.
    ///
    /// A diverged model gives whatever comes out, also NaN or infinity; callers bound it.
    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32;

    /// The mean loss of `batch` at `params`.
    fn loss(&mut self, params: &[f32], batch: Batch) -> f32;

    /// Loss and accuracy over a whole split.
    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics;

    /// The loss of a model that has learned nothing but the mean of its targets: `ln C` for `C` balanced
    /// classes, the variance for a squared error. Losses of different tasks are compared relative to it.
    fn reference_loss(&self) -> f32;

    /// Floating-point operations of the matrix products of one gradient, where somebody counted them.
    fn flops_per_gradient(&self) -> Option<u64> {
        None
    }
}
