//! Ready-made tables, figures and page sections from finished trials. No training happens here, so a report can be
//! made again from `trials.csv` and `curves.csv` alone.

mod curves;
mod numbers;
mod summary;
mod tasks;

pub use curves::{learning_curves, ratio_figure};
pub use summary::{score_sentence, summary_csv, summary_table};
pub use tasks::{detail_table, loss_table};

use crate::score::ScoreRules;
use crate::trial::{Metric, Role, Trial};
use crate::{Error, Page};

/// The usual sections: summary, losses per task, ratios, learning curves and every chosen setting.
///
/// # Errors
/// [`Error::Figure`] when a figure cannot be drawn.
pub fn add_sections(page: Page, trials: &[Trial], baseline: &str, rules: &ScoreRules) -> Result<Page, Error> {
    let mut page = page
        .section("Summary")
        .paragraph(score_sentence(baseline, rules))
        .table(&summary_table(trials, baseline, rules));
    for metric in [Metric::TrainLoss, Metric::ValidationLoss] {
        if let Some(svg) = ratio_figure(trials, baseline, metric, rules)? {
            let caption = format!(
                "Final {} of {baseline} divided by that of each contender, per task: geometric mean over seeds with a \
                 95 % bootstrap interval. To the right of one the contender ended lower.",
                metric.label()
            );
            page = page.figure(svg, caption);
        }
    }
    page = page.section("Losses per task").paragraph(
        "Mean over the reported seeds, ± one standard deviation. Training and validation loss are those of the final \
         parameters over all rows of their split. The lowest mean of a task is bold.",
    );
    for metric in [Metric::TrainLoss, Metric::ValidationLoss] {
        page = page.table(&loss_table(trials, metric));
    }
    page = page.section("Learning curves");
    for (svg, caption) in learning_curves(trials)? {
        page = page.figure(svg, caption);
    }
    page = page.section("Settings and accuracy").paragraph(
        "The setting that each contender ran with: where it may choose among several, the one with the lowest mean \
         loss on the tuning seeds, which are not among the reported ones.",
    );
    page = page.table(&detail_table(trials));
    let failures = failures(trials);
    if !failures.is_empty() {
        page = page.section("Failed trials").preformatted(failures.join("\n"));
    }
    Ok(page)
}

/// One line per trial that ended with an error or a panic.
pub fn failures(trials: &[Trial]) -> Vec<String> {
    let line = |trial: &Trial| {
        let failure = trial.outcome.as_ref().err()?;
        Some(format!("{}, {}, {}, seed {}: {failure}", trial.task, trial.contender, trial.setting, trial.seed))
    };
    trials.iter().filter_map(line).collect()
}

/// The reported trials.
fn reported(trials: &[Trial]) -> impl Iterator<Item = &Trial> {
    trials.iter().filter(|trial| trial.role == Role::Report)
}

/// The names that `name` gives the reported trials, without repetition, in order of appearance.
fn distinct<'a>(trials: &'a [Trial], name: impl Fn(&'a Trial) -> &'a str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for trial in reported(trials) {
        if !names.contains(&name(trial)) {
            names.push(name(trial));
        }
    }
    names
}

/// Labels of the contenders, in order of appearance.
fn contenders(trials: &[Trial]) -> Vec<&str> {
    distinct(trials, |trial| &trial.contender)
}

/// Names of the tasks, in order of appearance.
fn tasks(trials: &[Trial]) -> Vec<&str> {
    distinct(trials, |trial| &trial.task)
}

/// The reported trials of one contender on one task.
fn of<'a>(trials: &'a [Trial], task: &str, contender: &str) -> Vec<&'a Trial> {
    reported(trials).filter(|trial| trial.task == task && trial.contender == contender).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::trial;

    pub(super) fn trials() -> Vec<Trial> {
        let mut failed = trial("wine", "learned", 2, 0.0, 0.0);
        failed.outcome = Err("panicked: broken".to_owned());
        vec![
            trial("digits", "adam", 1, 0.2, 0.4),
            trial("digits", "adam", 2, 0.4, 0.8),
            trial("digits", "learned", 1, 0.1, 0.8),
            trial("digits", "learned", 2, 0.1, 0.8),
            trial("wine", "adam", 1, 0.5, 0.5),
            trial("wine", "adam", 2, 0.5, 0.5),
            trial("wine", "learned", 1, 0.25, 0.5),
            failed,
        ]
    }

    #[test]
    fn a_report_shows_every_task_contender_and_failure() {
        let html = add_sections(Page::new("t"), &trials(), "adam", &ScoreRules::default()).unwrap().render();
        for text in ["digits", "wine", "learned", "Learning curves", "wine, learned, as is, seed 2: panicked: broken"] {
            assert!(html.contains(text), "{text} is missing");
        }
        assert_eq!(html.matches("<svg").count(), 2 + 2);
        assert!(!html.contains(">NaN") && !html.contains("\"NaN"), "a number is missing");
    }
}
