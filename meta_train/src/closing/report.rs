//! `report.html` and its figures as files: how meta-training went and what came out. While a run goes on, what has come
//! out so far.

use velo_comparison::Page;
use velo_comparison::figure::{Curves, Point, Scale, Series};
use velo_comparison::table::{Align, Cell, Table};

use super::evaluation::Evaluation;
use crate::Error;
use crate::objective::{Objective, Transform};
use crate::observe::metrics::{self, Record};
use crate::run::Run;
use crate::setting::Stage;
use crate::validation::{TUNED, add_section_so_far, standings};

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
         Architecture {}, estimator {:?}, sigma {}{}.",
        totals.generation,
        totals.inner_steps,
        totals.seconds,
        totals.inner_steps as f64 / totals.seconds.max(1e-9),
        diverged,
        ended,
        config.architecture.name(),
        config.estimator.method,
        config.estimator.sigma,
        config
            .estimator
            .part_sigmas
            .iter()
            .map(|part| format!(", {} for {}", part.sigma, part.part))
            .collect::<String>(),
    ));
    page = page.table(&stages(&run.setting().stages));
    if !records.is_empty() {
        let meta_loss = meta_loss_caption(&run.setting().stages);
        let figures = [
            ("Meta-loss", "meta-loss", averages(&records, |record| f64::from(record.meta_loss)), meta_loss.as_str()),
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

/// What the stages do differently.
fn stages(stages: &[Stage]) -> Table {
    let mut table = Table::new([
        ("outer steps", Align::Left),
        ("pairs", Align::Right),
        ("window", Align::Right),
        ("horizons", Align::Right),
        ("meta-loss", Align::Left),
        ("held-out weight", Align::Right),
        ("final weight", Align::Right),
        ("outer rate times", Align::Right),
    ]);
    let whole = |count: u64| Cell::number(count as f64, count.to_string());
    for stage in stages {
        let (truncation, objective) = (stage.truncation, stage.objective);
        table.push(vec![
            Cell::number(stage.first as f64, outer_steps(stage)),
            whole(stage.pairs),
            whole(truncation.window),
            Cell::number(truncation.longest as f64, format!("{} to {}", truncation.shortest, truncation.longest)),
            name(objective.transform).into(),
            Cell::number(f64::from(objective.held_out_weight), objective.held_out_weight.to_string()),
            Cell::number(f64::from(objective.final_weight), objective.final_weight.to_string()),
            Cell::number(f64::from(stage.rate.0), format!("{} to {}", stage.rate.0, stage.rate.1)),
        ]);
    }
    table
}

/// Outer steps are counted from one, as in the metrics.
fn outer_steps(stage: &Stage) -> String {
    format!("{} to {}", stage.first + 1, stage.end)
}

fn name(transform: Transform) -> &'static str {
    match transform {
        Transform::Log => "log-ratio to the reference",
        Transform::Ratio => "ratio to the reference",
        Transform::Tuned => "log-ratio to tuned AdamW",
    }
}

/// What the numbers of the meta-loss are, stage by stage where that differs.
fn meta_loss_caption(stages: &[Stage]) -> String {
    let mut parts: Vec<(String, Vec<String>)> = Vec::new();
    for stage in stages {
        let told = meta_loss(&stage.objective);
        match parts.iter_mut().find(|(known, _)| *known == told) {
            Some((_, when)) => when.push(outer_steps(stage)),
            None => parts.push((told, vec![outer_steps(stage)])),
        }
    }
    let told = match &parts[..] {
        [(told, _)] => told.clone(),
        several => {
            let part = |(told, when): &(String, Vec<String>)| format!("in outer steps {}: {told}", when.join(", "));
            let parts = several.iter().map(part).collect::<Vec<_>>().join("; ");
            format!("{parts}. It jumps where that changes, which says nothing about theta")
        }
    };
    format!(
        "Mean over all inner runs of an outer step; {told}. The reference loss is that of a model that knows only the mean \
         of its targets. Line: mean of neighbouring outer steps; band: one standard deviation among them. Lower is better; \
         it moves with the tasks that happen to be drawn."
    )
}

/// How one stage makes a meta-loss of losses.
fn meta_loss(objective: &Objective) -> String {
    let Objective { floor, cap, held_out_weight, final_weight, .. } = *objective;
    let score = match objective.transform {
        Transform::Log => format!("ln(loss / reference loss + {floor}), at most ln {cap}"),
        Transform::Ratio => format!("loss / reference loss, at most {cap}"),
        Transform::Tuned => format!(
            "ln(loss / reference loss + {floor}) minus the same of {TUNED} at that inner step, within ± ln {cap}: zero keeps up \
             with it"
        ),
    };
    let percent = |share: f32| format!("{:.0} %", 100.0 * share);
    let rows = match held_out_weight {
        0.0 => "of training batches".to_owned(),
        1.0 => "of held-out rows".to_owned(),
        weight => format!("training batches weigh {}, held-out rows {}", percent(1.0 - weight), percent(weight)),
    };
    let end = match final_weight {
        0.0 => String::new(),
        weight => {
            format!(" (not shown: the loss at the end of a run, which weighs {} in the gradient)", percent(weight))
        }
    };
    format!("{score}, {rows}{end}")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::curriculum::StageConfig;

    /// The stages of a run of 100 outer steps, one for each objective.
    fn staged(objectives: &[Objective]) -> Vec<Stage> {
        let stage = |objective| StageConfig { objective: Some(objective), ..StageConfig::default() };
        let stages = objectives.iter().copied().map(stage).collect();
        let mut config = Config { stages, pool: Some(1), ..Config::default() };
        config.budget.outer_steps = 100;
        config.check().unwrap().setting.stages
    }

    #[test]
    fn the_meta_loss_is_captioned_by_what_is_in_it() {
        let caption = |objective| meta_loss_caption(&staged(&[objective]));
        let log = caption(Objective::default());
        assert!(log.contains("ln(loss / reference loss + 0.01), at most ln 3, training batches weigh 50 %"), "{log}");
        assert!(!log.contains("in outer steps") && !log.contains("AdamW") && !log.contains("not shown"), "{log}");
        let ratio = caption(Objective { transform: Transform::Ratio, held_out_weight: 1.0, ..Objective::default() });
        assert!(ratio.contains("; loss / reference loss, at most 3, of held-out rows."), "{ratio}");
        let tuned = Objective { transform: Transform::Tuned, held_out_weight: 0.0, ..Objective::default() };
        let tuned = caption(Objective { final_weight: 0.25, ..tuned });
        assert!(tuned.contains("minus the same of AdamW tuned at that inner step"), "{tuned}");
        assert!(
            tuned.contains("of training batches (not shown: the loss at the end of a run, which weighs 25 %"),
            "{tuned}"
        );
    }

    #[test]
    fn stages_of_different_meta_losses_are_captioned_apart() {
        let ratio = Objective { transform: Transform::Ratio, ..Objective::default() };
        let caption = meta_loss_caption(&staged(&[Objective::default(), ratio, Objective::default(), ratio]));
        assert!(caption.contains("in outer steps 1 to 25, 51 to 75: ln(loss"), "{caption}");
        assert!(caption.contains("; in outer steps 26 to 50, 76 to 100: loss / reference"), "{caption}");
        assert_eq!(caption.matches("at most").count(), 2, "{caption}");
        assert!(caption.contains("It jumps where that changes"), "{caption}");
    }

    #[test]
    fn the_table_tells_what_the_stages_override() {
        let truncation = crate::truncation::Truncation { window: 20, shortest: 100, longest: 2000 };
        let objective = Objective { transform: Transform::Ratio, final_weight: 0.25, ..Objective::default() };
        let second = StageConfig {
            share: 3.0,
            rate: (0.3, 0.05),
            pairs: Some(32),
            truncation: Some(truncation),
            objective: Some(objective),
            ..StageConfig::default()
        };
        let mut config = Config { stages: vec![StageConfig::default(), second], ..Config::default() };
        config.budget.outer_steps = 100;
        let table = stages(&config.check().unwrap().setting.stages);
        let rows: Vec<Vec<&str>> =
            table.rows().iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()).collect();
        let first = ["1 to 25", "16", "50", "50 to 500", "log-ratio to the reference", "0.5", "0", "1 to 1"];
        let second = ["26 to 100", "32", "20", "100 to 2000", "ratio to the reference", "0.5", "0.25", "0.3 to 0.05"];
        assert_eq!(rows, [first, second]);
    }
}
