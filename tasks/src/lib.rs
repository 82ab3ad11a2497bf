//! Things to train: a loss and its gradient behind one trait.

mod task;

pub use task::{Batch, Metrics, Split, Task};
