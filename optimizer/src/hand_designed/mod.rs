//! Optimizers designed by people, one rule a file.

mod adam;

pub use adam::{Adam, AdamConfig, AdamRule};
