//! Meta-training: how an optimizer is learned.
//!
//! ```text
//! theta ─▶ perturb ─▶ unroll on a task ─▶ gap of meta-losses ─▶ gradient ─▶ outer step ─▶ theta
//! ```
//!
//! * [`config`]: one RON file per run, checked once into a plan.
//! * [`noise`]: everything random, regenerated from counters.
//! * [`curriculum`], [`setting`], [`parts`], [`start`]: stages of a run, what is learned, where it begins.
//! * [`episode`], [`unroll`]: a pair of inner runs under opposite perturbations; a particle, that is one such pair
//!   after another, window by window.
//! * [`truncation`], [`objective`], [`mod@reference`], [`families`], [`resume`]: how long, judged by what, on which tasks,
//!   and where a particle goes on after the end of a run.
//! * [`estimator`]: from gaps to gradients (NRES, PES, full-length and truncated ES).
//! * [`population`]: worker threads over particles, in step or each at its own speed; [`exchange`]: how they meet the
//!   learner then.
//! * [`learner`]: merges contributions, owns theta.
//! * [`guard`]: notices when theta blows up, and rolls it back.
//! * [`folder`], [`checkpoint`], [`run`]: what lies where; the whole run, resumable to the bit;
//!   [`checkpoint::light`]: what was learned, in kilobytes.
//! * [`validation`]: snapshots judged while the run trains, and which of them is frozen.
//! * [`closing`]: native rate, freezing, evaluation on real data, report.
//! * [`throughput`]: inner steps per second, and where the time goes.
//!
//! In the synchronous mode the same configuration gives the same theta, bit for bit, with any number of workers and
//! any interruptions.

pub mod checkpoint;
pub mod clock;
pub mod closing;
pub mod config;
pub mod curriculum;
pub mod episode;
mod error;
pub mod estimator;
pub mod exchange;
pub mod families;
pub mod folder;
pub mod guard;
pub mod learner;
pub mod noise;
pub mod objective;
pub mod observe;
pub mod parts;
pub mod population;
pub mod reference;
pub mod resume;
pub mod run;
pub mod setting;
pub mod start;
pub mod throughput;
pub mod truncation;
pub mod unroll;
pub mod validation;

pub use config::Config;
pub use error::Error;
