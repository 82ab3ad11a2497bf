//! Functions of the parameters alone: noisy quadratics, Rosenbrock chains, saddles, plateaus; 2 to 256 parameters.

use super::TaskFamily;
use crate::config::TaskConfig;
use crate::data::DataConfig;
use crate::models::{Loss, ModelConfig, Surface, SurfaceConfig};
use crate::rng::{Draws, stream_number};

/// Surfaces of every kind.
pub(super) struct Surfaces;

impl TaskFamily for Surfaces {
    fn name(&self) -> &str {
        "surfaces"
    }

    fn summary(&self) -> &str {
        "noisy quadratics, Rosenbrock chains, saddles and plateaus"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("surfaces") });
        let surface = draws.choose([Surface::Quadratic, Surface::Rosenbrock, Surface::Saddle, Surface::Plateau]);
        let steepest = if surface == Surface::Rosenbrock { 100.0 } else { 10_000.0 };
        let model = SurfaceConfig {
            surface,
            dimensions: draws.log_uniform_integer(2, 256),
            condition: draws.log_uniform(1.0, steepest) as f32,
            reflected: draws.chance(0.5),
            noise: if draws.chance(0.3) { 0.0 } else { draws.log_uniform(0.01, 1.0) as f32 },
            seed: draws.bits(),
        };
        TaskConfig {
            name: self.name().to_owned(),
            data: DataConfig::None,
            model: ModelConfig::Surface(model),
            loss: Loss::Intrinsic,
            batch_size: draws.log_uniform_integer(1, 64),
            augmentations: Vec::new(),
        }
    }
}
