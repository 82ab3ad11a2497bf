//! Re-parametrisation (Metz et al., VeLO, arXiv 2211.09760) stores `w / s` and computes with `w · s`:
//!
//! ```text
//! stored = w / s      L'(stored) = L(s · stored)      ∂L'/∂stored = s · ∂L/∂w
//! ```
//!
//! `s` is log-uniform in `[10⁻ʳ, 10ʳ]`, drawn once for all parameters, for each tensor, or for each parameter.

use serde::{Deserialize, Serialize};
use velo_optimizer::ParamLayout;

use crate::rng::{Stream, stream_number};
use crate::task::{Batch, Metrics, Split, Task};

/// What shares one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All parameters.
    Global,
    /// The parameters of one tensor.
    PerTensor,
    /// Nothing: every parameter has its own.
    PerParameter,
}

/// `task` with its parameters stored divided by random scales.
pub(super) fn wrap(task: Box<dyn Task>, scope: Scope, decades: f32, seed: u64) -> Box<dyn Task> {
    let scales = scales(task.layout(), scope, decades, seed);
    Box::new(Reparametrised { params: vec![0.0; scales.len()], scales, task })
}

/// One scale for each parameter.
fn scales(layout: &ParamLayout, scope: Scope, decades: f32, seed: u64) -> Vec<f32> {
    let stream = Stream::new(seed, const { stream_number("reparametrisation") });
    let scale = |index: u64| 10f64.powf(f64::from(decades) * (2.0 * stream.uniform(index) - 1.0)) as f32;
    match scope {
        Scope::Global => vec![scale(0); layout.len()],
        Scope::PerTensor => {
            let tensors = layout.tensors().iter().enumerate();
            tensors.flat_map(|(index, tensor)| std::iter::repeat_n(scale(index as u64), tensor.len())).collect()
        }
        Scope::PerParameter => (0..layout.len() as u64).map(scale).collect(),
    }
}

/// See the [module](self).
struct Reparametrised {
    task: Box<dyn Task>,
    scales: Vec<f32>,
    /// `w`, for the wrapped task.
    params: Vec<f32>,
}

impl Reparametrised {
    fn restore(&mut self, stored: &[f32]) {
        for ((w, stored), scale) in self.params.iter_mut().zip(stored).zip(&self.scales) {
            *w = stored * scale;
        }
    }
}

impl Task for Reparametrised {
    fn name(&self) -> &str {
        self.task.name()
    }

    fn layout(&self) -> &ParamLayout {
        self.task.layout()
    }

    fn init(&self, seed: u64, params: &mut [f32]) {
        self.task.init(seed, params);
        params.iter_mut().zip(&self.scales).for_each(|(w, scale)| *w /= scale);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        self.restore(params);
        let loss = self.task.loss_and_grad(&self.params, batch, grads);
        grads.iter_mut().zip(&self.scales).for_each(|(gradient, scale)| *gradient *= scale);
        loss
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        self.restore(params);
        self.task.loss(&self.params, batch)
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        self.restore(params);
        self.task.evaluate(&self.params, split)
    }

    fn reference_loss(&self) -> f32 {
        self.task.reference_loss()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::named;

    const BATCH: Batch = Batch { seed: 3, split: Split::Train, index: 5 };

    #[test]
    fn the_loss_is_unchanged_and_gradients_follow_the_chain_rule() {
        let mut plain = named("wine_mlp").unwrap().build().unwrap();
        let count = plain.layout().len();
        let (mut w, mut plain_grads) = (vec![0.0; count], vec![0.0; count]);
        plain.init(1, &mut w);
        let plain_loss = plain.loss_and_grad(&w, BATCH, &mut plain_grads);
        for scope in [Scope::Global, Scope::PerTensor, Scope::PerParameter] {
            let mut disguised = wrap(named("wine_mlp").unwrap().build().unwrap(), scope, 3.0, 7);
            let (mut stored, mut grads) = (vec![0.0; count], vec![0.0; count]);
            disguised.init(1, &mut stored);
            let loss = disguised.loss_and_grad(&stored, BATCH, &mut grads);
            assert!((loss - plain_loss).abs() < 1e-5 * plain_loss, "{scope:?}: {loss} against {plain_loss}");
            let scales = scales(plain.layout(), scope, 3.0, 7);
            let largest = plain_grads.iter().fold(0.0f32, |largest, g| largest.max(g.abs()));
            for i in 0..count {
                assert!((stored[i] * scales[i] - w[i]).abs() <= 1e-6 * w[i].abs());
                assert!((grads[i] / scales[i] - plain_grads[i]).abs() < 1e-5 * largest, "{scope:?}, parameter {i}");
            }
        }
    }

    #[test]
    fn scales_fill_their_range_and_follow_their_scope() {
        let layout = ParamLayout::new([("a", vec![500]), ("b", vec![500])]).unwrap();
        let global = scales(&layout, Scope::Global, 2.0, 1);
        assert!(global.iter().all(|&scale| scale == global[0]));
        let per_tensor = scales(&layout, Scope::PerTensor, 2.0, 1);
        assert!(per_tensor[..500].iter().all(|&scale| scale == per_tensor[0]) && per_tensor[0] != per_tensor[500]);
        let each = scales(&layout, Scope::PerParameter, 2.0, 1);
        let (low, high) = each.iter().fold((f32::MAX, 0.0f32), |(low, high), &s| (low.min(s), high.max(s)));
        assert!((0.01..0.015).contains(&low) && (70.0..100.0).contains(&high), "{low} {high}");
    }
}
