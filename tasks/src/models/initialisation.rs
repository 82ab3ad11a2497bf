//! The two numbers that scale the initial kernels of every model, and the normalisations that models choose from.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::check_range;
use crate::graph::{GraphBuilder, Node, Norm, Real};

/// Factors on initial kernels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gains {
    /// On all of them, 0.01 to 100.
    pub init_gain: f32,
    /// On that of the last layer besides, 0 to 10.
    pub output_scale: f32,
}

impl Gains {
    pub(super) fn check(self) -> Result<(), Error> {
        check_range("model.init_gain", self.init_gain, 0.01..=100.0)?;
        check_range("model.output_scale", self.output_scale, 0.0..=10.0)
    }

    /// Standard deviation of a kernel: `gain √(c / inputs)`.
    pub(super) fn deviation(self, inputs: usize, variance_gain: f32) -> f32 {
        self.init_gain * (variance_gain / inputs as f32).sqrt()
    }

    /// That of the last kernel.
    pub(super) fn output_deviation(self, inputs: usize, variance_gain: f32) -> f32 {
        self.deviation(inputs, variance_gain) * self.output_scale
    }
}

/// What stands between a layer and its activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Normalisation {
    /// Nothing.
    #[default]
    None,
    /// Rows with mean zero and variance one.
    Layer,
    /// Rows with mean square one.
    Rms,
    /// Columns with mean zero and variance one over the batch, also in evaluation.
    Batch,
}

impl Normalisation {
    /// `x`, normalised, with tensors under `name`.
    pub(super) fn build<T: Real>(self, g: &mut GraphBuilder<T>, name: &str, x: Node) -> Node {
        match self {
            Self::None => x,
            Self::Layer => g.norm(name, x, Norm::Layer),
            Self::Rms => g.norm(name, x, Norm::Rms),
            Self::Batch => g.batch_norm(name, x),
        }
    }
}
