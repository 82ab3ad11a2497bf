//! The particles and the worker threads that train them.
//!
//! | mode | an outer step is taken when | same bits again |
//! | --- | --- | --- |
//! | [`synchronous`] | every particle has trained one window | yes, with any number of workers |
//! | [`asynchronous`] | enough reports are in, whoever sent them | no: it depends on who was faster |
//!
//! In both, a window that panics or fails loses only its own particle, which starts its next episode; the loss is
//! reported in [`Generation::lost`].

pub mod asynchronous;
pub mod herd;
pub mod synchronous;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::bounded;
use serde::{Deserialize, Serialize};
use velo_tasks::worker::single_threaded;

use crate::Error;
use crate::exchange::Contribution;
use crate::exchange::in_process::in_process;
use crate::unroll::{Particle, Scratch, Setting, WindowReport};
use asynchronous::Asynchronous;
pub use synchronous::Synchronous;

/// When outer steps are taken, as configuration files spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub enum Mode {
    /// When every particle has trained one window.
    #[default]
    Synchronous,
    /// When enough reports are in.
    Asynchronous {
        /// Outer steps that may lie between the theta of a report and the theta that it moves.
        #[serde(default = "default_staleness")]
        staleness: u64,
        /// Reports per outer step; none for as many as there are pairs.
        #[serde(default)]
        reports: Option<u64>,
    },
}

fn default_staleness() -> u64 {
    4
}

impl Mode {
    /// Rejects an outer step without reports.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Asynchronous { reports: Some(0), .. } => {
                Err(Error::config("population.reports", 0, "at least 1, or None for as many as there are pairs"))
            }
            _ => Ok(()),
        }
    }

    /// Starts `workers` threads (at least one) for `particles`; `waiting` are reports that no outer step has used so
    /// far, which only the asynchronous mode knows.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        self,
        particles: Vec<Particle>,
        waiting: Vec<Contribution>,
        workers: usize,
        setting: &Arc<Setting>,
    ) -> Result<Box<dyn Population>, Error> {
        Ok(match self {
            Self::Synchronous => Box::new(Synchronous::new(particles, workers, setting)?),
            Self::Asynchronous { staleness, reports } => {
                let (learner, entrance) = in_process();
                let (learner, entrance) = (Box::new(learner), Box::new(entrance));
                let population = Asynchronous::new(learner, entrance, staleness, waiting, particles, workers, setting)?;
                Box::new(population.with_reports(reports))
            }
        })
    }
}

/// Particles and workers.
pub trait Population: Send {
    /// Trains around `theta`, which `generation` outer steps have made, until an outer step can be taken.
    ///
    /// # Errors
    /// When a worker thread cannot be replaced, or the exchange with the workers fails.
    fn run_generation(&mut self, generation: u64, theta: &[f32]) -> Result<Generation, Error>;

    /// The whole of it between two generations; workers stand still until the next one.
    ///
    /// # Errors
    /// When the exchange with the workers fails.
    fn at_rest(&mut self) -> Result<AtRest<'_>, Error>;

    /// Gives up every running episode and every state to return to, and reports of generations before this one that
    /// may still come in; each particle begins its next episode.
    ///
    /// # Errors
    /// When the exchange with the workers fails.
    fn restart_episodes(&mut self, generation: u64) -> Result<(), Error>;
}

/// A population between two generations.
#[derive(Clone, Copy)]
pub struct AtRest<'a> {
    /// The particles in order.
    pub particles: &'a [Particle],
    /// Reports that are in and that no outer step has used so far.
    pub waiting: &'a [Contribution],
}

/// A particle that failed inside a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The particle.
    pub particle: u64,
    /// Times it had been reset before the episode in which it failed, which may have begun inside the window.
    pub episode: u64,
    /// The window it was in.
    pub window: u64,
    /// What happened.
    pub reason: String,
}

/// What one worker did in a generation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Inner steps, both sides.
    pub inner_steps: u64,
    /// Time inside windows that came in.
    pub busy: Duration,
}

impl Work {
    fn add(&mut self, report: Option<&WindowReport>, busy: Duration) {
        self.inner_steps += report.map_or(0, |report| 2 * report.steps);
        self.busy += busy;
    }
}

/// What came in for one outer step.
#[derive(Debug, Default)]
pub struct Generation {
    /// Reports in the order of particles; `None` where one was lost.
    pub reports: Vec<Option<WindowReport>>,
    /// Particles that failed.
    pub lost: Vec<Lost>,
    /// Reports discarded because their theta was too old.
    pub stale: u32,
    /// Outer steps between the theta of the reports and the one that they move, on average.
    pub mean_staleness: f64,
    /// The same for the oldest of them.
    pub largest_staleness: u64,
    /// What each worker did.
    pub work: Vec<Work>,
    /// Workers that were replaced.
    pub replaced: u32,
}

impl Generation {
    /// Inner steps of both sides of all pairs, those of discarded reports included.
    pub fn inner_steps(&self) -> u64 {
        self.work.iter().map(|work| work.inner_steps).sum()
    }
}

/// One window of `particle` around `theta`; a panic is a loss like any other failure.
pub(crate) fn train_window(
    mut particle: Particle,
    theta: &[f32],
    generation: u64,
    setting: &Setting,
    scratch: &mut Scratch,
) -> Result<(Particle, WindowReport), Lost> {
    let outcome = catch_unwind(AssertUnwindSafe(|| particle.run_window(theta, generation, setting, scratch)));
    let reason = match outcome {
        Ok(Ok(report)) => return Ok((particle, report)),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic_message(panic.as_ref()),
    };
    // After a panic only the counters of a particle mean anything, and they are those of the episode that failed.
    Err(Lost { particle: particle.index, episode: particle.episode, window: particle.window, reason })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "without a message".into()))
}

/// A thread that does `work` with one thread of rayon to itself.
///
/// # Errors
/// When it cannot be started.
fn start_thread(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let (ready, started) = bounded(1);
    let thread = std::thread::spawn(move || {
        let outcome = single_threaded(|| {
            let _ = ready.send(Ok(()));
            work();
        });
        if let Err(error) = outcome {
            let _ = ready.send(Err(error));
        }
    });
    match started.recv() {
        Ok(outcome) => outcome.map(|()| thread).map_err(Error::from),
        Err(_) => Ok(thread),
    }
}
