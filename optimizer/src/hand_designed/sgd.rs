//! Stochastic gradient descent, with the momentum of Polyak or of Nesterov (Sutskever et al., ICML 2013).
//!
//! With `α = learning_rate · rate` and momentum `μ`:
//!
//! ```text
//! m ← μ m + g
//! u = m                  plain momentum; u = g when μ = 0
//! u = g + μ m            Nesterov
//! p ← p - α (u + λ p)
//! ```
//!
//! The sum is not damped by `1-μ`: a larger momentum takes longer steps. Without momentum there is no state.

use serde::{Deserialize, Serialize};

use super::checks;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout};
use crate::{Error, ParamLayout};

/// Gradient descent with optional momentum.
pub type Sgd = RuleOptimizer<SgdRule>;

/// Hyper-parameters of [`Sgd`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `μ` of the sum of gradients; zero for none.
    pub momentum: f32,
    /// Look ahead along the momentum.
    pub nesterov: bool,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

/// The update of [`Sgd`].
#[derive(Debug, Clone)]
pub struct SgdRule {
    config: SgdConfig,
    momentum: Option<Slot>,
}

impl UpdateRule for SgdRule {
    type Config = SgdConfig;
    const NAME: &'static str = "sgd";

    fn build(config: SgdConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("momentum", config.momentum)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self { config, momentum: (config.momentum > 0.0).then(|| state.per_param("momentum", layout)) })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let SgdConfig { learning_rate, momentum: mu, nesterov, .. } = self.config;
        let step_size = StepSize::new(learning_rate, context);
        let Some(momentum) = self.momentum else {
            return for_each_element(
                params,
                grads,
                [],
                #[inline(always)]
                |p, g, []| (step_size.moved(p, g), []),
            );
        };
        let (of_momentum, of_gradient) = if nesterov { (mu, 1.0) } else { (1.0, 0.0) };
        for_each_element(
            params,
            grads,
            [&mut state[momentum.range()]],
            #[inline(always)]
            |p, g, [m]| {
                let m = mu * m + g;
                (step_size.moved(p, of_momentum * m + of_gradient * g), [m])
            },
        );
    }
}
