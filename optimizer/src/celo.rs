//! Celo (arXiv 2501.12670): a learned scheduler over a learned per-parameter rule.
//!
//! Differs from [VeLO](crate::VeloConfig) in what the LSTM sees (progress and loss only, so that one row serves
//! all tensors), and in its heads:
//!
//! ```text
//! s = 0.1 exp(step head)        c = softmax(control head)        W = (1/B) Σ_b c_b W_b
//! p ← p - o₀ exp(exp_mult o₁) √(mean(p²) + 1e-9) · step_mult · s · rate
//! ```
//!
//! Without the scheduler (`scheduled: false`, the first phase of its meta-training) `s = 1`.

use serde::{Deserialize, Serialize};

use crate::architecture::{LearnedConfig, not_negative, positive};
use crate::mlp_bank::{self, BankStep, MlpBank};
use crate::rule::{StepContext, UpdateRule};
use crate::scheduler::{LearnedScheduler, scheduler_sizes};
use crate::state::StateLayout;
use crate::{Error, ParamLayout, TensorLayout, velo};

/// Configuration of the Celo architecture. The default is the released one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CeloConfig {
    /// Width of the LSTM.
    pub lstm_width: usize,
    /// Networks in the bank.
    pub bank: usize,
    /// Factor on the logarithm of the magnitude.
    pub exp_mult: f32,
    /// Factor on every step.
    pub step_mult: f32,
    /// Whether the learned scheduler scales the steps.
    pub scheduled: bool,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Default for CeloConfig {
    fn default() -> Self {
        Self { lstm_width: 64, bank: 1, exp_mult: 1e-3, step_mult: 1e-3, scheduled: true, weight_decay: 0.0 }
    }
}

impl LearnedConfig for CeloConfig {
    fn theta_layout(&self) -> ParamLayout {
        let recurrent = scheduler_sizes(self.lstm_width, self.bank).theta_tensors();
        ParamLayout::new(recurrent.into_iter().chain(mlp_bank::theta_tensors(self.bank)))
            .expect("names are distinct and sizes were checked")
    }

    fn is_influential(&self, tensor: &TensorLayout, index: usize) -> bool {
        // The softmax over a bank of one is 1 whatever the controls are.
        let is_idle_control = self.bank == 1 && tensor.name.contains("rnn_to_controls");
        !is_idle_control && velo::is_influential(tensor, index)
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
        scheduler_sizes(self.lstm_width, self.bank).check()?;
        mlp_bank::check(self.bank)?;
        positive("step_mult", self.step_mult)?;
        not_negative("exp_mult", self.exp_mult)?;
        not_negative("weight_decay", self.weight_decay)
    }
}

/// The update of Celo.
#[derive(Debug, Clone)]
pub struct CeloRule {
    theta_len: usize,
    config: CeloConfig,
    pub(crate) scheduler: LearnedScheduler,
    bank: MlpBank,
    mix: Vec<f32>,
    tensors: usize,
}

impl CeloRule {
    pub(crate) fn theta_len(&self) -> usize {
        self.theta_len
    }

    pub(crate) fn set_theta(&mut self, theta: &[f32]) {
        let layout = self.config.theta_layout();
        self.scheduler.set_theta(theta, &layout);
        self.bank.set_theta(theta, &layout);
    }
}

impl UpdateRule for CeloRule {
    type Config = CeloConfig;
    const NAME: &'static str = "celo";
    const READS_LOSS: bool = true;

    fn build(config: CeloConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            theta_len: config.theta_layout().len(),
            scheduler: LearnedScheduler::new(config.lstm_width, config.bank, state),
            bank: MlpBank::new(config.exp_mult, layout, state),
            mix: vec![0.0; config.bank],
            tensors: layout.tensors().len(),
            config,
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let multiplier = self.scheduler.update(state, context);
        softmax(&mut self.mix, self.scheduler.controls());
        let step = BankStep {
            controls: &self.mix,
            factor: 1.0 / self.config.bank as f32,
            scale: self.config.step_mult * context.rate * if self.config.scheduled { multiplier } else { 1.0 },
            keep: 1.0 - context.rate * context.weight_decay,
            step: context.step,
        };
        for index in 0..self.tensors {
            self.bank.step(index, params, grads, state, step);
        }
    }
}

fn softmax(out: &mut [f32], logits: &[f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    out.iter_mut().zip(logits).for_each(|(out, logit)| *out = (logit - largest).exp());
    let total: f32 = out.iter().sum();
    out.iter_mut().for_each(|out| *out /= total);
}
