//! The operations of a graph, one (or one closely related group) a file: formula, forward, backward, check.

mod activate;
mod attention;
mod batch_norm;
mod dense;
mod elementwise;
mod embedding;
mod fourier;
mod jet;
mod norm;
mod patches;
mod pooling;
mod recurrent;
mod rows;
mod sample;

pub(crate) use attention::Attention;
pub(crate) use dense::Dense;
pub use jet::SmoothActivation;
pub(crate) use norm::Norm;
pub(crate) use patches::Patches;
pub(crate) use pooling::Window;
pub use recurrent::CellKind;

pub(super) use elementwise::{add_to, copy};
