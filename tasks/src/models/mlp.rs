//! Multi-layer perceptrons, plain or normalised.
//!
//! ```text
//! a₀ = x      a_{l+1} = φ(norm(a_l W_l + b_l))      z = a_L W_L + b_L
//! ```
//!
//! Layer `l` has the tensors `dense_l/kernel` (`[inputs, outputs]`) and `dense_l/bias`, and with a normalisation
//! `norm_l/gain` and `norm_l/bias` in place of the bias. Initial kernels are normal with variance `gain² · c / inputs`, where `c` is
//! 2 for one-sided activations and 1 otherwise; those of the last layer are multiplied by `output_scale` besides; biases
//! start at zero.

use serde::{Deserialize, Serialize};

use super::{Activation, Gains, Normalisation};
use crate::Error;
use crate::error::check_range;
use crate::graph::{Dense, GraphBuilder, Node, Real};

/// Shape and initialisation of an MLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Widths of the hidden layers, at most 64 of them, each 1 to 8192; empty for a linear model.
    pub hidden: Vec<usize>,
    /// The function after each hidden layer.
    pub activation: Activation,
    /// What stands between a hidden layer and its function.
    #[serde(default)]
    pub normalisation: Normalisation,
    /// Factor on all initial kernels, 0.01 to 100.
    #[serde(default = "one")]
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10; 0 starts from equal outputs.
    #[serde(default = "one")]
    pub output_scale: f32,
}

fn one() -> f32 {
    1.0
}

impl MlpConfig {
    /// These hidden widths and this activation, with the usual initialisation and no normalisation.
    pub fn new(hidden: impl Into<Vec<usize>>, activation: Activation) -> Self {
        Self {
            hidden: hidden.into(),
            activation,
            normalisation: Normalisation::None,
            init_gain: 1.0,
            output_scale: 1.0,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.hidden: number of layers", self.hidden.len(), 0..=64)?;
        for (layer, &width) in self.hidden.iter().enumerate() {
            check_range(format!("model.hidden[{layer}]"), width, 1..=8192)?;
        }
        self.gains().check()
    }

    fn gains(&self) -> Gains {
        Gains { init_gain: self.init_gain, output_scale: self.output_scale }
    }

    /// The outputs on the rows of `x`.
    pub(super) fn build<T: Real>(&self, g: &mut GraphBuilder<T>, x: Node, outputs: usize) -> Node {
        let (gains, gain) = (self.gains(), self.activation.variance_gain());
        let hidden = self.hidden.iter().enumerate().fold(x, |x, (layer, &width)| {
            let dense = Dense::linear(width, gains.deviation(x.width, gain));
            let name = format!("dense_{layer}");
            match self.normalisation {
                Normalisation::None => g.dense(&name, x, dense.activated(self.activation)),
                normalisation => {
                    let x = g.dense(&name, x, dense.without_bias());
                    let x = normalisation.build(g, &format!("norm_{layer}"), x);
                    g.activate(x, self.activation)
                }
            }
        });
        let name = format!("dense_{}", self.hidden.len());
        g.dense(&name, hidden, Dense::linear(outputs, gains.output_deviation(hidden.width, gain)))
    }
}
