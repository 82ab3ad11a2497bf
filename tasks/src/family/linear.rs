//! Linear models and factorisations: convex or nearly so, and hard for other reasons.
//!
//! | family | hard because | drawn |
//! | --- | --- | --- |
//! | `ill_conditioned` | features have a power-law spectrum | 8 to 64 features, exponent 0.5 to 3, classes or one value |
//! | `factorisation` | gradients are mostly zero | 16 to 256 users and items, rank 1 to 16 |

use super::{TaskFamily, init_gain, output_scale};
use crate::config::TaskConfig;
use crate::data::{DataConfig, IllConditionedConfig, RatingsConfig, TeacherTarget};
use crate::models::{Activation, FactorisationConfig, Loss, MlpConfig, ModelConfig};
use crate::rng::{Draws, stream_number};

/// Linear classification and regression.
pub(super) struct IllConditioned;

/// Matrix factorisation.
pub(super) struct Factorisation;

impl TaskFamily for IllConditioned {
    fn name(&self) -> &str {
        "ill_conditioned"
    }

    fn summary(&self) -> &str {
        "linear classification and regression on features of very different scales"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("ill_conditioned") });
        let data = IllConditionedConfig::sample(&mut draws);
        let loss = match data.target {
            TeacherTarget::Class => draws.choose([Loss::SoftmaxCrossEntropy, Loss::Logistic]),
            TeacherTarget::Values => draws.choose([Loss::MeanSquaredError, Loss::Huber]),
        };
        let model = MlpConfig {
            init_gain: init_gain(&mut draws),
            output_scale: output_scale(&mut draws),
            ..MlpConfig::new([], Activation::Relu)
        };
        TaskConfig {
            name: self.name().to_owned(),
            data: DataConfig::IllConditioned(data),
            model: ModelConfig::Mlp(model),
            loss,
            batch_size: draws.log_uniform_integer(4, 64),
            augmentations: Vec::new(),
        }
    }
}

impl TaskFamily for Factorisation {
    fn name(&self) -> &str {
        "factorisation"
    }

    fn summary(&self) -> &str {
        "ratings of items by users from learned vectors, with sparse gradients"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("factorisation") });
        let data = RatingsConfig::sample(&mut draws);
        let model = FactorisationConfig {
            rank: draws.log_uniform_integer(1, 16),
            init_gain: draws.log_uniform(0.1, 1.0) as f32,
        };
        TaskConfig {
            name: self.name().to_owned(),
            data: DataConfig::Ratings(data),
            model: ModelConfig::Factorisation(model),
            loss: draws.choose([Loss::MeanSquaredError, Loss::MeanSquaredError, Loss::Huber]),
            batch_size: draws.log_uniform_integer(8, 128),
            augmentations: Vec::new(),
        }
    }
}
