//! What a run tells the outside: one line of JSON per outer step, TensorBoard events, progress bars, and the pictures
//! of `watch` and `compare`.

mod appended;
pub mod compare;
pub mod divergence;
pub mod metrics;
pub mod progress;
pub mod summary;
pub mod tensorboard;
pub mod watch;
