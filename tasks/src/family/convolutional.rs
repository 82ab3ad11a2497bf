//! Small convolutional networks, plain and residual, on small procedural images.
//!
//! | field | drawn from |
//! | --- | --- |
//! | image | glyphs, textures or shapes, 6 to 16 pixels wide |
//! | stages | 1 to 3 of 4 to 32 channels (residual: 1 or 2 of 4 to 16), 3×3 kernels or 5×5 in a sixth of the draws |
//! | normalisation | none, batch norm, layer norm (residual: never none) |
//! | halving | stride, average pooling |
//! | residual blocks | none, or 1 or 2 a stage |

use super::vision::{Images, images};
use super::{TaskFamily, affordable_batch, init_gain, output_scale};
use crate::config::TaskConfig;
use crate::models::{Activation, ConvolutionalConfig, Halving, Loss, ModelConfig, Normalisation};
use crate::rng::{Draws, stream_number};

/// Plain convolutional networks.
pub(super) struct Convolutional;

/// Tiny residual networks.
pub(super) struct Residual;

impl TaskFamily for Convolutional {
    fn name(&self) -> &str {
        "convolutional"
    }

    fn summary(&self) -> &str {
        "classification of small images by one to three convolutions, with or without a norm"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("convolutional") });
        let images = images(&mut draws);
        let stages = draws.choose([1, 2, 2, 3]);
        let channels = (0..stages).map(|_| draws.log_uniform_integer(4, 32)).collect();
        let norms = [Normalisation::None, Normalisation::None, Normalisation::Batch, Normalisation::Layer];
        let model = ConvolutionalConfig {
            channels,
            side: draws.choose([3, 3, 3, 3, 3, 5]),
            residual_blocks: 0,
            normalisation: draws.choose(norms),
            global_pool: draws.chance(0.7),
            ..common(&mut draws)
        };
        task(self, images, model, &mut draws)
    }
}

impl TaskFamily for Residual {
    fn name(&self) -> &str {
        "residual"
    }

    fn summary(&self) -> &str {
        "classification of small images by tiny residual networks"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("residual") });
        let images = images(&mut draws);
        let stages = draws.choose([1, 2]);
        let channels = (0..stages).map(|_| draws.log_uniform_integer(4, 16)).collect();
        let model = ConvolutionalConfig {
            channels,
            side: 3,
            residual_blocks: draws.choose([1, 1, 2]),
            normalisation: draws.choose([Normalisation::Batch, Normalisation::Batch, Normalisation::Layer]),
            global_pool: true,
            ..common(&mut draws)
        };
        task(self, images, model, &mut draws)
    }
}

/// What both kinds draw alike.
fn common(draws: &mut Draws) -> ConvolutionalConfig {
    ConvolutionalConfig {
        halving: draws.choose([Halving::Stride, Halving::AveragePool]),
        activation: draws.choose([Activation::Relu, Activation::Relu, Activation::Silu, Activation::Tanh]),
        init_gain: init_gain(draws),
        output_scale: output_scale(draws),
        ..ConvolutionalConfig::default()
    }
}

fn task(family: &dyn TaskFamily, images: Images, model: ConvolutionalConfig, draws: &mut Draws) -> TaskConfig {
    let Images { data, mut side, channels } = images;
    let (mut multiply_adds, mut inputs) = (0, channels);
    for (stage, &outputs) in model.channels.iter().enumerate() {
        side = if stage == 0 { side } else { side.div_ceil(2) };
        let kernels = outputs * inputs + 2 * model.residual_blocks * outputs * outputs;
        multiply_adds += side * side * model.side * model.side * kernels;
        inputs = outputs;
    }
    TaskConfig {
        name: family.name().to_owned(),
        data,
        model: ModelConfig::Convolutional(model),
        loss: Loss::SoftmaxCrossEntropy,
        batch_size: affordable_batch(draws, multiply_adds),
        augmentations: Vec::new(),
    }
}
