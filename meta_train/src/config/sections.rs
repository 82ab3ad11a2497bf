//! The parts of a configuration that have fields of their own, and their defaults.

use serde::{Deserialize, Serialize};
use velo_optimizer::hand_designed::AdamWConfig;
use velo_optimizer::{OptimizerConfig, Schedule};

use crate::Error;
use crate::estimator::Method;
use crate::learner::GapScaling;
use crate::parts::PartSigma;

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
    /// Particles whose perturbations of the same number are orthogonal to each other; none for independent ones. The
    /// number is the window for PES and truncated ES, whose perturbations meet in every outer step, and the episode
    /// for NRES and full-length ES, where they seldom meet unless all horizons are equal: see
    /// [`Noise`](crate::noise::Noise).
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
