//! `meta_train bench`: how many inner steps a core trains per second, and where the time goes.
//!
//! The work is the one that meta-training does most: the 64-32-10 network on digits at batch 64, trained by a
//! learned rule with random weights. Every worker has a task and an optimizer of its own. [`balance`] times whole outer
//! steps on a mixture instead.

pub mod balance;

use std::thread;
use std::time::{Duration, Instant};

use velo_comparison::table::{Align, Cell, Table};
use velo_optimizer::{
    AdafacMlpConfig, Architecture, Celo2Config, LearnedOptimizer, LearnedWeights, Optimizer, PacedConfig,
};
use velo_tasks::registry::named;
use velo_tasks::worker::single_threaded;
use velo_tasks::{Batch, Split};

use crate::Error;
use crate::start::random_theta;

/// The task that is timed.
pub const TASK: &str = "digits_mlp";

/// The rules that are timed.
pub fn rules() -> [Architecture; 3] {
    [
        Architecture::Celo2(Celo2Config::default()),
        Architecture::Paced(PacedConfig::default()),
        Architecture::AdafacMlp(AdafacMlpConfig::default()),
    ]
}

/// What a number of workers achieved together.
#[derive(Debug, Clone, Copy)]
pub struct Throughput {
    /// The rule.
    pub rule: &'static str,
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

/// Trains under `rule` for `duration` on `workers` threads.
///
/// # Errors
/// When a task, optimizer or thread cannot be made.
pub fn measure(rule: &Architecture, workers: usize, duration: Duration) -> Result<Throughput, Error> {
    let timings = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..workers).map(|_| scope.spawn(|| single_threaded(|| time_one_worker(rule, duration))?)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<Timing>, Error>>()
    })?;
    let steps: u64 = timings.iter().map(|timing| timing.steps).sum();
    let mean = |part: fn(&Timing) -> Duration| timings.iter().map(part).sum::<Duration>().div_f64(steps as f64);
    let (gradient, optimizer) = (mean(|timing| timing.gradient), mean(|timing| timing.optimizer));
    Ok(Throughput {
        rule: rule.name(),
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

fn time_one_worker(rule: &Architecture, duration: Duration) -> Result<Timing, Error> {
    let mut task = named(TASK)?.build()?;
    let theta = random_theta(rule, 1);
    let mut optimizer = LearnedOptimizer::new(task.layout(), LearnedWeights::new(rule.clone(), theta)?)?;
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

/// One row per measurement; the scaling is against one worker under the same rule.
pub fn table(measurements: &[Throughput]) -> Table {
    let mut table = Table::new([
        ("rule", Align::Left),
        ("workers", Align::Right),
        ("inner steps/s", Align::Right),
        ("scaling", Align::Right),
        ("µs per step", Align::Right),
        ("gradient", Align::Right),
        ("optimizer", Align::Right),
        ("rest", Align::Right),
    ]);
    for measured in measurements {
        let rate = measured.inner_steps_per_second;
        let total = (measured.gradient + measured.optimizer + measured.rest).as_secs_f64();
        let share = |part: Duration| {
            let share = part.as_secs_f64() / total;
            Cell::number(share, format!("{:.1} µs ({:.0} %)", part.as_secs_f64() * 1e6, 100.0 * share))
        };
        let alone = measurements.iter().find(|other| other.rule == measured.rule && other.workers == 1);
        let scaling = alone.map_or(f64::NAN, |alone| rate / alone.inner_steps_per_second);
        table.push(vec![
            measured.rule.into(),
            Cell::number(measured.workers as f64, measured.workers.to_string()),
            Cell::number(rate, format!("{rate:.0}")),
            Cell::number(scaling, format!("{scaling:.2}")),
            Cell::number(total, format!("{:.1}", total * 1e6)),
            share(measured.gradient),
            share(measured.optimizer),
            share(measured.rest),
        ]);
    }
    table
}
