//! How well workers share a mixture whose tasks differ a hundredfold in cost.
//!
//! Whole outer steps are timed, as a run takes them: windows of all pairs and the learner's step. What a worker does
//! not spend inside a window is idle time: waiting for the slowest window of a generation, and for the learner.
//!
//! All measurements take the same outer steps, so that they meet the same tasks. What the machine itself allows is
//! measured by populations of one worker each that run at once and share nothing but its caches and memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use velo_comparison::table::{Align, Cell, Table};

use crate::Error;
use crate::config::Config;
use crate::families::MixtureSource;
use crate::population::Mode;
use crate::run::new_learner;
use crate::unroll::Particle;

/// The mixture that is timed.
pub const MIXTURE: &str = "broad";

/// Antithetic pairs per outer step.
pub const PAIRS: u64 = 32;

/// How workers belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Together {
    /// One population.
    Population(Mode),
    /// A synchronous population for each worker.
    Apart,
}

/// When a measurement ends.
#[derive(Debug, Clone, Copy)]
pub enum Extent {
    /// With the first outer step that ends later.
    Time(Duration),
    /// After so many outer steps.
    OuterSteps(u64),
}

/// What a number of workers achieved together.
#[derive(Debug, Clone, Copy)]
pub struct Balance {
    /// How they worked.
    pub together: Together,
    /// Threads that worked at the same time.
    pub workers: usize,
    /// Outer steps that each population took.
    pub outer_steps: u64,
    /// Outer steps per second.
    pub outer_steps_per_second: f64,
    /// Inner steps per second.
    pub inner_steps_per_second: f64,
    /// Share of the workers' time that was not spent inside windows.
    pub idle_share: f64,
    /// Share of stale reports.
    pub stale_share: f64,
}

/// Takes outer steps with one population, after a few that do not count.
///
/// # Errors
/// When tasks, optimizers or threads cannot be made.
pub fn measure(mode: Mode, workers: usize, extent: Extent) -> Result<Balance, Error> {
    let mut config =
        Config { mixture: Some(MixtureSource::Named(MIXTURE.into())), population: mode, ..Config::default() };
    config.estimator.pairs = PAIRS;
    let plan = config.check()?;
    let mut learner = new_learner(&plan)?;
    let particles = (0..plan.setting.particles).map(Particle::new).collect();
    let setting = Arc::new(plan.setting);
    let mut population = mode.start(particles, Vec::new(), workers, &setting)?;
    let mut outer_step = || {
        let generation = population.run_generation(learner.generation(), learner.theta())?;
        learner.step(&generation.reports, &setting)?;
        Ok::<_, Error>(generation)
    };
    // Tasks are built in the first ones.
    for _ in 0..3 {
        outer_step()?;
    }
    let (mut outer_steps, mut inner_steps, mut busy, mut stale, mut reports) = (0u64, 0, Duration::ZERO, 0, 0);
    let start = Instant::now();
    while match extent {
        Extent::Time(duration) => start.elapsed() < duration,
        Extent::OuterSteps(count) => outer_steps < count,
    } {
        let generation = outer_step()?;
        outer_steps += 1;
        inner_steps += generation.inner_steps();
        busy += generation.work.iter().map(|work| work.busy).sum::<Duration>();
        stale += u64::from(generation.stale);
        reports += generation.reports.len() as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Balance {
        together: Together::Population(mode),
        workers,
        outer_steps,
        outer_steps_per_second: outer_steps as f64 / seconds,
        inner_steps_per_second: inner_steps as f64 / seconds,
        idle_share: (1.0 - busy.as_secs_f64() / (seconds * workers as f64)).clamp(0.0, 1.0),
        stale_share: stale as f64 / (stale + reports).max(1) as f64,
    })
}

/// The same outer steps by `workers` populations of one worker each, all at once.
///
/// # Errors
/// When tasks, optimizers or threads cannot be made.
///
/// # Panics
/// If one of them panics.
pub fn measure_apart(workers: usize, extent: Extent) -> Result<Balance, Error> {
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| measure(Mode::Synchronous, 1, extent))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a measurement has panicked"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let sum = |of: fn(&Balance) -> f64| all.iter().map(of).sum::<f64>();
    Ok(Balance {
        together: Together::Apart,
        workers,
        outer_steps: all.iter().map(|one| one.outer_steps).min().unwrap_or(0),
        outer_steps_per_second: sum(|one| one.outer_steps_per_second),
        inner_steps_per_second: sum(|one| one.inner_steps_per_second),
        idle_share: sum(|one| one.idle_share) / workers as f64,
        stale_share: 0.0,
    })
}

/// One row per measurement; the scaling is that of inner steps, against one worker of the same mode, and of the
/// synchronous one for those apart.
pub fn table(measurements: &[Balance]) -> Table {
    let mut table = Table::new([
        ("population", Align::Left),
        ("workers", Align::Right),
        ("outer steps/s", Align::Right),
        ("inner steps/s", Align::Right),
        ("scaling", Align::Right),
        ("idle", Align::Right),
        ("stale", Align::Right),
    ]);
    let percent = |share: f64| Cell::number(share, format!("{:.1} %", 100.0 * share));
    for measured in measurements {
        let mode = match measured.together {
            Together::Population(mode) => mode,
            Together::Apart => Mode::Synchronous,
        };
        let is_alone = |other: &&Balance| other.together == Together::Population(mode) && other.workers == 1;
        let alone = measurements.iter().find(is_alone);
        let scaling = alone.map_or(f64::NAN, |alone| measured.inner_steps_per_second / alone.inner_steps_per_second);
        let name = match (measured.together, mode) {
            (Together::Apart, _) => "one for each worker: the limit".to_owned(),
            (_, Mode::Synchronous) => "synchronous".to_owned(),
            (_, Mode::Asynchronous { staleness, .. }) => format!("asynchronous, staleness {staleness}"),
        };
        table.push(vec![
            name.as_str().into(),
            Cell::number(measured.workers as f64, measured.workers.to_string()),
            Cell::number(measured.outer_steps_per_second, format!("{:.2}", measured.outer_steps_per_second)),
            Cell::number(measured.inner_steps_per_second, format!("{:.0}", measured.inner_steps_per_second)),
            Cell::number(scaling, format!("{scaling:.2}")),
            percent(measured.idle_share),
            percent(measured.stale_share),
        ]);
    }
    table
}
