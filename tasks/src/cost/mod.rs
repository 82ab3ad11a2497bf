//! What a gradient costs, told from a configuration alone: how much work it is, and how fast a machine works.
//!
//! ```text
//! seconds = gradients · (call + operations · per operation + values · per value)       of the model's architecture
//!         + batches · numbers of a batch · per number                                  of the kind of data
//!         + passes over the parameters · per parameter                                 of each augmentation
//! ```
//!
//! [`Workload`] counts the left factors without building the task; a [`TimingTable`] holds the right ones, which [`measure`] finds. The
//! table is part of a mixture, so that equal mixtures draw equal tasks on every machine.

mod least_squares;
mod measure;
mod timing_table;
mod workload;

pub use measure::{Measured, Peak, gradient_seconds, measure};
pub use timing_table::{Rates, TimingTable};
pub use workload::Workload;
