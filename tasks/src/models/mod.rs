//! What is trained: one architecture a file.

mod activation;
mod loss;
mod mlp;
mod mlp_graph;

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
    /// The autodiff library.
    #[default]
    Autodiff,
}
