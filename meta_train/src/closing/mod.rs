//! What follows training: select the native rate, freeze, compare on real data, report.

pub mod selection;

use velo_optimizer::{LearnedOptimizer, LearnedWeights, Optimizer};

use crate::Error;
use crate::run::Run;

/// Weights with `theta`, their native rate selected on procedural tasks, and provenance.
///
/// # Errors
/// When a selection run fails.
pub fn freeze(run: &Run, theta: &[f32], workers: usize) -> Result<LearnedWeights, Error> {
    let (config, setting) = (run.config(), run.setting());
    let mut weights = LearnedWeights::new(setting.architecture.clone(), theta.to_vec())?;
    let build = |layout: &_, step_size: f32| -> Result<Box<dyn Optimizer>, Error> {
        let mut weights = weights.clone();
        weights.set_step_size(step_size);
        Ok(Box::new(LearnedOptimizer::new(layout, weights)?))
    };
    let selection = selection::select(&config.selection, setting, &build, workers)?;
    weights.set_step_size(selection.step_size);
    let totals = run.totals();
    Ok(weights
        .with_provenance("provenance", "meta-trained on procedural tasks by velo-meta-train")
        .with_provenance("licence", env!("CARGO_PKG_LICENSE"))
        .with_provenance(
            "training_run",
            format!("seed {}, {} outer steps, {} inner steps", setting.seed, totals.generation, totals.inner_steps),
        ))
}
