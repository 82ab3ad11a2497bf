//! Optimizers on flat `f32` slices: learned ones, frozen after meta-training, and those designed by hand.

mod accumulators;
mod celo2;
mod denormals;
mod error;
mod geometry;
pub mod hand_designed;
mod layout;
mod learned;
mod matmul;
mod optimizer;
mod orthogonalise;
mod param_features;
mod param_mlp;
mod registry;
pub mod rule;
mod schedule;
mod simd;
pub mod state;
mod weights;

pub use celo2::{AdamPath, Celo2Config, Celo2Rule};
pub use denormals::FlushDenormals;
pub use error::Error;
pub use layout::{ParamLayout, TensorLayout};
pub use learned::{LearnedOptimizer, LearnedRule};
pub use optimizer::{NonFinitePolicy, Optimizer, StepOutcome};
pub use param_mlp::Activation;
pub use registry::{LearnedConfig, OptimizerConfig};
pub use schedule::Schedule;
pub use weights::{Architecture, LearnedWeights};
