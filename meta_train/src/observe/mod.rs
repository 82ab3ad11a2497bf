//! What a run tells the outside: one line of JSON per outer step, and a progress bar.

pub mod metrics;
pub mod progress;
