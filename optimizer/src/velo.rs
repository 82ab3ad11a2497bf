//! VeLO (arXiv 2211.09760): a tensor LSTM steers a bank of per-parameter networks.
//!
//! ```text
//! loss features, progress, tensor features (from the accumulators before this step)
//!   → tensor LSTM → control vector and step multiplier s per tensor
//! gradient, clipped to ±1000 → accumulators → thirty channels, normalised over the tensor
//!   → network mixed from the bank by the control vector → o₀, o₁
//! p ← p - o₀ exp(exp_mult o₁) √(mean(p²) + 1e-9) · step_mult · s · rate
//! ```
//!
//! It needs the loss and the horizon; without a declared horizon 10,000 steps are assumed. There is no
//! learning rate inside: multiplier 1 is native.

use serde::{Deserialize, Serialize};

use crate::architecture::{LearnedConfig, not_negative, positive};
use crate::loss_features::{LOSS_FEATURES, LossFeatures};
use crate::mlp_bank::{self, BankStep, MlpBank};
use crate::progress::{DEFAULT_HORIZON, PROGRESS, progress_features};
use crate::rule::{StepContext, UpdateRule};
use crate::state::StateLayout;
use crate::tensor_features::{TENSOR_FEATURES, tensor_features};
use crate::tensor_lstm::{LstmSizes, TensorLstm};
use crate::{Error, ParamLayout, TensorLayout};

const INPUTS: usize = PROGRESS + LOSS_FEATURES + TENSOR_FEATURES;

/// The horizon that the flawed loss features of the oldest checkpoints took for every run.
const LEGACY_LOSS_HORIZON: u64 = 10;

/// Configuration of the VeLO architecture. The default is the released one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VeloConfig {
    /// Width of the tensor LSTM.
    pub lstm_width: usize,
    /// Networks in the bank.
    pub bank: usize,
    /// Factor on the mean over the bank.
    pub bank_factor: f32,
    /// Factor on the logarithm of the magnitude.
    pub exp_mult: f32,
    /// Factor on every step.
    pub step_mult: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Loss features as the oldest checkpoints saw them: for a horizon of ten.
    pub legacy_loss_features: bool,
    /// Keep the LSTM in its initial state, as the oldest checkpoints did.
    pub legacy_lstm_state: bool,
}

impl Default for VeloConfig {
    fn default() -> Self {
        Self {
            lstm_width: 512,
            bank: 256,
            bank_factor: 100.0,
            exp_mult: 1e-3,
            step_mult: 1e-3,
            weight_decay: 0.0,
            legacy_loss_features: false,
            legacy_lstm_state: false,
        }
    }
}

impl VeloConfig {
    fn sizes(&self) -> LstmSizes {
        LstmSizes { inputs: INPUTS, width: self.lstm_width, controls: self.bank }
    }
}

/// Whether an entry of the recurrent part can change an update: the discarded first layer cannot.
pub(crate) fn is_influential(tensor: &TensorLayout, index: usize) -> bool {
    !tensor.name.starts_with("rnn_params/linear/") && mlp_bank::is_influential(tensor, index)
}

/// Number of inputs that a weight of the recurrent part or the bank sums over.
pub(crate) fn fan_in(tensor: &TensorLayout) -> Option<usize> {
    match tensor.name.split('/').next() {
        Some("rnn_params") if tensor.shape.len() == 2 => Some(tensor.shape[0]),
        Some("ff_mod_stack") => mlp_bank::fan_in(tensor),
        _ => None,
    }
}

impl LearnedConfig for VeloConfig {
    fn theta_layout(&self) -> ParamLayout {
        let tensors = self.sizes().theta_tensors().into_iter().chain(mlp_bank::theta_tensors(self.bank));
        ParamLayout::new(tensors).expect("names are distinct and sizes were checked")
    }

    fn is_influential(&self, tensor: &TensorLayout, index: usize) -> bool {
        is_influential(tensor, index)
    }

    fn fan_in(&self, tensor: &TensorLayout) -> Option<usize> {
        fan_in(tensor)
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
        self.sizes().check()?;
        mlp_bank::check(self.bank)?;
        positive("bank_factor", self.bank_factor)?;
        positive("step_mult", self.step_mult)?;
        not_negative("exp_mult", self.exp_mult)?;
        not_negative("weight_decay", self.weight_decay)
    }
}

/// The update of VeLO.
#[derive(Debug, Clone)]
pub struct VeloRule {
    theta_len: usize,
    config: VeloConfig,
    tensors: Vec<TensorLayout>,
    loss: LossFeatures,
    pub(crate) lstm: TensorLstm,
    bank: MlpBank,
    /// The inputs of the recurrent network at the last update, one row per tensor.
    pub(crate) features: Vec<f32>,
}

impl VeloRule {
    pub(crate) fn theta_len(&self) -> usize {
        self.theta_len
    }

    pub(crate) fn set_theta(&mut self, theta: &[f32]) {
        let layout = self.config.theta_layout();
        self.lstm.set_theta(theta, &layout);
        self.bank.set_theta(theta, &layout);
    }
}

impl UpdateRule for VeloRule {
    type Config = VeloConfig;
    const NAME: &'static str = "velo";
    const READS_LOSS: bool = true;

    fn build(config: VeloConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        config.check()?;
        let names = layout.tensors().iter().map(|tensor| tensor.name.as_str());
        Ok(Self {
            theta_len: config.theta_layout().len(),
            loss: LossFeatures::new(state),
            lstm: TensorLstm::new(config.sizes(), names, state),
            bank: MlpBank::new(config.exp_mult, layout, state),
            features: vec![0.0; layout.tensors().len() * INPUTS],
            tensors: layout.tensors().to_vec(),
            config,
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let horizon = context.horizon.unwrap_or(DEFAULT_HORIZON);
        if context.step == 0 {
            self.lstm.reset(state);
        }
        let loss_horizon = if self.config.legacy_loss_features { LEGACY_LOSS_HORIZON } else { horizon };
        let loss = self.loss.update(state, context.loss, context.step, loss_horizon);
        let progress = progress_features(context.step, horizon);
        for (index, (row, tensor)) in self.features.chunks_exact_mut(INPUTS).zip(&self.tensors).enumerate() {
            let (before, own) = row.split_at_mut(PROGRESS + LOSS_FEATURES);
            before[..PROGRESS].copy_from_slice(&progress);
            before[PROGRESS..].copy_from_slice(&loss);
            let statistics = if tensor.is_empty() {
                [0.0; TENSOR_FEATURES]
            } else {
                let accumulators = self.bank.accumulators(index, state);
                tensor_features(&params[tensor.range.clone()], &accumulators, &tensor.shape)
            };
            own.copy_from_slice(&statistics);
        }
        self.lstm.update(state, &self.features, !self.config.legacy_lstm_state);
        let keep = 1.0 - context.rate * context.weight_decay;
        for (index, &multiplier) in self.lstm.steps.iter().enumerate() {
            let step = BankStep {
                controls: &self.lstm.controls[index * self.config.bank..][..self.config.bank],
                factor: self.config.bank_factor / self.config.bank as f32,
                scale: self.config.step_mult * multiplier * context.rate,
                keep,
                step: context.step,
            };
            self.bank.step(index, params, grads, state, step);
        }
    }
}
