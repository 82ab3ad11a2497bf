//! Prodigy: Adam that estimates its own step size from the distance travelled (Mishchenko and Defazio,
//! arXiv 2306.06101).
//!
//! ```text
//! δ = d α √(1 - β₂^(t+1)) / (1 - β₁^(t+1))            α = learning_rate · rate, 1 by intention
//! m ← β₁ m + (1-β₁) d g
//! v ← β₂ v + (1-β₂) d² g²
//! s ← β₃ s + δ d g / d₀                               β₃ = √β₂
//! r ← β₃ r + δ (d / d₀) ⟨g, p₀ - p⟩
//! p ← p - δ ( m / (√v + d' ε) + λ p )                 d' = max(d, r / ‖s‖₁)
//! d ← d'
//! ```

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::reductions::{sum_of, sum_of_magnitudes};
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam with an estimated step size.
pub type Prodigy = RuleOptimizer<ProdigyRule>;

/// Hyper-parameters of [`Prodigy`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProdigyConfig {
    /// Factor on the estimated step size; `1` by intention.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// First (under-)estimate `d` of the step size.
    pub initial_estimate: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for ProdigyConfig {
    fn default() -> Self {
        Self { learning_rate: 1.0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, initial_estimate: 1e-6, weight_decay: 0.0 }
    }
}

/// The update of [`Prodigy`].
#[derive(Debug, Clone)]
pub struct ProdigyRule {
    config: ProdigyConfig,
    mean: Slot,
    mean_square: Slot,
    grad_sum: Slot,
    start: Slot,
    estimate: Slot,
    numerator: Slot,
    tensors: Vec<Range<usize>>,
}

impl UpdateRule for ProdigyRule {
    type Config = ProdigyConfig;
    const NAME: &'static str = "prodigy";

    fn build(config: ProdigyConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::positive("initial_estimate", config.initial_estimate)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self {
            config,
            mean: state.per_param("mean", layout),
            mean_square: state.per_param("mean_square", layout),
            grad_sum: state.per_param("grad_sum", layout),
            start: state.per_param("start", layout),
            estimate: state.tensor("estimate", &[]),
            numerator: state.tensor("numerator", &[]),
            tensors: layout.tensors().iter().map(|tensor| tensor.range.clone()).collect(),
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let ProdigyConfig { learning_rate, beta1, beta2, epsilon, initial_estimate, .. } = self.config;
        let slots = [self.mean, self.mean_square, self.grad_sum, self.start, self.estimate, self.numerator];
        let [mean, mean_square, grad_sum, start, estimate, numerator] = parts(state, slots);
        if context.step == 0 {
            start.copy_from_slice(params);
            estimate[0] = initial_estimate;
        }
        let d = estimate[0];
        let beta3 = beta2.sqrt();
        let correction = bias_correction(beta1, context.step) / bias_correction(beta2, context.step).sqrt();
        let delta = d * learning_rate * context.rate * correction;
        let weight = delta * d / initial_estimate;

        let (mut progress, mut magnitude) = (0.0f64, 0.0f64);
        for tensor in &self.tensors {
            let (params, grads, start) = (&params[tensor.clone()], &grads[tensor.clone()], &start[tensor.clone()]);
            progress += sum_of(grads.len(), |at| grads[at] * (start[at] - params[at]));
            let (mean, mean_square) = (&mut mean[tensor.clone()], &mut mean_square[tensor.clone()]);
            let grad_sum = &mut grad_sum[tensor.clone()];
            for_each_element(
                mean,
                grads,
                [mean_square, &mut *grad_sum],
                #[inline(always)]
                |m, g, [v, s]| {
                    let scaled = d * g;
                    let v = beta2 * v + (1.0 - beta2) * scaled * scaled;
                    (beta1 * m + (1.0 - beta1) * scaled, [v, beta3 * s + weight * g])
                },
            );
            magnitude += sum_of_magnitudes(grad_sum);
        }
        numerator[0] = beta3 * numerator[0] + d / initial_estimate * delta * progress as f32;
        // `max` ignores the NaN of a step on which every gradient was zero.
        estimate[0] = d.max(numerator[0] / magnitude as f32);

        let floor = estimate[0] * epsilon;
        let step_size = StepSize { rate: delta, shrink: 1.0 - delta * context.weight_decay };
        for_each_element(
            params,
            mean,
            [mean_square],
            #[inline(always)]
            |p, m, [v]| (step_size.moved(p, m / (v.sqrt() + floor)), [v]),
        );
    }
}
