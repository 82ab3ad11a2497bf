//! The configuration of a run, and its checked form.
//!
//! [`Config`] mirrors the RON file field by field; [`Config::check`] turns it once into a [`Plan`], in which
//! names are resolved and numbers are in range. Nothing deeper checks again.

use std::path::Path;

use serde::{Deserialize, Serialize};
use velo_comparison::ron_file;
use velo_optimizer::hand_designed::AdamWConfig;
use velo_optimizer::{Architecture, Celo2Config, OptimizerConfig, Schedule};
use velo_tasks::TaskConfig;
use velo_tasks::family::Component;
use velo_tasks::registry::named;

use crate::Error;
use crate::curriculum::{self, StageConfig};
use crate::estimator::Method;
use crate::families::MixtureSource;
use crate::learner::GapScaling;
use crate::objective::Objective;
use crate::parts::PartSigma;
use crate::population::Mode;
use crate::reference::{ReferenceConfig, References};
use crate::resume::Resume;
use crate::start::Start;
use crate::truncation::Truncation;
use crate::unroll::Setting;
use crate::validation::ValidationConfig;

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

/// The gradient estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EstimatorConfig {
    /// Which method.
    pub method: Method,
    /// Standard deviation of the perturbations.
    pub sigma: f32,
    /// Other standard deviations for parts of the weights; the last that fits a weight's name counts.
    pub part_sigmas: Vec<PartSigma>,
    /// Particles whose perturbations of the same number are orthogonal to each other; none for independent ones.
    pub orthogonal: Option<usize>,
    /// Antithetic pairs per outer step.
    pub pairs: u64,
}

impl Default for EstimatorConfig {
    fn default() -> Self {
        Self { method: Method::Nres, sigma: 0.02, part_sigmas: Vec::new(), orthogonal: None, pairs: 16 }
    }
}

/// Conditions drawn anew for every inner run, so that the rule meets what it will meet when it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InnerConfig {
    /// Range of the log-uniform factor on the native step size.
    pub step_multiplier: (f32, f32),
    /// Schedules, drawn with equal chance.
    pub schedules: Vec<Schedule>,
    /// Decoupled decay coefficients, drawn with equal chance.
    pub weight_decays: Vec<f32>,
    /// Share of inner runs whose optimizer is not told the horizon; its schedule is then constant.
    pub hide_horizon: f64,
}

impl Default for InnerConfig {
    fn default() -> Self {
        let schedules = vec![
            Schedule::Constant,
            Schedule::Cosine { warmup: 0.05, floor: 0.0 },
            Schedule::Linear { warmup: 0.0, floor: 0.0 },
        ];
        Self { step_multiplier: (0.5, 30.0), schedules, weight_decays: vec![0.0], hide_horizon: 0.0 }
    }
}

impl InnerConfig {
    /// Rejects empty lists and numbers out of range.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field; the optimizer crate's error for a schedule.
    pub fn check(&self) -> Result<(), Error> {
        for (field, count) in
            [("inner.schedules", self.schedules.len()), ("inner.weight_decays", self.weight_decays.len())]
        {
            if count == 0 {
                return Err(Error::config(format!("{field} (its length)"), 0, "at least 1"));
            }
        }
        let (low, high) = self.step_multiplier;
        if !(low > 0.0 && low.is_finite()) {
            return Err(Error::config("inner.step_multiplier.0", low, "a finite number above 0"));
        }
        if !(high >= low && high.is_finite()) {
            return Err(Error::config("inner.step_multiplier.1", high, format!("at least {low}, the lower end")));
        }
        if let Some(decay) = self.weight_decays.iter().find(|decay| !(**decay >= 0.0 && decay.is_finite())) {
            return Err(Error::config("inner.weight_decays", decay, "a finite number, 0 or above"));
        }
        if !(0.0..=1.0).contains(&self.hide_horizon) {
            return Err(Error::config("inner.hide_horizon", self.hide_horizon, "a fraction in [0, 1]"));
        }
        self.schedules.iter().try_for_each(Schedule::check).map_err(Error::from)
    }
}

/// The optimizer of theta, over the meta-gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OuterConfig {
    /// Any optimizer of the optimizer crate; its own learning rate is replaced by the next field.
    pub optimizer: OptimizerConfig,
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Share of the outer steps spent warming up.
    pub warmup: f32,
    /// Final learning rate as a share of the peak, in a run without stages.
    pub floor: f32,
    /// Largest norm of the meta-gradient.
    pub clip_norm: f32,
    /// What gaps are divided by.
    pub gap_scaling: GapScaling,
    /// Largest gap, in units of its family's running root mean square.
    pub gap_clip: f32,
    /// Decay of the average of theta that is frozen at the end.
    pub average_decay: f32,
}

impl Default for OuterConfig {
    fn default() -> Self {
        Self {
            optimizer: OptimizerConfig::AdamW(AdamWConfig {
                beta1: 0.9,
                beta2: 0.99,
                weight_decay: 1e-4,
                ..AdamWConfig::default()
            }),
            learning_rate: 3e-3,
            warmup: 0.05,
            floor: 0.05,
            clip_norm: 1e3,
            gap_scaling: GapScaling::RunningRms,
            gap_clip: 3.0,
            average_decay: 0.98,
        }
    }
}

/// When training ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Outer steps; also the horizon of the outer schedule.
    pub outer_steps: u64,
    /// Seconds of training after which the run ends early, whatever is left of the outer steps.
    pub max_seconds: Option<f64>,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { outer_steps: 1000, max_seconds: None }
    }
}

/// When checkpoints are written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Outer steps between two checkpoints.
    pub every: u64,
    /// Checkpoints kept, the newest.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 100, keep: 2 }
    }
}

/// The choice of the native rate on procedural tasks that training never drew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectionConfig {
    /// Tasks drawn from the same families under other seeds.
    pub tasks: u64,
    /// Inner steps of each run.
    pub steps: u64,
    /// Share of held-out rows in the score, in `[0, 1]`.
    pub held_out_weight: f32,
    /// Candidate step sizes.
    pub step_sizes: Vec<f32>,
    /// Candidate coefficients of decoupled weight decay, each tried with each step size.
    pub weight_decays: Vec<f32>,
}

impl Default for SelectionConfig {
    fn default() -> Self {
        Self {
            tasks: 32,
            steps: 500,
            held_out_weight: 1.0,
            step_sizes: vec![1e-3, 2e-3, 5e-3, 1e-2, 2e-2],
            weight_decays: vec![0.0, 0.1, 0.5],
        }
    }
}

/// The comparison with hand-designed optimizers on tasks by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Tasks, by registered name; none skips the comparison.
    pub tasks: Vec<String>,
    /// Seeds that are reported.
    pub seeds: u64,
    /// Seeds on which settings are chosen.
    pub tuning_seeds: u64,
    /// Inner steps of each run.
    pub steps: u64,
    /// Rates tried for AdamW with warm-up and cosine.
    pub adamw_rates: Vec<f32>,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        let tasks =
            ["digits_logistic", "digits_mlp", "breast_cancer_mlp", "wine_mlp", "diabetes_mlp", "digits_autoencoder"];
        Self {
            tasks: tasks.map(str::to_owned).to_vec(),
            seeds: 5,
            tuning_seeds: 1,
            steps: 500,
            adamw_rates: vec![3e-4, 1e-3, 3e-3, 1e-2, 2e-2, 3e-2, 6e-2, 1e-1],
        }
    }
}

/// Every pair keeps two whole training runs in memory; more than this is a slip of the hand.
pub(crate) const MAX_PAIRS: u64 = 65_536;

/// A configuration whose names are resolved and whose numbers are in range.
pub struct Plan {
    /// What was configured.
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

    /// Resolves names and checks ranges.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field, its value and what was expected; errors of the tasks crate for unknown
    /// names.
    pub fn check(self) -> Result<Plan, Error> {
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
        let initial_theta = self.start.theta(&self.architecture, self.seed)?;
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

    fn check_counts(&self) -> Result<(), Error> {
        for (field, value) in [
            ("estimator.pairs", self.estimator.pairs),
            ("budget.outer_steps", self.budget.outer_steps),
            ("checkpoints.every", self.checkpoints.every),
            ("checkpoints.keep", self.checkpoints.keep as u64),
            ("selection.tasks", self.selection.tasks),
            ("selection.steps", self.selection.steps),
            ("selection.step_sizes (its length)", self.selection.step_sizes.len() as u64),
            ("selection.weight_decays (its length)", self.selection.weight_decays.len() as u64),
            ("evaluation.seeds", self.evaluation.seeds),
            ("evaluation.tuning_seeds", self.evaluation.tuning_seeds),
            ("evaluation.steps", self.evaluation.steps),
            ("evaluation.adamw_rates (its length)", self.evaluation.adamw_rates.len() as u64),
            ("pool", self.pool.unwrap_or(1)),
            ("estimator.orthogonal", self.estimator.orthogonal.unwrap_or(1) as u64),
        ] {
            if value == 0 {
                return Err(Error::config(field, value, "at least 1"));
            }
        }
        let pairs = self.stages.iter().filter_map(|stage| stage.pairs).chain([self.estimator.pairs]);
        for (index, pairs) in pairs.enumerate() {
            if !(1..=MAX_PAIRS).contains(&pairs) {
                let field = if index == self.stages.len() { "estimator.pairs" } else { "stages.pairs" };
                return Err(Error::config(field, pairs, format!("at most {MAX_PAIRS}, at least 1")));
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Error> {
        let outer = &self.outer;
        let positive = [
            ("estimator.sigma", self.estimator.sigma),
            ("outer.learning_rate", outer.learning_rate),
            ("outer.clip_norm", outer.clip_norm),
            ("outer.gap_clip", outer.gap_clip),
        ];
        let sizes = self.selection.step_sizes.iter().map(|&size| ("selection.step_sizes", size));
        let rates = self.evaluation.adamw_rates.iter().map(|&rate| ("evaluation.adamw_rates", rate));
        for (field, value) in positive.into_iter().chain(sizes).chain(rates) {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::config(field, value, "a finite number above 0"));
            }
        }
        for (field, value) in
            [("outer.warmup", outer.warmup), ("outer.floor", outer.floor), ("outer.average_decay", outer.average_decay)]
        {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::config(field, value, "a fraction in [0, 1)"));
            }
        }
        for (field, value) in self.selection.weight_decays.iter().map(|&decay| ("selection.weight_decays", decay)) {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::config(field, value, "a finite number, 0 or above"));
            }
        }
        if !(0.0..=1.0).contains(&self.selection.held_out_weight) {
            let found = self.selection.held_out_weight;
            return Err(Error::config("selection.held_out_weight", found, "a fraction in [0, 1]"));
        }
        if self.budget.max_seconds.is_some_and(|seconds| seconds.is_nan() || seconds <= 0.0) {
            let found = format!("{:?}", self.budget.max_seconds);
            return Err(Error::config("budget.max_seconds", found, "a number of seconds above 0, or None"));
        }
        Ok(())
    }
}
