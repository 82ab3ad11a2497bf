//! `report.html` and its figures as files: how meta-training went and what came out. While a run goes on, what has come
//! out so far.

use velo_comparison::Page;
use velo_comparison::figure::{Curves, Point, Scale, Series};
use velo_comparison::table::{Align, Cell, Table};

use super::evaluation::Evaluation;
use crate::Error;
use crate::observe::metrics::{self, Record};
use crate::run::Run;
use crate::validation::{add_section_so_far, standings};

/// Outer steps are averaged into this many points.
const POINTS: usize = 60;

/// Seconds after which a browser loads the report of a running run again.
const RELOAD_SECONDS: u32 = 20;

/// Writes the report of a finished run.
///
/// # Errors
/// When the metrics cannot be read, a figure cannot be drawn or the file cannot be written.
pub fn write(run: &Run, evaluation: Option<&Evaluation>) -> Result<(), Error> {
    let mut page = training(run, Page::new("Meta-training of a learned optimizer"))?;
    if let Some(choice) = run.choice() {
        page = choice.add_sections(page)?;
    }
    if let Some(evaluation) = evaluation {
        page = evaluation.add_sections(page)?;
    }
    let page = configuration(run, page)?;
    page.write_figures(run.folder().root().join("figures"))?;
    Ok(page.write(run.folder().root().join("report.html"))?)
}

/// Writes the report of a run that goes on; a browser that shows it loads it again by itself.
///
/// # Errors
/// As [`write()`].
pub fn write_running(run: &Run) -> Result<(), Error> {
    let page = Page::new("Meta-training of a learned optimizer (running)").reloading(RELOAD_SECONDS);
    let mut page = training(run, page)?;
    if run.config().validation.is_some() {
        let judged = standings::read(&run.folder().validation())?;
        page = add_section_so_far(page, &judged, run.normalised_adam().as_ref())?;
    }
    Ok(configuration(run, page)?.write(run.folder().root().join("report.html"))?)
}

fn configuration(run: &Run, page: Page) -> Result<Page, Error> {
    let path = run.folder().config();
    let config = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    Ok(page.section("Configuration").preformatted(config))
}

/// How training went so far.
fn training(run: &Run, page: Page) -> Result<Page, Error> {
    let records = metrics::read(&run.folder().metrics())?;
    let totals = run.totals();
    let config = run.config();
    let ended: u32 = records.iter().map(|record| record.ended).sum();
    let diverged: u32 = records.iter().map(|record| record.diverged).sum();
    let mut page = page.section("Meta-training").paragraph(format!(
        "{} outer steps, {} inner steps in {:.0} s of training ({:.0} per second); {} of {} inner runs diverged. \
         Architecture {}, estimator {:?} with {} antithetic pairs, sigma {}, windows of {} steps, horizons {} to {}.",
        totals.generation,
        totals.inner_steps,
        totals.seconds,
        totals.inner_steps as f64 / totals.seconds.max(1e-9),
        diverged,
        ended,
        config.architecture.name(),
        config.estimator.method,
        config.estimator.pairs,
        config.estimator.sigma,
        config.truncation.window,
        config.truncation.shortest,
        config.truncation.longest,
    ));
    if !records.is_empty() {
        let figures = [
            (
                "Meta-loss",
                "meta-loss",
                averages(&records, |record| f64::from(record.meta_loss)),
                "Mean of ln(loss / reference loss) over all inner runs of an outer step, both training and held-out \
                 rows as configured. Line: mean of neighbouring outer steps; band: one standard deviation among them. \
                 Lower is better; it moves with the tasks that happen to be drawn.",
            ),
            (
                "Throughput",
                "inner steps per second",
                averages(&records, |record| record.inner_steps_per_second),
                "Both sides of all pairs, outer step included; evaluations and checkpoints are not.",
            ),
            (
                "Diverged runs",
                "share of the runs that ended",
                averages(&records, |record| f64::from(record.diverged) / f64::from(record.ended.max(1))),
                "Inner runs that were given up because their loss left all bounds, among those that ended.",
            ),
            (
                "Signal of the meta-gradient",
                "signal to noise",
                averages(&records, |record| f64::from(record.signal_to_noise)),
                "Squared norm of the mean gradient over its squared standard error, minus one: zero is pure noise.",
            ),
        ];
        for (title, y_label, points, caption) in figures {
            let curves = Curves {
                title: title.to_owned(),
                x_label: "inner steps (millions)".to_owned(),
                y_label: y_label.to_owned(),
                scale: Scale::Linear,
                y_limit: None,
                series: vec![Series { label: y_label.to_owned(), points }],
            };
            page = page.figure(curves.to_svg()?, caption);
        }
    }
    Ok(page.section("Families").paragraph(FAMILIES).table(&families(run)))
}

const FAMILIES: &str = "Inner runs that ended, both sides of a pair, and those of them that diverged. Where both sides of all \
    of the newest pairs did, the family teaches nothing: their number stands in the last column.";

/// What became of the inner runs of each family; in the order of the configuration.
fn families(run: &Run) -> Table {
    let right = ["ended", "diverged", "share", "newest pairs in vain"].map(|name| (name, Align::Right));
    let mut table = Table::new([("family", Align::Left)].into_iter().chain(right));
    for (name, runs) in run.setting().tasks.families().iter().zip(run.divergence().families()) {
        let share = 100.0 * runs.diverged as f64 / runs.ended.max(1) as f64;
        let count = |count: u64| Cell::number(count as f64, count.to_string());
        table.push(vec![
            name.into(),
            count(runs.ended),
            count(runs.diverged),
            Cell::number(share, format!("{share:.1} %")),
            count(runs.in_vain),
        ]);
    }
    table
}

/// Mean and standard deviation over groups of neighbouring records, against millions of inner steps. The band ends where
/// the values do: no share is below zero.
pub(crate) fn averages(records: &[Record], value: impl Fn(&Record) -> f64) -> Vec<Point> {
    let group = records.len().div_ceil(POINTS);
    let point = |records: &[Record]| {
        let count = records.len() as f64;
        let mean = records.iter().map(&value).sum::<f64>() / count;
        let deviation = (records.iter().map(|record| (value(record) - mean).powi(2)).sum::<f64>() / count).sqrt();
        let (least, most) = records.iter().map(&value).fold((mean, mean), |(l, m), v| (v.min(l), v.max(m)));
        let x = records.iter().map(|record| record.inner_steps as f64).sum::<f64>() / count / 1e6;
        Point { x, y: mean, low: (mean - deviation).max(least), high: (mean + deviation).min(most) }
    };
    records.chunks(group).map(point).collect()
}
