//! AMSGrad: Adam whose step sizes never grow (Reddi, Kale and Kumar, ICLR 2018).
//!
//! ```text
//! m ← β₁ m + (1-β₁) g             m̂ = m / (1 - β₁^(t+1))
//! v ← β₂ v + (1-β₂) g²            s ← max(s, v / (1 - β₂^(t+1)))
//! p ← p - α ( m̂ / (√s + ε) + λ p )
//! ```
//!
//! Differs from the paper in that the maximum is taken over bias-corrected averages, as optax does.

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam with a running maximum of the mean square.
pub type AmsGrad = RuleOptimizer<AmsGradRule>;

/// Hyper-parameters of [`AmsGrad`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AmsGradConfig {
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

impl Default for AmsGradConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The update of [`AmsGrad`].
#[derive(Debug, Clone)]
pub struct AmsGradRule {
    config: AmsGradConfig,
    mean: Slot,
    mean_square: Slot,
    largest: Slot,
}

impl UpdateRule for AmsGradRule {
    type Config = AmsGradConfig;
    const NAME: &'static str = "amsgrad";

    fn build(config: AmsGradConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self {
            config,
            mean: state.per_param("mean", layout),
            mean_square: state.per_param("mean_square", layout),
            largest: state.per_param("largest", layout),
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AmsGradConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let [mean, mean_square, largest] = parts(state, [self.mean, self.mean_square, self.largest]);
        let step_size = StepSize::new(learning_rate, context);
        let (mean_correction, square_correction) =
            (bias_correction(beta1, context.step), bias_correction(beta2, context.step));
        for_each_element(
            params,
            grads,
            [mean, mean_square, largest],
            #[inline(always)]
            |p, g, [m, v, s]| {
                let m = beta1 * m + (1.0 - beta1) * g;
                let v = beta2 * v + (1.0 - beta2) * g * g;
                let s = s.max(v * square_correction);
                (step_size.moved(p, m * mean_correction / (s.sqrt() + epsilon)), [m, v, s])
            },
        );
    }
}
