//! The configuration of a run, and its checked form.
//!
//! [`Config`] mirrors the RON file field by field; [`Config::check`] turns it once into a [`Plan`], in which
//! names are resolved and numbers are in range. Nothing deeper checks again.

use serde::{Deserialize, Serialize};
use velo_optimizer::{Architecture, Celo2Config, Schedule};
use velo_tasks::TaskConfig;
use velo_tasks::family::Component;
use velo_tasks::registry::named;
use velo_tasks::rng::Stream;

use crate::Error;
use crate::estimator::Method;
use crate::families::Families;
use crate::noise::{Noise, Purpose};
use crate::objective::Objective;
use crate::truncation::Truncation;
use crate::unroll::Setting;

/// One run, as its RON file spells it. Every field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seed of everything random.
    pub seed: u64,
    /// The rule that is learned.
    pub architecture: Architecture,
    /// Task families and their weights; empty stands for all of them, equally.
    pub families: Vec<Component>,
    /// How gradients are estimated.
    pub estimator: EstimatorConfig,
    /// Lengths of windows and inner runs.
    pub truncation: Truncation,
    /// Conditions drawn for every inner run.
    pub inner: InnerConfig,
    /// The meta-loss.
    pub objective: Objective,
    /// The outer optimizer.
    pub outer: OuterConfig,
    /// When the run ends.
    pub budget: BudgetConfig,
    /// When and how many checkpoints are kept.
    pub checkpoints: CheckpointConfig,
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
            families: Vec::new(),
            estimator: EstimatorConfig::default(),
            truncation: Truncation::default(),
            inner: InnerConfig::default(),
            objective: Objective::default(),
            outer: OuterConfig::default(),
            budget: BudgetConfig::default(),
            checkpoints: CheckpointConfig::default(),
            selection: SelectionConfig::default(),
            evaluation: EvaluationConfig::default(),
        }
    }
}

/// The gradient estimator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EstimatorConfig {
    /// Which method.
    pub method: Method,
    /// Standard deviation of the perturbations.
    pub sigma: f32,
    /// Antithetic pairs per outer step.
    pub pairs: u64,
}

impl Default for EstimatorConfig {
    fn default() -> Self {
        Self { method: Method::Nres, sigma: 0.02, pairs: 16 }
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
}

impl Default for InnerConfig {
    fn default() -> Self {
        let schedules = vec![
            Schedule::Constant,
            Schedule::Cosine { warmup: 0.05, floor: 0.0 },
            Schedule::Linear { warmup: 0.0, floor: 0.0 },
        ];
        Self { step_multiplier: (0.5, 30.0), schedules, weight_decays: vec![0.0] }
    }
}

/// AdamW with warm-up and cosine over the meta-gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OuterConfig {
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Decoupled decay.
    pub weight_decay: f32,
    /// Share of the outer steps spent warming up.
    pub warmup: f32,
    /// Final learning rate as a share of the peak.
    pub floor: f32,
    /// Largest norm of the meta-gradient.
    pub clip_norm: f32,
    /// Largest gap, in units of its family's running root mean square.
    pub gap_clip: f32,
    /// Decay of the average of theta that is frozen at the end.
    pub average_decay: f32,
}

impl Default for OuterConfig {
    fn default() -> Self {
        Self {
            learning_rate: 3e-3,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 1e-4,
            warmup: 0.05,
            floor: 0.05,
            clip_norm: 1e3,
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
const MAX_PAIRS: u64 = 65_536;

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
    /// Resolves names and checks ranges.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field, its value and what was expected; errors of the tasks crate for unknown
    /// names.
    pub fn check(self) -> Result<Plan, Error> {
        self.architecture.check()?;
        self.truncation.check()?;
        self.objective.check()?;
        self.check_counts()?;
        self.check_numbers()?;
        let families = Families::new(&self.families)?;
        let evaluation_tasks = self.evaluation.tasks.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
        let initial_theta = initial_theta(&self.architecture, self.seed);
        let learned = self.architecture.influential();
        let setting = Setting {
            seed: self.seed,
            particles: self.estimator.pairs,
            architecture: self.architecture.clone(),
            sigma: self.estimator.sigma,
            estimator: self.estimator.method.estimator(),
            noise: Noise::new(self.seed, learned),
            truncation: self.truncation,
            objective: self.objective,
            step_multiplier: self.inner.step_multiplier,
            schedules: self.inner.schedules.clone(),
            weight_decays: self.inner.weight_decays.clone(),
            tasks: Box::new(families),
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
            ("inner.schedules (its length)", self.inner.schedules.len() as u64),
            ("inner.weight_decays (its length)", self.inner.weight_decays.len() as u64),
        ] {
            if value == 0 {
                return Err(Error::config(field, value, "at least 1"));
            }
        }
        if self.estimator.pairs > MAX_PAIRS {
            return Err(Error::config("estimator.pairs", self.estimator.pairs, format!("at most {MAX_PAIRS}")));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Error> {
        let (low, high) = self.inner.step_multiplier;
        let outer = &self.outer;
        let positive = [
            ("estimator.sigma", self.estimator.sigma),
            ("inner.step_multiplier.0", low),
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
        if !(high >= low && high.is_finite()) {
            return Err(Error::config("inner.step_multiplier.1", high, format!("at least {low}, the lower end")));
        }
        for (field, value) in [
            ("outer.beta1", outer.beta1),
            ("outer.beta2", outer.beta2),
            ("outer.warmup", outer.warmup),
            ("outer.floor", outer.floor),
            ("outer.average_decay", outer.average_decay),
        ] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::config(field, value, "a fraction in [0, 1)"));
            }
        }
        let decays = self.inner.weight_decays.iter().map(|&decay| ("inner.weight_decays", decay));
        let native = self.selection.weight_decays.iter().map(|&decay| ("selection.weight_decays", decay));
        for (field, value) in decays.chain(native).chain([("outer.weight_decay", outer.weight_decay)]) {
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
        self.inner.schedules.iter().try_for_each(Schedule::check).map_err(Error::from)
    }
}

/// A random theta for `seed`.
pub fn initial_theta(architecture: &Architecture, seed: u64) -> Vec<f32> {
    let stream = Stream::new(seed, Purpose::Theta as u64);
    let mut index = 0..;
    architecture.meta_init(&mut || stream.normal(index.next().unwrap_or_default()))
}
