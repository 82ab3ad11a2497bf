//! RMSProp: gradients divided by a running root mean square (Tieleman and Hinton, 2012).
//!
//! ```text
//! v ← ρ v + (1-ρ) g²
//! a ← ρ a + (1-ρ) g                       centred only
//! u = g / √(v + ε),     centred: g / √(v - a² + ε)
//! m ← μ m + α u                           m = α u without momentum
//! p ← p - m - α λ p
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout};
use crate::{Error, ParamLayout};

/// Elements that pass through the stages together, so that what lies between them stays in the cache.
const CHUNK: usize = 1024;

/// Gradient descent divided by a running root mean square.
pub type RmsProp = RuleOptimizer<RmsPropRule>;

/// Hyper-parameters of [`RmsProp`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsPropConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `ρ` of the averages.
    pub decay: f32,
    /// `ε`, added under the root.
    pub epsilon: f32,
    /// Decay `μ` of the sum of steps; zero for none.
    pub momentum: f32,
    /// Subtract the squared mean gradient from the mean square.
    pub centred: bool,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-2, decay: 0.9, epsilon: 1e-8, momentum: 0.0, centred: false, weight_decay: 0.0 }
    }
}

/// The update of [`RmsProp`].
#[derive(Debug, Clone)]
pub struct RmsPropRule {
    config: RmsPropConfig,
    mean_square: Slot,
    mean: Option<Slot>,
    momentum: Option<Slot>,
}

impl UpdateRule for RmsPropRule {
    type Config = RmsPropConfig;
    const NAME: &'static str = "rmsprop";

    fn build(config: RmsPropConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("decay", config.decay)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::decay("momentum", config.momentum)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        let mean_square = state.per_param("mean_square", layout);
        let mean = config.centred.then(|| state.per_param("mean", layout));
        let momentum = (config.momentum > 0.0).then(|| state.per_param("momentum", layout));
        Ok(Self { config, mean_square, mean, momentum })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let RmsPropConfig { learning_rate, decay, epsilon, momentum: mu, .. } = self.config;
        let step_size = StepSize::new(learning_rate, context);
        let mut scaled = [0.0; CHUNK];
        for start in (0..params.len()).step_by(CHUNK) {
            let chunk = start..(start + CHUNK).min(params.len());
            let (params, grads) = (&mut params[chunk.clone()], &grads[chunk.clone()]);
            let scaled = &mut scaled[..grads.len()];
            let part = |slot: Slot| slot.range().start + chunk.start..slot.range().start + chunk.end;
            for_each_element(
                scaled,
                grads,
                [&mut state[part(self.mean_square)]],
                #[inline(always)]
                |_, g, [v]| {
                    let v = decay * v + (1.0 - decay) * g * g;
                    (v + epsilon, [v])
                },
            );
            if let Some(mean) = self.mean {
                for_each_element(
                    scaled,
                    grads,
                    [&mut state[part(mean)]],
                    #[inline(always)]
                    |u, g, [a]| {
                        let a = decay * a + (1.0 - decay) * g;
                        (u - a * a, [a])
                    },
                );
            }
            for_each_element(
                scaled,
                grads,
                [],
                #[inline(always)]
                |u, g, []| (step_size.rate * g / u.sqrt(), []),
            );
            if let Some(momentum) = self.momentum {
                let momentum = &mut state[part(momentum)];
                for_each_element(
                    momentum,
                    scaled,
                    [],
                    #[inline(always)]
                    |m, u, []| (mu * m + u, []),
                );
                scaled.copy_from_slice(momentum);
            }
            for_each_element(
                params,
                scaled,
                [],
                #[inline(always)]
                |p, u, []| (step_size.shrink * p - u, []),
            );
        }
    }
}
