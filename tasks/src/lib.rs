//! Things to train: a loss and its gradient behind one trait, and distributions over them.
//!
//! A [`TaskFamily`] draws a [`TaskConfig`] from a seed, or the [`registry`] names a fixed one; [`TaskConfig::build`]
//! makes it a [`Task`], which hides its data, its model and its autodiff behind flat slices. The [`training`] loop
//! brings a task together with an optimizer.
//!
//! ```
//! use velo_optimizer::hand_designed::{Adam, AdamConfig};
//! use velo_tasks::{registry, training};
//!
//! let mut task = registry::named("digits_mlp")?.build()?;
//! let mut optimizer = Adam::new(task.layout(), AdamConfig { learning_rate: 3e-3, ..AdamConfig::default() })?;
//! let curve = training::train(task.as_mut(), &mut optimizer, 0, 300, 100)?;
//! assert!(curve.validation.accuracy.unwrap() > 0.9);
//! # Ok::<(), velo_tasks::Error>(())
//! ```

mod augmentations;
mod autodiff;
pub mod check;
mod config;
pub mod cost;
pub mod data;
mod error;
mod evolution;
pub mod family;
mod graph;
pub mod models;
mod partition;
pub mod registry;
pub mod rng;
mod ron_text;
mod task;
pub mod training;
pub mod worker;

pub use augmentations::{Augmentation, AugmentationMix, Reparametrisation, Scope, Strength};
pub use config::TaskConfig;
pub use error::Error;
pub use family::TaskFamily;
pub use partition::Partition;
pub use task::{Batch, Metrics, Split, Task};
