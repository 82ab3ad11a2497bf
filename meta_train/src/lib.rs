//! Meta-training: how an optimizer is learned.
//!
//! ```text
//! theta ─▶ perturb ─▶ unroll on a task ─▶ gap of meta-losses ─▶ gradient ─▶ outer step ─▶ theta
//! ```
//!
//! * [`config`]: one RON file per run, checked once into a plan.
//! * [`noise`]: everything random, regenerated from counters.
//! * [`unroll`]: a particle, that is a pair of inner runs under opposite perturbations, window by window.
//! * [`truncation`], [`objective`], [`families`]: how long, judged by what, on which tasks.
//! * [`estimator`]: from gaps to gradients (NRES, PES, truncated ES).
//! * [`population`]: worker threads over particles.
//! * [`learner`]: merges contributions, owns theta.
//! * [`checkpoint`], [`run`]: the whole run, resumable to the bit.
//! * [`closing`]: native rate, freezing, evaluation on real data, report.
//! * [`throughput`]: inner steps per second, and where the time goes.
//!
//! The same configuration gives the same theta, bit for bit, with any number of workers and any
//! interruptions.

pub mod checkpoint;
pub mod closing;
pub mod config;
mod error;
pub mod estimator;
pub mod families;
pub mod learner;
pub mod noise;
pub mod objective;
pub mod observe;
pub mod population;
pub mod run;
pub mod throughput;
pub mod truncation;
pub mod unroll;

pub use config::Config;
pub use error::Error;
