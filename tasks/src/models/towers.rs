//! Two towers that meet: images and texts as unit vectors, close where they belong together (Radford et al., arXiv 2103.00020).
//!
//! ```text
//! image ─▶ φ(patches · W) ─▶ mean ─▶ dense ─▶ unit length · exp s ┐
//! tokens ─▶ table ─▶ φ(· W) ─▶ mean ─▶ dense ─▶ unit length       ┴─▶ contrast over the batch      s: learned
//! ```

use serde::{Deserialize, Serialize};

use super::{Activation, Gains, Loss};
use crate::Error;
use crate::error::check_range;
use crate::graph::{Dense, GraphBuilder, Node, Norm, Patches, Real};

/// `s` at the start: similarities within ±10.
const INITIAL_TEMPERATURE: f32 = std::f32::consts::LN_10;

/// Shape and initialisation of two towers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TowersConfig {
    /// Side of an image patch in pixels, 1 to 32.
    pub patch: usize,
    /// Width of patches and tokens, 1 to 1024.
    pub width: usize,
    /// Numbers of the common vectors, 1 to 1024.
    pub embedding: usize,
    /// The function after the first layers.
    pub activation: Activation,
    /// Factor on all initial kernels, 0.01 to 100.
    pub init_gain: f32,
}

impl Default for TowersConfig {
    fn default() -> Self {
        Self { patch: 2, width: 32, embedding: 16, activation: Activation::Gelu, init_gain: 1.0 }
    }
}

/// An image and the text behind it in one input row.
#[derive(Clone, Copy)]
pub(super) struct ImageAndText {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub vocabulary: usize,
    pub length: usize,
}

impl TowersConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.patch", self.patch, 1..=32)?;
        check_range("model.width", self.width, 1..=1024)?;
        check_range("model.embedding", self.embedding, 1..=1024)?;
        self.gains().check()
    }

    fn gains(&self) -> Gains {
        Gains { init_gain: self.init_gain, output_scale: 1.0 }
    }

    /// Both towers and the contrast between them.
    pub(super) fn build<T: Real>(&self, g: &mut GraphBuilder<T>, input: ImageAndText, loss: Loss) -> Result<(), Error> {
        let Some(contrast) = loss.contrast() else {
            return Err(Error::invalid("loss", format!("{loss:?}"), "InfoNce or SigmoidContrast, for two towers"));
        };
        let (gains, gain) = (self.gains(), self.activation.variance_gain());
        let ImageAndText { channels, height, width, vocabulary, length } = input;
        let pixels = channels * height * width;

        let whole = g.input();
        let image = g.columns(whole, 0..pixels);
        let image = g.reshape(image, channels);
        let patches = Patches { height, width, side: self.patch, stride: self.patch };
        let layer = Dense::linear(self.width, gains.deviation(self.patch * self.patch * channels, gain));
        let image = g.convolution("image/patches", image, patches, layer.activated(self.activation));
        let image = self.unit(g, "image/outputs", image);
        let image = g.scale_by_exp("temperature", image, INITIAL_TEMPERATURE);

        let text = g.embedding("text/tokens", pixels..pixels + length, vocabulary, self.width, self.init_gain);
        let layer = Dense::linear(self.width, gains.deviation(self.width, gain)).activated(self.activation);
        let text = g.dense("text/hidden", text, layer);
        let text = self.unit(g, "text/outputs", text);
        g.contrast(image, text, contrast);
        Ok(())
    }

    /// The mean of the rows, projected to unit length.
    fn unit<T: Real>(&self, g: &mut GraphBuilder<T>, name: &str, x: Node) -> Node {
        let x = g.mean_row(x);
        let x = g.dense(name, x, Dense::linear(self.embedding, self.gains().deviation(x.width, 1.0)));
        g.norm(name, x, Norm::Unit)
    }
}
