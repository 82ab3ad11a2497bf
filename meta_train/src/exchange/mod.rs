//! How workers and the learner meet.
//!
//! ```text
//! learner ── publish(generation, theta), admit(windows) ──▶ exchange ──▶ fetch() ── worker
//! learner ◀── receive() ── Contribution, Left ── exchange ◀── submit(contribution) ── worker
//! ```
//!
//! A worker asks for the newest theta, trains a window, and says what came of it, stamped with the generation of
//! theta that it used. It may begin a window only when the learner has admitted one: so no work is done that the
//! learner would have to throw away, unless a worker is slow. What the learner makes of what it receives, whatever
//! the exchange, is [`gather`].
//!
//! # The contract
//! * [`WorkerPort::fetch`] waits until a window is admitted, takes the admission, and gives the newest theta; each
//!   admission is given to one worker. It gives `None` once the learner is gone.
//!   A worker that holds one already gets the newest theta again.
//! * A theta that was published before an admission is seen by the worker that takes the admission.
//! * [`WorkerPort::submit`] never waits for the learner. What one worker submits arrives in that order; between
//!   workers there is no order. A transport may deliver twice: `(worker, sequence)` tells, and [`gather`] drops it.
//! * When a worker's end is gone, for whatever reason, the learner is told once with [`Delivery::Left`], after all
//!   that the worker had submitted.
//!
//! The conformance suite `tests/exchange.rs` holds every implementation to it.

pub mod gather;
pub mod in_process;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::population::Lost;
use crate::unroll::WindowReport;

/// Theta, and how many outer steps made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Outer steps taken.
    pub generation: u64,
    /// The meta-parameters.
    pub theta: Arc<[f32]>,
}

/// What a worker says about one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Who says it; no other worker of the run ever has the same number.
    pub worker: u64,
    /// How much the worker had said before.
    pub sequence: u64,
    /// The generation of theta that it used.
    pub generation: u64,
    /// Whose window it was.
    pub particle: u64,
    /// How many windows the particle had before.
    pub window: u64,
    /// How long the window took.
    pub busy_seconds: f64,
    /// What it says about the gradient, or how it failed.
    pub outcome: Result<WindowReport, Lost>,
}

/// What reaches the learner.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// A window is done.
    Contribution(Contribution),
    /// A worker's end is gone.
    Left {
        /// Whose.
        worker: u64,
        /// Whether an admission went with it, of a window that nothing more will be heard of.
        held: bool,
    },
}

/// A worker's end.
pub trait WorkerPort: Send {
    /// Its number in the run.
    fn worker(&self) -> u64;

    /// Waits until a window may begin and gives the newest theta; `None` when the run is over.
    ///
    /// # Errors
    /// When the learner cannot be reached.
    fn fetch(&mut self) -> Result<Option<Published>, Error>;

    /// Sends what came of the window that was begun.
    ///
    /// # Errors
    /// When the learner cannot be reached.
    fn submit(&mut self, contribution: Contribution) -> Result<(), Error>;
}

/// The learner's end.
pub trait LearnerPort: Send {
    /// Makes theta the newest.
    ///
    /// # Errors
    /// When the workers cannot be reached.
    fn publish(&mut self, newest: Published) -> Result<(), Error>;

    /// Lets workers begin `windows` more.
    ///
    /// # Errors
    /// When the workers cannot be reached.
    fn admit(&mut self, windows: u64) -> Result<(), Error>;

    /// The next delivery; `None` when nothing came for as long as `patience`.
    ///
    /// # Errors
    /// When the workers cannot be reached.
    fn receive(&mut self, patience: Duration) -> Result<Option<Delivery>, Error>;
}

/// Where workers come in.
pub trait Entrance: Send {
    /// A port for a worker that was not there before.
    ///
    /// # Errors
    /// When the learner cannot be reached.
    fn enter(&self) -> Result<Box<dyn WorkerPort>, Error>;
}
