//! `meta_train compare`: several runs in one table and one figure.
//!
//! Training is told from `metrics.jsonl`, scores from `trials.csv` of the closing comparison, where there is one.

use velo_comparison::figure::{Curves, Scale, Series};
use velo_comparison::score::{ScoreRules, aggregate, ratios};
use velo_comparison::table::{Align, Cell, Table};
use velo_comparison::{Metric, Page, Trial, trial};

use super::metrics::{self, Record};
use crate::Error;
use crate::closing::evaluation::{BASELINE, LEARNED};
use crate::closing::report::averages;
use crate::folder::RunFolder;

/// What one run left behind.
pub struct Compared {
    name: String,
    records: Vec<Record>,
    trials: Vec<Trial>,
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
        })
    }

    /// Mean over the newest tenth of the outer steps; NaN without any.
    fn newest(&self, value: impl Fn(&Record) -> f64) -> f64 {
        let newest = &self.records[self.records.len() - self.records.len().div_ceil(10)..];
        newest.iter().map(value).sum::<f64>() / newest.len() as f64
    }

    fn score(&self, metric: Metric) -> Cell {
        let rules = ScoreRules::default();
        match aggregate(&ratios(&self.trials, LEARNED, BASELINE, metric, &rules), &rules) {
            Some(score) => {
                Cell::number(score.value, format!("{:.3} [{:.3}, {:.3}]", score.value, score.low, score.high))
            }
            None => "-".into(),
        }
    }
}

/// One row per run. Meta-loss and signal are means over the newest tenth of the outer steps; ratios those of AdamW
/// tuned to the frozen rule, as an interquartile mean with its 95 % interval, above one is better.
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
    ]);
    for run in runs {
        let last = run.records.last();
        let whole =
            |value: Option<u64>| value.map_or("-".into(), |value| Cell::number(value as f64, value.to_string()));
        let fraction = |value: f64, text: String| if value.is_nan() { "-".into() } else { Cell::number(value, text) };
        let (meta_loss, signal) =
            (run.newest(|record| f64::from(record.meta_loss)), run.newest(|record| f64::from(record.signal_to_noise)));
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
        ]);
    }
    table
}

/// The table and the runs' curves.
///
/// # Errors
/// When a figure cannot be drawn.
pub fn page(runs: &[Compared]) -> Result<Page, Error> {
    let mut page = Page::new("Runs of meta-training compared").table(&table(runs));
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
    Ok(page)
}
