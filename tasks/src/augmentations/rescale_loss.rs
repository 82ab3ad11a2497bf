//! A loss in other units: `c · L`, with the gradient `c · ∂L/∂w`. Every reported loss is in the new unit.

use velo_optimizer::ParamLayout;

use crate::task::{Batch, Metrics, Split, Task};

/// `task` with losses and gradients multiplied by `factor`.
pub(super) fn wrap(task: Box<dyn Task>, factor: f32) -> Box<dyn Task> {
    Box::new(RescaledLoss { task, factor })
}

/// See the [module](self).
struct RescaledLoss {
    task: Box<dyn Task>,
    factor: f32,
}

impl Task for RescaledLoss {
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
        grads.iter_mut().for_each(|gradient| *gradient *= self.factor);
        self.factor * loss
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        self.factor * self.task.loss(params, batch)
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        let metrics = self.task.evaluate(params, split);
        Metrics { loss: self.factor * metrics.loss, ..metrics }
    }

    fn reference_loss(&self) -> f32 {
        self.factor * self.task.reference_loss()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::named;

    #[test]
    fn losses_and_gradients_scale_alike_and_accuracy_stays() {
        let mut plain = named("wine_mlp").unwrap().build().unwrap();
        let mut scaled = wrap(named("wine_mlp").unwrap().build().unwrap(), 8.0);
        let count = plain.layout().len();
        let (mut params, mut grads, mut scaled_grads) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
        plain.init(1, &mut params);
        let batch = Batch { seed: 3, split: Split::Train, index: 5 };
        let loss = plain.loss_and_grad(&params, batch, &mut grads);
        assert_eq!(scaled.loss_and_grad(&params, batch, &mut scaled_grads), 8.0 * loss);
        assert_eq!(scaled.loss(&params, batch), 8.0 * plain.loss(&params, batch));
        assert!(grads.iter().zip(&scaled_grads).all(|(g, scaled)| 8.0 * g == *scaled));
        let (metrics, expected) =
            (scaled.evaluate(&params, Split::Validation), plain.evaluate(&params, Split::Validation));
        assert_eq!((metrics.loss, metrics.accuracy), (8.0 * expected.loss, expected.accuracy));
        assert_eq!(scaled.reference_loss(), 8.0 * plain.reference_loss());
    }
}
