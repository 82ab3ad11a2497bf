//! Workers that do not wait for each other.
//!
//! Each one fetches the newest theta, trains a window of the particle that has waited longest, and submits what it
//! found with the generation of that theta; the learner steps as soon as enough reports are in ([`Gatherer`]). A
//! particle keeps its perturbation across generations as in the synchronous mode: `n` follows from its own counters,
//! theta is the one in use in each window, and the gap of a window is multiplied with the direction of that window,
//! wherever theta is by then. A report that is discarded is a window that says nothing: directions of later windows
//! still hold its perturbation (PES), and what it knew of the final loss is lost.
//!
//! The bits of a run depend on who was faster. With a staleness of zero and one report per particle they do not: that
//! is the synchronous mode by other means.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::herd::Herd;
use super::{AtRest, Generation, Population, Work, start_thread, train_window};
use crate::Error;
use crate::exchange::gather::{Gathered, Gatherer, Received};
use crate::exchange::{Contribution, Entrance, LearnerPort, Published, WorkerPort};
use crate::unroll::{Particle, Scratch, Setting};

/// How long the learner waits for one delivery before it waits again.
const PATIENCE: Duration = Duration::from_secs(1);

/// A place for a worker, and who has it.
struct Place {
    worker: u64,
    thread: JoinHandle<()>,
}

/// Particles, and workers that take turns with them.
pub struct Asynchronous {
    gatherer: Option<Gatherer>,
    entrance: Box<dyn Entrance>,
    herd: Arc<Herd>,
    /// The particles, while no worker may have them.
    home: Vec<Particle>,
    places: Vec<Place>,
    /// Workers that left and are not replaced so far.
    left: Vec<u64>,
    setting: Arc<Setting>,
    reports: Option<u64>,
}

impl Asynchronous {
    /// Starts `workers` threads (at least one) for `particles`, with one report per pair in an outer step.
    ///
    /// # Errors
    /// When a thread cannot be started or the exchange fails.
    pub fn new(
        learner: Box<dyn LearnerPort>,
        entrance: Box<dyn Entrance>,
        staleness: u64,
        waiting: Vec<Contribution>,
        particles: Vec<Particle>,
        workers: usize,
        setting: &Arc<Setting>,
    ) -> Result<Self, Error> {
        let mut population = Self {
            gatherer: Some(Gatherer::new(learner, staleness, waiting)),
            entrance,
            herd: Arc::default(),
            home: particles,
            places: Vec::new(),
            left: Vec::new(),
            setting: Arc::clone(setting),
            reports: None,
        };
        for _ in 0..workers.max(1) {
            let place = population.start_worker()?;
            population.places.push(place);
        }
        Ok(population)
    }

    /// The same with another number of reports per outer step, if one is given.
    #[must_use]
    pub fn with_reports(mut self, reports: Option<u64>) -> Self {
        self.reports = reports;
        self
    }

    fn start_worker(&self) -> Result<Place, Error> {
        let mut port = self.entrance.enter()?;
        let worker = port.worker();
        let (herd, setting) = (Arc::clone(&self.herd), Arc::clone(&self.setting));
        // A worker that cannot reach the learner leaves, which is all that the learner could be told.
        let thread = start_thread(move || drop(work(port.as_mut(), &herd, &setting)))?;
        Ok(Place { worker, thread })
    }

    /// Gives the place of a worker that left to another one.
    fn replace(&mut self, worker: u64) -> Result<(), Error> {
        if let Some(place) = self.places.iter().position(|place| place.worker == worker) {
            let successor = self.start_worker()?;
            let left = std::mem::replace(&mut self.places[place], successor);
            // Its last window is told by its contribution.
            let _ = left.thread.join();
        }
        Ok(())
    }

    /// Receives once; false when nothing came.
    fn receive(&mut self, patience: Duration) -> Result<bool, Error> {
        let received = self.gatherer().receive(patience)?;
        if let Received::Left(worker) = received {
            self.left.push(worker);
        }
        Ok(received != Received::Nothing)
    }

    fn gatherer(&mut self) -> &mut Gatherer {
        self.gatherer.as_mut().expect("the exchange is open until the population is dropped")
    }

    fn generation(&self, generation: u64, gathered: Gathered, before: &[u64]) -> Generation {
        let place = |worker: u64| self.places.iter().position(|place| place.worker == worker);
        let mut outcome = Generation {
            stale: gathered.stale.len() as u32,
            work: vec![Work::default(); self.places.len()],
            ..Generation::default()
        };
        for contribution in gathered.contributions.iter().chain(&gathered.stale) {
            let busy = Duration::try_from_secs_f64(contribution.busy_seconds).unwrap_or_default();
            // Whoever has been replaced meanwhile worked in the place of its successor.
            let former = || before.iter().position(|worker| *worker == contribution.worker);
            if let Some(place) = place(contribution.worker).or_else(former) {
                outcome.work[place].add(contribution.outcome.as_ref().ok(), busy);
            }
        }
        let ages =
            || gathered.contributions.iter().map(|contribution| generation.saturating_sub(contribution.generation));
        outcome.mean_staleness = ages().sum::<u64>() as f64 / gathered.contributions.len().max(1) as f64;
        outcome.largest_staleness = ages().max().unwrap_or_default();
        for contribution in gathered.contributions {
            match contribution.outcome {
                Ok(report) => outcome.reports.push(Some(report)),
                Err(lost) => {
                    outcome.reports.push(None);
                    outcome.lost.push(lost);
                }
            }
        }
        outcome
    }
}

impl Population for Asynchronous {
    fn run_generation(&mut self, generation: u64, theta: &[f32]) -> Result<Generation, Error> {
        let reports = self.reports.unwrap_or(self.setting.stage(generation).pairs);
        self.gatherer().publish(Published { generation, theta: theta.into() }, reports)?;
        if !self.home.is_empty() {
            self.herd.let_out(std::mem::take(&mut self.home));
        }
        let before: Vec<u64> = self.places.iter().map(|place| place.worker).collect();
        let mut replaced = 0;
        loop {
            for worker in std::mem::take(&mut self.left) {
                self.replace(worker)?;
                replaced += 1;
            }
            if self.gatherer().is_full() {
                break;
            }
            self.receive(PATIENCE)?;
        }
        let gathered = self.gatherer().take();
        Ok(Generation { replaced, ..self.generation(generation, gathered, &before) })
    }

    fn at_rest(&mut self) -> Result<AtRest<'_>, Error> {
        if self.home.is_empty() {
            self.home = self.herd.gather();
            while self.receive(Duration::ZERO)? {}
        }
        let waiting = self.gatherer.as_ref().map_or(&[][..], Gatherer::waiting);
        Ok(AtRest { particles: &self.home, waiting })
    }

    fn restart_episodes(&mut self, generation: u64) -> Result<(), Error> {
        self.at_rest()?;
        self.home.iter_mut().for_each(Particle::begin_anew);
        self.gatherer().forget_before(generation);
        Ok(())
    }
}

impl Drop for Asynchronous {
    fn drop(&mut self) {
        self.gatherer = None;
        self.herd.close();
        for place in self.places.drain(..) {
            // A worker that panicked outside a window has nothing left to report.
            let _ = place.thread.join();
        }
    }
}

/// Fetches theta, trains a window, submits, and so on until the run is over, or until a window is lost: who comes
/// next has a thread and buffers that no panic went through.
///
/// # Errors
/// When the exchange fails.
fn work(port: &mut dyn WorkerPort, herd: &Herd, setting: &Setting) -> Result<(), Error> {
    let worker = port.worker();
    let mut scratch = Scratch::default();
    let mut sequence = 0;
    while let Some(admitted) = port.fetch()? {
        let Some(particle) = herd.take(admitted.generation, setting) else {
            return Ok(());
        };
        // The particle may have been waited for, and theta may have moved meanwhile.
        let Published { generation, theta } = port.fetch()?.unwrap_or(admitted);
        let (index, window) = (particle.index, particle.window);
        let start = Instant::now();
        let outcome = train_window(particle, &theta, generation, setting, &mut scratch);
        let busy_seconds = start.elapsed().as_secs_f64();
        let (particle, outcome) = match outcome {
            Ok((particle, report)) => (particle, Ok(report)),
            Err(lost) => (Particle::restarted(lost.particle, lost.episode, lost.window), Err(lost)),
        };
        herd.give_back(particle);
        let failed = outcome.is_err();
        let told = Contribution { worker, sequence, generation, particle: index, window, busy_seconds, outcome };
        let submitted = port.submit(told);
        herd.told();
        submitted?;
        sequence += 1;
        if failed {
            return Ok(());
        }
    }
    Ok(())
}
