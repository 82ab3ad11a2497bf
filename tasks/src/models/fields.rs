//! Functions of the plane as networks: implicit images and solutions of Poisson's equation.
//!
//! ```text
//! implicit image:  (x, y) ─▶ Fourier features, or sines ─▶ dense layers ─▶ colour
//! Poisson:         u = 16 x (1 - x) y (1 - y) · network(x, y)      L = mean (Δu + f)²  over points of [0, 1]²
//! ```
//!
//! The network of Poisson's equation carries its derivatives along (Raissi et al., arXiv 1711.10561, here without a second tape); `u` is zero
//! at the edge by construction.

use serde::{Deserialize, Serialize};

use super::{Activation, Gains, SmoothActivation};
use crate::Error;
use crate::error::check_range;
use crate::graph::{Dense, GraphBuilder, Node, Real};

/// What an implicit image sees of a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Coordinates {
    /// The point itself, and the first kernel starts that much larger: for layers of sines (Sitzmann et al., arXiv 2006.09661).
    Scaled(f32),
    /// Sines and cosines of random combinations of its coordinates.
    Fourier {
        /// Combinations, 1 to 1024.
        count: usize,
        /// Deviation of the frequencies, 0.01 to 100.
        deviation: f32,
        /// The frequencies follow from it.
        seed: u64,
    },
}

/// An implicit image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImplicitConfig {
    /// What the first layer sees.
    pub coordinates: Coordinates,
    /// Widths of the hidden layers, 1 to 16 of 1 to 1024.
    pub hidden: Vec<usize>,
    /// The function after each.
    pub activation: Activation,
    /// Factor on all initial kernels, 0.01 to 100.
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10.
    pub output_scale: f32,
}

/// A network that solves Poisson's equation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoissonConfig {
    /// Widths of the hidden layers, 1 to 16 of 1 to 1024.
    pub hidden: Vec<usize>,
    /// The function after each; it needs two derivatives.
    pub activation: SmoothActivation,
    /// Factor on all initial kernels, 0.01 to 100.
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10.
    pub output_scale: f32,
}

impl Default for ImplicitConfig {
    fn default() -> Self {
        let coordinates = Coordinates::Scaled(10.0);
        Self { coordinates, hidden: vec![32, 32], activation: Activation::Sin, init_gain: 1.0, output_scale: 1.0 }
    }
}

impl Default for PoissonConfig {
    fn default() -> Self {
        Self { hidden: vec![32, 32], activation: SmoothActivation::Tanh, init_gain: 1.0, output_scale: 1.0 }
    }
}

fn check_hidden(hidden: &[usize]) -> Result<(), Error> {
    check_range("model.hidden: number of layers", hidden.len(), 1..=16)?;
    let mut layers = hidden.iter().enumerate();
    layers.try_for_each(|(layer, &width)| check_range(format!("model.hidden[{layer}]"), width, 1..=1024))
}

impl ImplicitConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_hidden(&self.hidden)?;
        match self.coordinates {
            Coordinates::Scaled(factor) => check_range("model.coordinates", factor, 0.01..=1000.0)?,
            Coordinates::Fourier { count, deviation, .. } => {
                check_range("model.coordinates.count", count, 1..=1024)?;
                check_range("model.coordinates.deviation", deviation, 0.01..=100.0)?;
            }
        }
        self.gains().check()
    }

    fn gains(&self) -> Gains {
        Gains { init_gain: self.init_gain, output_scale: self.output_scale }
    }

    /// The colour at a point.
    pub(super) fn build<T: Real>(&self, g: &mut GraphBuilder<T>, point: Node, outputs: usize) -> Node {
        let gains = self.gains();
        let (mut x, mut factor) = match self.coordinates {
            Coordinates::Scaled(factor) => (point, factor),
            Coordinates::Fourier { count, deviation, seed } => {
                (g.fourier_features(count, f64::from(deviation), seed), 1.0)
            }
        };
        for (layer, &width) in self.hidden.iter().enumerate() {
            // A sine of a normal number of variance 2 has variance ½ again.
            let gain = if self.activation == Activation::Sin { 2.0 } else { self.activation.variance_gain() };
            let deviation = factor * gains.deviation(x.width, gain);
            x = g.dense(&format!("dense_{layer}"), x, Dense::linear(width, deviation).activated(self.activation));
            factor = 1.0;
        }
        g.dense("outputs", x, Dense::linear(outputs, gains.output_deviation(x.width, 1.0)))
    }
}

impl PoissonConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_hidden(&self.hidden)?;
        self.gains().check()
    }

    fn gains(&self) -> Gains {
        Gains { init_gain: self.init_gain, output_scale: self.output_scale }
    }

    /// `-Δu` at a point.
    pub(super) fn build<T: Real>(&self, g: &mut GraphBuilder<T>) -> Node {
        let gains = self.gains();
        let mut jet = g.point_jet();
        for (layer, &width) in self.hidden.iter().enumerate() {
            let name = format!("dense_{layer}");
            jet = g.dense(&name, jet, Dense::linear(width, gains.deviation(jet.width, 1.0)).without_bias());
            jet = g.activate_jet(&name, jet, self.activation);
        }
        let last = Dense::linear(1, gains.output_deviation(jet.width, 1.0)).without_bias();
        let jet = g.dense("outputs", jet, last);
        g.poisson_left_hand_side(jet)
    }
}
