//! Gradients that an evolution strategy estimates from losses of the same batch, in place of exact ones.

use velo_optimizer::ParamLayout;

use super::disguised_gradients::batch_seed;
use crate::evolution::Antithetic;
use crate::task::{Batch, Metrics, Split, Task};

/// `task` with gradients from `pairs` pairs of losses.
pub(super) fn wrap(task: Box<dyn Task>, deviation: f32, pairs: usize, seed: u64) -> Box<dyn Task> {
    let estimator = Antithetic::new(task.layout().len(), deviation, pairs);
    Box::new(EvolutionGradient { task, estimator, seed })
}

/// See the [module](self).
struct EvolutionGradient {
    task: Box<dyn Task>,
    estimator: Antithetic,
    seed: u64,
}

impl Task for EvolutionGradient {
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
        let Self { task, estimator, seed } = self;
        estimator.gradient(grads, params, batch_seed(*seed, batch), |moved| task.loss(moved, batch));
        task.loss(params, batch)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::named;

    #[test]
    fn an_estimate_points_along_the_gradient_and_the_loss_is_that_of_the_task() {
        let batch = Batch { seed: 1, split: Split::Train, index: 2 };
        let mut plain = named("wine_mlp").unwrap().build().unwrap();
        let mut estimated = wrap(named("wine_mlp").unwrap().build().unwrap(), 0.01, 64, 5);
        let count = plain.layout().len();
        let (mut params, mut exact, mut grads) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
        plain.init(1, &mut params);
        let loss = plain.loss_and_grad(&params, batch, &mut exact);
        assert_eq!(estimated.loss_and_grad(&params, batch, &mut grads), loss);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        // The projection on the gradient is unbiased; 64 pairs know it to about √(2/64).
        let projection = dot(&grads, &exact) / dot(&exact, &exact);
        assert!((projection - 1.0).abs() < 5.0 * (2.0f32 / 64.0).sqrt(), "{projection}");
    }
}
