//! NAdamW as the list of optimizers of Metz et al. defines it (arXiv 2002.11887): the common hand-designed baseline
//! in papers on learned optimizers.
//!
//! ```text
//! g ← g - ℓ p
//! m ← β₁ m + (1-β₁) g
//! v ← β₂ v + (1-β₂) g²
//! α' = α √(1 - β₂^(t+1)) / (1 - β₁^(t+1))
//! p ← p - α' ( (β₁ m + (1-β₁) g) / (√v + ε) + λ p )
//! ```
//!
//! Differs from [`NAdamW`](super::NAdamW) in the corrections of momentum and `ε`, in a second coefficient `ℓ` that
//! goes through the averages (with the sign of the published code, which makes weights grow), and in the decoupled
//! decay, which follows the corrected rate `α'`.

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// NAdamW of the list of optimizers.
pub type OptListNAdamW = RuleOptimizer<OptListNAdamWRule>;

/// Hyper-parameters of [`OptListNAdamW`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptListNAdamWConfig {
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
    /// Coefficient `ℓ` of the parameters taken off the gradient.
    pub l2_penalty: f32,
}

impl Default for OptListNAdamWConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, l2_penalty: 0.0 }
    }
}

/// The update of [`OptListNAdamW`].
#[derive(Debug, Clone)]
pub struct OptListNAdamWRule {
    config: OptListNAdamWConfig,
    mean: Slot,
    mean_square: Slot,
}

impl UpdateRule for OptListNAdamWRule {
    type Config = OptListNAdamWConfig;
    const NAME: &'static str = "opt_list_nadamw";

    fn build(config: OptListNAdamWConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        checks::non_negative("l2_penalty", config.l2_penalty)?;
        Ok(Self { config, mean: state.per_param("mean", layout), mean_square: state.per_param("mean_square", layout) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let OptListNAdamWConfig { learning_rate, beta1, beta2, epsilon, l2_penalty, .. } = self.config;
        let [mean, mean_square] = parts(state, [self.mean, self.mean_square]);
        let correction = bias_correction(beta1, context.step) / bias_correction(beta2, context.step).sqrt();
        let step_size = StepSize::new(learning_rate * correction, context);
        for_each_element(
            params,
            grads,
            [mean, mean_square],
            #[inline(always)]
            |p, g, [m, v]| {
                let g = g - l2_penalty * p;
                let m = beta1 * m + (1.0 - beta1) * g;
                let v = beta2 * v + (1.0 - beta2) * g * g;
                (step_size.moved(p, (beta1 * m + (1.0 - beta1) * g) / (v.sqrt() + epsilon)), [m, v])
            },
        );
    }
}
