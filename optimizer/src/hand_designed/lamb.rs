//! LAMB: Adam with one rate per tensor, in proportion to the size of its weights (You et al., arXiv 1904.00962).
//!
//! ```text
//! m ← β₁ m + (1-β₁) g             m̂ = m / (1 - β₁^(t+1))
//! v ← β₂ v + (1-β₂) g²            v̂ = v / (1 - β₂^(t+1))
//! u = m̂ / (√v̂ + ε) + λ p
//! p ← p - α (‖p‖ / ‖u‖) u         ratio one where a norm is zero
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::layerwise::{Layerwise, trust_ratio};
use super::moments::bias_correction;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam with a trust ratio per tensor.
pub type Lamb = RuleOptimizer<LambRule>;

/// Hyper-parameters of [`Lamb`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LambConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// Decay `λ`, inside the trust ratio.
    pub weight_decay: f32,
}

impl Default for LambConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weight_decay: 0.0 }
    }
}

/// The update of [`Lamb`].
#[derive(Debug, Clone)]
pub struct LambRule {
    config: LambConfig,
    mean: Slot,
    mean_square: Slot,
    layerwise: Layerwise,
}

impl UpdateRule for LambRule {
    type Config = LambConfig;
    const NAME: &'static str = "lamb";

    fn build(config: LambConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self {
            layerwise: Layerwise::new(layout),
            config,
            mean: state.per_param("mean", layout),
            mean_square: state.per_param("mean_square", layout),
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let LambConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let [mean, mean_square] = parts(state, [self.mean, self.mean_square]);
        let (mean_correction, square_correction) =
            (bias_correction(beta1, context.step), bias_correction(beta2, context.step));
        let Layerwise { tensors, direction } = &mut self.layerwise;
        for tensor in tensors {
            let (params, grads) = (&mut params[tensor.clone()], &grads[tensor.clone()]);
            let (mean, mean_square) = (&mut mean[tensor.clone()], &mut mean_square[tensor.clone()]);
            let direction = &mut direction[..tensor.len()];
            for_each_element(
                direction,
                grads,
                [params, mean, mean_square],
                #[inline(always)]
                |_, g, [p, m, v]| {
                    let m = beta1 * m + (1.0 - beta1) * g;
                    let v = beta2 * v + (1.0 - beta2) * g * g;
                    (
                        m * mean_correction / ((v * square_correction).sqrt() + epsilon) + context.weight_decay * p,
                        [p, m, v],
                    )
                },
            );
            let rate = learning_rate * context.rate * trust_ratio(params, direction, 1.0);
            for_each_element(
                params,
                direction,
                [],
                #[inline(always)]
                |p, u, []| (p - rate * u, []),
            );
        }
    }
}
