//! `meta_train bench`: how many inner steps a core trains per second, and where the time goes.
//!
//! The work is the one that meta-training does most: the 64-32-10 network on digits at batch 64, trained by a
//! learned rule with random weights. Every worker has a task and an optimizer of its own.

use std::thread;
use std::time::{Duration, Instant};

use velo_comparison::table::{Align, Cell, Table};
use velo_optimizer::{LearnedOptimizer, LearnedWeights, Optimizer};
use velo_tasks::registry::named;
use velo_tasks::worker::single_threaded;
use velo_tasks::{Batch, Split};

use crate::Error;
use crate::config::Config;
use crate::start::random_theta;

/// The task that is timed.
pub const TASK: &str = "digits_mlp";

/// What a number of workers achieved together.
#[derive(Debug, Clone, Copy)]
pub struct Throughput {
    /// Threads that worked at the same time.
    pub workers: usize,
    /// Full inner steps per second of all of them.
    pub inner_steps_per_second: f64,
    /// Mean time in loss and gradient, per inner step.
    pub gradient: Duration,
    /// Mean time in the optimizer.
    pub optimizer: Duration,
    /// Mean time in everything else.
    pub rest: Duration,
}

/// Trains for `duration` on `workers` threads.
///
/// # Errors
/// When a task, optimizer or thread cannot be made.
pub fn measure(workers: usize, duration: Duration) -> Result<Throughput, Error> {
    let timings = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..workers).map(|_| scope.spawn(|| single_threaded(|| time_one_worker(duration))?)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<Timing>, Error>>()
    })?;
    let steps: u64 = timings.iter().map(|timing| timing.steps).sum();
    let mean = |part: fn(&Timing) -> Duration| timings.iter().map(part).sum::<Duration>().div_f64(steps as f64);
    let (gradient, optimizer) = (mean(|timing| timing.gradient), mean(|timing| timing.optimizer));
    Ok(Throughput {
        workers,
        inner_steps_per_second: timings.iter().map(|timing| timing.steps as f64 / timing.total.as_secs_f64()).sum(),
        gradient,
        optimizer,
        rest: mean(|timing| timing.total).saturating_sub(gradient + optimizer),
    })
}

struct Timing {
    steps: u64,
    total: Duration,
    gradient: Duration,
    optimizer: Duration,
}

fn time_one_worker(duration: Duration) -> Result<Timing, Error> {
    let mut task = named(TASK)?.build()?;
    let architecture = Config::default().architecture;
    let theta = random_theta(&architecture, 1);
    let mut optimizer = LearnedOptimizer::new(task.layout(), LearnedWeights::new(architecture, theta)?)?;
    let mut params = vec![0.0; task.layout().len()];
    let mut grads = params.clone();
    task.init(1, &mut params);
    let mut run = |first: u64, until: Duration| -> Result<Timing, Error> {
        let mut timing =
            Timing { steps: 0, total: Duration::ZERO, gradient: Duration::ZERO, optimizer: Duration::ZERO };
        let start = Instant::now();
        while timing.total < until {
            let index = first + timing.steps;
            let before = Instant::now();
            let loss = task.loss_and_grad(&params, Batch { seed: 1, split: Split::Train, index }, &mut grads);
            let between = Instant::now();
            optimizer.step(&mut params, &grads, loss)?;
            timing.optimizer += between.elapsed();
            timing.gradient += between - before;
            timing.steps += 1;
            timing.total = start.elapsed();
        }
        Ok(timing)
    };
    let warm_up = run(0, duration / 10)?;
    run(warm_up.steps, duration)
}

/// One row per measurement.
pub fn table(measurements: &[Throughput]) -> Table {
    let mut table = Table::new([
        ("workers", Align::Right),
        ("inner steps/s", Align::Right),
        ("per core", Align::Right),
        ("us per step", Align::Right),
        ("gradient", Align::Right),
        ("optimizer", Align::Right),
        ("rest", Align::Right),
    ]);
    for measured in measurements {
        let total = (measured.gradient + measured.optimizer + measured.rest).as_secs_f64();
        let share = |part: Duration| {
            let share = part.as_secs_f64() / total;
            Cell::number(share, format!("{:.1} us ({:.0} %)", part.as_secs_f64() * 1e6, 100.0 * share))
        };
        let rate = measured.inner_steps_per_second;
        table.push(vec![
            Cell::number(measured.workers as f64, measured.workers.to_string()),
            Cell::number(rate, format!("{rate:.0}")),
            Cell::number(rate / measured.workers as f64, format!("{:.0}", rate / measured.workers as f64)),
            Cell::number(total, format!("{:.1}", total * 1e6)),
            share(measured.gradient),
            share(measured.optimizer),
            share(measured.rest),
        ]);
    }
    table
}
