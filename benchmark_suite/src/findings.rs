//! What a finished suite shows: every score of every contender, from its trials alone.

use std::collections::BTreeSet;

use anyhow::Result;
use velo_comparison::figure::Interval;
use velo_comparison::score::{TaskRatios, aggregate, interquartile_mean, ratios, stratified_bootstrap};
use velo_comparison::{Metric, Role, Trial};

use crate::Suite;
use crate::extension::Extensions;
use crate::score::speed_up::{Envelope, speed_up};
use crate::score::time_to_target::Times;
use crate::score::{improvement, median, reported, saturation, sensitivity};

/// Losses that are compared.
pub const METRICS: [Metric; 3] = [Metric::TrainLoss, Metric::ValidationLoss, Metric::TestLoss];

/// A finished suite.
pub struct Findings<'a> {
    /// As it was run.
    pub suite: &'a Suite,
    /// All trials.
    pub trials: &'a [Trial],
    /// Labels of the contenders of the summary.
    pub contenders: Vec<String>,
    /// Labels of those that were told a wrong horizon.
    pub told_wrong: Vec<String>,
    /// Names of the problems, each with what it is a variant of.
    problems: Vec<(String, Option<String>)>,
    /// Problems left out of the ratio, for each of [`METRICS`].
    saturated: [BTreeSet<String>; 3],
    /// Steps to the targets.
    pub times: Times,
}

/// The row of one contender in the summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Label of the contender.
    pub contender: String,
    /// Settings it could choose from per problem.
    pub settings_tried: usize,
    /// Interquartile mean of the loss ratios, for each of [`METRICS`].
    pub ratios: [Option<Interval>; 3],
    /// Mean shortfall of training and validation ratios below one.
    pub gaps: [Option<f64>; 2],
    /// Probability to end with a lower validation loss than the baseline.
    pub improvement: Option<Interval>,
    /// Interquartile mean of the speed-ups over the envelope.
    pub speed_up: Option<Interval>,
    /// AlgoPerf's score.
    pub time_score: Option<f64>,
    /// Interquartile mean of the decades by which a rate may miss.
    pub rate_width: Option<f64>,
    /// Reported runs that diverged or failed.
    pub lost: usize,
    /// Reported runs.
    pub runs: usize,
    /// Median over problems of nanoseconds per parameter of the optimizer's part of a step.
    pub ns_per_parameter: Option<f64>,
    /// Median over problems of microseconds per step, gradient and evaluations included.
    pub us_per_step: Option<f64>,
    /// Median over problems of bytes of state per parameter.
    pub state_bytes_per_parameter: Option<f64>,
}

impl<'a> Findings<'a> {
    /// Of the trials of `suite`.
    ///
    /// # Errors
    /// When the suite names what this program does not have.
    pub fn new(suite: &'a Suite, extensions: &Extensions, trials: &'a [Trial]) -> Result<Self> {
        let configs = suite.all_contenders()?;
        let labels = |told: bool| {
            let chosen = configs.iter().filter(|config| config.tells_horizon.is_some() == told);
            chosen.map(|config| config.label.clone()).collect::<Vec<_>>()
        };
        let contenders = labels(false);
        let problems: Vec<_> =
            suite.problems(extensions)?.into_iter().map(|problem| (problem.name, problem.variant_of)).collect();
        let saturated = METRICS.map(|metric| {
            let is_saturated =
                |name: &&String| saturation::is_saturated(trials, name, &suite.baseline, metric, &suite.score);
            problems.iter().map(|(name, _)| name).filter(is_saturated).cloned().collect()
        });
        let borrowed: Vec<_> = problems.iter().map(|(name, of)| (name.as_str(), of.as_deref())).collect();
        let of_times: Vec<&str> = contenders.iter().map(String::as_str).collect();
        let times = Times::of(trials, &of_times, &borrowed, &suite.baseline, suite.target_slack);
        Ok(Self { suite, trials, contenders, told_wrong: labels(true), problems, saturated, times })
    }

    /// Names of the problems that are no variants.
    pub fn base_problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().filter(|(_, of)| of.is_none()).map(|(name, _)| name.as_str())
    }

    /// Names of the problems that are left out of the ratios of a metric.
    pub fn saturated(&self, metric: usize) -> impl Iterator<Item = &str> {
        self.saturated[metric].iter().map(String::as_str)
    }

    /// The loss ratios of a contender on all problems that still tell optimizers apart and are no variants.
    pub fn ratios(&self, contender: &str, metric: usize) -> Vec<TaskRatios> {
        let all = ratios(self.trials, contender, &self.suite.baseline, METRICS[metric], &self.suite.score);
        let is_base = |name: &str| self.base_problems().any(|base| base == name);
        let counts = |task: &TaskRatios| is_base(&task.task) && !self.saturated[metric].contains(&task.task);
        all.into_iter().filter(counts).collect()
    }

    /// Speed-ups by problem; empty without an envelope.
    pub fn speed_ups(&self, contender: &str) -> Vec<(&str, f64)> {
        let of = |problem: &'a str| {
            let runs = reported(self.trials, problem, contender);
            let envelope = Envelope::of(self.trials, problem).filter(|_| !runs.is_empty())?;
            Some((problem, speed_up(&envelope, &runs)))
        };
        self.trials_problems().into_iter().filter_map(of).collect()
    }

    /// Base problems, with the lifetime of the trials.
    fn trials_problems(&self) -> Vec<&'a str> {
        let mut names: Vec<&'a str> = Vec::new();
        for trial in self.trials.iter().filter(|trial| trial.role == Role::Report) {
            let is_base = self.base_problems().any(|base| base == trial.task);
            if is_base && !names.contains(&trial.task.as_str()) {
                names.push(&trial.task);
            }
        }
        names
    }

    /// The row of a contender.
    pub fn standing(&self, contender: &str) -> Standing {
        let rules = &self.suite.score;
        let own: Vec<&Trial> =
            self.trials.iter().filter(|trial| trial.role == Role::Report && trial.contender == contender).collect();
        let gap = |metric| improvement::optimality_gap(&self.ratios(contender, metric));
        let ups: Vec<f64> = self.speed_ups(contender).into_iter().map(|(_, speed_up)| speed_up).collect();
        let problems = self.trials_problems();
        let place = self.contenders.iter().position(|label| label == contender);
        let widths: Vec<f64> = problems
            .iter()
            .filter_map(|problem| {
                let losses = sensitivity::losses_by_rate(self.trials, problem, contender, self.suite.select_by);
                sensitivity::width(&losses)
            })
            .collect();
        let over_problems = |quantity: &dyn Fn(&Trial) -> Option<f64>| {
            let of = |problem: &&str| {
                median(reported(self.trials, problem, contender).into_iter().filter_map(quantity).collect())
            };
            median(problems.iter().filter_map(of).collect())
        };
        Standing {
            contender: contender.to_owned(),
            settings_tried: own.first().map_or(0, |trial| trial.settings_tried),
            ratios: [0, 1, 2].map(|metric| aggregate(&self.ratios(contender, metric), rules)),
            gaps: [gap(0), gap(1)],
            improvement: (contender != self.suite.baseline)
                .then(|| {
                    improvement::probability(
                        self.trials,
                        &problems,
                        contender,
                        &self.suite.baseline,
                        Metric::ValidationLoss,
                    )
                })
                .flatten(),
            // Its speed-up is a mean over seeds already, so the interval is one over problems.
            speed_up: stratified_bootstrap(&[&ups], interquartile_mean, rules.resamples, rules.seed),
            time_score: place.and_then(|place| self.times.score(place)),
            rate_width: (!widths.is_empty()).then(|| interquartile_mean(&widths)),
            lost: own.iter().filter(|trial| trial.is_lost()).count(),
            runs: own.len(),
            ns_per_parameter: over_problems(&|trial| {
                let measured = trial.outcome.as_ref().ok()?;
                Some(measured.optimizer_seconds? * 1e9 / measured.parameters as f64)
            }),
            us_per_step: over_problems(&|trial| Some(trial.ns_per_step()? / 1e3)),
            state_bytes_per_parameter: over_problems(&|trial| {
                let measured = trial.outcome.as_ref().ok()?;
                Some(measured.state_bytes as f64 / measured.parameters as f64)
            }),
        }
    }

    /// The rows of the summary.
    pub fn standings(&self) -> Vec<Standing> {
        self.contenders.iter().map(|contender| self.standing(contender)).collect()
    }

    /// The trials of the contenders of the summary on base problems, with what the tables of losses show.
    pub fn shown(&self) -> Vec<Trial> {
        let shown = |trial: &&Trial| {
            self.contenders.contains(&trial.contender) && self.base_problems().any(|base| base == trial.task)
        };
        self.trials.iter().filter(shown).cloned().collect()
    }

    /// The trials on variants.
    pub fn on_variants(&self) -> Vec<Trial> {
        let is_variant = |name: &str| self.problems.iter().any(|(known, of)| known == name && of.is_some());
        let shown = |trial: &&Trial| self.contenders.contains(&trial.contender) && is_variant(&trial.task);
        self.trials.iter().filter(shown).cloned().collect()
    }
}
