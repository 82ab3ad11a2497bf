//! Schedule-Free averaging (Defazio et al., arXiv 2405.15682): what its SGD and AdamW share.
//!
//! Three sequences: `z` takes the plain steps, `x` averages them and is what to evaluate with, and the parameters
//! `y`, where gradients are taken, lie between:
//!
//! ```text
//! z' = z - γ_t u(y)                       γ_t = α min(1, t / warmup_steps)
//! c = w / Σ w,   w = (max of γ_(t+1))²    the weight of this step in the average
//! x' = (1-c) x + c z'
//! y' = β x' + (1-β) z'
//! ```
//!
//! `x` is not stored: `x = (y - (1-β) z) / β`. With a warm-up the first step has rate zero and the weights run one
//! step ahead of the rates, as in optax.

use super::checks;
use crate::rule::StepContext;
use crate::state::{Slot, StateLayout};
use crate::{Error, ParamLayout};

/// Where the average lives, and the numbers that govern it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Averaging {
    /// The sequence `z`.
    pub z: Slot,
    /// `Σ w`.
    pub weight_sum: Slot,
    /// The largest rate so far.
    pub largest_rate: Slot,
    interpolation: f32,
    learning_rate: f32,
    warmup_steps: u64,
}

/// The numbers of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct AveragedStep {
    /// `γ`, the rate of the plain step.
    pub rate: f32,
    /// `c`, the weight of the new `z` in the average.
    weight: f32,
    interpolation: f32,
}

impl Averaging {
    pub fn build(
        learning_rate: f32,
        interpolation: f32,
        warmup_steps: u64,
        layout: &ParamLayout,
        state: &mut StateLayout,
    ) -> Result<Self, Error> {
        checks::non_negative("learning_rate", learning_rate)?;
        checks::decay("interpolation", interpolation)?;
        checks::positive("interpolation", interpolation)?;
        let z = state.per_param("z", layout);
        let (weight_sum, largest_rate) = (state.tensor("weight_sum", &[]), state.tensor("largest_rate", &[]));
        Ok(Self { z, weight_sum, largest_rate, interpolation, learning_rate, warmup_steps })
    }

    /// Advances the two running scalars and says how to step.
    pub fn step(&self, weight_sum: &mut [f32], largest_rate: &mut [f32], context: &StepContext) -> AveragedStep {
        let warm = |step: u64| match self.warmup_steps {
            0 => 1.0,
            warmup => (step as f32 / warmup as f32).min(1.0),
        };
        let peak = self.learning_rate * context.rate;
        largest_rate[0] = largest_rate[0].max(peak * warm(context.step + 1));
        let weight = largest_rate[0] * largest_rate[0];
        weight_sum[0] += weight;
        AveragedStep {
            rate: peak * warm(context.step),
            weight: if weight_sum[0] > 0.0 { weight / weight_sum[0] } else { 0.0 },
            interpolation: self.interpolation,
        }
    }

    /// `x` from the parameters and the state, into `out`.
    pub fn average(&self, params: &[f32], state: &[f32], step: u64, out: &mut [f32]) {
        if step == 0 {
            return out.copy_from_slice(params);
        }
        for ((out, &y), &z) in out.iter_mut().zip(params).zip(&state[self.z.range()]) {
            *out = average_of(y, z, self.interpolation);
        }
    }
}

impl AveragedStep {
    /// The parameter and `z` after a step along `direction`.
    #[inline(always)]
    pub fn moved(self, param: f32, z: f32, direction: f32) -> (f32, f32) {
        let average = average_of(param, z, self.interpolation);
        let z = z - self.rate * direction;
        let average = (1.0 - self.weight) * average + self.weight * z;
        (self.interpolation * average + (1.0 - self.interpolation) * z, z)
    }
}

#[inline(always)]
fn average_of(y: f32, z: f32, interpolation: f32) -> f32 {
    (y - (1.0 - interpolation) * z) / interpolation
}
