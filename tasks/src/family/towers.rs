//! Contrastive image-text towers on captioned shapes: width 8 to 32, common space of 4 to 16, batches of 8 to 32 pairs.

use super::{TaskFamily, init_gain};
use crate::config::TaskConfig;
use crate::data::{CaptionedShapesConfig, DataConfig};
use crate::models::{Activation, Loss, ModelConfig, TowersConfig};
use crate::rng::{Draws, stream_number};

/// Two towers.
pub(super) struct Towers;

impl TaskFamily for Towers {
    fn name(&self) -> &str {
        "towers"
    }

    fn summary(&self) -> &str {
        "images of shapes and their captions brought together by a contrastive loss"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("towers") });
        let data = CaptionedShapesConfig::sample(&mut draws);
        let model = TowersConfig {
            patch: draws.choose([2, 4]),
            width: draws.log_uniform_integer(8, 32),
            embedding: draws.log_uniform_integer(4, 16),
            activation: draws.choose([Activation::Gelu, Activation::Relu, Activation::Tanh]),
            init_gain: init_gain(&mut draws),
        };
        TaskConfig {
            name: self.name().to_owned(),
            data: DataConfig::CaptionedShapes(data),
            model: ModelConfig::Towers(model),
            loss: draws.choose([Loss::InfoNce, Loss::InfoNce, Loss::SigmoidContrast]),
            batch_size: draws.log_uniform_integer(8, 32),
            augmentations: Vec::new(),
        }
    }
}
