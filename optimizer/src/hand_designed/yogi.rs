//! Yogi: Adam whose mean square moves by at most a fraction of the new square (Zaheer et al., NeurIPS 2018).
//!
//! ```text
//! m ← β₁ m + (1-β₁) g                     m̂ = m / (1 - β₁^(t+1))
//! v ← v - (1-β₂) sign(v - g²) g²          v̂ = v / (1 - β₂^(t+1))
//! p ← p - α ( m̂ / (√v̂ + ε) + λ p )
//! ```
//!
//! Both averages start at 1e-6.

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// What both averages start from.
const INITIAL_AVERAGE: f32 = 1e-6;

/// Adam with additive control of the mean square.
pub type Yogi = RuleOptimizer<YogiRule>;

/// Hyper-parameters of [`Yogi`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct YogiConfig {
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

impl Default for YogiConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-3, weight_decay: 0.0 }
    }
}

/// The update of [`Yogi`].
#[derive(Debug, Clone)]
pub struct YogiRule {
    config: YogiConfig,
    mean: Slot,
    mean_square: Slot,
}

impl UpdateRule for YogiRule {
    type Config = YogiConfig;
    const NAME: &'static str = "yogi";

    fn build(config: YogiConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
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
        let YogiConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let [mean, mean_square] = parts(state, [self.mean, self.mean_square]);
        if context.step == 0 {
            mean.fill(INITIAL_AVERAGE);
            mean_square.fill(INITIAL_AVERAGE);
        }
        let step_size = StepSize::new(learning_rate, context);
        let (mean_correction, square_correction) =
            (bias_correction(beta1, context.step), bias_correction(beta2, context.step));
        for_each_element(
            params,
            grads,
            [mean, mean_square],
            #[inline(always)]
            |p, g, [m, v]| {
                let m = beta1 * m + (1.0 - beta1) * g;
                let square = g * g;
                let sign = f32::from(v > square) - f32::from(v < square);
                let v = v - (1.0 - beta2) * sign * square;
                (step_size.moved(p, m * mean_correction / ((v * square_correction).sqrt() + epsilon)), [m, v])
            },
        );
    }
}
