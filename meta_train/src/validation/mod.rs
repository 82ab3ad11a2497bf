//! Validation while a run trains: which theta of all those that it passes through deserves to be frozen.
//!
//! Every so many outer steps the average of theta is saved as a snapshot, `validation/00000500/learned.safetensors`.
//! A thread beside the workers trains the validation tasks with it, whose generators training never draws from, and
//! leaves the trials in the same folder. They are compared with AdamW tuned per task, measured once per run into
//! `validation/baselines`. When training is over, the snapshots with the best lower bounds are judged again on seeds
//! that nobody has seen, and the one with the best lower bound there is chosen: the winner of many is partly the
//! luckiest of many, on fresh seeds it is not.
//!
//! How the snapshots judged so far stand is kept in `validation/standings.jsonl` ([`standings`]) for whoever looks.
//!
//! A judgement depends on the snapshot and the configuration only, and what is missing is made up for after a
//! resumption, so the choice does not depend on workers, speed or interruptions.

mod config;
mod judge;
mod report;
pub(crate) mod standing;
pub mod standings;
mod validator;

pub use config::ValidationConfig;
pub(crate) use report::{add_section_so_far, over_outer_steps};
pub use standing::{Standing, TUNED, TUNED_FOR_VALIDATION, ranked};
pub use validator::{Choice, Chosen, Validator};
