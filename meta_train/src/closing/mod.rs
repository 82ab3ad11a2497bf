//! What follows training: select the native rate, freeze, compare on real data, report.

pub mod evaluation;
pub(crate) mod parallel;
pub mod report;
pub mod selection;

use velo_comparison::fingerprint;
use velo_optimizer::{LearnedOptimizer, LearnedWeights, Optimizer};

use crate::Error;
use crate::checkpoint::{Totals, identity};
use crate::config::Config;
use crate::run::Run;
use crate::unroll::Setting;
use selection::Rate;

/// Freezes the learned rule and its untrained start, compares them, writes everything into the run folder, and
/// returns the text for standard output.
///
/// # Errors
/// When a run of the selection or comparison cannot be made, or a file cannot be written.
pub fn close(run: &Run, workers: usize) -> Result<String, Error> {
    let (folder, config, tasks) = (run.folder(), run.config(), run.evaluation_tasks());
    freeze(config, run.setting(), run.initial_theta(), workers)?
        .with_provenance("provenance", config.start.description())
        .save(folder.initial())?;
    let learned = freeze(config, run.setting(), run.best_theta(), workers)?;
    let learned = match run.choice() {
        Some(choice) => trained(learned, config, run.totals())
            .with_provenance("frozen_after", format!("outer step {}", choice.standing.generation))
            .with_provenance("validation", format!("on fresh seeds, {}", choice.standing)),
        None => trained(learned, config, run.totals()),
    };
    learned.save(folder.learned())?;
    let mut text = String::new();
    let mut comparison = None;
    if !tasks.is_empty() {
        let frozen = [(evaluation::LEARNED, folder.learned()), (evaluation::START, folder.initial())];
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

/// Weights with `theta`, their native rate selected on procedural tasks.
///
/// # Errors
/// When a selection run fails.
pub fn freeze(config: &Config, setting: &Setting, theta: &[f32], workers: usize) -> Result<LearnedWeights, Error> {
    let mut weights = LearnedWeights::new(setting.architecture.clone(), theta.to_vec())?;
    let build = |layout: &_, rate: Rate| -> Result<Box<dyn Optimizer>, Error> {
        let mut weights = weights.clone();
        set_rate(&mut weights, rate);
        Ok(Box::new(LearnedOptimizer::new(layout, weights)?))
    };
    let schedule = selection::native_schedule(&setting.architecture);
    let selection = selection::select(&config.selection, setting, &build, schedule, workers)?;
    set_rate(&mut weights, selection.rate);
    Ok(weights.with_provenance("licence", env!("CARGO_PKG_LICENSE")))
}

/// `weights` with what they were learned by: the run `config` after `totals`.
pub fn trained(weights: LearnedWeights, config: &Config, totals: Totals) -> LearnedWeights {
    let Totals { generation, inner_steps, .. } = totals;
    weights
        .with_provenance(
            "provenance",
            concat!("meta-trained on procedural tasks by velo-meta-train ", env!("CARGO_PKG_VERSION")),
        )
        .with_provenance(
            "training_run",
            format!("seed {}, {generation} outer steps, {inner_steps} inner steps", config.seed),
        )
        .with_provenance("recipe", recipe(config))
}

/// A hash of everything in a configuration that decides what theta becomes: equal in two files of the same recipe.
fn recipe(config: &Config) -> String {
    fingerprint::key(&[&identity(config).to_string()])
}

fn set_rate(weights: &mut LearnedWeights, rate: Rate) {
    weights.set_step_size(rate.step_size);
    weights.set_weight_decay(rate.weight_decay);
}
