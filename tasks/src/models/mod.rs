//! What is trained: one architecture a file.

mod activation;
mod dense;
mod elementary;
mod loss;
mod matrix_product;
mod mlp;
mod mlp_graph;
mod simd;

use serde::{Deserialize, Serialize};

pub use activation::Activation;
pub use loss::Loss;
pub use mlp::MlpConfig;
pub(crate) use mlp::MlpTask;

/// Which architecture a task trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ModelConfig {
    /// Dense layers, one after the other.
    Mlp(MlpConfig),
}

/// What computes a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// Forward and backward passes written by hand.
    #[default]
    Dense,
    /// The autodiff library: several times slower, and the oracle of the tests.
    Autodiff,
}
