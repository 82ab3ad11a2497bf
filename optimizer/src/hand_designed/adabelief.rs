//! AdaBelief: steps scaled by the belief in the gradient (Zhuang et al., arXiv 2010.07468).
//!
//! ```text
//! m ← β₁ m + (1-β₁) g                     m̂ = m / (1 - β₁^(t+1))
//! s ← β₂ s + (1-β₂) (g - m)² + ε          ŝ = s / (1 - β₂^(t+1))
//! p ← p - α ( m̂ / (√ŝ + ε) + λ p )
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam with the mean squared surprise in place of the mean square.
pub type AdaBelief = RuleOptimizer<AdaBeliefRule>;

/// Hyper-parameters of [`AdaBelief`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaBeliefConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean squared surprise.
    pub beta2: f32,
    /// `ε`, added to the mean square at every step and outside the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for AdaBeliefConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-16, weight_decay: 0.0 }
    }
}

/// The update of [`AdaBelief`].
#[derive(Debug, Clone)]
pub struct AdaBeliefRule {
    config: AdaBeliefConfig,
    mean: Slot,
    surprise: Slot,
}

impl UpdateRule for AdaBeliefRule {
    type Config = AdaBeliefConfig;
    const NAME: &'static str = "adabelief";

    fn build(config: AdaBeliefConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self { config, mean: state.per_param("mean", layout), surprise: state.per_param("surprise", layout) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AdaBeliefConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let [mean, surprise] = parts(state, [self.mean, self.surprise]);
        let step_size = StepSize::new(learning_rate, context);
        let (mean_correction, square_correction) =
            (bias_correction(beta1, context.step), bias_correction(beta2, context.step));
        for_each_element(
            params,
            grads,
            [mean, surprise],
            #[inline(always)]
            |p, g, [m, s]| {
                let m = beta1 * m + (1.0 - beta1) * g;
                let difference = g - m;
                let s = beta2 * s + (1.0 - beta2) * difference * difference + epsilon;
                (step_size.moved(p, m * mean_correction / ((s * square_correction).sqrt() + epsilon)), [m, s])
            },
        );
    }
}
