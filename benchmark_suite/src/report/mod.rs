//! The report: one page, tables for the terminal, and tables for other programs. Nothing is trained here.

mod figures;
mod tables;

use anyhow::{Context, Result};
use velo_comparison::environment::Environment;
use velo_comparison::table::Table;
use velo_comparison::{Metric, Page, report as sections, ron_file};

use crate::findings::{Findings, METRICS};
pub use tables::{comparison_table, cost_table, explanations, horizon_table, summary_csv, summary_table, target_table};

/// The tables that a run ends with on standard output.
pub fn terminal_tables(findings: &Findings) -> Vec<Table> {
    let shown = findings.shown();
    let mut tables = vec![summary_table(findings)];
    if !findings.told_wrong.is_empty() {
        tables.push(horizon_table(findings));
    }
    tables.push(cost_table(findings));
    tables.extend(METRICS.map(|metric| sections::loss_table(&shown, metric)));
    tables
}

/// The page.
///
/// # Errors
/// When a figure cannot be drawn.
pub fn page(findings: &Findings, environment: &Environment) -> Result<Page> {
    let suite = findings.suite;
    let shown = findings.shown();
    let mut page = Page::new(&suite.title).paragraph(introduction(findings, environment));

    page = page.section("Summary").table(&summary_table(findings));
    if let Some(svg) = figures::standings(findings)? {
        page = page
            .figure(svg, "Interquartile mean over problems and seeds with a 95 % bootstrap interval, as in the table.");
    }
    for sentence in explanations(findings) {
        page = page.paragraph(sentence);
    }
    for (number, metric) in METRICS.into_iter().enumerate() {
        if let Some(svg) = figures::ratios(findings, number)? {
            page = page.figure(
                svg,
                format!(
                    "Final {} of {} divided by that of each contender, per problem: geometric mean over seeds with a 95 % \
                     bootstrap interval. To the right of one the contender ended lower.",
                    metric.label(),
                    suite.baseline
                ),
            );
        }
    }

    page = page.section("Time to target").paragraph(format!(
        "The target of a problem is the baseline's median final validation loss and {} % more. Steps until a contender's \
         validation loss is there, median over seeds; ∞ where it never was. The score is the area under the profile from 1 \
         to 4, over 3. Who misses the target of a variant of a problem has missed the problem's.",
        100.0 * suite.target_slack
    ));
    page = page.table(&target_table(findings));
    if let Some(svg) = figures::profiles(findings)? {
        page = page.figure(
            svg,
            "Performance profiles: share of the problems (up) on which a contender needed at most so many times the steps \
             of the fastest (right).",
        );
    }

    page = page.section("Sensitivity");
    for (svg, caption) in figures::rate_sensitivity(findings)? {
        page = page.figure(svg, caption);
    }
    if !findings.told_wrong.is_empty() {
        page = page.paragraph(
            "Told a wrong number of steps, or none, the learned optimizer paces itself by that; an average makes up for some \
             of it.",
        );
        page = page.table(&horizon_table(findings));
    }

    page = page
        .section("Cost")
        .paragraph(
            "Medians over problems. Optimizer: its part of a step alone, per parameter. Step: with gradient and evaluations. \
             Trials shared the machine, so times compare within this table only.",
        )
        .table(&cost_table(findings));

    page = page.section("Losses per problem").paragraph(
        "Mean over the reported seeds, ± one standard deviation, of the final parameters over all rows of a split. The \
         lowest mean of a problem is bold.",
    );
    for metric in METRICS {
        page = page.table(&sections::loss_table(&shown, metric));
    }
    let variants = findings.on_variants();
    if !variants.is_empty() {
        page = page.section("Variants").paragraph("Problems with one thing changed: no part of the ratios above.");
        page = page.table(&sections::loss_table(&variants, Metric::ValidationLoss));
    }
    page = page.section("Learning curves");
    for (svg, caption) in sections::learning_curves(&shown)? {
        page = page.figure(svg, caption);
    }
    page = page.section("Settings and accuracy").paragraph(
        "The setting that each contender ran with: where it may choose among several, the one with the lowest mean loss on \
         the tuning seeds, which are not among the reported ones.",
    );
    page = page.table(&sections::detail_table(&shown));
    let failures = sections::failures(findings.trials);
    if !failures.is_empty() {
        page = page.section("Failed trials").preformatted(failures.join("\n"));
    }
    let configuration = ron_file::to_string(suite);
    Ok(page.section("Configuration").preformatted(configuration))
}

fn introduction(findings: &Findings, environment: &Environment) -> String {
    let suite = findings.suite;
    let build = if environment.optimised { "" } else { ", a debug build" };
    let horizons = suite.horizons.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let longer = suite.longer.iter().map(|more| format!(", {} of them for {}, too", more.tasks.len(), more.horizon));
    let longer = longer.collect::<String>();
    format!(
        "{} tasks for {horizons} steps{longer}; {} contenders, {} reported seeds. Settings are chosen per problem by {} on {} other \
         seeds. Run by {} {}{build} on {} ({} cores, {}) with {}, {}.",
        suite.tasks.len(),
        findings.contenders.len(),
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

/// Writes everything that is made of trials into the folder.
///
/// # Errors
/// When a file cannot be written.
pub fn write(findings: &Findings, environment: &Environment, folder: &std::path::Path) -> Result<()> {
    velo_comparison::atomic_file::write(folder.join("summary.csv"), summary_csv(findings))?;
    let page = page(findings, environment).context("report")?;
    page.write_figures(folder.join("figures"))?;
    page.write(folder.join("report.html"))?;
    Ok(())
}
