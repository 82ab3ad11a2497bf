//! The benchmark suite: optimizers compared on tasks that none of them was made for.
//!
//! A [`Suite`] (a RON file) says which tasks, contenders, seeds and steps; [`run()`] trains everything and fills a
//! run folder; [`report()`] makes the report of a folder again. What trials, scores and figures are is in
//! `velo-comparison`, which `meta_train` shares.

mod results;
mod suite;

pub use results::{report, run, tables};
pub use suite::{ContenderConfig, Suite};
