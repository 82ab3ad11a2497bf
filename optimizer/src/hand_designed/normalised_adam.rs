//! Adam whose step has a root mean square of one over every tensor: the baseline of learned optimizers.
//!
//! A learned rule with a normalised output starts out as this rule, and must beat it to have learned anything.
//! Per tensor, with `α = learning_rate · rate` and no bias correction (the normalisation cancels it):
//!
//! ```text
//! m ← β₁ m + (1-β₁) g
//! v ← β₂ v + (1-β₂) g²
//! u = m / √(v + 1e-8)
//! u ← u / √(1e-9 + mean(u²))        mean over the last two axes; leading axes are separate blocks
//! p ← p - α (u + λ p)
//! ```
//!
//! The two constants are those of Celo2 (Moudgil et al., arXiv 2501.12670 and its successor): the feature
//! `m·e` and the output normalisation of that rule, without the network in between.

use serde::{Deserialize, Serialize};

use super::step_size::StepSize;
use super::{checks, reductions};
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Added to the mean square under the root.
const FEATURE_EPSILON: f32 = 1e-8;
/// Added to the mean of the squared step under the root.
const OUTPUT_EPSILON: f32 = 1e-9;

/// Adam normalised to a root mean square of one.
pub type NormalisedAdam = RuleOptimizer<NormalisedAdamRule>;

/// Hyper-parameters of [`NormalisedAdam`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NormalisedAdamConfig {
    /// Root mean square `α` of a step.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for NormalisedAdamConfig {
    fn default() -> Self {
        Self { learning_rate: 0.01, beta1: 0.9, beta2: 0.95, weight_decay: 0.0 }
    }
}

/// The update of [`NormalisedAdam`].
#[derive(Debug, Clone)]
pub struct NormalisedAdamRule {
    config: NormalisedAdamConfig,
    mean: Slot,
    mean_square: Slot,
    /// Length of every block that is normalised on its own, in the order of the parameters.
    blocks: Vec<usize>,
    /// The unnormalised step of one block.
    direction: Vec<f32>,
}

impl UpdateRule for NormalisedAdamRule {
    type Config = NormalisedAdamConfig;
    const NAME: &'static str = "normalised_adam";

    fn build(config: NormalisedAdamConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        let mut blocks = Vec::new();
        for tensor in layout.tensors().iter().filter(|tensor| !tensor.is_empty()) {
            let leading = tensor.shape.len().saturating_sub(2);
            let block: usize = tensor.shape[leading..].iter().product();
            blocks.resize(blocks.len() + tensor.len() / block, block);
        }
        Ok(Self {
            config,
            mean: state.per_param("mean", layout),
            mean_square: state.per_param("mean_square", layout),
            direction: vec![0.0; blocks.iter().copied().max().unwrap_or(0)],
            blocks,
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let NormalisedAdamConfig { learning_rate, beta1, beta2, .. } = self.config;
        let [mean, mean_square] = parts(state, [self.mean, self.mean_square]);
        let step_size = StepSize::new(learning_rate, context);
        let mut start = 0;
        for &len in &self.blocks {
            let block = start..start + len;
            start = block.end;
            let direction = &mut self.direction[..len];
            let (grads, params) = (&grads[block.clone()], &mut params[block.clone()]);
            let (mean, mean_square) = (&mut mean[block.clone()], &mut mean_square[block]);
            for_each_element(
                direction,
                grads,
                [mean, mean_square],
                #[inline(always)]
                |_, g, [m, v]| {
                    let m = beta1 * m + (1.0 - beta1) * g;
                    let v = beta2 * v + (1.0 - beta2) * g * g;
                    (m / (v + FEATURE_EPSILON).sqrt(), [m, v])
                },
            );
            let scale = reductions::reciprocal_rms(direction, OUTPUT_EPSILON);
            for_each_element(
                params,
                direction,
                [],
                #[inline(always)]
                |p, u, []| (step_size.moved(p, scale * u), []),
            );
        }
    }
}
