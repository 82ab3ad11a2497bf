//! Figures over trials: learning curves per task, and ratios per task.

use super::{contenders, of, tasks};
use crate::Error;
use crate::figure::{Curves, IntervalSeries, Intervals, Point, Scale, Series};
use crate::score::{self, ScoreRules, TaskRatios};
use crate::trial::{Metric, Trial};

/// Losses above this multiple of the reference loss are drawn at it.
const HIGHEST_SHOWN: f64 = 3.0;

/// One figure with its caption per task: the median training loss over the reported seeds, with a band from the lowest
/// to the highest seed.
///
/// # Errors
/// [`Error::Figure`] when a figure cannot be drawn.
pub fn learning_curves(trials: &[Trial]) -> Result<Vec<(String, String)>, Error> {
    let mut figures = Vec::new();
    for task in tasks(trials) {
        let mut reference_loss = None;
        let mut series = Vec::new();
        for contender in contenders(trials) {
            let own = of(trials, task, contender);
            let measured: Vec<_> = own.iter().filter_map(|trial| trial.outcome.as_ref().ok()).collect();
            reference_loss = reference_loss.or(measured.first().map(|measured| f64::from(measured.reference_loss)));
            let length = measured.iter().map(|measured| measured.curve.len()).min().unwrap_or(0);
            let point = |index: usize| {
                let mut losses: Vec<f64> = measured.iter().map(|m| f64::from(m.curve[index].loss)).collect();
                losses.sort_by(f64::total_cmp);
                let (middle, last) = (losses.len() / 2, losses.len() - 1);
                let median =
                    if losses.len() % 2 == 1 { losses[middle] } else { (losses[middle - 1] + losses[middle]) / 2.0 };
                Point { x: measured[0].curve[index].step as f64, y: median, low: losses[0], high: losses[last] }
            };
            series.push(Series { label: contender.to_owned(), points: (0..length).map(point).collect() });
        }
        if series.iter().all(|series| series.points.is_empty()) {
            continue;
        }
        let curves = Curves {
            title: task.to_owned(),
            x_label: "training step".to_owned(),
            y_label: "training loss".to_owned(),
            scale: Scale::Logarithmic,
            y_limit: reference_loss.map(|loss| HIGHEST_SHOWN * loss),
            series,
        };
        let caption = format!(
            "{task}: batch loss averaged between recorded points. Line: median over seeds; band: lowest to highest \
             seed. Losses above {} are drawn there.",
            super::numbers::significant(HIGHEST_SHOWN * reference_loss.unwrap_or(1.0))
        );
        figures.push((curves.to_svg()?, caption));
    }
    Ok(figures)
}

/// Ratios of all other contenders to `baseline` per task, and over all tasks in the last row; `None` when there is no
/// other contender.
///
/// # Errors
/// [`Error::Figure`] when the figure cannot be drawn.
pub fn ratio_figure(
    trials: &[Trial],
    baseline: &str,
    metric: Metric,
    rules: &ScoreRules,
) -> Result<Option<String>, Error> {
    let tasks = tasks(trials);
    // The baseline keeps its place, empty, so that a contender has one colour in all figures of a report.
    let series: Vec<IntervalSeries> = contenders(trials)
        .into_iter()
        .map(|contender| {
            let ratios = score::ratios(trials, contender, baseline, metric, rules);
            let of_task = |task: &str| ratios.iter().find(|ratios: &&TaskRatios| ratios.task == task);
            let per_task = tasks.iter().map(|task| score::aggregate_task(of_task(task)?, rules));
            let overall = score::aggregate(&ratios, rules);
            let intervals =
                if contender == baseline { vec![None; tasks.len() + 1] } else { per_task.chain([overall]).collect() };
            IntervalSeries { label: contender.to_owned(), intervals }
        })
        .collect();
    if series.iter().all(|series| series.intervals.iter().all(Option::is_none)) {
        return Ok(None);
    }
    let rows = tasks.iter().map(|&task| task.to_owned()).chain(["all tasks (IQM)".to_owned()]).collect();
    let figure = Intervals {
        title: format!("Ratio of final {}", metric.label()),
        x_label: format!("{} of {baseline} / of contender", metric.label()),
        reference: 1.0,
        rows,
        series,
    };
    figure.to_svg().map(Some)
}
