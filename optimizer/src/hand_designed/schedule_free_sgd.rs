//! Schedule-Free SGD (Defazio et al., arXiv 2405.15682): plain steps `u = g + λ y`, averaged as
//! [`schedule_free`](super::schedule_free) describes. Evaluate with
//! [`evaluation_params`](crate::Optimizer::evaluation_params).

use serde::{Deserialize, Serialize};

use super::checks;
use super::schedule_free::Averaging;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{StateLayout, parts};
use crate::{Error, ParamLayout};

/// Gradient descent with averaging in place of a schedule.
pub type ScheduleFreeSgd = RuleOptimizer<ScheduleFreeSgdRule>;

/// Hyper-parameters of [`ScheduleFreeSgd`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleFreeSgdConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Weight `β` of the average in the parameters, in `(0, 1)`.
    pub interpolation: f32,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for ScheduleFreeSgdConfig {
    fn default() -> Self {
        Self { learning_rate: 1.0, interpolation: 0.9, warmup_steps: 0, weight_decay: 0.0 }
    }
}

/// The update of [`ScheduleFreeSgd`].
#[derive(Debug, Clone)]
pub struct ScheduleFreeSgdRule {
    config: ScheduleFreeSgdConfig,
    averaging: Averaging,
}

impl UpdateRule for ScheduleFreeSgdRule {
    type Config = ScheduleFreeSgdConfig;
    const NAME: &'static str = "schedule_free_sgd";

    fn build(config: ScheduleFreeSgdConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("weight_decay", config.weight_decay)?;
        let ScheduleFreeSgdConfig { learning_rate, interpolation, warmup_steps, .. } = config;
        let averaging = Averaging::build(learning_rate, interpolation, warmup_steps, layout, state)?;
        Ok(Self { config, averaging })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let Averaging { z, weight_sum, largest_rate, .. } = self.averaging;
        let [z, weight_sum, largest_rate] = parts(state, [z, weight_sum, largest_rate]);
        if context.step == 0 {
            z.copy_from_slice(params);
        }
        let step = self.averaging.step(weight_sum, largest_rate, context);
        for_each_element(
            params,
            grads,
            [z],
            #[inline(always)]
            |p, g, [z]| {
                let (p, z) = step.moved(p, z, g + context.weight_decay * p);
                (p, [z])
            },
        );
    }

    fn evaluation_params(&self, params: &[f32], state: &[f32], context: &StepContext, out: &mut [f32]) {
        self.averaging.average(params, state, context.step, out);
    }
}
