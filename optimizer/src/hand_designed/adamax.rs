//! Adamax: Adam with the infinity norm in place of the root mean square (Kingma and Ba, arXiv 1412.6980).
//!
//! ```text
//! m ← β₁ m + (1-β₁) g             m̂ = m / (1 - β₁^(t+1))
//! s ← max(β₂ s, |g| + ε)
//! p ← p - α ( m̂ / s + λ p )
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam with a decaying maximum of gradient magnitudes.
pub type Adamax = RuleOptimizer<AdamaxRule>;

/// Hyper-parameters of [`Adamax`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamaxConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the largest magnitude.
    pub beta2: f32,
    /// `ε`, added to every magnitude.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for AdamaxConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The update of [`Adamax`].
#[derive(Debug, Clone)]
pub struct AdamaxRule {
    config: AdamaxConfig,
    mean: Slot,
    largest: Slot,
}

impl UpdateRule for AdamaxRule {
    type Config = AdamaxConfig;
    const NAME: &'static str = "adamax";

    fn build(config: AdamaxConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self { config, mean: state.per_param("mean", layout), largest: state.per_param("largest", layout) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AdamaxConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let [mean, largest] = parts(state, [self.mean, self.largest]);
        let step_size = StepSize::new(learning_rate, context);
        let mean_correction = bias_correction(beta1, context.step);
        for_each_element(
            params,
            grads,
            [mean, largest],
            #[inline(always)]
            |p, g, [m, s]| {
                let m = beta1 * m + (1.0 - beta1) * g;
                let s = (beta2 * s).max(g.abs() + epsilon);
                (step_size.moved(p, m * mean_correction / s), [m, s])
            },
        );
    }
}
