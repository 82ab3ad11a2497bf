//! Comparing optimizers: what `meta_train`'s closing evaluation and the `benchmark_suite` program share.
//!
//! [`Contender`]s (optimizers with the settings they may be tuned over) are run on [`Problem`]s by [`runner::run`] into
//! [`Trial`]s, which a [`TrialCache`] keeps; [`score`] turns trials into ratios with intervals; [`report`] turns them into [`table`]s,
//! [`figure`]s and one self-contained [`Page`]. Around that: configuration files ([`ron_file`]), files that are
//! never half-written ([`atomic_file`]), output folders ([`run_folder`]) and a record of the machine
//! ([`environment`]).

pub mod atomic_file;
mod cache;
pub mod contender;
pub mod environment;
mod error;
pub mod figure;
pub mod fingerprint;
mod nearest;
mod page;
pub mod problem;
pub mod report;
pub mod ron_file;
pub mod run_folder;
pub mod runner;
pub mod score;
pub mod table;
pub mod trial;

pub use cache::TrialCache;
pub use contender::{Contender, Declared, OptimizerSource, Setting};
pub use error::{Error, one_line};
pub use nearest::nearest;
pub use page::Page;
pub use problem::{Problem, TaskSource};
pub use runner::{Comparison, EnvelopePlan, Limits, Progress, run, run_until};
pub use trial::{Metric, Role, Trial};

/// The example of the README, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
