//! What a run tells the outside: one line of JSON per outer step, TensorBoard events, a progress bar, and the
//! pictures of `watch` and `compare`.

pub mod compare;
pub mod metrics;
pub mod progress;
pub mod tensorboard;
pub mod watch;
