//! Generation by generation: the same bits for any number of workers.
//!
//! [`Synchronous::run_generation`] hands every particle out once and gathers one report each. Particles wait in
//! one queue, the slowest of the last generation first, and whichever worker is free takes the next; reports
//! come back in the order of particles. So the assignment depends on the clock and the result does not.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::{AtRest, Generation, Lost, Population, Work, start_thread, train_window};
use crate::Error;
use crate::unroll::{Particle, Scratch, Setting, WindowReport};

/// What a worker is asked to do: one window of one particle around theta.
struct Job {
    particle: Particle,
    generation: u64,
    theta: Arc<[f32]>,
}

/// What it sends back.
struct Finished {
    worker: usize,
    index: usize,
    outcome: Result<(Particle, WindowReport), Lost>,
    elapsed: Duration,
}

/// Particles, and workers that wait for each other.
pub struct Synchronous {
    particles: Vec<Particle>,
    cost: Vec<Duration>,
    jobs: Option<Sender<Job>>,
    finished: Receiver<Finished>,
    threads: Vec<JoinHandle<()>>,
}

impl Synchronous {
    /// Starts `workers` threads (at least one) for `particles`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(particles: Vec<Particle>, workers: usize, setting: &Arc<Setting>) -> Result<Self, Error> {
        let (jobs, queue) = unbounded::<Job>();
        let (results, finished) = unbounded();
        let start = |worker| {
            let (queue, results, setting) = (queue.clone(), results.clone(), Arc::clone(setting));
            start_thread(move || work(worker, &queue, &results, &setting))
        };
        let threads = (0..workers.max(1)).map(start).collect::<Result<_, _>>()?;
        Ok(Self { cost: vec![Duration::ZERO; particles.len()], particles, jobs: Some(jobs), finished, threads })
    }
}

impl Population for Synchronous {
    fn run_generation(&mut self, generation: u64, theta: &[f32]) -> Result<Generation, Error> {
        let theta: Arc<[f32]> = theta.into();
        let count = self.particles.len();
        let jobs = self.jobs.as_ref().expect("the queue is open until the population is dropped");
        let mut waiting: Vec<Particle> = self.particles.drain(..).collect();
        waiting.sort_by_key(|particle| std::cmp::Reverse(self.cost[particle.index as usize]));
        for particle in waiting {
            let job = Job { particle, generation, theta: Arc::clone(&theta) };
            jobs.send(job).expect("workers catch panics and stay");
        }
        let mut slots: Vec<Option<(Particle, Option<WindowReport>)>> = (0..count).map(|_| None).collect();
        let mut gathered = Generation { work: vec![Work::default(); self.threads.len()], ..Generation::default() };
        for _ in 0..count {
            let Finished { worker, index, outcome, elapsed } =
                self.finished.recv().expect("workers catch panics and stay");
            self.cost[index] = elapsed;
            gathered.work[worker].add(outcome.as_ref().ok().map(|(_, report)| report), elapsed);
            slots[index] = Some(match outcome {
                Ok((particle, report)) => (particle, Some(report)),
                Err(failure) => {
                    let restarted = Particle::restarted(failure.particle, failure.episode, failure.window);
                    gathered.lost.push(failure);
                    (restarted, None)
                }
            });
        }
        for slot in slots {
            let (particle, report) = slot.expect("every particle comes back once");
            self.particles.push(particle);
            gathered.reports.push(report);
        }
        gathered.lost.sort_by_key(|lost| lost.particle);
        Ok(gathered)
    }

    fn at_rest(&mut self) -> Result<AtRest<'_>, Error> {
        Ok(AtRest { particles: &self.particles, waiting: &[] })
    }

    fn restart_episodes(&mut self, _generation: u64) -> Result<(), Error> {
        self.particles.iter_mut().for_each(Particle::begin_anew);
        Ok(())
    }
}

impl Drop for Synchronous {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A worker that panicked outside a window has nothing left to report.
            let _ = thread.join();
        }
    }
}

fn work(worker: usize, queue: &Receiver<Job>, results: &Sender<Finished>, setting: &Setting) {
    let mut scratch = Scratch::default();
    for Job { particle, generation, theta } in queue {
        let start = Instant::now();
        let index = particle.index as usize;
        let outcome = train_window(particle, &theta, generation, setting, &mut scratch);
        if outcome.is_err() {
            // Whatever a panic left in it is nobody's.
            scratch = Scratch::default();
        }
        if results.send(Finished { worker, index, outcome, elapsed: start.elapsed() }).is_err() {
            return;
        }
    }
}
