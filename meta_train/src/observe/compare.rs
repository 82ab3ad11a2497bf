//! `meta_train compare`: several runs in one table and one figure.
//!
//! Training is told from `metrics.jsonl`, scores from `trials.csv` of the closing comparison and the standings of snapshots
//! from `validation/standings.jsonl`, where there is one.

use velo_comparison::figure::{Curves, Interval, Scale, Series};
use velo_comparison::score::{ScoreRules, aggregate, ratios};
use velo_comparison::table::{Align, Cell, Table};
use velo_comparison::{Metric, Page, Trial, trial};

use super::metrics::{self, Record};
use crate::Error;
use crate::closing::evaluation::{BASELINE, LEARNED};
use crate::closing::report::averages;
use crate::folder::RunFolder;
use crate::validation::{Standing, TUNED, over_outer_steps, ranked, standings};

/// What one run left behind.
pub struct Compared {
    name: String,
    records: Vec<Record>,
    trials: Vec<Trial>,
    standings: Vec<Standing>,
}

impl Compared {
    /// Reads what there is of a run.
    ///
    /// # Errors
    /// When a file of it cannot be read.
    pub fn read(folder: &RunFolder) -> Result<Self, Error> {
        let has_trials = folder.root().join("trials.csv").exists();
        Ok(Self {
            name: folder.root().display().to_string(),
            records: metrics::read_so_far(&folder.metrics())?,
            trials: if has_trials { trial::read_tables(folder.root())? } else { Vec::new() },
            standings: standings::read(&folder.validation())?,
        })
    }

    /// Mean over the newest tenth of the outer steps; NaN without any.
    fn newest(&self, value: impl Fn(&Record) -> f64) -> f64 {
        let newest = &self.records[self.records.len() - self.records.len().div_ceil(10)..];
        newest.iter().map(value).sum::<f64>() / newest.len() as f64
    }

    fn score(&self, metric: Metric) -> Cell {
        let rules = ScoreRules::default();
        interval(aggregate(&ratios(&self.trials, LEARNED, BASELINE, metric, &rules), &rules))
    }
}

fn interval(score: Option<Interval>) -> Cell {
    match score {
        Some(Interval { value, low, high }) => Cell::number(value, format!("{value:.3} [{low:.3}, {high:.3}]")),
        None => "-".into(),
    }
}

/// One row per run. Meta-loss and signal are means over the newest tenth of the outer steps; ratios those of AdamW
/// tuned to the frozen rule, as an interquartile mean with its 95 % interval, above one is better. The last three columns
/// are about the validation tasks: the snapshot with the best lower bound there, by its outer step.
pub fn table(runs: &[Compared]) -> Table {
    let mut table = Table::new([
        ("run", Align::Left),
        ("outer steps", Align::Right),
        ("inner steps", Align::Right),
        ("seconds", Align::Right),
        ("meta-loss", Align::Right),
        ("signal to noise", Align::Right),
        ("diverged", Align::Right),
        ("training ratio", Align::Right),
        ("validation ratio", Align::Right),
        ("best snapshot", Align::Right),
        ("its training ratio", Align::Right),
        ("its validation ratio", Align::Right),
    ]);
    for run in runs {
        let last = run.records.last();
        let whole =
            |value: Option<u64>| value.map_or("-".into(), |value| Cell::number(value as f64, value.to_string()));
        let fraction = |value: f64, text: String| if value.is_nan() { "-".into() } else { Cell::number(value, text) };
        let (meta_loss, signal) =
            (run.newest(|record| f64::from(record.meta_loss)), run.newest(|record| f64::from(record.signal_to_noise)));
        let best = ranked(run.standings.clone()).into_iter().next();
        let sum = |value: fn(&Record) -> u32| run.records.iter().map(value).map(f64::from).sum::<f64>();
        let diverged = sum(|record| record.diverged) / sum(|record| record.ended);
        table.push(vec![
            run.name.as_str().into(),
            whole(last.map(|record| record.generation)),
            whole(last.map(|record| record.inner_steps)),
            whole(last.map(|record| record.seconds as u64)),
            fraction(meta_loss, format!("{meta_loss:.3}")),
            fraction(signal, format!("{signal:.3}")),
            fraction(diverged, format!("{:.1} %", 100.0 * diverged)),
            run.score(Metric::TrainLoss),
            run.score(Metric::ValidationLoss),
            whole(best.map(|best| best.generation)),
            interval(best.map(|best| best.train)),
            interval(best.map(|best| best.validation)),
        ]);
    }
    table
}

/// The table and the runs' curves.
///
/// # Errors
/// When a figure cannot be drawn.
pub fn page(runs: &[Compared]) -> Result<Page, Error> {
    let mut page = Page::new("Runs of meta-training compared").table(&table(runs)).paragraph(COLUMNS);
    type Value = fn(&Record) -> f64;
    let meta_loss: Value = |record| f64::from(record.meta_loss);
    let signal_to_noise: Value = |record| f64::from(record.signal_to_noise);
    let figures =
        [("Meta-loss", "meta-loss", meta_loss), ("Signal of the meta-gradient", "signal to noise", signal_to_noise)];
    for (title, y_label, value) in figures {
        let begun = runs.iter().filter(|run| !run.records.is_empty());
        let series: Vec<Series> =
            begun.map(|run| Series { label: run.name.clone(), points: averages(&run.records, value) }).collect();
        if series.is_empty() {
            continue;
        }
        let curves = Curves {
            title: title.to_owned(),
            x_label: "inner steps (millions)".to_owned(),
            y_label: y_label.to_owned(),
            scale: Scale::Linear,
            y_limit: None,
            series,
        };
        page =
            page.figure(curves.to_svg()?, "Mean of neighbouring outer steps; band: one standard deviation among them.");
    }
    type Ratio = fn(&Standing) -> Interval;
    let training: Ratio = |standing| standing.train;
    let validation: Ratio = |standing| standing.validation;
    for (loss, ratio) in [("Training", training), ("Validation", validation)] {
        let judged = runs.iter().filter(|run| !run.standings.is_empty());
        let series: Vec<Series> = judged.map(|run| over_outer_steps(run.name.clone(), &run.standings, ratio)).collect();
        if series.is_empty() {
            continue;
        }
        let curves = Curves {
            title: format!("{loss} loss on the validation tasks"),
            x_label: "outer steps".to_owned(),
            y_label: format!("ratio to {TUNED}"),
            scale: Scale::Linear,
            y_limit: None,
            series,
        };
        let caption = "Interquartile mean over tasks and seeds of the final loss of AdamW with warm-up and cosine, tuned per \
                       task for this loss, divided by that of the snapshot. Above one is better; band: 95 % bootstrap \
                       interval. Runs can be compared where their configurations validate on the same tasks.";
        page = page.figure(curves.to_svg()?, caption);
    }
    Ok(page)
}

const COLUMNS: &str = "Meta-loss and signal to noise are means over the newest tenth of the outer steps. Ratios are those of the \
    final loss of tuned AdamW to that of the frozen rule on the tasks of the closing comparison, above one is better; the last \
    three columns tell the snapshot with the best lower bound on the validation tasks, by its outer step.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::tests::record;
    use crate::validation::standing::tests::standing;

    fn compared(name: &str, standings: Vec<Standing>) -> Compared {
        Compared { name: name.to_owned(), records: vec![record(1), record(2)], trials: Vec::new(), standings }
    }

    #[test]
    fn the_best_snapshot_by_its_lower_bound_stands_in_the_row_and_a_run_without_validation_has_none() {
        let judged =
            compared("judged", vec![standing(0, 0.9, 1.0), standing(500, 0.95, 0.975), standing(1000, 0.5, 2.0)]);
        let table = table(&[judged, compared("bare", Vec::new())]);
        let shown = |row: usize| table.rows()[row][9..].iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>();
        assert_eq!(shown(0), ["500", "0.975 [0.950, 1.000]", "0.975 [0.950, 1.000]"]);
        assert_eq!(shown(1), ["-", "-", "-"]);
    }

    #[test]
    fn the_page_has_curves_of_validation_for_the_runs_that_have_it() {
        let figures = |runs: &[Compared]| page(runs).unwrap().render();
        let bare = figures(&[compared("first", Vec::new())]);
        assert_eq!(bare.matches("<svg").count(), 2);
        let judged = || vec![standing(0, 0.9, 1.0), standing(500, 0.95, 0.975)];
        let page = figures(&[compared("first", judged()), compared("second", Vec::new()), compared("third", judged())]);
        assert_eq!(page.matches("<svg").count(), 4);
        let of_validation = &page[page.find("Training loss on the validation tasks").unwrap()..];
        assert!(of_validation.contains("third") && !of_validation.contains("second"), "{of_validation}");
    }
}
