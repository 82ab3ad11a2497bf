//! Optimizers on flat `f32` slices: learned ones, frozen after meta-training, and those designed by hand.
//!
//! Describe the parameters once with a [`ParamLayout`], then call [`Optimizer::step`] with parameters, gradients
//! and the loss:
//!
//! ```
//! use velo_optimizer::hand_designed::{AdamW, AdamWConfig};
//! use velo_optimizer::{Optimizer, ParamLayout, Schedule};
//!
//! let layout = ParamLayout::new([("kernel", vec![2, 1]), ("bias", vec![1])])?;
//! let config = AdamWConfig { learning_rate: 0.1, ..AdamWConfig::default() };
//! let mut optimizer = AdamW::new(&layout, config)?.with_schedule(Schedule::Cosine { warmup: 0.05, floor: 0.0 }, 200);
//! let mut params = vec![0.0; layout.len()];
//! for _ in 0..200 {
//!     let grads: Vec<f32> = params.iter().map(|p| p - 1.0).collect();
//!     let loss = grads.iter().map(|g| g * g / 2.0).sum();
//!     optimizer.step(&mut params, &grads, loss)?;
//! }
//! assert!(params.iter().all(|p| (p - 1.0).abs() < 0.02));
//! # Ok::<(), velo_optimizer::Error>(())
//! ```
//!
//! A [`LearnedOptimizer`] is used the same way, with the weights that come along ([`LearnedOptimizer::pretrained`]) or
//! with weights from a file ([`LearnedWeights::load`]).
//!
//! The stages of a learned step, in the order in which data flows: `loss_features`, `progress`, `tensor_features` →
//! `tensor_lstm` → `accumulators` → `param_network` (`channels`, `factors`, `row`, `mlp`) → `step`. Each architecture
//! is one file or folder that wires them.

mod accumulators;
mod adafac_mlp;
pub mod adapters;
mod architecture;
mod array_file;
mod averages;
mod bfloat16;
mod celo;
mod celo2;
mod celo_adam;
mod cut;
mod denormals;
mod elementwise;
mod error;
mod files;
mod finite;
mod geometry;
mod groups;
pub mod hand_designed;
mod imitation;
pub mod import;
mod layout;
mod learned;
mod loss_features;
mod matmul;
mod mlp_bank;
mod optimizer;
mod orthogonalise;
mod paced;
mod parallel;
mod param_network;
mod pretrained;
mod progress;
mod registry;
pub mod rule;
mod schedule;
mod scheduler;
mod simd;
#[cfg(test)]
mod stages;
pub mod state;
mod step;
mod tensor_features;
mod tensor_lstm;
mod velo;
mod weights;
mod wrappers;

/// What the recorded runs are read with, here and in the folder of tests.
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

// The tests that are shared call this crate by its name.
#[cfg(test)]
extern crate self as velo_optimizer;

pub use adafac_mlp::{AdafacMlpConfig, AdafacMlpRule};
pub use architecture::Architecture;
pub use bfloat16::AccumulatorStorage;
pub use celo::{CeloConfig, CeloRule};
pub use celo_adam::{CeloAdamConfig, CeloAdamRule};
pub use celo2::{AdamPath, Celo2Config, Celo2Rule};
pub use denormals::FlushDenormals;
pub use error::Error;
pub use groups::{Group, Grouped, GroupedConfig, Selector};
pub use layout::{ParamLayout, TensorLayout};
pub use learned::{LearnedOptimizer, LearnedRule};
pub use optimizer::{NonFinitePolicy, Optimizer, StepOutcome};
pub use paced::{InputGroup, PacedConfig, PacedRule};
pub use param_network::mlp::Activation;
pub use registry::{LearnedConfig, OptimizerConfig, PretrainedConfig};
pub use schedule::Schedule;
pub use velo::{VeloConfig, VeloRule};
pub use weights::LearnedWeights;
pub use wrappers::{
    Accumulated, AccumulatedConfig, Accumulation, AverageMemory, Averaged, AveragedConfig, Call, Clipped,
    ClippedConfig, Clipping, L2Penalty, L2Regularised, L2RegularisedConfig, Limit, Lookahead, LookaheadConfig, Penalty,
    Pull, RunningAverage, SlowParams, Unit, Wrapped, Wrapper,
};
