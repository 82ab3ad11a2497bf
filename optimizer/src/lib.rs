//! Optimizers on flat `f32` slices: learned ones, frozen after meta-training, and those designed by hand.

mod denormals;
mod error;
pub mod hand_designed;
mod layout;
mod optimizer;
mod registry;
pub mod rule;
mod schedule;
pub mod state;

pub use denormals::FlushDenormals;
pub use error::Error;
pub use layout::{ParamLayout, TensorLayout};
pub use optimizer::{NonFinitePolicy, Optimizer, StepOutcome};
pub use registry::OptimizerConfig;
pub use schedule::Schedule;
