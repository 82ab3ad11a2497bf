//! Training a small learned optimizer: 4 to 32 hidden units, 5 to 20 steps on 1 to 4 problems of 2 to 16 coordinates.

use super::TaskFamily;
use crate::config::TaskConfig;
use crate::data::DataConfig;
use crate::models::{LearnedOptimizerConfig, Loss, ModelConfig};
use crate::rng::{Draws, stream_number};

/// Rules that are trained by how well they train.
pub(super) struct LearnedOptimizer;

impl TaskFamily for LearnedOptimizer {
    fn name(&self) -> &str {
        "learned_optimizer"
    }

    fn summary(&self) -> &str {
        "weights of a small update rule, by evolution on random quadratics"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("learned_optimizer") });
        let model = LearnedOptimizerConfig {
            hidden: draws.log_uniform_integer(4, 32),
            steps: draws.log_uniform_integer(5, 20),
            dimensions: draws.log_uniform_integer(2, 16),
            deviation: draws.log_uniform(0.01, 0.1) as f32,
            pairs: 1,
        };
        TaskConfig {
            name: self.name().to_owned(),
            data: DataConfig::None,
            model: ModelConfig::LearnedOptimizer(model),
            loss: Loss::Intrinsic,
            batch_size: draws.log_uniform_integer(1, 4),
            augmentations: Vec::new(),
        }
    }
}
