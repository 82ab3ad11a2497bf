//! The time that a run measures itself with.
//!
//! Only differences of a monotonic clock count, so that a wall clock that is set back or ahead neither ends a run nor
//! spoils a rate; what was trained before an interruption comes from the checkpoint. A step that the clock does not
//! see takes no time and has no rate.

use std::time::{Duration, Instant};

/// Something that tells the time since an arbitrary moment.
pub struct Clock {
    now: Box<dyn FnMut() -> Duration + Send>,
}

impl Default for Clock {
    fn default() -> Self {
        let start = Instant::now();
        Self::new(move || start.elapsed())
    }
}

impl Clock {
    /// A clock that tells what `now` tells.
    pub fn new(now: impl FnMut() -> Duration + Send + 'static) -> Self {
        Self { now: Box::new(now) }
    }

    /// The time.
    pub fn now(&mut self) -> Duration {
        (self.now)()
    }

    /// Time since `before`; none if the clock has been set back.
    pub fn since(&mut self, before: Duration) -> Duration {
        self.now().saturating_sub(before)
    }
}
