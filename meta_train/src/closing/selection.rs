//! Choosing the native rate: the step size and decay that a frozen rule takes when nobody says anything.
//!
//! A normalised rule says where to go but not how far. After training, each candidate pair of step size and
//! decoupled decay trains the same procedural tasks, drawn from the run's last mixture in the partition of
//! validation, with warm-up and cosine unless the rule paces itself; the one with the lowest mean score wins. Baselines that need a rate get
//! theirs from the same tasks by the same rule, so that nobody sees the real data before the comparison.

use velo_optimizer::{Architecture, Optimizer, ParamLayout, Schedule};
use velo_tasks::Partition;
use velo_tasks::training::train;

use super::parallel;
use crate::Error;
use crate::config::SelectionConfig;
use crate::noise::{Purpose, bits};
use crate::unroll::Setting;

/// The schedule of the closing phase for everything that does not pace itself: 5 % warm-up, then cosine to zero.
pub const SCHEDULE: Schedule = Schedule::Cosine { warmup: 0.05, floor: 0.0 };

/// The schedule under which a frozen rule runs: constant if it paces itself.
pub fn native_schedule(architecture: &Architecture) -> Schedule {
    if architecture.name() == "paced" { Schedule::Constant } else { SCHEDULE }
}

/// A step size with a coefficient of decoupled weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The step size.
    pub step_size: f32,
    /// The decay, scaled by the step size.
    pub weight_decay: f32,
}

/// Builds the optimizer under selection for a layout and a rate.
pub type Build<'a> = dyn Fn(&ParamLayout, Rate) -> Result<Box<dyn Optimizer>, Error> + Sync + 'a;

/// Mean score per candidate, and the best of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The chosen rate.
    pub rate: Rate,
    /// Candidates with their mean scores; lower is better.
    pub scores: Vec<(Rate, f64)>,
}

/// Tries every candidate on every selection task, `workers` runs at a time.
///
/// The score of a run is the meta-loss of its final losses over whole splits: `(1-w) u(train) + w u(held out)`,
/// with the weight `w` of the selection, not that of training: who never tunes is hurt most by over-fitting.
///
/// # Errors
/// The first error of any run, in the order of candidates and tasks.
pub fn select(
    config: &SelectionConfig,
    setting: &Setting,
    build: &Build<'_>,
    schedule: Schedule,
    workers: usize,
) -> Result<Selection, Error> {
    let tasks = config.tasks as usize;
    let decays = || config.weight_decays.iter().copied();
    let candidates: Vec<Rate> = config
        .step_sizes
        .iter()
        .flat_map(|&step_size| decays().map(move |weight_decay| Rate { step_size, weight_decay }))
        .collect();
    let scores = parallel::map(candidates.len() * tasks, workers, |job| {
        run(config, setting, build, schedule, candidates[job / tasks], (job % tasks) as u64)
    })?;
    let means = scores.chunks(tasks).map(|scores| scores.iter().sum::<f64>() / tasks as f64);
    let scores: Vec<(Rate, f64)> = candidates.into_iter().zip(means).collect();
    let best = scores.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("there is at least one candidate");
    Ok(Selection { rate: best.0, scores })
}

fn run(
    config: &SelectionConfig,
    setting: &Setting,
    build: &Build<'_>,
    schedule: Schedule,
    rate: Rate,
    task: u64,
) -> Result<f64, Error> {
    let seed = bits(setting.seed, Purpose::Selection, task, 0);
    let (_, mut task) = setting.tasks.draw(Partition::Validation.seed(seed))?;
    let mut optimizer = build(task.layout(), rate)?;
    optimizer.set_schedule(schedule);
    optimizer.set_horizon(Some(config.steps));
    let curve = train(task.as_mut(), optimizer.as_mut(), seed, config.steps, config.steps)?;
    let (objective, reference) = (&setting.last_stage().objective, task.reference_loss());
    let score = |loss| f64::from(objective.score(loss, reference));
    let weight = f64::from(config.held_out_weight);
    Ok((1.0 - weight) * score(curve.train.loss) + weight * score(curve.validation.loss))
}
