//! The particles and the worker threads that train them.
//!
//! [`Population::run_generation`] hands every particle out once and gathers one report each. Particles wait in
//! one queue, the slowest of the last generation first, and whichever worker is free takes the next; reports
//! come back in the order of particles. So the assignment depends on the clock and the result does not: the
//! same run gives the same bits with one worker and with eight.
//!
//! A window that panics or fails loses only its own particle, which starts its next episode; the loss is
//! reported in [`Generation::lost`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use velo_tasks::worker::single_threaded;

use crate::Error;
use crate::unroll::{Particle, Scratch, Setting, WindowReport};

/// What a worker is asked to do: one window of one particle around theta.
struct Job {
    particle: Particle,
    theta: Arc<[f32]>,
}

/// What it sends back.
struct Finished {
    index: usize,
    outcome: Result<(Particle, WindowReport), Lost>,
    elapsed: Duration,
}

/// A particle that failed inside a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The particle.
    pub particle: u64,
    /// The episode it was in.
    pub episode: u64,
    /// The window it was in.
    pub window: u64,
    /// What happened.
    pub reason: String,
}

/// The reports of one generation.
#[derive(Debug, Default)]
pub struct Generation {
    /// One report per particle, in order; `None` where it was lost.
    pub reports: Vec<Option<WindowReport>>,
    /// Particles that failed.
    pub lost: Vec<Lost>,
}

/// Particles and workers.
pub struct Population {
    particles: Vec<Particle>,
    cost: Vec<Duration>,
    jobs: Option<Sender<Job>>,
    finished: Receiver<Finished>,
    threads: Vec<JoinHandle<()>>,
}

impl Population {
    /// Starts `workers` threads (at least one) for `particles`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(particles: Vec<Particle>, workers: usize, setting: &Arc<Setting>) -> Result<Self, Error> {
        let (jobs, queue) = unbounded::<Job>();
        let (results, finished) = unbounded();
        let (ready, started) = unbounded();
        let workers = workers.max(1);
        let threads = (0..workers)
            .map(|_| {
                let (queue, results, ready) = (queue.clone(), results.clone(), ready.clone());
                let setting = Arc::clone(setting);
                std::thread::spawn(move || {
                    let outcome = single_threaded(|| {
                        let _ = ready.send(Ok(()));
                        work(&queue, &results, &setting);
                    });
                    if let Err(error) = outcome {
                        let _ = ready.send(Err(error));
                    }
                })
            })
            .collect();
        started.iter().take(workers).collect::<Result<(), _>>()?;
        Ok(Self { cost: vec![Duration::ZERO; particles.len()], particles, jobs: Some(jobs), finished, threads })
    }

    /// The particles, between two generations.
    pub fn particles(&self) -> &[Particle] {
        &self.particles
    }

    /// Gives up every running episode and every state to return to; each particle begins its next episode.
    pub fn restart_episodes(&mut self) {
        for particle in &mut self.particles {
            particle.saved = None;
            if particle.live.take().is_some() {
                particle.episode += 1;
            }
            particle.episode_start = particle.window;
        }
    }

    /// Trains every particle for one window around `theta`.
    pub fn run_generation(&mut self, theta: &[f32]) -> Generation {
        let theta: Arc<[f32]> = theta.into();
        let count = self.particles.len();
        let jobs = self.jobs.as_ref().expect("the queue is open until the population is dropped");
        let mut waiting: Vec<Particle> = self.particles.drain(..).collect();
        waiting.sort_by_key(|particle| std::cmp::Reverse(self.cost[particle.index as usize]));
        for particle in waiting {
            jobs.send(Job { particle, theta: Arc::clone(&theta) }).expect("workers catch panics and stay");
        }
        let mut slots: Vec<Option<(Particle, Option<WindowReport>)>> = (0..count).map(|_| None).collect();
        let mut lost = Vec::new();
        for _ in 0..count {
            let Finished { index, outcome, elapsed } = self.finished.recv().expect("workers catch panics and stay");
            self.cost[index] = elapsed;
            slots[index] = Some(match outcome {
                Ok((particle, report)) => (particle, Some(report)),
                Err(failure) => {
                    let restarted = Particle::restarted(failure.particle, failure.episode, failure.window);
                    lost.push(failure);
                    (restarted, None)
                }
            });
        }
        let mut generation = Generation::default();
        for slot in slots {
            let (particle, report) = slot.expect("every particle comes back once");
            self.particles.push(particle);
            generation.reports.push(report);
        }
        lost.sort_by_key(|lost| lost.particle);
        generation.lost = lost;
        generation
    }
}

impl Drop for Population {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A worker that panicked outside a window has nothing left to report.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Receiver<Job>, results: &Sender<Finished>, setting: &Setting) {
    let mut scratch = Scratch::default();
    for Job { mut particle, theta } in queue {
        let start = Instant::now();
        let (index, episode, window) = (particle.index, particle.episode, particle.window);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let report = particle.run_window(&theta, setting, &mut scratch);
            (particle, report)
        }));
        let outcome = match outcome {
            Ok((particle, Ok(report))) => Ok((particle, report)),
            Ok((_, Err(error))) => Err(error.to_string()),
            Err(panic) => Err(panic_message(panic.as_ref())),
        };
        let outcome = outcome.map_err(|reason| Lost { particle: index, episode, window, reason });
        if results.send(Finished { index: index as usize, outcome, elapsed: start.elapsed() }).is_err() {
            return;
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "without a message".into()))
}
