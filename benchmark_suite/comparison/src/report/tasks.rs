//! Losses per task: one compact table per metric, and one with everything.

use super::numbers::{mean_and_deviation, significant, with_deviation};
use super::{contenders, of, tasks};
use crate::table::{Align, Cell, Table};
use crate::trial::{Measurement, Metric, Trial};

/// A row per task, a column per contender: mean ± standard deviation of the final loss over the reported seeds.
pub fn loss_table(trials: &[Trial], metric: Metric) -> Table {
    let contenders = contenders(trials);
    let first = [(metric.label(), Align::Left)];
    let mut table = Table::new(first.into_iter().chain(contenders.iter().map(|&label| (label, Align::Right))));
    for task in tasks(trials) {
        let losses: Vec<_> = contenders
            .iter()
            .map(|contender| {
                let losses: Vec<f64> = of(trials, task, contender).iter().map(|trial| trial.loss(metric)).collect();
                mean_and_deviation(&losses)
            })
            .collect();
        let lowest = losses.iter().flatten().map(|&(mean, _)| mean).fold(f64::INFINITY, f64::min);
        let cells = losses.into_iter().map(|loss| match loss {
            Some((mean, deviation)) if mean.is_finite() => {
                Cell::number(mean, with_deviation(mean, deviation)).marked(mean == lowest)
            }
            Some(_) => Cell::from("failed"),
            None => Cell::from("–"),
        });
        table.push([Cell::from(task)].into_iter().chain(cells).collect());
    }
    table
}

/// A row per task and contender: the setting it ran with, both losses, both accuracies, divergence and time.
pub fn detail_table(trials: &[Trial]) -> Table {
    let mut table = Table::new([
        ("task", Align::Left),
        ("contender", Align::Left),
        ("setting", Align::Left),
        ("of", Align::Right),
        ("training loss", Align::Right),
        ("validation loss", Align::Right),
        ("training accuracy", Align::Right),
        ("validation accuracy", Align::Right),
        ("lost", Align::Right),
        ("seconds", Align::Right),
    ]);
    for task in tasks(trials) {
        for contender in contenders(trials) {
            let own = of(trials, task, contender);
            let Some(first) = own.first() else { continue };
            let lost = own.iter().filter(|trial| trial.is_lost()).count();
            table.push(vec![
                task.into(),
                contender.into(),
                first.setting.as_str().into(),
                Cell::number(first.settings_tried as f64, first.settings_tried.to_string()),
                mean_cell(&own, |measured| Some(f64::from(measured.train_loss)), significant),
                mean_cell(&own, |measured| Some(f64::from(measured.validation_loss)), significant),
                mean_cell(&own, |measured| measured.train_accuracy.map(f64::from), percent),
                mean_cell(&own, |measured| measured.validation_accuracy.map(f64::from), percent),
                Cell::number(lost as f64, format!("{lost}/{}", own.len())),
                mean_cell(&own, |measured| Some(measured.seconds), significant),
            ]);
        }
    }
    table
}

/// The mean over the trials that did not fail and have the quantity.
fn mean_cell(trials: &[&Trial], quantity: impl Fn(&Measurement) -> Option<f64>, shown: fn(f64) -> String) -> Cell {
    let values = trials.iter().filter_map(|trial| quantity(trial.outcome.as_ref().ok()?)).collect::<Vec<_>>();
    mean_and_deviation(&values).map_or(Cell::from("–"), |(mean, _)| Cell::number(mean, shown(mean)))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::super::tests::trials;
    use super::*;

    #[test]
    fn the_lowest_mean_of_a_task_is_marked_and_a_failure_is_said() {
        let table = loss_table(&trials(), Metric::TrainLoss);
        let digits = &table.rows()[0];
        assert_eq!((digits[1].text.as_str(), digits[1].best), ("0.300 ± 0.141", false));
        assert_eq!((digits[2].text.as_str(), digits[2].best), ("0.100 ± 0.000", true));
        assert_eq!(table.rows()[1][2].text, "failed");
    }

    #[test]
    fn details_average_what_was_measured() {
        let table = detail_table(&trials());
        assert_eq!(table.rows().len(), 4);
        let texts: Vec<&str> = table.rows()[3].iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(texts, ["wine", "learned", "as is", "1", "0.250", "0.500", "–", "50.0 %", "1/2", "0.250"]);
    }
}
