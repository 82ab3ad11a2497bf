//! A benchmark as data: what a RON file says, turned once into a checked [`Comparison`].

mod contender;
mod space;

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use velo_comparison::score::ScoreRules;
use velo_comparison::{Comparison, EnvelopePlan, Limits, Metric, Problem, nearest};

pub use contender::{ContenderConfig, External, TellsHorizon, named_contenders};
pub use space::{RandomSearch, Range as HyperParameterRange};

use crate::extension::Extensions;
use contender::named_contender;

/// Tuning seeds begin here, above every reported seed.
const FIRST_TUNING_SEED: u64 = 1_000_000;

/// A benchmark: problems × contenders × seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Heading of the report.
    pub title: String,
    /// Names of tasks; `benchmark_suite list` shows them all. Variants of tasks count for the time to a target only.
    pub tasks: Vec<String>,
    /// Numbers of steps that every task is trained for, each a problem of its own and the horizon of schedules.
    pub horizons: Vec<u64>,
    /// More horizons for some of the tasks.
    #[serde(default)]
    pub longer: Vec<Longer>,
    /// Points of a learning curve.
    #[serde(default = "default_points")]
    pub points: u64,
    /// Points of a learning curve from one loss over the validation split to the next: how exactly times are known.
    #[serde(default = "default_validate_every")]
    pub validate_every: u64,
    /// Number of seeds on which settings are chosen.
    #[serde(default = "default_tuning_seeds")]
    pub tuning_seeds: u64,
    /// Number of seeds that are reported; they differ from the tuning seeds.
    #[serde(default = "default_report_seeds")]
    pub report_seeds: u64,
    /// The final loss by which settings are chosen.
    #[serde(default = "default_select_by")]
    pub select_by: Metric,
    /// Label of the contender that ratios and targets refer to.
    pub baseline: String,
    /// Floor, cap and resamples of the ratios.
    #[serde(default)]
    pub score: ScoreRules,
    /// A target is the baseline's final validation loss times one plus this.
    #[serde(default = "default_target_slack")]
    pub target_slack: f64,
    /// Longer runs of one contender, from which speed-ups are read; without it there are none.
    #[serde(default)]
    pub envelope: Option<Envelope>,
    /// What a trial may take before it counts as failed.
    #[serde(default)]
    pub limits: Limits,
    /// Labels of contenders that come along; `benchmark_suite list` shows them all. They stand first.
    #[serde(default)]
    pub named: Vec<String>,
    /// More contenders, in the order of tables and legends.
    #[serde(default)]
    pub contenders: Vec<ContenderConfig>,
}

/// Horizons for some of the tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Longer {
    /// The number of steps.
    pub horizon: u64,
    /// Names of the tasks.
    pub tasks: Vec<String>,
}

/// Longer runs that speed-ups are read from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Label of the contender, by the published definition Adam with constant rates.
    pub contender: String,
    /// How many times as long as the problem; the largest speed-up that can be seen.
    pub factor: u64,
}

fn default_points() -> u64 {
    50
}

fn default_validate_every() -> u64 {
    2
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

fn default_target_slack() -> f64 {
    0.02
}

impl Suite {
    /// All contenders as they are spelt: the named ones, then the suite's own.
    ///
    /// # Errors
    /// Names the label that is unknown, and the nearest.
    pub fn all_contenders(&self) -> Result<Vec<ContenderConfig>> {
        let named = self.named.iter().enumerate();
        let named = named.map(|(at, label)| named_contender(label).with_context(|| format!("named[{at}]")));
        named.chain(self.contenders.iter().cloned().map(Ok)).collect()
    }

    /// The comparison that this suite means, checked: every task and optimizer has been built once.
    ///
    /// # Errors
    /// Names the field, what was found and what was expected.
    pub fn check(&self, extensions: &Extensions, threads: usize) -> Result<Comparison> {
        self.score.check()?;
        ensure!(!self.horizons.is_empty(), "horizons: is empty, expected at least one number of steps");
        ensure!(self.points > 0, "points: is 0, expected at least 1");
        ensure!(self.validate_every > 0, "validate_every: is 0, expected at least 1");
        let slack = self.target_slack;
        ensure!((0.0..=1.0).contains(&slack), "target_slack: is {slack}, expected a share from 0 to 1");
        ensure!(self.report_seeds <= FIRST_TUNING_SEED, "report_seeds: at most {FIRST_TUNING_SEED} seeds are possible");
        let configs = self.all_contenders()?;
        let choices = configs.iter().filter_map(|config| config.select_by).chain([self.select_by]);
        let honest = choices.into_iter().all(|metric| metric != Metric::TestLoss);
        ensure!(honest, "select_by: is TestLoss, expected TrainLoss or ValidationLoss: nothing is chosen by test rows");
        let labels = || configs.iter().map(|contender| contender.label.as_str());
        self.check_label("baseline", &self.baseline, labels())?;
        if let Some(envelope) = &self.envelope {
            self.check_label("envelope.contender", &envelope.contender, labels())?;
        }
        let contenders = configs
            .iter()
            .map(|config| config.contender(extensions).with_context(|| format!("contenders: {:?}", config.label)));
        let seeds = |range: Range<u64>| range.collect::<Vec<_>>();
        let plan =
            |envelope: &Envelope| EnvelopePlan { contender: envelope.contender.clone(), factor: envelope.factor };
        let comparison = Comparison {
            problems: self.problems(extensions)?,
            contenders: contenders.collect::<Result<_>>()?,
            tuning_seeds: seeds(FIRST_TUNING_SEED..FIRST_TUNING_SEED.saturating_add(self.tuning_seeds)),
            report_seeds: seeds(0..self.report_seeds),
            select_by: self.select_by,
            envelope: self.envelope.as_ref().map(plan),
            limits: self.limits,
            threads,
        };
        comparison.check()?;
        Ok(comparison)
    }

    fn check_label<'a>(
        &self,
        field: &str,
        label: &str,
        mut labels: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<()> {
        let known = labels.clone();
        if labels.any(|known| known == label) {
            return Ok(());
        }
        let suggestion = nearest(label, known).map_or(String::new(), |near| format!(", did you mean {near:?}?"));
        anyhow::bail!("{field}: no contender is labelled {label:?}{suggestion}")
    }

    /// The problems in the order of tables.
    pub(crate) fn problems(&self, extensions: &Extensions) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        let single = self.horizons.len() == 1 && self.longer.is_empty();
        let name_of = |task: &str, steps: u64| if single { task.to_owned() } else { format!("{task} {steps}") };
        let mut add = |field: String, task: &str, steps: u64| -> Result<()> {
            let (source, variant_of) = extensions.find_task(task).with_context(|| field)?;
            problems.push(Problem {
                name: name_of(task, steps),
                task: Arc::clone(&source),
                steps,
                record_every: steps.div_ceil(self.points).max(1),
                validate_every: Some(self.validate_every),
                variant_of: variant_of.map(|of| name_of(&of, steps)),
            });
            Ok(())
        };
        for (at, task) in self.tasks.iter().enumerate() {
            for &steps in &self.horizons {
                add(format!("tasks[{at}]"), task, steps)?;
            }
        }
        for (which, longer) in self.longer.iter().enumerate() {
            for (at, task) in longer.tasks.iter().enumerate() {
                add(format!("longer[{which}].tasks[{at}]"), task, longer.horizon)?;
            }
        }
        Ok(problems)
    }

    /// The suite on the tasks whose names contain `text` alone.
    #[must_use]
    pub fn filtered(mut self, text: &str) -> Self {
        let tasks = [&mut self.tasks].into_iter().chain(self.longer.iter_mut().map(|longer| &mut longer.tasks));
        tasks.for_each(|tasks| tasks.retain(|task| task.contains(text)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use velo_optimizer::OptimizerConfig;

    fn suite() -> Suite {
        let mut adam = ContenderConfig::new("adam", OptimizerConfig::from_name("adam").unwrap());
        adam.learning_rates = vec![1e-3, 1e-2];
        Suite {
            title: "t".to_owned(),
            tasks: vec!["wine_mlp".to_owned()],
            horizons: vec![10],
            longer: vec![],
            points: 2,
            validate_every: 1,
            tuning_seeds: 1,
            report_seeds: 2,
            select_by: Metric::TrainLoss,
            baseline: "adam".to_owned(),
            score: ScoreRules::default(),
            target_slack: 0.0,
            envelope: None,
            limits: Limits::default(),
            named: vec![],
            contenders: vec![adam],
        }
    }

    fn refusal(suite: &Suite) -> String {
        format!("{:#}", suite.check(&Extensions::new(), 1).unwrap_err())
    }

    #[test]
    fn tuning_and_reported_seeds_never_meet() {
        let comparison = suite().check(&Extensions::new(), 1).unwrap();
        assert_eq!(comparison.report_seeds, [0, 1]);
        assert_eq!(comparison.tuning_seeds, [FIRST_TUNING_SEED]);
        assert_eq!(comparison.trial_count(), 2 + 2);
    }

    #[test]
    fn every_task_is_a_problem_per_horizon_and_variants_know_theirs() {
        let mut suite = suite();
        suite.tasks = vec!["digits_mlp".to_owned(), "digits_mlp_tanh".to_owned()];
        suite.horizons = vec![10, 20];
        suite.longer = vec![Longer { horizon: 40, tasks: vec!["digits_mlp".to_owned()] }];
        let problems = suite.problems(&Extensions::new()).unwrap();
        let found: Vec<_> = problems.iter().map(|p| (p.name.as_str(), p.variant_of.as_deref())).collect();
        let expected = [
            ("digits_mlp 10", None),
            ("digits_mlp 20", None),
            ("digits_mlp_tanh 10", Some("digits_mlp 10")),
            ("digits_mlp_tanh 20", Some("digits_mlp 20")),
            ("digits_mlp 40", None),
        ];
        assert_eq!(found, expected);
        assert_eq!(suite.filtered("tanh").problems(&Extensions::new()).unwrap().len(), 2);
    }

    #[test]
    fn unknown_tasks_baselines_and_contenders_are_refused_with_the_nearest_name() {
        let mut wrong = suite();
        wrong.tasks.push("digits_mpl".to_owned());
        let message = refusal(&wrong);
        assert!(message.starts_with("tasks[1]: ") && message.contains("digits_mlp"), "{message}");
        let mut wrong = suite();
        wrong.baseline = "adma".to_owned();
        assert_eq!(refusal(&wrong), "baseline: no contender is labelled \"adma\", did you mean \"adam\"?");
        let mut wrong = suite();
        wrong.named = vec!["Muon + cosin".to_owned()];
        assert!(refusal(&wrong).contains("named[0]: there is no contender \"Muon + cosin\"; did you mean"));
        let mut wrong = suite();
        wrong.contenders[0].select_by = Some(Metric::TestLoss);
        assert!(refusal(&wrong).starts_with("select_by: is TestLoss"));
        let mut wrong = suite();
        wrong.envelope = Some(Envelope { contender: "Adam".to_owned(), factor: 4 });
        assert!(refusal(&wrong).starts_with("envelope.contender: no contender is labelled \"Adam\""));
    }
}
