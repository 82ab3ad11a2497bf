//! ADOPT: Adam that normalises with the mean square from before the current gradient (Taniguchi et al.,
//! arXiv 2411.02853).
//!
//! ```text
//! c = t^(1/4)
//! u = clip( g / max(√v, ε), -c, c )
//! m ← β₁ m + (1-β₁) u
//! v ← β₂ v + (1-β₂) g²            v = g² at the first step, which does not move
//! p ← p - α (m + λ p)
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam whose mean square is one step behind.
pub type Adopt = RuleOptimizer<AdoptRule>;

/// Hyper-parameters of [`Adopt`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdoptConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// `ε`, the least root mean square to divide by.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for AdoptConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.9999, epsilon: 1e-6, weight_decay: 0.0 }
    }
}

/// The update of [`Adopt`].
#[derive(Debug, Clone)]
pub struct AdoptRule {
    config: AdoptConfig,
    mean: Slot,
    mean_square: Slot,
}

impl UpdateRule for AdoptRule {
    type Config = AdoptConfig;
    const NAME: &'static str = "adopt";

    fn build(config: AdoptConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self { config, mean: state.per_param("mean", layout), mean_square: state.per_param("mean_square", layout) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AdoptConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let [mean, mean_square] = parts(state, [self.mean, self.mean_square]);
        if context.step == 0 {
            for (v, &g) in mean_square.iter_mut().zip(grads) {
                *v = g * g;
            }
            return;
        }
        let step_size = StepSize::new(learning_rate, context);
        let limit = (context.step as f32).powf(0.25);
        for_each_element(
            params,
            grads,
            [mean, mean_square],
            #[inline(always)]
            |p, g, [m, v]| {
                let normalised = (g / v.sqrt().max(epsilon)).clamp(-limit, limit);
                let m = beta1 * m + (1.0 - beta1) * normalised;
                let v = beta2 * v + (1.0 - beta2) * g * g;
                (step_size.moved(p, m), [m, v])
            },
        );
    }
}
