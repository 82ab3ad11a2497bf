//! Celo-Adam: the learned scheduler of [Celo](crate::CeloConfig) over Adam.
//!
//! With `g` clipped to ±1000 and `t` updates done:
//!
//! ```text
//! m ← β₁ m + (1-β₁) g      v ← β₂ v + (1-β₂) g²      m̂ = m / (1-β₁^(t+1)),  v̂ = v / (1-β₂^(t+1))
//! p ← p - step_mult · s · rate · m̂ / (ε + √(v̂ + 1e-10))
//! ```

use serde::{Deserialize, Serialize};

use crate::architecture::{LearnedConfig, not_negative, positive};
use crate::elementwise::for_each_element;
use crate::mlp_bank::GRADIENT_CLIP;
use crate::rule::{StepContext, UpdateRule};
use crate::scheduler::{LearnedScheduler, scheduler_sizes};
use crate::state::{Slot, StateLayout, parts};
use crate::step::sum_of_squares;
use crate::{Error, ParamLayout, TensorLayout, velo};

/// Configuration of the Celo-Adam architecture. The default is the released one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CeloAdamConfig {
    /// Width of the LSTM.
    pub lstm_width: usize,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared gradients.
    pub beta2: f32,
    /// `ε`.
    pub epsilon: f32,
    /// Factor on every step.
    pub step_mult: f32,
    /// Undo the bias of both averages.
    pub bias_correction: bool,
    /// Multiply the step by the root mean square of the parameters of the tensor.
    pub param_scale_mult: bool,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Default for CeloAdamConfig {
    fn default() -> Self {
        Self {
            lstm_width: 64,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            step_mult: 1e-3,
            bias_correction: true,
            param_scale_mult: false,
            weight_decay: 0.0,
        }
    }
}

impl LearnedConfig for CeloAdamConfig {
    fn theta_layout(&self) -> ParamLayout {
        let tensors = scheduler_sizes(self.lstm_width, 0).theta_tensors();
        ParamLayout::new(tensors).expect("names are distinct and sizes were checked")
    }

    fn is_influential(&self, tensor: &TensorLayout, index: usize) -> bool {
        velo::is_influential(tensor, index)
    }

    fn fan_in(&self, tensor: &TensorLayout) -> Option<usize> {
        velo::fan_in(tensor)
    }

    fn step_size(&self) -> f32 {
        self.step_mult
    }

    fn step_size_mut(&mut self) -> &mut f32 {
        &mut self.step_mult
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn weight_decay_mut(&mut self) -> &mut f32 {
        &mut self.weight_decay
    }

    fn check(&self) -> Result<(), Error> {
        scheduler_sizes(self.lstm_width, 0).check()?;
        for (field, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                let found = value.to_string();
                return Err(Error::InvalidHyperParameter { field, found, expected: "a decay in [0, 1)" });
            }
        }
        positive("step_mult", self.step_mult)?;
        not_negative("epsilon", self.epsilon)?;
        not_negative("weight_decay", self.weight_decay)
    }
}

/// The update of Celo-Adam.
#[derive(Debug, Clone)]
pub struct CeloAdamRule {
    theta_len: usize,
    config: CeloAdamConfig,
    pub(crate) scheduler: LearnedScheduler,
    tensors: Vec<TensorLayout>,
    mean: Slot,
    mean_square: Slot,
}

impl CeloAdamRule {
    pub(crate) fn theta_len(&self) -> usize {
        self.theta_len
    }

    pub(crate) fn set_theta(&mut self, theta: &[f32]) {
        self.scheduler.set_theta(theta, &self.config.theta_layout());
    }
}

impl UpdateRule for CeloAdamRule {
    type Config = CeloAdamConfig;
    const NAME: &'static str = "celo_adam";
    const READS_LOSS: bool = true;

    fn build(config: CeloAdamConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            theta_len: config.theta_layout().len(),
            scheduler: LearnedScheduler::new(config.lstm_width, 0, state),
            tensors: layout.tensors().to_vec(),
            mean: state.per_param("mean", layout),
            mean_square: state.per_param("mean_square", layout),
            config,
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let CeloAdamConfig { beta1, beta2, epsilon, step_mult, bias_correction, param_scale_mult, .. } = self.config;
        let rate = step_mult * self.scheduler.update(state, context) * context.rate;
        let keep = 1.0 - context.rate * context.weight_decay;
        let undo_bias = |decay: f32| {
            let remaining = f64::from(decay).powf((context.step + 1) as f64);
            if bias_correction { (1.0 / (1.0 - remaining)) as f32 } else { 1.0 }
        };
        let (mean_factor, square_factor) = (undo_bias(beta1), undo_bias(beta2));
        let [mean, mean_square] = parts(state, [self.mean, self.mean_square]);
        for tensor in &self.tensors {
            let range = tensor.range.clone();
            let params = &mut params[range.clone()];
            let scale = if param_scale_mult {
                rate * (sum_of_squares(params) / params.len() as f64 + 1e-9).sqrt() as f32
            } else {
                rate
            };
            for_each_element(
                params,
                &grads[range.clone()],
                [&mut mean[range.clone()], &mut mean_square[range]],
                #[inline(always)]
                |p, g, [m, v]| {
                    let g = g.clamp(-GRADIENT_CLIP, GRADIENT_CLIP);
                    let m = beta1 * m + (1.0 - beta1) * g;
                    let v = beta2 * v + (1.0 - beta2) * g * g;
                    let root = epsilon + (v * square_factor + 1e-10).sqrt();
                    (keep * p - m * mean_factor * (scale / root), [m, v])
                },
            );
        }
    }
}
