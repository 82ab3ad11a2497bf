//! What is not learned about a paced optimizer, and the layout of what is.

use serde::{Deserialize, Serialize};

use super::head::{self, InputGroup};
use crate::architecture::{LearnedConfig, not_negative, positive};
use crate::celo2::{self, HIDDEN, OUTPUTS, STORED_CHANNELS};
use crate::imitation::carries_momentum;
use crate::wrappers::check_share;
use crate::{Error, ParamLayout, TensorLayout};

/// Configuration of the paced architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PacedConfig {
    /// Root mean square of an update at full pace and multiplier 1.
    pub step_size: f32,
    /// Coefficient of decoupled decay of matrices, before the factor that the head puts on it.
    pub decay: f32,
    /// Decoupled decay that comes on top of it, for all tensors: the user's, and none by default.
    pub weight_decay: f32,
    /// Fraction of a declared horizon spent warming up.
    pub warmup: f32,
    /// Updates spent warming up where no horizon is declared.
    pub warmup_steps: u64,
    /// Updates after which the pace has fallen to `1/√2` where no horizon is declared.
    pub time_constant: f32,
    /// Bound of the logarithm of the head's factor on the step.
    pub step_bound: f32,
    /// Bound of the logarithm of the head's factor on the decay.
    pub decay_bound: f32,
    /// Largest change of either logarithm from one update to the next.
    pub slew: f32,
    /// Share of all updates, its last ones, whose parameters are averaged to
    /// [evaluate](crate::Optimizer::evaluation_params) with; without, the parameters themselves. Where no horizon is
    /// declared, it does some of what a schedule would have done, for four bytes more per parameter.
    pub average: Option<f32>,
    /// Inputs that the head is not shown: they are zero. For ablations.
    pub hidden_inputs: Vec<InputGroup>,
    /// Newton–Schulz orthogonalisation of what the network says over the last two axes, for rank two and more.
    pub orthogonalize: bool,
}

impl Default for PacedConfig {
    fn default() -> Self {
        Self {
            step_size: 0.01,
            decay: 0.1,
            weight_decay: 0.0,
            warmup: 0.05,
            warmup_steps: 20,
            time_constant: 200.0,
            step_bound: 3.0,
            decay_bound: 3.0,
            slew: 0.1,
            average: None,
            hidden_inputs: Vec::new(),
            orthogonalize: false,
        }
    }
}

impl PacedConfig {
    /// Moves the logarithms of the two factors towards what the head says, within the bounds.
    pub(super) fn slew_towards(&self, logs: &mut [f32], outputs: [f32; 2]) {
        let bounds = [self.step_bound, self.decay_bound];
        for ((log, output), bound) in logs.iter_mut().zip(outputs).zip(bounds) {
            *log += (bound * (output / bound).tanh() - *log).clamp(-self.slew, self.slew);
        }
    }
}

impl LearnedConfig for PacedConfig {
    /// The weights of [`Celo2Config`](crate::Celo2Config) under their names, then those of the head.
    fn theta_layout(&self) -> ParamLayout {
        ParamLayout::new(celo2::theta_tensors().chain(head::theta_tensors()))
            .expect("names are distinct and shapes small")
    }

    fn is_influential(&self, tensor: &TensorLayout, index: usize) -> bool {
        if tensor.name == head::INPUT_WEIGHTS {
            return head::sees(&self.hidden_inputs, index);
        }
        // Of the network's outputs only the first is read; all of the head's are.
        tensor.shape.last() != Some(&OUTPUTS) || index.is_multiple_of(OUTPUTS)
    }

    /// None for the head's output layer: a random start is silent, too.
    fn fan_in(&self, tensor: &TensorLayout) -> Option<usize> {
        if tensor.name == head::OUTPUT_WEIGHTS { None } else { celo2::fan_in(tensor) }
    }

    fn imitation(&self) -> Option<Vec<f32>> {
        let mut theta = carries_momentum(STORED_CHANNELS.len(), HIDDEN, OUTPUTS);
        theta.extend(head::silent());
        Some(theta)
    }

    fn step_size(&self) -> f32 {
        self.step_size
    }

    fn step_size_mut(&mut self) -> &mut f32 {
        &mut self.step_size
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn weight_decay_mut(&mut self) -> &mut f32 {
        &mut self.weight_decay
    }

    fn check(&self) -> Result<(), Error> {
        positive("step_size", self.step_size)?;
        not_negative("decay", self.decay)?;
        not_negative("weight_decay", self.weight_decay)?;
        if !(0.0..=1.0).contains(&self.warmup) {
            let found = self.warmup.to_string();
            return Err(Error::InvalidHyperParameter { field: "warmup", found, expected: "a fraction in [0, 1]" });
        }
        positive("time_constant", self.time_constant)?;
        positive("step_bound", self.step_bound)?;
        positive("decay_bound", self.decay_bound)?;
        positive("slew", self.slew)?;
        self.average.map_or(Ok(()), |share| check_share("average", share))
    }
}
