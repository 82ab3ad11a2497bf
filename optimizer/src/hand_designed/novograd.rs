//! NovoGrad: one second moment per tensor, momentum after normalisation (Ginsburg et al., arXiv 1905.11286).
//!
//! ```text
//! v ← β₂ v + (1-β₂) ‖g‖²          one number per tensor; v = ‖g‖² at the first step
//! m ← β₁ m + g / (√v + ε) + λ p
//! p ← p - α m
//! ```

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::checks;
use super::reductions::sum_of_squares;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Momentum of gradients normalised tensor by tensor.
pub type NovoGrad = RuleOptimizer<NovoGradRule>;

/// Hyper-parameters of [`NovoGrad`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NovoGradConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the sum of normalised gradients.
    pub beta1: f32,
    /// Decay `β₂` of the squared norm.
    pub beta2: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// Decay `λ`, inside the momentum.
    pub weight_decay: f32,
}

impl Default for NovoGradConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.25, epsilon: 1e-6, weight_decay: 0.0 }
    }
}

/// The update of [`NovoGrad`].
#[derive(Debug, Clone)]
pub struct NovoGradRule {
    config: NovoGradConfig,
    momentum: Slot,
    /// The elements of every tensor, and the running square of its gradient's norm.
    tensors: Vec<(Range<usize>, Slot)>,
}

impl UpdateRule for NovoGradRule {
    type Config = NovoGradConfig;
    const NAME: &'static str = "novograd";

    fn build(config: NovoGradConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        let momentum = state.per_param("momentum", layout);
        let tensors = layout
            .tensors()
            .iter()
            .map(|tensor| (tensor.range.clone(), state.tensor(&format!("squared_norm/{}", tensor.name), &[])));
        Ok(Self { config, momentum, tensors: tensors.collect() })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let NovoGradConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let rate = learning_rate * context.rate;
        for (tensor, squared_norm) in &self.tensors {
            let grads = &grads[tensor.clone()];
            let [momentum, squared_norm] = parts(state, [self.momentum, *squared_norm]);
            let square = sum_of_squares(grads) as f32;
            squared_norm[0] = if context.step == 0 { square } else { beta2 * squared_norm[0] + (1.0 - beta2) * square };
            let scale = 1.0 / (squared_norm[0].sqrt() + epsilon);
            for_each_element(
                &mut params[tensor.clone()],
                grads,
                [&mut momentum[tensor.clone()]],
                #[inline(always)]
                |p, g, [m]| {
                    let m = beta1 * m + scale * g + context.weight_decay * p;
                    (p - rate * m, [m])
                },
            );
        }
    }
}
