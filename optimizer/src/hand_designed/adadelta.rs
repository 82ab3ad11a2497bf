//! AdaDelta: a step in the units of the parameters, from two running averages (Zeiler, arXiv 1212.5701).
//!
//! ```text
//! v ← ρ v + (1-ρ) g²
//! u = g √(d + ε) / √(v + ε)
//! d ← ρ d + (1-ρ) u²
//! p ← p - α (u + λ p)
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Gradient descent with the ratio of two running root mean squares as its rate.
pub type AdaDelta = RuleOptimizer<AdaDeltaRule>;

/// Hyper-parameters of [`AdaDelta`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaDeltaConfig {
    /// Factor `α` on the step; `1` in the paper.
    pub learning_rate: f32,
    /// Decay `ρ` of both averages.
    pub rho: f32,
    /// `ε`, added under both roots.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for AdaDeltaConfig {
    fn default() -> Self {
        Self { learning_rate: 1.0, rho: 0.9, epsilon: 1e-6, weight_decay: 0.0 }
    }
}

/// The update of [`AdaDelta`].
#[derive(Debug, Clone)]
pub struct AdaDeltaRule {
    config: AdaDeltaConfig,
    mean_square: Slot,
    mean_square_step: Slot,
}

impl UpdateRule for AdaDeltaRule {
    type Config = AdaDeltaConfig;
    const NAME: &'static str = "adadelta";

    fn build(config: AdaDeltaConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("rho", config.rho)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self {
            config,
            mean_square: state.per_param("mean_square", layout),
            mean_square_step: state.per_param("mean_square_step", layout),
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AdaDeltaConfig { learning_rate, rho, epsilon, .. } = self.config;
        let [mean_square, mean_square_step] = parts(state, [self.mean_square, self.mean_square_step]);
        let step_size = StepSize::new(learning_rate, context);
        for_each_element(
            params,
            grads,
            [mean_square, mean_square_step],
            #[inline(always)]
            |p, g, [v, d]| {
                let v = rho * v + (1.0 - rho) * g * g;
                let direction = g * ((d + epsilon).sqrt() / (v + epsilon).sqrt());
                let d = rho * d + (1.0 - rho) * direction * direction;
                (step_size.moved(p, direction), [v, d])
            },
        );
    }
}
