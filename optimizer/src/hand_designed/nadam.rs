//! NAdam: Adam with Nesterov momentum (Dozat, ICLR workshop 2016), and NAdamW, the same with weight decay.
//!
//! ```text
//! m ← β₁ m + (1-β₁) g             m̂ = β₁ m / (1 - β₁^(t+2)) + (1-β₁) g / (1 - β₁^(t+1))
//! v ← β₂ v + (1-β₂) g²            v̂ = v / (1 - β₂^(t+1))
//! p ← p - α ( m̂ / (√v̂ + ε) + λ p )
//! ```
//!
//! The second mean square of the report carries another factor `β₂`; like most implementations this one leaves
//! it out. NAdamW shares the rule and has a name and defaults of its own.

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::Moments;
use super::step_size::StepSize;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam with Nesterov momentum.
pub type NAdam = RuleOptimizer<NAdamRule>;

/// Hyper-parameters of [`NAdam`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NAdamConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for NAdamConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The update of [`NAdam`].
#[derive(Debug, Clone)]
pub struct NAdamRule {
    config: NAdamConfig,
    mean: Slot,
    mean_square: Slot,
}

impl UpdateRule for NAdamRule {
    type Config = NAdamConfig;
    const NAME: &'static str = "nadam";

    fn build(config: NAdamConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
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
        let NAdamConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let moments = Moments { beta1, beta2, epsilon };
        let step_size = StepSize::new(learning_rate, context);
        moments.nadam(params, grads, parts(state, [self.mean, self.mean_square]), context.step, step_size);
    }
}

/// NAdamW: NAdam with decoupled weight decay.
pub type NAdamW = RuleOptimizer<NAdamWRule>;

/// Hyper-parameters of [`NAdamW`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NAdamWConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for NAdamWConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// The update of [`NAdamW`]: that of [`NAdam`].
#[derive(Debug, Clone)]
pub struct NAdamWRule(NAdamRule);

impl UpdateRule for NAdamWRule {
    type Config = NAdamWConfig;
    const NAME: &'static str = "nadamw";

    fn build(config: NAdamWConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        let NAdamWConfig { learning_rate, beta1, beta2, epsilon, weight_decay } = config;
        NAdamRule::build(NAdamConfig { learning_rate, beta1, beta2, epsilon, weight_decay }, layout, state).map(Self)
    }

    fn configured_weight_decay(&self) -> f32 {
        self.0.configured_weight_decay()
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        self.0.update(params, grads, state, context);
    }
}
