//! Adam (Kingma and Ba, arXiv 1412.6980) and AdamW (Loshchilov and Hutter, arXiv 1711.05101).
//!
//! With `t` updates done and `α = learning_rate · rate`:
//!
//! ```text
//! m ← β₁ m + (1-β₁) g             m̂ = m / (1 - β₁^(t+1))
//! v ← β₂ v + (1-β₂) g²            v̂ = v / (1 - β₂^(t+1))
//! p ← p - α ( m̂ / (√v̂ + ε) + λ p )
//! ```
//!
//! AdamW is Adam with the decay coefficient `λ` above zero; it shares the rule and has a name and defaults
//! of its own.

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::Moments;
use super::step_size::StepSize;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam.
pub type Adam = RuleOptimizer<AdamRule>;

/// Hyper-parameters of [`Adam`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
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

impl Default for AdamConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The update of [`Adam`].
#[derive(Debug, Clone)]
pub struct AdamRule {
    config: AdamConfig,
    mean: Slot,
    mean_square: Slot,
}

impl UpdateRule for AdamRule {
    type Config = AdamConfig;
    const NAME: &'static str = "adam";

    fn build(config: AdamConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
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
        let AdamConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let moments = Moments { beta1, beta2, epsilon };
        let step_size = StepSize::new(learning_rate, context);
        moments.adam(params, grads, parts(state, [self.mean, self.mean_square]), context.step, step_size);
    }
}

/// AdamW: Adam with decoupled weight decay.
pub type AdamW = RuleOptimizer<AdamWRule>;

/// Hyper-parameters of [`AdamW`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
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

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// The update of [`AdamW`]: that of [`Adam`].
#[derive(Debug, Clone)]
pub struct AdamWRule(AdamRule);

impl UpdateRule for AdamWRule {
    type Config = AdamWConfig;
    const NAME: &'static str = "adamw";

    fn build(config: AdamWConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        let AdamWConfig { learning_rate, beta1, beta2, epsilon, weight_decay } = config;
        AdamRule::build(AdamConfig { learning_rate, beta1, beta2, epsilon, weight_decay }, layout, state).map(Self)
    }

    fn configured_weight_decay(&self) -> f32 {
        self.0.configured_weight_decay()
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        self.0.update(params, grads, state, context);
    }
}
