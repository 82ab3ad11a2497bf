//! RAdam: Adam that waits until its second moment can be trusted (Liu et al., arXiv 1908.03265).
//!
//! ```text
//! m ← β₁ m + (1-β₁) g             m̂ = m / (1 - β₁^(t+1))
//! v ← β₂ v + (1-β₂) g²            v̂ = v / (1 - β₂^(t+1))
//! ρ∞ = 2 / (1-β₂) - 1             ρ = ρ∞ - 2 (t+1) β₂^(t+1) / (1 - β₂^(t+1))
//! r = √( (ρ-4)(ρ-2) ρ∞ / ((ρ∞-4)(ρ∞-2) ρ) )
//! u = r m̂ / (√v̂ + ε)  if ρ ≥ 5,  otherwise  m̂
//! p ← p - α (u + λ p)
//! ```

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::bias_correction;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Below this many effective samples the variance of the second moment has no bound to speak of.
const TRACTABLE_SAMPLES: f32 = 5.0;

/// Rectified Adam.
pub type RAdam = RuleOptimizer<RAdamRule>;

/// Hyper-parameters of [`RAdam`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RAdamConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for RAdamConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The update of [`RAdam`].
#[derive(Debug, Clone)]
pub struct RAdamRule {
    config: RAdamConfig,
    mean: Slot,
    mean_square: Slot,
    sample_limit: f32,
}

impl UpdateRule for RAdamRule {
    type Config = RAdamConfig;
    const NAME: &'static str = "radam";

    fn build(config: RAdamConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        Ok(Self {
            sample_limit: sample_limit(config.beta2),
            config,
            mean: state.per_param("mean", layout),
            mean_square: state.per_param("mean_square", layout),
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let RAdamConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let [mean, mean_square] = parts(state, [self.mean, self.mean_square]);
        let step_size = StepSize::new(learning_rate, context);
        let mean_correction = bias_correction(beta1, context.step);
        let square_correction = bias_correction(beta2, context.step);
        let rectifier = rectifier(beta2, self.sample_limit, context.step);
        for_each_element(
            params,
            grads,
            [mean, mean_square],
            #[inline(always)]
            |p, g, [m, v]| {
                let m = beta1 * m + (1.0 - beta1) * g;
                let v = beta2 * v + (1.0 - beta2) * g * g;
                let corrected = m * mean_correction;
                let direction = match rectifier {
                    Some(rectifier) => rectifier * corrected / ((v * square_correction).sqrt() + epsilon),
                    None => corrected,
                };
                (step_size.moved(p, direction), [m, v])
            },
        );
    }
}

/// `ρ∞` for the decimal fraction that was asked for: `0.999` gives 1999, its nearest `f32` would give 1999.03.
fn sample_limit(beta2: f32) -> f32 {
    let decimal: f64 = beta2.to_string().parse().unwrap_or(f64::from(beta2));
    (2.0 / (1.0 - decimal) - 1.0) as f32
}

/// `r` of the module's formula, if the second moment can be trusted.
///
/// `ρ` is a small difference of numbers near `ρ∞`. It is taken in `f32` like the published implementation does,
/// so that the first rectified steps, where the rounding shows, agree with it.
fn rectifier(beta2: f32, limit: f32, step: u64) -> Option<f32> {
    let done = (step + 1) as f32;
    let power = beta2.powf(done);
    let samples = limit - 2.0 * done * power / (1.0 - power);
    let ratio = (samples - 4.0) * (samples - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * samples);
    (samples >= TRACTABLE_SAMPLES).then(|| ratio.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rectifier_starts_late_and_tends_to_one() {
        assert_eq!(rectifier(0.999, 1999.0, 3), None);
        assert!(rectifier(0.999, 1999.0, 10).unwrap() < 0.1);
        assert!((rectifier(0.999, 1999.0, 100_000).unwrap() - 1.0).abs() < 1e-3);
    }
}
