//! Transformers: the block, causal language models, and vision transformers.
//!
//! ```text
//! block:    x ─▶ x + attention(norm x) ─▶ x + W₂ φ(W₁ norm x)          (pre-norm, Xiong et al., arXiv 2002.04745)
//! language: tokens ─▶ table + positions ─▶ causal blocks ─▶ norm ─▶ next token at every position, or a class at the last
//! vision:   patches ─▶ dense + positions ─▶ blocks ─▶ norm ─▶ mean ─▶ classes     (Dosovitskiy et al., arXiv 2010.11929)
//! ```
//!
//! The kernels that end a residual branch start smaller by the root of the number of branches. Queries and keys of a head
//! may be normalised, with a learned gain that all heads share (Dehghani et al., arXiv 2302.05442).

use serde::{Deserialize, Serialize};

use super::{Activation, Gains, Normalisation};
use crate::Error;
use crate::error::check_range;
use crate::graph::{Attention, Dense, GraphBuilder, Node, Norm, Patches, Real};

/// Deviation of initial token and position tables, before the gain.
pub(super) const TABLE_DEVIATION: f32 = 0.1;

/// Shape and initialisation of a stack of blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransformerConfig {
    /// Blocks, 1 to 24.
    pub blocks: usize,
    /// Width of a token, 1 to 1024, a multiple of the heads.
    pub width: usize,
    /// Heads, 1 to 64.
    pub heads: usize,
    /// Width between the two dense layers of a block, 1 to 4096.
    pub hidden: usize,
    /// The function between them.
    pub activation: Activation,
    /// Norm of the branches: [`Layer`](Normalisation::Layer), [`Rms`](Normalisation::Rms) or none.
    pub normalisation: Normalisation,
    /// Normalises queries and keys.
    pub normalised_queries: bool,
    /// Factor on all initial kernels, 0.01 to 100.
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10.
    pub output_scale: f32,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self {
            blocks: 2,
            width: 32,
            heads: 4,
            hidden: 64,
            activation: Activation::Gelu,
            normalisation: Normalisation::Layer,
            normalised_queries: false,
            init_gain: 1.0,
            output_scale: 1.0,
        }
    }
}

/// A vision transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VisionTransformerConfig {
    /// Side of a patch in pixels, 1 to 32.
    pub patch: usize,
    /// The blocks.
    pub transformer: TransformerConfig,
}

impl Default for VisionTransformerConfig {
    fn default() -> Self {
        Self { patch: 2, transformer: TransformerConfig::default() }
    }
}

impl TransformerConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.blocks", self.blocks, 1..=24)?;
        check_range("model.width", self.width, 1..=1024)?;
        check_range("model.heads", self.heads, 1..=64)?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::invalid("model.width", self.width, format!("a multiple of {} heads", self.heads)));
        }
        check_range("model.hidden", self.hidden, 1..=4096)?;
        if self.normalisation == Normalisation::Batch {
            return Err(Error::invalid("model.normalisation", "Batch", "Layer, Rms or None, which act on one token"));
        }
        self.gains().check()
    }

    fn gains(&self) -> Gains {
        Gains { init_gain: self.init_gain, output_scale: self.output_scale }
    }

    /// A causal model of `tokens` tokens: outputs at every position but the last, or one row at the end.
    pub(super) fn build_language<T: Real>(
        &self,
        g: &mut GraphBuilder<T>,
        vocabulary: usize,
        length: usize,
        every_position: bool,
        outputs: usize,
    ) -> Node {
        let tokens = 0..if every_position { length - 1 } else { length };
        let deviation = self.init_gain * TABLE_DEVIATION;
        let x = g.embedding("tokens", tokens, vocabulary, self.width, deviation);
        let x = g.add_positions("positions", x, deviation);
        let x = self.blocks(g, x, true);
        let x = if every_position { x } else { g.last_row(x) };
        self.head(g, x, outputs)
    }

    fn head<T: Real>(&self, g: &mut GraphBuilder<T>, x: Node, outputs: usize) -> Node {
        g.dense("outputs", x, Dense::linear(outputs, self.gains().output_deviation(x.width, 1.0)))
    }

    /// All blocks and the norm behind them.
    fn blocks<T: Real>(&self, g: &mut GraphBuilder<T>, x: Node, causal: bool) -> Node {
        let x = (0..self.blocks).fold(x, |x, block| self.block(g, &format!("block_{block}"), x, causal));
        self.normalisation.build(g, "norm", x)
    }

    fn block<T: Real>(&self, g: &mut GraphBuilder<T>, name: &str, x: Node, causal: bool) -> Node {
        let (gains, width) = (self.gains(), self.width);
        let last = 1.0 / ((2 * self.blocks) as f32).sqrt();
        let normed = self.normalisation.build(g, &format!("{name}/attention_norm"), x);
        let linear = Dense::linear(2 * width, gains.deviation(width, 1.0));
        let mut queries_and_keys = g.dense(&format!("{name}/queries_and_keys"), normed, linear);
        if self.normalised_queries {
            let heads = g.reshape(queries_and_keys, width / self.heads);
            let heads = g.norm(&format!("{name}/query_norm"), heads, Norm::Rms);
            queries_and_keys = g.reshape(heads, 2 * width);
        }
        let values = g.dense(&format!("{name}/values"), normed, Dense::linear(width, gains.deviation(width, 1.0)));
        let seen = g.attention(queries_and_keys, values, Attention { heads: self.heads, causal });
        let seen = g.dense(&format!("{name}/merge"), seen, Dense::linear(width, last * gains.deviation(width, 1.0)));
        let x = g.add(x, seen);

        let normed = self.normalisation.build(g, &format!("{name}/mlp_norm"), x);
        let gain = self.activation.variance_gain();
        let first = Dense::linear(self.hidden, gains.deviation(width, gain)).activated(self.activation);
        let hidden = g.dense(&format!("{name}/mlp_first"), normed, first);
        let second = Dense::linear(width, last * gains.deviation(self.hidden, 1.0));
        let hidden = g.dense(&format!("{name}/mlp_second"), hidden, second);
        g.add(x, hidden)
    }
}

impl VisionTransformerConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.patch", self.patch, 1..=32)?;
        self.transformer.check()
    }

    /// The outputs for images of `height × width` pixels, one row of channels for each.
    pub(super) fn build<T: Real>(
        &self,
        g: &mut GraphBuilder<T>,
        image: Node,
        size: (usize, usize),
        outputs: usize,
    ) -> Node {
        let transformer = &self.transformer;
        let x = embed_patches(g, image, size, self.patch, transformer.width, transformer.gains());
        let x = g.add_positions("positions", x, transformer.init_gain * TABLE_DEVIATION);
        let x = transformer.blocks(g, x, false);
        let x = g.mean_row(x);
        transformer.head(g, x, outputs)
    }
}

/// A row of `width` numbers for each patch of an image; patches at the edge are filled up with zeros.
pub(super) fn embed_patches<T: Real>(
    g: &mut GraphBuilder<T>,
    image: Node,
    (height, width): (usize, usize),
    patch: usize,
    outputs: usize,
    gains: Gains,
) -> Node {
    let patches = Patches { height, width, side: patch, stride: patch };
    let layer = Dense::linear(outputs, gains.deviation(patch * patch * image.width, 1.0));
    g.convolution("patches", image, patches, layer)
}
