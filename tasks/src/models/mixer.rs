//! MLP-mixers (Tolstikhin et al., arXiv 2105.01601): dense layers over the patches of each channel, then over the channels
//! of each patch.
//!
//! ```text
//! x ─▶ x + (W₂ φ(W₁ (norm x)ᵀ))ᵀ ─▶ x + W₄ φ(W₃ norm x)
//! ```

use serde::{Deserialize, Serialize};

use super::transformer::embed_patches;
use super::{Activation, Gains};
use crate::Error;
use crate::error::check_range;
use crate::graph::{Dense, GraphBuilder, Node, Norm, Real};

/// Shape and initialisation of an MLP-mixer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixerConfig {
    /// Side of a patch in pixels, 1 to 32.
    pub patch: usize,
    /// Blocks, 1 to 24.
    pub blocks: usize,
    /// Channels of a patch, 1 to 1024.
    pub width: usize,
    /// Width between the two layers over patches, 1 to 1024.
    pub token_hidden: usize,
    /// Width between the two layers over channels, 1 to 4096.
    pub channel_hidden: usize,
    /// The function between them.
    pub activation: Activation,
    /// Factor on all initial kernels, 0.01 to 100.
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10.
    pub output_scale: f32,
}

impl Default for MixerConfig {
    fn default() -> Self {
        Self {
            patch: 2,
            blocks: 2,
            width: 32,
            token_hidden: 16,
            channel_hidden: 64,
            activation: Activation::Gelu,
            init_gain: 1.0,
            output_scale: 1.0,
        }
    }
}

impl MixerConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.patch", self.patch, 1..=32)?;
        check_range("model.blocks", self.blocks, 1..=24)?;
        check_range("model.width", self.width, 1..=1024)?;
        check_range("model.token_hidden", self.token_hidden, 1..=1024)?;
        check_range("model.channel_hidden", self.channel_hidden, 1..=4096)?;
        self.gains().check()
    }

    fn gains(&self) -> Gains {
        Gains { init_gain: self.init_gain, output_scale: self.output_scale }
    }

    /// The outputs for images of `height × width` pixels, one row of channels for each.
    pub(super) fn build<T: Real>(
        &self,
        g: &mut GraphBuilder<T>,
        image: Node,
        size: (usize, usize),
        outputs: usize,
    ) -> Node {
        let mut x = embed_patches(g, image, size, self.patch, self.width, self.gains());
        for block in 0..self.blocks {
            let name = format!("block_{block}");
            let mixed = g.norm(&format!("{name}/token_norm"), x, Norm::Layer);
            let mixed = g.transpose(mixed);
            let mixed = self.mlp(g, &format!("{name}/token"), mixed, self.token_hidden);
            let mixed = g.transpose(mixed);
            x = g.add(x, mixed);
            let mixed = g.norm(&format!("{name}/channel_norm"), x, Norm::Layer);
            let mixed = self.mlp(g, &format!("{name}/channel"), mixed, self.channel_hidden);
            x = g.add(x, mixed);
        }
        let x = g.norm("norm", x, Norm::Layer);
        let x = g.mean_row(x);
        g.dense("outputs", x, Dense::linear(outputs, self.gains().output_deviation(x.width, 1.0)))
    }

    /// Two dense layers, back to the width of `x`.
    fn mlp<T: Real>(&self, g: &mut GraphBuilder<T>, name: &str, x: Node, hidden: usize) -> Node {
        let last = 1.0 / ((2 * self.blocks) as f32).sqrt();
        let first = Dense::linear(hidden, self.gains().deviation(x.width, self.activation.variance_gain()));
        let y = g.dense(&format!("{name}_first"), x, first.activated(self.activation));
        g.dense(&format!("{name}_second"), y, Dense::linear(x.width, last * self.gains().deviation(hidden, 1.0)))
    }
}
