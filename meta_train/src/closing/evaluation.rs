//! The comparison that closes a run: the frozen rule against its own start and against hand-designed
//! optimizers, on real data that meta-training never saw.
//!
//! | contender | rate | schedule |
//! | --- | --- | --- |
//! | learned | native, selected on procedural tasks | warm-up + cosine; constant if it paces itself |
//! | untrained start | likewise | likewise |
//! | normalised Adam | likewise | warm-up + cosine |
//! | AdamW default | 1e-3 | constant |
//! | AdamW tuned | best of several per task, by training loss on tuning seeds | warm-up + cosine |
//! | AdamW tuned (validation) | likewise by held-out loss | warm-up + cosine |
//!
//! Only the tuned ones ever see the real tasks before they are scored. Ratios are those of the first AdamW
//! tuned: its final loss over the contender's, above one is better.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use velo_comparison::score::ScoreRules;
use velo_comparison::trial::write_tables;
use velo_comparison::{Comparison, Contender, Limits, Metric, Page, Problem, Role, Trial, report};
use velo_optimizer::hand_designed::{AdamWConfig, NormalisedAdamConfig};
use velo_optimizer::{LearnedConfig, LearnedWeights, OptimizerConfig, Schedule};
use velo_tasks::TaskConfig;

use super::selection::{Rate, SCHEDULE, native_schedule, select};
use crate::Error;
use crate::config::{EvaluationConfig, SelectionConfig};
use crate::unroll::Setting;

/// The contender that ratios refer to.
pub const BASELINE: &str = "AdamW tuned";

/// The frozen rule.
pub const LEARNED: &str = "learned";

/// The rule before meta-training.
pub const START: &str = "untrained start";

/// Points of a learning curve.
const CURVE_POINTS: u64 = 50;

/// Finished trials of a closing comparison.
#[derive(Debug, Clone)]
pub struct Evaluation {
    trials: Vec<Trial>,
    rules: ScoreRules,
}

/// Runs the comparison; `frozen` are labels and weights files of learned optimizers.
///
/// # Errors
/// When a selection run fails, or the comparison cannot start. A failing trial is recorded instead.
pub fn evaluate(
    evaluation: &EvaluationConfig,
    selection: &SelectionConfig,
    tasks: &[TaskConfig],
    setting: &Setting,
    frozen: &[(&str, PathBuf)],
    workers: usize,
) -> Result<Evaluation, Error> {
    let normalised = |rate: Rate| {
        let Rate { step_size: learning_rate, weight_decay } = rate;
        OptimizerConfig::NormalisedAdam(NormalisedAdamConfig { learning_rate, weight_decay, ..Default::default() })
    };
    let build = |layout: &_, rate| Ok(normalised(rate).build(layout)?);
    let normalised = normalised(select(selection, setting, &build, SCHEDULE, workers)?.rate);
    let adamw = OptimizerConfig::AdamW(AdamWConfig::default());
    let tuned = Contender::over_rates(BASELINE, &adamw, SCHEDULE, &evaluation.adamw_rates);
    let frozen = frozen.iter().map(|(label, weights)| -> Result<Contender, Error> {
        let schedule = native_schedule(LearnedWeights::load(weights)?.architecture());
        Ok(Contender::fixed(*label, OptimizerConfig::Learned(LearnedConfig::new(weights)), schedule))
    });
    let frozen = frozen.collect::<Result<Vec<_>, _>>()?;
    let hand_designed = [
        Contender::fixed("normalised Adam", normalised, SCHEDULE),
        Contender::fixed("AdamW default", adamw.clone().with_learning_rate(1e-3), Schedule::Constant),
        tuned.clone(),
        tuned.selected_by(Metric::ValidationLoss, "AdamW tuned (validation)"),
    ];
    let first_tuning = evaluation.seeds;
    let comparison = Comparison {
        problems: tasks
            .iter()
            .map(|task| Problem::new(task.clone(), evaluation.steps, record_every(evaluation)))
            .collect(),
        contenders: frozen.into_iter().chain(hand_designed).collect(),
        tuning_seeds: (first_tuning..first_tuning + evaluation.tuning_seeds).collect(),
        report_seeds: (0..evaluation.seeds).collect(),
        select_by: Metric::TrainLoss,
        envelope: None,
        limits: Limits::default(),
        threads: workers.max(1),
    };
    let bar = ProgressBar::new(comparison.trial_count() as u64);
    let template = "evaluation {bar:28} {pos}/{len} trials, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is constant"));
    let trials = velo_comparison::run(&comparison, None, |progress| bar.set_position(progress.done as u64))?;
    bar.finish_and_clear();
    Ok(Evaluation { trials, rules: ScoreRules::default() })
}

fn record_every(evaluation: &EvaluationConfig) -> u64 {
    (evaluation.steps / CURVE_POINTS).max(1)
}

impl Evaluation {
    /// The tables for standard output, and in how many tasks the learned rule is ahead.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for metric in [Metric::TrainLoss, Metric::ValidationLoss] {
            text.push_str(&format!(
                "final {}\n\n{}\n",
                metric.label(),
                report::loss_table(&self.trials, metric).to_text()
            ));
        }
        let summary = report::summary_table(&self.trials, BASELINE, &self.rules).to_text();
        text.push_str(&format!("ratio to {BASELINE} (above 1 is better)\n\n{summary}\n"));
        for other in [START, BASELINE] {
            for metric in [Metric::TrainLoss, Metric::ValidationLoss] {
                if let Some((ahead, tasks)) = self.tasks_ahead_of(other, metric) {
                    let metric = metric.label();
                    text.push_str(&format!(
                        "{LEARNED} has the lower mean {metric} than {other} on {ahead} of {tasks} tasks\n"
                    ));
                }
            }
        }
        text
    }

    /// Tasks on which the learned rule has the lower mean loss, of how many; none when `other` did not run.
    pub fn tasks_ahead_of(&self, other: &str, metric: Metric) -> Option<(usize, usize)> {
        let mean = |task: &str, contender: &str| {
            let losses: Vec<f64> = self
                .trials
                .iter()
                .filter(|trial| trial.role == Role::Report && trial.task == task && trial.contender == contender)
                .map(|trial| trial.loss(metric))
                .collect();
            (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
        };
        let mut tasks: Vec<&str> = self.trials.iter().map(|trial| trial.task.as_str()).collect();
        tasks.dedup();
        tasks.sort_unstable();
        tasks.dedup();
        let pairs: Vec<(f64, f64)> =
            tasks.iter().filter_map(|task| Some((mean(task, LEARNED)?, mean(task, other)?))).collect();
        let ahead = pairs.iter().filter(|(learned, other)| learned < other).count();
        (!pairs.is_empty()).then_some((ahead, pairs.len()))
    }

    /// Writes `trials.csv` and `curves.csv` into `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_tables(&self, folder: &Path) -> Result<(), Error> {
        Ok(write_tables(folder, &self.trials)?)
    }

    /// Adds the sections about the comparison.
    ///
    /// # Errors
    /// When a figure cannot be drawn.
    pub fn add_sections(&self, page: Page) -> Result<Page, Error> {
        Ok(report::add_sections(page, &self.trials, BASELINE, &self.rules)?)
    }
}
