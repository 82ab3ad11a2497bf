//! One row per contender: how it stands against the baseline over all tasks and seeds, and what it cost.

use super::numbers::mean_and_deviation;
use super::{contenders, of, reported, tasks};
use crate::figure::Interval;
use crate::score::{self, ScoreRules};
use crate::table::{Align, Cell, Table};
use crate::trial::{Metric, Trial};

/// Score, divergence and cost of every contender. Ratios above one mean a lower final loss than `baseline`.
pub fn summary_table(trials: &[Trial], baseline: &str, rules: &ScoreRules) -> Table {
    let mut table = Table::new([
        ("contender", Align::Left),
        ("trials", Align::Right),
        ("training ratio", Align::Right),
        ("95 % interval", Align::Right),
        ("validation ratio", Align::Right),
        ("95 % interval", Align::Right),
        ("lost", Align::Right),
        ("µs/step", Align::Right),
    ]);
    let contenders = contenders(trials);
    let scores: Vec<[Option<Interval>; 2]> = contenders
        .iter()
        .map(|contender| {
            [Metric::TrainLoss, Metric::ValidationLoss]
                .map(|metric| score::aggregate(&score::ratios(trials, contender, baseline, metric, rules), rules))
        })
        .collect();
    let best = |metric: usize| {
        let values = scores.iter().filter_map(|score| score[metric].map(|interval| interval.value));
        values.fold(f64::NEG_INFINITY, f64::max)
    };
    let best = [best(0), best(1)];
    for (&contender, score) in contenders.iter().zip(&scores) {
        let own: Vec<&Trial> = reported(trials).filter(|trial| trial.contender == contender).collect();
        let lost = own.iter().filter(|trial| trial.is_lost()).count();
        let times: Vec<f64> = own.iter().filter_map(|trial| trial.ns_per_step()).collect();
        let mut row = vec![Cell::from(contender), count(own.first().map_or(0, |trial| trial.settings_tried))];
        for (interval, best) in score.iter().zip(best) {
            row.extend(ratio_cells(*interval, contender == baseline, best));
        }
        row.push(Cell::number(lost as f64, format!("{lost}/{}", own.len())));
        row.push(match median(times) {
            Some(ns) => Cell::number(ns, format!("{:.1}", ns / 1e3)),
            None => Cell::from("–"),
        });
        table.push(row);
    }
    table
}

/// The numbers behind the report as CSV: a row per contender, task (and `all`) and metric.
pub fn summary_csv(trials: &[Trial], baseline: &str, rules: &ScoreRules) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut row = |fields: [String; 10]| writer.write_record(fields).expect("rows go to memory");
    row([
        "contender",
        "settings_tried",
        "task",
        "metric",
        "seeds",
        "mean_loss",
        "deviation",
        "ratio",
        "ratio_low",
        "ratio_high",
    ]
    .map(str::to_owned));
    let shown = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for contender in contenders(trials) {
        for metric in [Metric::TrainLoss, Metric::ValidationLoss] {
            let ratios = score::ratios(trials, contender, baseline, metric, rules);
            let mut line = |task: &str, own: &[&Trial], loss: Option<(f64, f64)>, ratio: Option<Interval>| {
                row([
                    contender.to_owned(),
                    own.first().map_or(0, |trial| trial.settings_tried).to_string(),
                    task.to_owned(),
                    metric.label().replace(' ', "_"),
                    own.len().to_string(),
                    shown(loss.map(|(mean, _)| mean)),
                    shown(loss.map(|(_, deviation)| deviation)),
                    shown(ratio.map(|interval| interval.value)),
                    shown(ratio.map(|interval| interval.low)),
                    shown(ratio.map(|interval| interval.high)),
                ]);
            };
            for task in tasks(trials) {
                let own = of(trials, task, contender);
                let losses: Vec<f64> = own.iter().map(|trial| trial.loss(metric)).collect();
                let ratio = ratios.iter().find(|ratios| ratios.task == task);
                let interval = ratio.and_then(|ratios| score::aggregate_task(ratios, rules));
                line(task, &own, mean_and_deviation(&losses), interval);
            }
            let all: Vec<&Trial> = reported(trials).filter(|trial| trial.contender == contender).collect();
            line("all", &all, None, score::aggregate(&ratios, rules));
        }
    }
    String::from_utf8(writer.into_inner().expect("writing to memory does not fail")).expect("labels are UTF-8")
}

/// What the ratios of the summary are, in a sentence with their constants.
pub fn score_sentence(baseline: &str, rules: &ScoreRules) -> String {
    format!(
        "Ratio: final loss of {baseline} divided by the contender's, so above one is better; the interquartile mean \
         over tasks and seeds, with a stratified bootstrap interval from {} resamples. {} of each task's reference \
         loss is added to both losses, and no trial counts more than {} or less than 1/{}. Trials: settings that \
         the contender could choose from per task, on seeds apart from the reported ones. Lost: reported runs that \
         diverged or failed. Time per step includes the gradient and is a median over runs that shared the machine.",
        rules.resamples, rules.floor, rules.cap, rules.cap
    )
}

/// A ratio and its interval; the baseline's is one by definition and has none.
fn ratio_cells(interval: Option<Interval>, is_baseline: bool, best: f64) -> [Cell; 2] {
    match interval {
        Some(interval) if is_baseline => [Cell::number(interval.value, "1.000"), Cell::from("baseline")],
        Some(Interval { value, low, high }) => [
            Cell::number(value, format!("{value:.3}")).marked(value == best),
            Cell::number(low, format!("{low:.3} to {high:.3}")),
        ],
        None => [Cell::from("–"), Cell::from("–")],
    }
}

fn count(number: usize) -> Cell {
    Cell::number(number as f64, number.to_string())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::tests::trials;
    use super::*;

    #[test]
    fn the_summary_has_the_ratios_that_follow_from_the_losses() {
        let rules = ScoreRules { floor: 0.0, ..ScoreRules::default() };
        let table = summary_table(&trials(), "adam", &rules);
        let text = |row: usize, column: usize| table.rows()[row][column].text.as_str();
        // Training ratios of `learned`: 2 and 4 on digits, 2 on wine, 0.1 for the failed trial; the middle two are
        // 2 and 2. Validation: 0.5 and 1 on digits, 1 and 0.1 on wine; the middle two are 0.5 and 1.
        assert_eq!((text(0, 0), text(0, 2), text(0, 3)), ("adam", "1.000", "baseline"));
        assert_eq!((text(1, 0), text(1, 2), text(1, 4), text(1, 6)), ("learned", "2.000", "0.750", "1/4"));
        let csv = summary_csv(&trials(), "adam", &rules);
        assert_eq!(csv.lines().count(), 1 + 2 * 2 * (2 + 1));
        assert!(csv.contains("\nlearned,1,all,training_loss,4,,,2,"), "{csv}");
        // A quarter of a second for twenty steps.
        assert_eq!(text(1, 7), "12500.0");
    }
}
