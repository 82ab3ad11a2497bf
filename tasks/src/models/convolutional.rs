//! Small convolutional networks: plain stages, or stages of residual blocks (He et al., arXiv 1512.03385).
//!
//! ```text
//! image ─▶ stage 0 ─▶ stage 1 (half the side) ─▶ … ─▶ mean over pixels, or all of them ─▶ classes
//! stage:   x ─▶ φ(norm(conv x)) ─▶ residual blocks      block: x ─▶ φ(x + norm(conv φ(norm(conv x))))
//! ```

use serde::{Deserialize, Serialize};

use super::{Activation, Gains, Normalisation};
use crate::Error;
use crate::error::check_range;
use crate::graph::{Dense, GraphBuilder, Node, Patches, Real, Window};

/// How a stage halves the side of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Halving {
    /// Its first convolution takes every second pixel.
    Stride,
    /// The mean of 2×2 pixels, before its first convolution.
    AveragePool,
}

/// Shape and initialisation of a convolutional network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConvolutionalConfig {
    /// Channels of each stage, 1 to 8 stages of 1 to 512.
    pub channels: Vec<usize>,
    /// Side of the kernels, 1 to 7.
    pub side: usize,
    /// Residual blocks of each stage, 0 to 8.
    pub residual_blocks: usize,
    /// How a stage after the first halves its image.
    pub halving: Halving,
    /// What stands between a convolution and its function.
    pub normalisation: Normalisation,
    /// The function after each convolution.
    pub activation: Activation,
    /// The classes see the mean over all pixels, rather than all of them.
    pub global_pool: bool,
    /// Factor on all initial kernels, 0.01 to 100.
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10.
    pub output_scale: f32,
}

impl Default for ConvolutionalConfig {
    fn default() -> Self {
        Self {
            channels: vec![16, 32],
            side: 3,
            residual_blocks: 0,
            halving: Halving::Stride,
            normalisation: Normalisation::None,
            activation: Activation::Relu,
            global_pool: true,
            init_gain: 1.0,
            output_scale: 1.0,
        }
    }
}

/// An image node and its size.
#[derive(Clone, Copy)]
struct Image {
    node: Node,
    height: usize,
    width: usize,
}

impl ConvolutionalConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.channels: number of stages", self.channels.len(), 1..=8)?;
        for (stage, &channels) in self.channels.iter().enumerate() {
            check_range(format!("model.channels[{stage}]"), channels, 1..=512)?;
        }
        check_range("model.side", self.side, 1..=7)?;
        check_range("model.residual_blocks", self.residual_blocks, 0..=8)?;
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
        (height, width): (usize, usize),
        outputs: usize,
    ) -> Node {
        let mut image = Image { node: image, height, width };
        for (stage, &channels) in self.channels.iter().enumerate() {
            let mut stride = 1;
            match self.halving {
                _ if stage == 0 => {}
                Halving::Stride => stride = 2,
                Halving::AveragePool => {
                    let window = Window { height: image.height, width: image.width, rows: 2, columns: 2 };
                    let ((height, width), node) = (window.grid(), g.average_pool(image.node, window));
                    image = Image { node, height, width };
                }
            }
            image = self.convolution(g, &format!("stage_{stage}"), image, channels, stride);
            image.node = g.activate(image.node, self.activation);
            for block in 0..self.residual_blocks {
                let name = format!("stage_{stage}/block_{block}");
                let mut branch = self.convolution(g, &format!("{name}/first"), image, channels, 1);
                branch.node = g.activate(branch.node, self.activation);
                branch = self.convolution(g, &format!("{name}/second"), branch, channels, 1);
                let sum = g.add(image.node, branch.node);
                image.node = g.activate(sum, self.activation);
            }
        }
        let features = match self.global_pool {
            true => g.mean_row(image.node),
            false => g.reshape(image.node, image.node.rows * image.node.width),
        };
        g.dense("outputs", features, Dense::linear(outputs, self.gains().output_deviation(features.width, 1.0)))
    }

    /// A convolution and its normalisation.
    fn convolution<T: Real>(
        &self,
        g: &mut GraphBuilder<T>,
        name: &str,
        image: Image,
        channels: usize,
        stride: usize,
    ) -> Image {
        let Image { node, height, width } = image;
        let patches = Patches { height, width, side: self.side, stride };
        let inputs = self.side * self.side * node.width;
        let layer = Dense::linear(channels, self.gains().deviation(inputs, self.activation.variance_gain()));
        let layer = if self.normalisation == Normalisation::None { layer } else { layer.without_bias() };
        let convolved = g.convolution(&format!("{name}/conv"), node, patches, layer);
        let (height, width) = patches.grid();
        Image { node: self.normalisation.build(g, &format!("{name}/norm"), convolved), height, width }
    }
}
