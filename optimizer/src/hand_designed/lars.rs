//! LARS: momentum with one rate per tensor, in proportion to the size of its weights (You, Gitman and Ginsburg,
//! arXiv 1708.03888).
//!
//! ```text
//! u = g + λ p
//! m ← μ m + α η (‖p‖ / ‖u‖) u     η = trust_coefficient; the factor is one where a norm is zero
//! p ← p - m
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::layerwise::{Layerwise, trust_ratio};
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout};
use crate::{Error, ParamLayout};

/// Momentum with a trust ratio per tensor.
pub type Lars = RuleOptimizer<LarsRule>;

/// Hyper-parameters of [`Lars`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LarsConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `μ` of the sum of steps.
    pub momentum: f32,
    /// Factor `η` of the trust ratio.
    pub trust_coefficient: f32,
    /// Decay `λ`, inside the trust ratio.
    pub weight_decay: f32,
}

impl Default for LarsConfig {
    fn default() -> Self {
        Self { learning_rate: 0.1, momentum: 0.9, trust_coefficient: 1e-3, weight_decay: 0.0 }
    }
}

/// The update of [`Lars`].
#[derive(Debug, Clone)]
pub struct LarsRule {
    config: LarsConfig,
    momentum: Slot,
    layerwise: Layerwise,
}

impl UpdateRule for LarsRule {
    type Config = LarsConfig;
    const NAME: &'static str = "lars";

    fn build(config: LarsConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("momentum", config.momentum)?;
        checks::positive("trust_coefficient", config.trust_coefficient)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self { layerwise: Layerwise::new(layout), config, momentum: state.per_param("momentum", layout) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let LarsConfig { learning_rate, momentum: mu, trust_coefficient, .. } = self.config;
        let momentum = &mut state[self.momentum.range()];
        let Layerwise { tensors, direction } = &mut self.layerwise;
        for tensor in tensors {
            let (params, direction) = (&mut params[tensor.clone()], &mut direction[..tensor.len()]);
            for_each_element(
                direction,
                &grads[tensor.clone()],
                [params],
                #[inline(always)]
                |_, g, [p]| (g + context.weight_decay * p, [p]),
            );
            let rate = learning_rate * context.rate * trust_ratio(params, direction, trust_coefficient);
            for_each_element(
                params,
                direction,
                [&mut momentum[tensor.clone()]],
                #[inline(always)]
                |p, u, [m]| {
                    let m = mu * m + rate * u;
                    (p - m, [m])
                },
            );
        }
    }
}
