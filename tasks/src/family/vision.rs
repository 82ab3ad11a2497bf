//! Vision transformers and MLP-mixers on small procedural images.
//!
//! | field | drawn from |
//! | --- | --- |
//! | image | glyphs, textures or shapes, 6 to 16 pixels wide |
//! | patch | a third or a quarter of the side, at least 2: 9 to 16 patches |
//! | width | 8, 16, 24, 32 (mixer: log-uniform 8 to 32) |
//! | blocks | 1 or 2 |
//! | norm, activation | layer or RMS (mixer: layer); GELU, SiLU, ReLU |

use super::{TaskFamily, affordable_batch, init_gain, output_scale};
use crate::config::TaskConfig;
use crate::data::{DataConfig, GlyphsConfig, ShapesConfig, TexturesConfig};
use crate::models::{
    Activation, Loss, MixerConfig, ModelConfig, Normalisation, TransformerConfig, VisionTransformerConfig,
};
use crate::rng::{Draws, stream_number};

/// Images, with the side and the channels that they have.
pub(super) struct Images {
    pub data: DataConfig,
    pub side: usize,
    pub channels: usize,
}

/// Glyphs, textures or shapes.
pub(super) fn images(draws: &mut Draws) -> Images {
    match draws.choose([0, 1, 2]) {
        0 => {
            let config = GlyphsConfig::sample(draws, [6, 8, 8, 12]);
            Images { side: config.side, channels: 1, data: DataConfig::Glyphs(config) }
        }
        1 => {
            let config = TexturesConfig::sample(draws);
            Images { side: config.side, channels: config.channels, data: DataConfig::Textures(config) }
        }
        _ => {
            let config = ShapesConfig::sample(draws);
            Images { side: config.side, channels: config.channels, data: DataConfig::Shapes(config) }
        }
    }
}

/// A third or a quarter of the side.
fn patch(draws: &mut Draws, side: usize) -> usize {
    side.div_ceil(draws.choose([3, 4])).max(2)
}

/// Transformers over patches.
pub(super) struct VisionTransformer;

impl TaskFamily for VisionTransformer {
    fn name(&self) -> &str {
        "vision_transformer"
    }

    fn summary(&self) -> &str {
        "classification of small images by transformers of one or two blocks"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("vision_transformer") });
        let Images { data, side, channels } = images(&mut draws);
        let patch = patch(&mut draws, side);
        let transformer = transformer(&mut draws);
        let tokens = side.div_ceil(patch).pow(2);
        let multiply_adds = tokens * (patch * patch * channels * transformer.width + block_cost(&transformer, tokens));
        let batch_size = affordable_batch(&mut draws, multiply_adds);
        let model = ModelConfig::VisionTransformer(VisionTransformerConfig { patch, transformer });
        let name = self.name().to_owned();
        TaskConfig { name, data, model, loss: Loss::SoftmaxCrossEntropy, batch_size, augmentations: Vec::new() }
    }
}

/// One or two blocks of 8 to 32.
pub(super) fn transformer(draws: &mut Draws) -> TransformerConfig {
    let width = draws.choose([8, 16, 16, 24, 32]);
    TransformerConfig {
        blocks: draws.choose([1, 1, 2]),
        width,
        heads: draws.choose([1, 2, 4]),
        hidden: width * draws.choose([1, 2, 4]),
        activation: draws.choose([Activation::Gelu, Activation::Silu, Activation::Relu]),
        normalisation: draws.choose([Normalisation::Layer, Normalisation::Layer, Normalisation::Rms]),
        normalised_queries: draws.chance(0.25),
        init_gain: init_gain(draws),
        output_scale: output_scale(draws),
    }
}

/// Multiplications and additions of all blocks for one token.
pub(super) fn block_cost(transformer: &TransformerConfig, tokens: usize) -> usize {
    let TransformerConfig { blocks, width, hidden, .. } = *transformer;
    blocks * (4 * width * width + 2 * width * hidden + 2 * tokens * width)
}

/// Mixers over patches.
pub(super) struct Mixer;

impl TaskFamily for Mixer {
    fn name(&self) -> &str {
        "mixer"
    }

    fn summary(&self) -> &str {
        "classification of small images by MLP-mixers"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("mixer") });
        let Images { data, side, channels } = images(&mut draws);
        let patch = patch(&mut draws, side);
        let model = MixerConfig {
            patch,
            blocks: draws.choose([1, 2]),
            width: draws.log_uniform_integer(8, 32),
            token_hidden: draws.log_uniform_integer(4, 32),
            channel_hidden: draws.log_uniform_integer(8, 64),
            activation: draws.choose([Activation::Gelu, Activation::Silu, Activation::Relu]),
            init_gain: init_gain(&mut draws),
            output_scale: output_scale(&mut draws),
        };
        let per_token = model.blocks * 2 * model.width * (model.token_hidden + model.channel_hidden);
        let multiply_adds = side.div_ceil(patch).pow(2) * (patch * patch * channels * model.width + per_token);
        let batch_size = affordable_batch(&mut draws, multiply_adds);
        let (name, model) = (self.name().to_owned(), ModelConfig::Mixer(model));
        TaskConfig { name, data, model, loss: Loss::SoftmaxCrossEntropy, batch_size, augmentations: Vec::new() }
    }
}
