//! A benchmark as data: what a RON file says, turned once into a checked [`Comparison`].

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use velo_comparison::score::ScoreRules;
use velo_comparison::{Comparison, Contender, Metric, nearest};
use velo_optimizer::{OptimizerConfig, Schedule};
use velo_tasks::registry::named;

/// Tuning seeds begin here, above every reported seed.
const FIRST_TUNING_SEED: u64 = 1_000_000;

/// A benchmark: tasks × contenders × seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Heading of the report.
    pub title: String,
    /// Names of tasks; `benchmark_suite list` shows them all.
    pub tasks: Vec<String>,
    /// Steps of every trial, also the horizon of schedules.
    pub steps: u64,
    /// Steps between two points of a learning curve.
    #[serde(default = "default_record_every")]
    pub record_every: u64,
    /// Number of seeds on which settings are chosen.
    #[serde(default = "default_tuning_seeds")]
    pub tuning_seeds: u64,
    /// Number of seeds that are reported; they differ from the tuning seeds.
    #[serde(default = "default_report_seeds")]
    pub report_seeds: u64,
    /// The final loss by which settings are chosen.
    #[serde(default = "default_select_by")]
    pub select_by: Metric,
    /// Label of the contender that ratios refer to.
    pub baseline: String,
    /// Floor, cap and resamples of the ratios.
    #[serde(default)]
    pub score: ScoreRules,
    /// What is compared, in the order of tables and legends.
    pub contenders: Vec<ContenderConfig>,
}

/// An optimizer with lists of settings; the contender may choose any combination, per task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContenderConfig {
    /// Name in tables and figures.
    pub label: String,
    /// The rule and its hyper-parameters, such as `AdamW(beta2: 0.99)` or `Learned(weights: "learned.safetensors")`.
    pub optimizer: OptimizerConfig,
    /// Schedule over the steps of a trial.
    #[serde(default)]
    pub schedule: Schedule,
    /// Learning rates to choose from; empty for the optimizer's own.
    #[serde(default)]
    pub learning_rates: Vec<f32>,
    /// Weight decays to choose from; empty for the optimizer's own.
    #[serde(default)]
    pub weight_decays: Vec<f32>,
    /// Step multipliers to choose from; empty for the native one.
    #[serde(default)]
    pub step_multipliers: Vec<f32>,
}

fn default_record_every() -> u64 {
    10
}

fn default_tuning_seeds() -> u64 {
    2
}

fn default_report_seeds() -> u64 {
    5
}

fn default_select_by() -> Metric {
    Metric::ValidationLoss
}

impl Suite {
    /// The comparison that this suite means, checked: every task and optimizer has been built once.
    ///
    /// # Errors
    /// Names the field, what was found and what was expected.
    pub fn check(&self, threads: usize) -> Result<Comparison> {
        self.score.check()?;
        let labels = || self.contenders.iter().map(|contender| contender.label.as_str());
        if !labels().any(|label| label == self.baseline) {
            let suggestion =
                nearest(&self.baseline, labels()).map_or(String::new(), |label| format!(", did you mean {label:?}?"));
            anyhow::bail!("baseline: no contender is labelled {:?}{suggestion}", self.baseline);
        }
        ensure!(self.report_seeds <= FIRST_TUNING_SEED, "report_seeds: at most {FIRST_TUNING_SEED} seeds are possible");
        let tasks = self.tasks.iter().enumerate().map(|(i, name)| named(name).with_context(|| format!("tasks[{i}]")));
        let seeds = |range: Range<u64>| range.collect::<Vec<_>>();
        let comparison = Comparison {
            tasks: tasks.collect::<Result<_>>()?,
            contenders: self.contenders.iter().map(ContenderConfig::contender).collect(),
            steps: self.steps,
            record_every: self.record_every,
            tuning_seeds: seeds(FIRST_TUNING_SEED..FIRST_TUNING_SEED.saturating_add(self.tuning_seeds)),
            report_seeds: seeds(0..self.report_seeds),
            select_by: self.select_by,
            threads,
        };
        comparison.check()?;
        Ok(comparison)
    }
}

impl ContenderConfig {
    fn contender(&self) -> Contender {
        let contender = if self.learning_rates.is_empty() {
            Contender::fixed(&self.label, self.optimizer.clone(), self.schedule)
        } else {
            Contender::over_rates(&self.label, &self.optimizer, self.schedule, &self.learning_rates)
        };
        contender.times_weight_decays(&self.weight_decays).times_step_multipliers(&self.step_multipliers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Suite {
        Suite {
            title: "t".to_owned(),
            tasks: vec!["wine_mlp".to_owned()],
            steps: 10,
            record_every: 5,
            tuning_seeds: 1,
            report_seeds: 2,
            select_by: Metric::TrainLoss,
            baseline: "adam".to_owned(),
            score: ScoreRules::default(),
            contenders: vec![ContenderConfig {
                label: "adam".to_owned(),
                optimizer: OptimizerConfig::from_name("adam").unwrap(),
                schedule: Schedule::Constant,
                learning_rates: vec![1e-3, 1e-2],
                weight_decays: vec![],
                step_multipliers: vec![],
            }],
        }
    }

    #[test]
    fn tuning_and_reported_seeds_never_meet() {
        let comparison = suite().check(1).unwrap();
        assert_eq!(comparison.report_seeds, [0, 1]);
        assert_eq!(comparison.tuning_seeds, [FIRST_TUNING_SEED]);
        assert_eq!(comparison.trial_count(), 2 + 2);
    }

    #[test]
    fn unknown_tasks_and_baselines_are_refused_with_the_nearest_name() {
        let mut wrong = suite();
        wrong.tasks.push("digits_mpl".to_owned());
        let message = format!("{:#}", wrong.check(1).unwrap_err());
        assert!(message.starts_with("tasks[1]: ") && message.contains("digits_mlp"), "{message}");
        let mut wrong = suite();
        wrong.baseline = "adma".to_owned();
        let message = wrong.check(1).unwrap_err().to_string();
        assert_eq!(message, "baseline: no contender is labelled \"adma\", did you mean \"adam\"?");
    }
}
