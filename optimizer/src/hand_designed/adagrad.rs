//! AdaGrad: steps shrink with the sum of squared gradients (Duchi, Hazan and Singer, JMLR 2011).
//!
//! ```text
//! s ← s + g²                      s starts at initial_accumulator
//! p ← p - α ( g / √(s + ε) + λ p )
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout};
use crate::{Error, ParamLayout};

/// Gradient descent scaled by the root of the sum of squares.
pub type AdaGrad = RuleOptimizer<AdaGradRule>;

/// Hyper-parameters of [`AdaGrad`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaGradConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// What the sum starts from.
    pub initial_accumulator: f32,
    /// `ε`, added under the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for AdaGradConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-2, initial_accumulator: 0.1, epsilon: 1e-7, weight_decay: 0.0 }
    }
}

/// The update of [`AdaGrad`].
#[derive(Debug, Clone)]
pub struct AdaGradRule {
    config: AdaGradConfig,
    sum_of_squares: Slot,
}

impl UpdateRule for AdaGradRule {
    type Config = AdaGradConfig;
    const NAME: &'static str = "adagrad";

    fn build(config: AdaGradConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::non_negative("initial_accumulator", config.initial_accumulator)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self { config, sum_of_squares: state.per_param("sum_of_squares", layout) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AdaGradConfig { learning_rate, initial_accumulator, epsilon, .. } = self.config;
        let sum_of_squares = &mut state[self.sum_of_squares.range()];
        if context.step == 0 {
            sum_of_squares.fill(initial_accumulator);
        }
        let step_size = StepSize::new(learning_rate, context);
        for_each_element(
            params,
            grads,
            [sum_of_squares],
            #[inline(always)]
            |p, g, [s]| {
                let s = s + g * g;
                (step_size.moved(p, g / (s + epsilon).sqrt()), [s])
            },
        );
    }
}
