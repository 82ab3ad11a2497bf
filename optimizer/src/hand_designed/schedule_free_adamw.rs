//! Schedule-Free AdamW (Defazio et al., arXiv 2405.15682): Adam without momentum, averaged as
//! [`schedule_free`](super::schedule_free) describes. Evaluate with
//! [`evaluation_params`](crate::Optimizer::evaluation_params).
//!
//! ```text
//! v ← β₂ v + (1-β₂) g²            v̂ = v / (1 - β₂^(t+1))
//! u = g / (√v̂ + ε) + λ y
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::schedule_free::Averaging;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// AdamW with averaging in place of momentum and schedule.
pub type ScheduleFreeAdamW = RuleOptimizer<ScheduleFreeAdamWRule>;

/// Hyper-parameters of [`ScheduleFreeAdamW`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleFreeAdamWConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Weight `β` of the average in the parameters, in `(0, 1)`.
    pub interpolation: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for ScheduleFreeAdamWConfig {
    fn default() -> Self {
        Self {
            learning_rate: 2.5e-3,
            interpolation: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            warmup_steps: 0,
            weight_decay: 0.0,
        }
    }
}

/// The update of [`ScheduleFreeAdamW`].
#[derive(Debug, Clone)]
pub struct ScheduleFreeAdamWRule {
    config: ScheduleFreeAdamWConfig,
    mean_square: Slot,
    averaging: Averaging,
}

impl UpdateRule for ScheduleFreeAdamWRule {
    type Config = ScheduleFreeAdamWConfig;
    const NAME: &'static str = "schedule_free_adamw";

    fn build(config: ScheduleFreeAdamWConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        let ScheduleFreeAdamWConfig { learning_rate, interpolation, warmup_steps, .. } = config;
        let averaging = Averaging::build(learning_rate, interpolation, warmup_steps, layout, state)?;
        Ok(Self { config, averaging, mean_square: state.per_param("mean_square", layout) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let ScheduleFreeAdamWConfig { beta2, epsilon, .. } = self.config;
        let Averaging { z, weight_sum, largest_rate, .. } = self.averaging;
        let [z, weight_sum, largest_rate, mean_square] = parts(state, [z, weight_sum, largest_rate, self.mean_square]);
        if context.step == 0 {
            z.copy_from_slice(params);
        }
        let step = self.averaging.step(weight_sum, largest_rate, context);
        let square_correction = bias_correction(beta2, context.step);
        for_each_element(
            params,
            grads,
            [z, mean_square],
            #[inline(always)]
            |p, g, [z, v]| {
                let v = beta2 * v + (1.0 - beta2) * g * g;
                let direction = g / ((v * square_correction).sqrt() + epsilon) + context.weight_decay * p;
                let (p, z) = step.moved(p, z, direction);
                (p, [z, v])
            },
        );
    }

    fn evaluation_params(&self, params: &[f32], state: &[f32], context: &StepContext, out: &mut [f32]) {
        self.averaging.average(params, state, context.step, out);
    }
}
