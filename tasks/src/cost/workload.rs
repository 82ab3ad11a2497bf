//! How much work one gradient of a configuration is.

use crate::Error;
use crate::augmentations::{self, Augmentation};
use crate::config::TaskConfig;
use crate::data::{DataConfig, InputKind, TargetKind};
use crate::models::{LearnedOptimizerConfig, ModelConfig, graph_on};

/// Share of a gradient that a loss costs.
const LOSS_SHARE: f64 = 0.4;

/// Counts of what one gradient does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Workload {
    /// The architecture, as configuration files spell it.
    pub architecture: &'static str,
    /// Where the rows of a batch come from: the kind of a generator, or `"Rows"` for rows in memory.
    pub source: &'static str,
    /// Parameters of the model.
    pub parameters: usize,
    /// Floating-point operations of the matrix products of one plain gradient.
    pub operations: f64,
    /// Numbers between the layers of a batch.
    pub values: f64,
    /// Numbers in the inputs of a batch.
    pub numbers: f64,
    /// Plain gradients that a gradient costs: more than one where it is estimated from losses.
    pub gradients: f64,
    /// Batches that are made for it.
    pub batches: f64,
}

impl Workload {
    /// Counts the work of `config`.
    ///
    /// Files are read where only they tell what a row holds.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for a configuration that cannot be built, and those of [`DataConfig::load`] for files.
    pub fn of(config: &TaskConfig) -> Result<Self, Error> {
        config.check()?;
        let (data, rows) = augmentations::prepare(&config.augmentations, &config.data, config.batch_size);
        let plain = match &config.model {
            ModelConfig::Surface(surface) => {
                Self::without_data(&config.model, surface.dimensions, 0.0, surface.dimensions as f64)
            }
            ModelConfig::LearnedOptimizer(rule) => {
                let (parameters, units) = learned_optimizer(rule, rows);
                Self::without_data(&config.model, parameters, 12.0 * units, units)
            }
            model => {
                let kinds = kinds(&data)?;
                let (graph, layout, _) = graph_on::<f32>(model, config.loss, kinds, 1)?;
                Self {
                    architecture: model.architecture(),
                    source: source(&data),
                    parameters: layout.len(),
                    operations: graph.flops(rows) as f64,
                    values: (graph.values() * rows) as f64,
                    numbers: (kinds.0.len() * rows) as f64,
                    gradients: 1.0,
                    batches: 1.0,
                }
            }
        };
        Ok(config.augmentations.iter().fold(plain, |work, augmentation| match *augmentation {
            Augmentation::EvolutionGradients { pairs, .. } => {
                let losses = (2 * pairs + 1) as f64;
                Self { gradients: LOSS_SHARE * losses, batches: work.batches * losses, ..work }
            }
            _ => work,
        }))
    }

    fn without_data(model: &ModelConfig, parameters: usize, operations: f64, values: f64) -> Self {
        Self {
            architecture: model.architecture(),
            source: "None",
            parameters,
            operations,
            values,
            numbers: 0.0,
            gradients: 1.0,
            batches: 0.0,
        }
    }
}

/// Parameters of a rule, and hidden units computed for one gradient of it.
fn learned_optimizer(rule: &LearnedOptimizerConfig, problems: usize) -> (usize, f64) {
    let units = rule.hidden * rule.steps * rule.dimensions * problems;
    (7 * rule.hidden + 2, (units * (2 * rule.pairs + 1)) as f64)
}

fn kinds(data: &DataConfig) -> Result<(InputKind, TargetKind), Error> {
    match data.kinds() {
        Some(kinds) => Ok(kinds),
        None => data.load().map(|data| (data.input_kind(), data.target())),
    }
}

/// The generator of fresh rows, or `"Rows"`.
fn source(data: &DataConfig) -> &'static str {
    data.fresh_source().unwrap_or("Rows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::families;
    use crate::registry::named;

    #[test]
    fn counts_are_those_of_the_task_that_is_built() {
        let draws = families().iter().flat_map(|family| (0..4).map(|seed| family.sample(seed)));
        for config in draws {
            let (work, task) = (Workload::of(&config).unwrap(), config.build().unwrap());
            assert_eq!(work.parameters, task.layout().len(), "{config:?}");
            if let Some(flops) = task.flops_per_gradient() {
                assert_eq!(work.operations, flops as f64, "{config:?}");
            }
        }
    }

    #[test]
    fn an_estimate_from_pairs_costs_its_losses_and_a_smaller_batch_less() {
        let mut config = named("digits_mlp").unwrap();
        let plain = Workload::of(&config).unwrap();
        config.augmentations = vec![Augmentation::ReducedBatch { share: 0.25 }];
        assert_eq!(Workload::of(&config).unwrap().operations, plain.operations / 4.0);
        config.augmentations = vec![Augmentation::EvolutionGradients { deviation: 0.1, pairs: 2, seed: 0 }];
        let estimated = Workload::of(&config).unwrap();
        assert_eq!((estimated.gradients, estimated.batches), (2.0, 5.0));
    }
}
