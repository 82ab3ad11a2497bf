//! The run folder: what a run writes, and what a report is made from.
//!
//! | file | holds |
//! | --- | --- |
//! | `config.ron` | the suite as it was run, overrides included |
//! | `environment.json` | machine, compiler, version, date |
//! | `trials.csv` | every trial, the tuning ones too |
//! | `curves.csv` | learning curves of the reported trials |
//! | `summary.csv` | mean losses and ratios with intervals |
//! | `report.html` | all of it to look at |

use std::path::Path;

use anyhow::{Context, Result};
use velo_comparison::environment::Environment;
use velo_comparison::table::Table;
use velo_comparison::trial::{read_tables, write_tables};
use velo_comparison::{
    Comparison, Metric, Page, Progress, Trial, atomic_file, report as sections, ron_file, run as run_trials,
};

use crate::Suite;

/// Runs `comparison`, the checked form of `suite`, and fills `folder`, which exists and is empty.
///
/// # Errors
/// When a file cannot be written. Trials that fail are recorded, they are no error.
pub fn run(
    suite: &Suite,
    comparison: &Comparison,
    folder: &Path,
    progress: impl FnMut(Progress),
) -> Result<Vec<Trial>> {
    atomic_file::write(folder.join("config.ron"), ron_file::to_string(suite))?;
    Environment::now("benchmark_suite", env!("CARGO_PKG_VERSION")).write(folder.join("environment.json"))?;
    let trials = run_trials(comparison, progress)?;
    write_tables(folder, &trials)?;
    write_report(suite, &trials, folder)?;
    Ok(trials)
}

/// Makes `summary.csv` and `report.html` of a finished folder again and returns its suite and trials.
///
/// # Errors
/// When the folder lacks a file, or holds one that cannot be read.
pub fn report(folder: &Path) -> Result<(Suite, Vec<Trial>)> {
    let suite: Suite = ron_file::read(folder.join("config.ron"), &[])?;
    let trials = read_tables(folder)?;
    write_report(&suite, &trials, folder)?;
    Ok((suite, trials))
}

/// The tables that a run ends with on standard output.
pub fn tables(suite: &Suite, trials: &[Trial]) -> [Table; 3] {
    [
        sections::summary_table(trials, &suite.baseline, &suite.score),
        sections::loss_table(trials, Metric::TrainLoss),
        sections::loss_table(trials, Metric::ValidationLoss),
    ]
}

fn write_report(suite: &Suite, trials: &[Trial], folder: &Path) -> Result<()> {
    let summary = sections::summary_csv(trials, &suite.baseline, &suite.score);
    atomic_file::write(folder.join("summary.csv"), summary)?;
    let environment = Environment::read(folder.join("environment.json"))?;
    let page = Page::new(&suite.title).paragraph(introduction(suite, &environment));
    let page = sections::add_sections(page, trials, &suite.baseline, &suite.score).context("report")?;
    let page = page.section("Configuration").preformatted(ron_file::to_string(suite));
    page.write_figures(folder.join("figures"))?;
    page.write(folder.join("report.html"))?;
    Ok(())
}

fn introduction(suite: &Suite, environment: &Environment) -> String {
    let build = if environment.optimised { "" } else { ", a debug build" };
    format!(
        "{} tasks, {} contenders, {} steps per trial, {} reported seeds. Settings are chosen per task by {} on {} \
         other seeds. Run by {} {}{build} on {} ({} cores, {}) with {}, {}.",
        suite.tasks.len(),
        suite.contenders.len(),
        suite.steps,
        suite.report_seeds,
        suite.select_by.label(),
        suite.tuning_seeds,
        environment.program,
        environment.version,
        environment.cpu,
        environment.cores,
        environment.system,
        environment.compiler,
        environment.date,
    )
}
