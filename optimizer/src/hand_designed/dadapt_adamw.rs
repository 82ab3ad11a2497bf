//! D-Adaptation for AdamW: the step size from a lower bound of the distance to the solution (Defazio and Mishchenko,
//! arXiv 2301.07733).
//!
//! ```text
//! δ = d α √(1 - β₂^(t+1)) / (1 - β₁^(t+1))            α = learning_rate · rate, 1 by intention
//! q = ⟨g, s / (√v + ε)⟩                               with s and v from before this gradient
//! m ← β₁ m + (1-β₁) δ g
//! v ← β₂ v + (1-β₂) g²
//! s ← γ s + (1-γ) δ g                                 γ = √β₂
//! r ← γ r + (1-γ) δ q
//! p ← p - m / (√v + ε) - δ λ p
//! d ← max(d, r / ((1-γ) ‖s‖₁))
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

/// AdamW with an estimated step size.
pub type DAdaptAdamW = RuleOptimizer<DAdaptAdamWRule>;

/// Hyper-parameters of [`DAdaptAdamW`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DAdaptAdamWConfig {
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

impl Default for DAdaptAdamWConfig {
    fn default() -> Self {
        Self { learning_rate: 1.0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, initial_estimate: 1e-6, weight_decay: 0.0 }
    }
}

/// The update of [`DAdaptAdamW`].
#[derive(Debug, Clone)]
pub struct DAdaptAdamWRule {
    config: DAdaptAdamWConfig,
    mean: Slot,
    mean_square: Slot,
    grad_sum: Slot,
    estimate: Slot,
    numerator: Slot,
    tensors: Vec<Range<usize>>,
}

impl UpdateRule for DAdaptAdamWRule {
    type Config = DAdaptAdamWConfig;
    const NAME: &'static str = "dadapt_adamw";

    fn build(config: DAdaptAdamWConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
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
            estimate: state.tensor("estimate", &[]),
            numerator: state.tensor("numerator", &[]),
            tensors: layout.tensors().iter().map(|tensor| tensor.range.clone()).collect(),
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let DAdaptAdamWConfig { learning_rate, beta1, beta2, epsilon, initial_estimate, .. } = self.config;
        let slots = [self.mean, self.mean_square, self.grad_sum, self.estimate, self.numerator];
        let [mean, mean_square, grad_sum, estimate, numerator] = parts(state, slots);
        if context.step == 0 {
            estimate[0] = initial_estimate;
        }
        let gamma = beta2.sqrt();
        let correction = bias_correction(beta1, context.step) / bias_correction(beta2, context.step).sqrt();
        let delta = estimate[0] * learning_rate * context.rate * correction;
        // The mean already carries δ, so the step is taken at rate one.
        let step_size = StepSize { rate: 1.0, shrink: 1.0 - delta * context.weight_decay };

        let (mut progress, mut magnitude) = (0.0f64, 0.0f64);
        for tensor in &self.tensors {
            let (params, grads) = (&mut params[tensor.clone()], &grads[tensor.clone()]);
            let (mean, mean_square) = (&mut mean[tensor.clone()], &mut mean_square[tensor.clone()]);
            let grad_sum = &mut grad_sum[tensor.clone()];
            progress += sum_of(grads.len(), |at| grads[at] * grad_sum[at] / (mean_square[at].sqrt() + epsilon));
            for_each_element(
                params,
                grads,
                [mean, mean_square, &mut *grad_sum],
                #[inline(always)]
                |p, g, [m, v, s]| {
                    let m = beta1 * m + (1.0 - beta1) * delta * g;
                    let v = beta2 * v + (1.0 - beta2) * g * g;
                    let s = gamma * s + (1.0 - gamma) * delta * g;
                    (step_size.moved(p, m / (v.sqrt() + epsilon)), [m, v, s])
                },
            );
            magnitude += sum_of_magnitudes(grad_sum);
        }
        numerator[0] = gamma * numerator[0] + (1.0 - gamma) * delta * progress as f32;
        // `max` ignores the NaN of a step on which every gradient was zero.
        estimate[0] = estimate[0].max(numerator[0] / ((1.0 - gamma) * magnitude as f32));
    }
}
