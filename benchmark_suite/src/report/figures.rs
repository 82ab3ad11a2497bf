//! Figures of a suite: ratios per problem, performance profiles, losses over rates.

use velo_comparison::Error;
use velo_comparison::figure::{Curves, IntervalSeries, Intervals, Point, Scale, Series};
use velo_comparison::score::{aggregate, aggregate_task};

use crate::findings::{Findings, METRICS};
use crate::score::sensitivity::losses_by_rate;
use crate::score::time_to_target::LARGEST_RATIO;

/// Losses above this multiple of the lowest are drawn at it.
const HIGHEST_SHOWN: f64 = 10.0;

/// How all contenders stand: the ratios of all losses over all problems; none when there is nothing to compare.
pub(super) fn standings(findings: &Findings) -> Result<Option<String>, Error> {
    let (suite, rules) = (findings.suite, &findings.suite.score);
    let rows: Vec<&String> = findings.contenders.iter().filter(|contender| **contender != suite.baseline).collect();
    let series: Vec<IntervalSeries> = METRICS
        .iter()
        .enumerate()
        .map(|(number, metric)| IntervalSeries {
            label: metric.label().to_owned(),
            intervals: rows.iter().map(|row| aggregate(&findings.ratios(row, number), rules)).collect(),
        })
        .collect();
    if series.iter().all(|series| series.intervals.iter().all(Option::is_none)) {
        return Ok(None);
    }
    let rows = rows.into_iter().cloned().collect();
    let x_label = "loss of the baseline / of the contender".to_owned();
    Intervals { title: "Ratios over all problems".to_owned(), x_label, reference: 1.0, rows, series }.to_svg().map(Some)
}

/// Ratios of one metric per problem, and over all in the last row; none when there is nothing to compare.
pub(super) fn ratios(findings: &Findings, metric: usize) -> Result<Option<String>, Error> {
    let (suite, rules) = (findings.suite, &findings.suite.score);
    let rows: Vec<&str> = findings
        .base_problems()
        .filter(|problem| findings.saturated(metric).all(|saturated| saturated != *problem))
        .collect();
    // The baseline keeps its place, empty, so that a contender has one colour in all figures of a report.
    let series: Vec<IntervalSeries> = findings
        .contenders
        .iter()
        .map(|contender| {
            let own = findings.ratios(contender, metric);
            let of =
                |row: &&str| own.iter().find(|task| task.task == **row).and_then(|task| aggregate_task(task, rules));
            let intervals = match *contender == suite.baseline {
                true => vec![None; rows.len() + 1],
                false => rows.iter().map(of).chain([aggregate(&own, rules)]).collect(),
            };
            IntervalSeries { label: contender.clone(), intervals }
        })
        .collect();
    if series.iter().all(|series| series.intervals.iter().all(Option::is_none)) {
        return Ok(None);
    }
    let label = METRICS[metric].label();
    let rows = rows.iter().map(|&row| row.to_owned()).chain(["all problems (IQM)".to_owned()]).collect();
    let x_label = format!("{label} of the baseline / of the contender");
    Intervals { title: format!("Ratio of final {label}"), x_label, reference: 1.0, rows, series }.to_svg().map(Some)
}

/// Performance profiles; none when no problem has a target.
pub(super) fn profiles(findings: &Findings) -> Result<Option<String>, Error> {
    const POINTS: usize = 120;
    if findings.times.problems.is_empty() {
        return Ok(None);
    }
    let tau = |at: usize| 1.0 + (LARGEST_RATIO - 1.0) * at as f64 / POINTS as f64;
    let series = findings.contenders.iter().enumerate().map(|(number, label)| {
        let point = |at| Point::bare(tau(at), findings.times.share_within(number, tau(at)));
        Series { label: label.clone(), points: (0..=POINTS).map(point).collect() }
    });
    let curves = Curves {
        title: "Performance profiles".to_owned(),
        x_label: "steps to the target, over those of the fastest".to_owned(),
        y_label: "share of problems".to_owned(),
        scale: Scale::Linear,
        y_limit: None,
        series: series.collect(),
    };
    curves.to_svg().map(Some)
}

/// For every problem, loss on the tuning seeds over the learning rate.
pub(super) fn rate_sensitivity(findings: &Findings) -> Result<Vec<(String, String)>, Error> {
    let metric = findings.suite.select_by;
    let mut figures = Vec::new();
    for problem in findings.base_problems() {
        let by_contender: Vec<(&String, Vec<(f64, f64)>)> = findings
            .contenders
            .iter()
            .map(|contender| (contender, losses_by_rate(findings.trials, problem, contender, metric)))
            .collect();
        let all = by_contender.iter().flat_map(|(_, losses)| losses).map(|&(_, loss)| loss);
        let lowest = all.filter(|loss| *loss > 0.0).fold(f64::INFINITY, f64::min);
        let series: Vec<Series> = by_contender
            .into_iter()
            .map(|(label, losses)| {
                // One rate is no curve; drawn settings at unrelated other hyper-parameters are no curve either.
                let shown = (2..=20).contains(&losses.len());
                let points = losses.into_iter().filter(|_| shown).map(|(rate, loss)| Point::bare(rate.log10(), loss));
                Series { label: label.clone(), points: points.collect() }
            })
            .collect();
        if !lowest.is_finite() || series.iter().all(|series| series.points.is_empty()) {
            continue;
        }
        let curves = Curves {
            title: problem.to_owned(),
            x_label: "log₁₀ of learning rate or step multiplier".to_owned(),
            y_label: metric.label().to_owned(),
            scale: Scale::Logarithmic,
            y_limit: Some(HIGHEST_SHOWN * lowest),
            series,
        };
        let caption = format!(
            "{problem}: the lowest {} over all settings with a rate, mean over tuning seeds. What is above {HIGHEST_SHOWN} \
             times the lowest is drawn there.",
            metric.label()
        );
        figures.push((curves.to_svg()?, caption));
    }
    Ok(figures)
}
