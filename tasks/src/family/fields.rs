//! Functions of the plane: Poisson's equation and implicit images.
//!
//! | field | drawn from |
//! | --- | --- |
//! | hidden layers | 1 to 3 of 8 to 48 (implicit images: to 64) |
//! | activation | tanh, sine (implicit images: also ReLU and GELU behind Fourier features) |
//! | first layer of sines | scaled by 2 to 30, log-uniform |
//! | Fourier features | 8 to 64 of deviation 0.3 to 3 |

use super::{TaskFamily, init_gain};
use crate::config::TaskConfig;
use crate::data::{CollocationConfig, DataConfig, ImplicitImageConfig};
use crate::models::{Activation, Coordinates, ImplicitConfig, Loss, ModelConfig, PoissonConfig, SmoothActivation};
use crate::rng::{Draws, stream_number};

/// Physics-informed networks.
pub(super) struct Poisson;

/// Images as functions.
pub(super) struct ImplicitImage;

fn hidden(draws: &mut Draws, widest: usize) -> Vec<usize> {
    let layers = draws.choose([1, 2, 2, 3]);
    (0..layers).map(|_| draws.log_uniform_integer(8, widest)).collect()
}

impl TaskFamily for Poisson {
    fn name(&self) -> &str {
        "poisson"
    }

    fn summary(&self) -> &str {
        "solving Poisson's equation on a square by its residual at random points"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("poisson") });
        let data = CollocationConfig::sample(&mut draws);
        let model = PoissonConfig {
            hidden: hidden(&mut draws, 48),
            activation: draws.choose([SmoothActivation::Tanh, SmoothActivation::Tanh, SmoothActivation::Sin]),
            init_gain: init_gain(&mut draws),
            output_scale: draws.choose([1.0, 0.1]),
        };
        TaskConfig {
            name: self.name().to_owned(),
            data: DataConfig::Collocation(data),
            model: ModelConfig::Poisson(model),
            loss: Loss::Residual,
            batch_size: draws.log_uniform_integer(16, 128),
            augmentations: Vec::new(),
        }
    }
}

impl TaskFamily for ImplicitImage {
    fn name(&self) -> &str {
        "implicit_image"
    }

    fn summary(&self) -> &str {
        "images as functions of the place, by sines or Fourier features"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("implicit_image") });
        let data = ImplicitImageConfig::sample(&mut draws);
        let (coordinates, activation) = if draws.chance(0.5) {
            (Coordinates::Scaled(draws.log_uniform(2.0, 30.0) as f32), Activation::Sin)
        } else {
            let coordinates = Coordinates::Fourier {
                count: draws.log_uniform_integer(8, 64),
                deviation: draws.log_uniform(0.3, 3.0) as f32,
                seed: draws.bits(),
            };
            (coordinates, draws.choose([Activation::Relu, Activation::Gelu, Activation::Tanh]))
        };
        let model = ImplicitConfig {
            coordinates,
            hidden: hidden(&mut draws, 64),
            activation,
            init_gain: init_gain(&mut draws),
            output_scale: draws.choose([1.0, 0.1]),
        };
        TaskConfig {
            name: self.name().to_owned(),
            data: DataConfig::ImplicitImage(data),
            model: ModelConfig::Implicit(model),
            loss: draws.choose([Loss::MeanSquaredError, Loss::MeanSquaredError, Loss::Huber]),
            batch_size: draws.log_uniform_integer(16, 128),
            augmentations: Vec::new(),
        }
    }
}
