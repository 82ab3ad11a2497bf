//! Adan: adaptive Nesterov momentum from the differences of gradients (Xie et al., arXiv 2208.06677).
//!
//! ```text
//! d = g - g₋₁                               zero at the first step
//! m ← β₁ m + (1-β₁) g
//! w ← β₂ w + (1-β₂) d
//! n ← β₃ n + (1-β₃) (g + (1-β₂) d)²         m̂, ŵ, n̂ divided by 1 - β^(t+1)
//! p ← p - α ( (m̂ + (1-β₂) ŵ) / (√(n̂ + ε) + ε) + λ p )
//! ```
//!
//! Differs from the paper in the weight `1-β₂` of the differences (the paper's `1-β` counts the other way round)
//! and in plain decoupled decay, as optax has it.

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adaptive Nesterov momentum.
pub type Adan = RuleOptimizer<AdanRule>;

/// Hyper-parameters of [`Adan`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdanConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of differences.
    pub beta2: f32,
    /// Decay `β₃` of the mean square.
    pub beta3: f32,
    /// `ε`, added under the root and outside it.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for AdanConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.98, beta2: 0.92, beta3: 0.99, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The update of [`Adan`].
#[derive(Debug, Clone)]
pub struct AdanRule {
    config: AdanConfig,
    mean: Slot,
    mean_difference: Slot,
    mean_square: Slot,
    previous_grads: Slot,
}

impl UpdateRule for AdanRule {
    type Config = AdanConfig;
    const NAME: &'static str = "adan";

    fn build(config: AdanConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::decay("beta3", config.beta3)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self {
            config,
            mean: state.per_param("mean", layout),
            mean_difference: state.per_param("mean_difference", layout),
            mean_square: state.per_param("mean_square", layout),
            previous_grads: state.per_param("previous_grads", layout),
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AdanConfig { learning_rate, beta1, beta2, beta3, epsilon, .. } = self.config;
        let slots = [self.mean, self.mean_difference, self.mean_square, self.previous_grads];
        let [mean, mean_difference, mean_square, previous_grads] = parts(state, slots);
        if context.step == 0 {
            previous_grads.copy_from_slice(grads);
        }
        let step_size = StepSize::new(learning_rate, context);
        let mean_correction = bias_correction(beta1, context.step);
        let difference_correction = (1.0 - beta2) * bias_correction(beta2, context.step);
        let square_correction = bias_correction(beta3, context.step);
        for_each_element(
            params,
            grads,
            [previous_grads, mean, mean_difference, mean_square],
            #[inline(always)]
            |p, g, [previous, m, w, n]| {
                let difference = g - previous;
                let m = beta1 * m + (1.0 - beta1) * g;
                let w = beta2 * w + (1.0 - beta2) * difference;
                let ahead = g + (1.0 - beta2) * difference;
                let n = beta3 * n + (1.0 - beta3) * ahead * ahead;
                let direction = m * mean_correction + w * difference_correction;
                (step_size.moved(p, direction / ((n * square_correction + epsilon).sqrt() + epsilon)), [g, m, w, n])
            },
        );
    }
}
