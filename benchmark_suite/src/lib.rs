//! Compares optimizers on held-out tasks: a suite as data, every contender tuned per problem with a stated budget, the
//! published scores with their intervals, and one page that shows it all.
//!
//! [`Suite`] → [`velo_comparison::run`] → trials → [`Findings`] → [`report`]. The program is [`main`]; a program of a user's
//! own registers [`Extensions`] and calls it, too.

mod cli;
mod extension;
mod findings;
mod program;
pub mod report;
mod results;
pub mod score;
mod suite;

pub use extension::{Extensions, Parameters};
pub use findings::{Findings, METRICS, Standing};
pub use program::main;
pub use results::{RunFolder, read, report_into};
pub use suite::{
    ContenderConfig, Envelope, External, HyperParameterRange, Longer, RandomSearch, Suite, TellsHorizon,
    named_contenders,
};
