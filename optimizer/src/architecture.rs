//! Which network a set of weights belongs to, and what every such network can say about its weights.

use serde::{Deserialize, Serialize};

use crate::adafac_mlp::AdafacMlpConfig;
use crate::celo::CeloConfig;
use crate::celo_adam::CeloAdamConfig;
use crate::celo2::Celo2Config;
use crate::paced::PacedConfig;
use crate::velo::VeloConfig;
use crate::{Error, ParamLayout, TensorLayout};

/// Which network the weights belong to, with everything about it that is not learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub enum Architecture {
    /// Normalised per-parameter MLP (arXiv 2602.19142).
    Celo2(Celo2Config),
    /// Tensor LSTM that mixes a bank of per-parameter MLPs (arXiv 2211.09760).
    Velo(VeloConfig),
    /// Learned scheduler over a learned per-parameter MLP (arXiv 2501.12670).
    Celo(CeloConfig),
    /// The same scheduler over Adam.
    CeloAdam(CeloAdamConfig),
    /// Per-parameter MLP with time features (`small_fc_lopt`, arXiv 2203.11860).
    AdafacMlp(AdafacMlpConfig),
    /// Celo2's network with a head that sets step size and decay per tensor: the architecture of this project.
    Paced(PacedConfig),
}

/// What the configuration of an architecture knows about the weights that go with it.
pub(crate) trait LearnedConfig {
    /// See [`Architecture::theta_layout`].
    fn theta_layout(&self) -> ParamLayout;

    /// Whether entry `index` of the weight `tensor` can change an update.
    fn is_influential(&self, tensor: &TensorLayout, index: usize) -> bool;

    /// Number of inputs that the weight `tensor` sums over; `None` for biases and initial states.
    fn fan_in(&self, tensor: &TensorLayout) -> Option<usize>;

    /// See [`Architecture::imitation`].
    fn imitation(&self) -> Option<Vec<f32>> {
        None
    }

    /// The field behind [`Architecture::step_size`].
    fn step_size(&self) -> f32;

    /// Mutable access to it.
    fn step_size_mut(&mut self) -> &mut f32;

    /// The coefficient of decoupled weight decay.
    fn weight_decay(&self) -> f32;

    /// Mutable access to it.
    fn weight_decay_mut(&mut self) -> &mut f32;

    /// See [`Architecture::check`].
    fn check(&self) -> Result<(), Error>;
}

impl Architecture {
    fn config(&self) -> &dyn LearnedConfig {
        match self {
            Self::Celo2(config) => config,
            Self::Velo(config) => config,
            Self::Celo(config) => config,
            Self::CeloAdam(config) => config,
            Self::AdafacMlp(config) => config,
            Self::Paced(config) => config,
        }
    }

    fn config_mut(&mut self) -> &mut dyn LearnedConfig {
        match self {
            Self::Celo2(config) => config,
            Self::Velo(config) => config,
            Self::Celo(config) => config,
            Self::CeloAdam(config) => config,
            Self::AdafacMlp(config) => config,
            Self::Paced(config) => config,
        }
    }

    /// The name of the architecture in snake case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Celo2(_) => "celo2",
            Self::Velo(_) => "velo",
            Self::Celo(_) => "celo",
            Self::CeloAdam(_) => "celo_adam",
            Self::AdafacMlp(_) => "adafac_mlp",
            Self::Paced(_) => "paced",
        }
    }

    /// Names, shapes and ranges of the weights inside the flat `theta`.
    pub fn theta_layout(&self) -> ParamLayout {
        self.config().theta_layout()
    }

    /// Which entries of `theta` can change an update under this configuration. The others need no
    /// perturbation and no learning.
    pub fn influential(&self) -> Vec<bool> {
        let (config, layout) = (self.config(), self.theta_layout());
        let tensors = layout.tensors().iter();
        tensors.flat_map(|tensor| (0..tensor.len()).map(|index| config.is_influential(tensor, index))).collect()
    }

    /// Random weights from which meta-training starts: normal with standard deviation `1/√fan_in`, cut off at
    /// two standard deviations; biases and initial states zero. `normal` yields standard normal numbers.
    pub fn meta_init(&self, normal: &mut dyn FnMut() -> f32) -> Vec<f32> {
        let (config, layout) = (self.config(), self.theta_layout());
        let mut theta = vec![0.0; layout.len()];
        for tensor in layout.tensors() {
            let Some(fan_in) = config.fan_in(tensor) else { continue };
            let deviation = 1.0 / (fan_in as f32).sqrt();
            for weight in &mut theta[tensor.range.clone()] {
                let unit = std::iter::repeat_with(&mut *normal).find(|x| x.abs() <= 2.0);
                *weight = deviation * unit.unwrap_or(0.0);
            }
        }
        theta
    }

    /// Weights under which the network puts out the direction of Adam with decays 0.9 and 0.95, and every learned head
    /// is silent. Where the update is normalised and nothing else comes after it, that is
    /// [`NormalisedAdam`](crate::hand_designed::NormalisedAdam): a start for meta-training that can only become better.
    /// Units that this does not need are at work, so that learning can take them up. `None` for architectures without
    /// such weights.
    pub fn imitation(&self) -> Option<Vec<f32>> {
        self.config().imitation()
    }

    /// The size of a step at multiplier `1`.
    pub fn step_size(&self) -> f32 {
        self.config().step_size()
    }

    /// Sets [`step_size`](Self::step_size).
    pub fn set_step_size(&mut self, step_size: f32) {
        *self.config_mut().step_size_mut() = step_size;
    }

    /// The coefficient of decoupled weight decay that the optimizer starts with.
    pub fn weight_decay(&self) -> f32 {
        self.config().weight_decay()
    }

    /// Sets [`weight_decay`](Self::weight_decay).
    pub fn set_weight_decay(&mut self, coefficient: f32) {
        *self.config_mut().weight_decay_mut() = coefficient;
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// [`Error::InvalidHyperParameter`] naming the field, with the name of the architecture before it
    /// ([`Error::InPart`]).
    pub fn check(&self) -> Result<(), Error> {
        self.config().check().map_err(|error| error.in_part(self.name()))
    }
}

/// Rejects what is not a positive finite number.
pub(crate) fn positive(field: &'static str, value: f32) -> Result<(), Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::InvalidHyperParameter { field, found: value.to_string(), expected: "a positive number" })
}

/// Rejects what is not zero or a positive finite number.
pub(crate) fn not_negative(field: &'static str, value: f32) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::InvalidHyperParameter { field, found: value.to_string(), expected: "zero or a positive number" })
}
