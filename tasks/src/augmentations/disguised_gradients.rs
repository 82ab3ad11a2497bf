//! A task whose gradients are changed on their way out; parameters and losses are untouched.

use velo_optimizer::ParamLayout;

use crate::rng::derive_seed;
use crate::task::{Batch, Metrics, Split, Task};

/// A change of gradients.
pub(super) trait GradientDisguise: Send {
    /// Changes the gradient of `batch`, which has this layout.
    fn disguise(&mut self, grads: &mut [f32], batch: Batch, layout: &ParamLayout);
}

/// The seed of what happens to one batch.
pub(super) fn batch_seed(seed: u64, batch: Batch) -> u64 {
    derive_seed(derive_seed(derive_seed(seed, batch.seed), batch.split as u64), batch.index)
}

/// See the [module](self).
pub(super) struct DisguisedGradients<D> {
    task: Box<dyn Task>,
    disguise: D,
}

impl<D: GradientDisguise + 'static> DisguisedGradients<D> {
    pub(super) fn wrap(task: Box<dyn Task>, disguise: D) -> Box<dyn Task> {
        Box::new(Self { task, disguise })
    }
}

impl<D: GradientDisguise> Task for DisguisedGradients<D> {
    fn name(&self) -> &str {
        self.task.name()
    }

    fn layout(&self) -> &ParamLayout {
        self.task.layout()
    }

    fn init(&self, seed: u64, params: &mut [f32]) {
        self.task.init(seed, params);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        let loss = self.task.loss_and_grad(params, batch, grads);
        self.disguise.disguise(grads, batch, self.task.layout());
        loss
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        self.task.loss(params, batch)
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        self.task.evaluate(params, split)
    }

    fn reference_loss(&self) -> f32 {
        self.task.reference_loss()
    }
}
