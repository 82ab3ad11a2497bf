//! Variational auto-encoders (Kingma and Welling, arXiv 1312.6114).
//!
//! ```text
//! x ─▶ hidden ─▶ (μ, s) ─▶ c = μ + exp(s / 2) ε ─▶ hidden, reversed ─▶ x̂      L = mean (x̂ - x)² + w / width(x) · KL(μ, s)
//! ```

use serde::{Deserialize, Serialize};

use super::{Activation, Gains};
use crate::Error;
use crate::error::check_range;
use crate::graph::{Dense, GraphBuilder, Node, Real};

/// Shape and initialisation of a variational auto-encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VariationalConfig {
    /// Widths of the hidden layers of the encoder, at most 16, each 1 to 4096; the decoder has them in reverse.
    pub hidden: Vec<usize>,
    /// Numbers of the code, 1 to 1024.
    pub codes: usize,
    /// The function after each hidden layer.
    pub activation: Activation,
    /// Weight `w` of the divergence, 0 to 100.
    pub divergence_weight: f32,
    /// Factor on all initial kernels, 0.01 to 100.
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10.
    pub output_scale: f32,
}

impl Default for VariationalConfig {
    fn default() -> Self {
        Self {
            hidden: vec![32],
            codes: 8,
            activation: Activation::Relu,
            divergence_weight: 1.0,
            init_gain: 1.0,
            output_scale: 1.0,
        }
    }
}

impl VariationalConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.hidden: number of layers", self.hidden.len(), 0..=16)?;
        for (layer, &width) in self.hidden.iter().enumerate() {
            check_range(format!("model.hidden[{layer}]"), width, 1..=4096)?;
        }
        check_range("model.codes", self.codes, 1..=1024)?;
        check_range("model.divergence_weight", self.divergence_weight, 0.0..=100.0)?;
        self.gains().check()
    }

    fn gains(&self) -> Gains {
        Gains { init_gain: self.init_gain, output_scale: self.output_scale }
    }

    /// The reconstruction of `x`; the divergence is attached.
    pub(super) fn build<T: Real>(&self, g: &mut GraphBuilder<T>, x: Node, outputs: usize) -> Node {
        let (gains, gain) = (self.gains(), self.activation.variance_gain());
        let hidden = |g: &mut GraphBuilder<T>, name: String, x: Node, width: usize| {
            let layer = Dense::linear(width, gains.deviation(x.width, gain)).activated(self.activation);
            g.dense(&name, x, layer)
        };
        let mut signal = x;
        for (layer, &width) in self.hidden.iter().enumerate() {
            signal = hidden(g, format!("encoder_{layer}"), signal, width);
        }
        let moments = g.dense("moments", signal, Dense::linear(2 * self.codes, gains.deviation(signal.width, 1.0)));
        g.gaussian_divergence(moments, f64::from(self.divergence_weight) / outputs as f64);
        signal = g.sample(moments);
        for (layer, &width) in self.hidden.iter().rev().enumerate() {
            signal = hidden(g, format!("decoder_{layer}"), signal, width);
        }
        g.dense("outputs", signal, Dense::linear(outputs, gains.output_deviation(signal.width, 1.0)))
    }
}
