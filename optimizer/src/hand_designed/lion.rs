//! Lion: the sign of a momentum, found by program search (Chen et al., arXiv 2302.06675).
//!
//! ```text
//! u = sign(β₁ m + (1-β₁) g)
//! m ← β₂ m + (1-β₂) g
//! p ← p - α (u + λ p)
//! ```
//!
//! Every element moves by the same amount, so the learning rate is some ten times smaller than Adam's and the
//! decay larger.

use serde::{Deserialize, Serialize};

use super::checks;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout};
use crate::{Error, ParamLayout};

/// Sign descent with two decays of one momentum.
pub type Lion = RuleOptimizer<LionRule>;

/// Hyper-parameters of [`Lion`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LionConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Weight `β₁` of the momentum in the direction.
    pub beta1: f32,
    /// Decay `β₂` of the momentum.
    pub beta2: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for LionConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-4, beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

/// The update of [`Lion`].
#[derive(Debug, Clone)]
pub struct LionRule {
    config: LionConfig,
    momentum: Slot,
}

impl UpdateRule for LionRule {
    type Config = LionConfig;
    const NAME: &'static str = "lion";

    fn build(config: LionConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self { config, momentum: state.per_param("momentum", layout) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let LionConfig { learning_rate, beta1, beta2, .. } = self.config;
        let step_size = StepSize::new(learning_rate, context);
        for_each_element(
            params,
            grads,
            [&mut state[self.momentum.range()]],
            #[inline(always)]
            |p, g, [m]| {
                let mixed = beta1 * m + (1.0 - beta1) * g;
                // `signum` would give ±1 for ±0.
                let direction = if mixed == 0.0 { 0.0 } else { 1.0f32.copysign(mixed) };
                let m = beta2 * m + (1.0 - beta2) * g;
                (step_size.moved(p, direction), [m])
            },
        );
    }
}
