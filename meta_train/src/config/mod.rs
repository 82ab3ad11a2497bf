//! The configuration of a run, and its checked form.
//!
//! [`Config`] mirrors the RON file field by field; [`Config::check`] turns it once into a [`Plan`], in which
//! names are resolved, files are read and numbers are in range. Nothing deeper checks again.

mod ranges;
mod sections;

use std::path::Path;

use serde::{Deserialize, Serialize};
use velo_comparison::ron_file;
use velo_optimizer::{Architecture, Celo2Config};
use velo_tasks::TaskConfig;
use velo_tasks::family::Component;
use velo_tasks::registry::named;

use crate::Error;
use crate::curriculum::{self, StageConfig};
use crate::families::MixtureSource;
use crate::objective::Objective;
use crate::population::Mode;
use crate::reference::{ReferenceConfig, References};
use crate::resume::Resume;
use crate::start::Start;
use crate::truncation::Truncation;
use crate::unroll::Setting;
use crate::validation::ValidationConfig;
pub use sections::{
    BudgetConfig, CheckpointConfig, EstimatorConfig, EvaluationConfig, InnerConfig, OuterConfig, SelectionConfig,
};

/// One run, as its RON file spells it. Every field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seed of everything random.
    pub seed: u64,
    /// The rule that is learned.
    pub architecture: Architecture,
    /// Where theta begins.
    pub start: Start,
    /// Patterns over names of weights that are learned, for example `head/*`; empty stands for all.
    pub learn: Vec<String>,
    /// Task families and their weights; empty stands for all of them, equally.
    pub families: Vec<Component>,
    /// In place of `families`: a mixture with time budgets and disguises.
    pub mixture: Option<MixtureSource>,
    /// Task instances that training draws from, again and again; none for ever fresh ones.
    pub pool: Option<u64>,
    /// How gradients are estimated.
    pub estimator: EstimatorConfig,
    /// When outer steps are taken.
    pub population: Mode,
    /// Lengths of windows and inner runs.
    pub truncation: Truncation,
    /// Whether and how particles return to earlier states of long runs.
    pub resume: Option<Resume>,
    /// Conditions drawn for every inner run.
    pub inner: InnerConfig,
    /// The meta-loss.
    pub objective: Objective,
    /// Curves of a tuned optimizer, for objectives relative to them.
    pub reference: ReferenceConfig,
    /// The outer optimizer.
    pub outer: OuterConfig,
    /// Parts of the run, each with what it does differently; empty for a run of one piece.
    pub stages: Vec<StageConfig>,
    /// When the run ends.
    pub budget: BudgetConfig,
    /// When and how many checkpoints are kept.
    pub checkpoints: CheckpointConfig,
    /// Snapshots that are judged while the run trains; none freezes the last average of theta.
    pub validation: Option<ValidationConfig>,
    /// How the native rate is chosen after training.
    pub selection: SelectionConfig,
    /// The comparison that closes the run.
    pub evaluation: EvaluationConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            architecture: Architecture::Celo2(Celo2Config::default()),
            start: Start::default(),
            learn: Vec::new(),
            families: Vec::new(),
            mixture: None,
            pool: None,
            estimator: EstimatorConfig::default(),
            population: Mode::default(),
            truncation: Truncation::default(),
            resume: None,
            inner: InnerConfig::default(),
            objective: Objective::default(),
            reference: ReferenceConfig::default(),
            outer: OuterConfig::default(),
            stages: Vec::new(),
            budget: BudgetConfig::default(),
            checkpoints: CheckpointConfig::default(),
            validation: None,
            selection: SelectionConfig::default(),
            evaluation: EvaluationConfig::default(),
        }
    }
}

/// A configuration whose names are resolved and whose numbers are in range.
pub struct Plan {
    /// What was configured; mixtures stand in it themselves, not the files that they came from.
    pub config: Config,
    /// What windows depend on.
    pub setting: Setting,
    /// Theta at the start of the run.
    pub initial_theta: Vec<f32>,
    /// Tasks of the closing comparison.
    pub evaluation_tasks: Vec<TaskConfig>,
}

impl Config {
    /// Reads a RON file, after applying `overrides` such as `estimator.sigma=0.03`.
    ///
    /// # Errors
    /// Those of [`ron_file::read`].
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, velo_comparison::Error> {
        ron_file::read(path, overrides)
    }

    /// Resolves names, reads the files that it names, and checks ranges.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field, its value and what was expected; errors of the tasks crate for unknown
    /// names; what reading a file gives.
    pub fn check(self) -> Result<Plan, Error> {
        let mut plan = self.check_from(Vec::new())?;
        plan.initial_theta = plan.config.start.theta(&plan.config.architecture, plan.config.seed)?;
        Ok(plan)
    }

    /// The same for a run whose theta before the first outer step is known, so that `start` is not looked at.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_from(mut self, initial_theta: Vec<f32>) -> Result<Plan, Error> {
        self.mixture = self.mixture.map(MixtureSource::inlined).transpose()?;
        for stage in &mut self.stages {
            stage.mixture = stage.mixture.take().map(MixtureSource::inlined).transpose()?;
        }
        self.architecture.check()?;
        self.check_counts()?;
        self.check_numbers()?;
        self.reference.check()?;
        self.population.check()?;
        curriculum::one_source(&self.families, self.mixture.as_ref())?;
        let stages = curriculum::stages(&self)?;
        let tasks = Box::new(curriculum::tasks(&self)?);
        self.outer.optimizer.build(&self.architecture.theta_layout())?;
        let evaluation_tasks = self.evaluation.tasks.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
        if let Some(validation) = &self.validation {
            validation.check()?;
        }
        let setting = Setting {
            seed: self.seed,
            particles: stages.iter().map(|stage| stage.pairs).max().unwrap_or(self.estimator.pairs),
            architecture: self.architecture.clone(),
            estimator: self.estimator.method.estimator(),
            stages,
            pool: self.pool,
            tasks,
            references: References::default(),
        };
        Ok(Plan { setting, initial_theta, evaluation_tasks, config: self })
    }
}
