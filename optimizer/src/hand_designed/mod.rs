//! Optimizers designed by people, one rule a file.

mod adam;
mod checks;
mod moments;
mod normalised_adam;
mod reductions;
mod sgd;

pub use adam::{Adam, AdamConfig, AdamRule, AdamW, AdamWConfig, AdamWRule};
pub use normalised_adam::{NormalisedAdam, NormalisedAdamConfig, NormalisedAdamRule};
pub use sgd::{Sgd, SgdConfig, SgdRule};
