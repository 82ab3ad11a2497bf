//! What follows training: select the native rate, freeze, compare on real data, report.

pub mod evaluation;
pub(crate) mod parallel;
pub mod report;
pub mod selection;

use velo_optimizer::{LearnedOptimizer, LearnedWeights, Optimizer};
use velo_tasks::TaskConfig;

use crate::Error;
use crate::run::Run;
use selection::Rate;

/// Freezes the learned rule and its untrained start, compares them, writes everything into the run folder, and
/// returns the text for standard output.
///
/// # Errors
/// When a run of the selection or comparison cannot be made, or a file cannot be written.
pub fn close(run: &Run, initial_theta: &[f32], tasks: &[TaskConfig], workers: usize) -> Result<String, Error> {
    let folder = run.folder();
    let initial = freeze(run, initial_theta, workers)?.with_provenance("provenance", run.config().start.description());
    initial.save(folder.initial())?;
    let learned = freeze(run, run.best_theta(), workers)?;
    learned.save(folder.learned())?;
    let mut text = String::new();
    let mut comparison = None;
    if !tasks.is_empty() {
        let (config, frozen) =
            (run.config(), [(evaluation::LEARNED, folder.learned()), (evaluation::START, folder.initial())]);
        let outcome =
            evaluation::evaluate(&config.evaluation, &config.selection, tasks, run.setting(), &frozen, workers)?;
        outcome.write_tables(folder.root())?;
        text.push_str(&outcome.summary());
        text.push('\n');
        comparison = Some(outcome);
    }
    report::write(run, comparison.as_ref())?;
    if let Some(choice) = run.choice() {
        text.push_str(&format!("{}\nchosen {}\n\n", choice.table().to_text(), choice.standing));
    }
    let totals = run.totals();
    text.push_str(&format!(
        "meta-training: {} outer steps, {} inner steps, {:.1} s\nfrozen optimizer: {} (step size {}, decay {})\nreport: {}\n",
        totals.generation,
        totals.inner_steps,
        totals.seconds,
        folder.learned().display(),
        learned.architecture().step_size(),
        learned.architecture().weight_decay(),
        folder.root().join("report.html").display(),
    ));
    Ok(text)
}

/// Weights with `theta`, their native rate selected on procedural tasks, and provenance.
///
/// # Errors
/// When a selection run fails.
pub fn freeze(run: &Run, theta: &[f32], workers: usize) -> Result<LearnedWeights, Error> {
    let (config, setting) = (run.config(), run.setting());
    let mut weights = LearnedWeights::new(setting.architecture.clone(), theta.to_vec())?;
    let build = |layout: &_, rate: Rate| -> Result<Box<dyn Optimizer>, Error> {
        let mut weights = weights.clone();
        set_rate(&mut weights, rate);
        Ok(Box::new(LearnedOptimizer::new(layout, weights)?))
    };
    let selection = selection::select(
        &config.selection,
        setting,
        &build,
        selection::native_schedule(&setting.architecture),
        workers,
    )?;
    set_rate(&mut weights, selection.rate);
    let totals = run.totals();
    let origin =
        format!("seed {}, {} outer steps, {} inner steps", setting.seed, totals.generation, totals.inner_steps);
    let chosen = run.choice().filter(|choice| choice.theta == theta);
    let origin = match chosen {
        Some(choice) => format!("{origin}, frozen as it was after outer step {}", choice.standing.generation),
        None => origin,
    };
    Ok(weights
        .with_provenance("provenance", "meta-trained on procedural tasks by velo-meta-train")
        .with_provenance("licence", env!("CARGO_PKG_LICENSE"))
        .with_provenance("training_run", origin))
}

fn set_rate(weights: &mut LearnedWeights, rate: Rate) {
    weights.set_step_size(rate.step_size);
    weights.set_weight_decay(rate.weight_decay);
}
