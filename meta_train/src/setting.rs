//! Everything that stays the same during a run and that a window depends on.
//!
//! A run passes through [`Stage`]s. Which one is on is a function of the outer step alone, so that neither
//! workers nor interruptions can change it. An episode keeps the conditions of the stage in which it began (its
//! task, horizon, meta-loss, perturbations); the window, the number of pairs and the outer rate are those of the
//! stage that is on.

use std::path::Path;

use velo_optimizer::{Architecture, Schedule};
use velo_tasks::{Task, TaskConfig};

use crate::Error;
use crate::episode::pool_task;
use crate::estimator::GradientEstimator;
use crate::noise::Noise;
use crate::objective::{Objective, Transform};
use crate::reference::{ReferenceConfig, References, references};
use crate::resume::Resume;
use crate::truncation::Truncation;

/// Where the tasks of a run come from.
pub trait TaskSource: Send + Sync {
    /// Names of the families, in the order of their numbers.
    fn families(&self) -> Vec<String>;

    /// The task for `seed` and the number of its family: a pure function of `seed`, from the mixture of the last
    /// stage.
    ///
    /// # Errors
    /// When a drawn configuration cannot be built, which names the field.
    fn draw(&self, seed: u64) -> Result<(usize, Box<dyn Task>), Error>;

    /// As [`draw`](Self::draw), from the mixture of stage number `stage`.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    fn draw_in(&self, _stage: usize, seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        self.draw(seed)
    }

    /// The configuration of the task that `draw_in(stage, seed)` gives, where there is one.
    fn config(&self, _stage: usize, _seed: u64) -> Option<TaskConfig> {
        None
    }

    /// Takes back a task that `draw_in(stage, seed)` gave, so that a later draw of the same need not build it anew.
    fn give_back(&self, _stage: usize, _seed: u64, _family: usize, _task: Box<dyn Task>) {}
}

/// Everything that stays the same during a run and that a window depends on.
pub struct Setting {
    /// Seed of the run.
    pub seed: u64,
    /// Number of particles, those that idle in some stage included.
    pub particles: u64,
    /// The rule that is learned.
    pub architecture: Architecture,
    /// The gradient estimator.
    pub estimator: &'static dyn GradientEstimator,
    /// The stages, in order; at least one.
    pub stages: Vec<Stage>,
    /// Task instances that training draws from, again and again; none for ever fresh ones.
    pub pool: Option<u64>,
    /// Tasks.
    pub tasks: Box<dyn TaskSource>,
    /// What a tuned optimizer reaches on the tasks of the pool, where a meta-loss asks for it.
    pub references: References,
}

impl Setting {
    /// Number of the stage that is on in an outer step (which is also the window of every particle).
    pub fn stage_number(&self, outer_step: u64) -> usize {
        self.stages.iter().rposition(|stage| stage.first <= outer_step).unwrap_or(0)
    }

    /// The stage that is on in an outer step.
    pub fn stage(&self, outer_step: u64) -> &Stage {
        &self.stages[self.stage_number(outer_step)]
    }

    /// Number of the first stage that has the meta-loss of stage number `stage`: scores by the same one can be compared.
    pub fn scale(&self, stage: usize) -> usize {
        let objective = &self.stages[stage].objective;
        self.stages.iter().position(|stage| stage.objective == *objective).unwrap_or(stage)
    }

    /// Finds the reference curves of all tasks of the pool in stages whose meta-loss is relative to them; does nothing
    /// in other runs.
    ///
    /// # Errors
    /// Those of [`references`].
    pub fn find_references(&mut self, config: &ReferenceConfig, folder: &Path, workers: usize) -> Result<(), Error> {
        let tuned = |stage: &Stage| stage.objective.transform == Transform::Tuned;
        let stages = self.stages.iter().enumerate().filter(|(_, stage)| tuned(stage)).map(|(number, _)| number);
        let seeds = || (0..self.pool.unwrap_or(0)).map(|index| pool_task(self.seed, index));
        let tasks: Vec<_> = stages
            .flat_map(|stage| seeds().map(move |seed| (stage, seed)))
            .filter_map(|(stage, seed)| Some(((stage, seed), self.tasks.config(stage, seed)?)))
            .collect();
        if !tasks.is_empty() {
            self.references = references(config, &tasks, &folder.join("reference.jsonl"), workers)?;
        }
        Ok(())
    }

    /// The stage that ends the run.
    pub fn last_stage(&self) -> &Stage {
        self.stages.last().expect("a run has a stage")
    }
}

/// One part of a run.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its first outer step.
    pub first: u64,
    /// The first outer step after it.
    pub end: u64,
    /// Factors on the outer learning rate at its beginning and end.
    pub rate: (f32, f32),
    /// Antithetic pairs; particles beyond that number idle.
    pub pairs: u64,
    /// Standard deviation of the perturbation of each entry of theta; zero where nothing is learned.
    pub sigmas: Vec<f32>,
    /// Perturbations.
    pub noise: Noise,
    /// Lengths.
    pub truncation: Truncation,
    /// The meta-loss.
    pub objective: Objective,
    /// Range of the step multiplier.
    pub step_multiplier: (f32, f32),
    /// Schedules to draw from.
    pub schedules: Vec<Schedule>,
    /// Decay coefficients to draw from.
    pub weight_decays: Vec<f32>,
    /// Share of inner runs whose optimizer is not told the horizon.
    pub hide_horizon: f64,
    /// Whether and how particles return to earlier states.
    pub resume: Option<Resume>,
}

impl Stage {
    /// The factor on the outer learning rate: half a cosine from the first to the last value of the stage.
    pub fn rate_factor(&self, outer_step: u64) -> f32 {
        let length = (self.end - self.first).max(1) as f64;
        let progress = (outer_step.saturating_sub(self.first) as f64 / length).min(1.0);
        let (from, to) = (f64::from(self.rate.0), f64::from(self.rate.1));
        (to + (from - to) * (0.5 + 0.5 * (std::f64::consts::PI * progress).cos())) as f32
    }
}
