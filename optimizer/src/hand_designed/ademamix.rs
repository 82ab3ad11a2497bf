//! AdEMAMix: Adam with a second, much slower momentum (Pagliardini, Ablin and Grangier, arXiv 2409.03137).
//!
//! ```text
//! m ← β₁ m + (1-β₁) g             m̂ = m / (1 - β₁^(t+1))
//! w ← β₃ w + (1-β₃) g             not corrected: it fills slowly on purpose
//! v ← β₂ v + (1-β₂) g²            v̂ = v / (1 - β₂^(t+1))
//! p ← p - α ( (m̂ + a w) / (√v̂ + ε) + λ p )
//! ```
//!
//! `β₃` and `a` are constant here; the paper's schedules for them matter for runs of 1e5 steps and more.

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam with a fast and a slow momentum.
pub type AdEmaMix = RuleOptimizer<AdEmaMixRule>;

/// Hyper-parameters of [`AdEmaMix`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdEmaMixConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// Decay `β₃` of the slow mean of gradients.
    pub beta3: f32,
    /// Weight `a` of the slow mean.
    pub slow_weight: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for AdEmaMixConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            beta3: 0.9999,
            slow_weight: 5.0,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// The update of [`AdEmaMix`].
#[derive(Debug, Clone)]
pub struct AdEmaMixRule {
    config: AdEmaMixConfig,
    mean: Slot,
    slow_mean: Slot,
    mean_square: Slot,
}

impl UpdateRule for AdEmaMixRule {
    type Config = AdEmaMixConfig;
    const NAME: &'static str = "ademamix";

    fn build(config: AdEmaMixConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::decay("beta3", config.beta3)?;
        checks::non_negative("slow_weight", config.slow_weight)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self {
            config,
            mean: state.per_param("mean", layout),
            slow_mean: state.per_param("slow_mean", layout),
            mean_square: state.per_param("mean_square", layout),
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AdEmaMixConfig { learning_rate, beta1, beta2, beta3, slow_weight, epsilon, .. } = self.config;
        let [mean, slow_mean, mean_square] = parts(state, [self.mean, self.slow_mean, self.mean_square]);
        let step_size = StepSize::new(learning_rate, context);
        let (mean_correction, square_correction) =
            (bias_correction(beta1, context.step), bias_correction(beta2, context.step));
        for_each_element(
            params,
            grads,
            [mean, slow_mean, mean_square],
            #[inline(always)]
            |p, g, [m, w, v]| {
                let m = beta1 * m + (1.0 - beta1) * g;
                let w = beta3 * w + (1.0 - beta3) * g;
                let v = beta2 * v + (1.0 - beta2) * g * g;
                let direction = m * mean_correction + slow_weight * w;
                (step_size.moved(p, direction / ((v * square_correction).sqrt() + epsilon)), [m, w, v])
            },
        );
    }
}
