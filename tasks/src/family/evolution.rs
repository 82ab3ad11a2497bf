//! Other tasks whose gradients come from an evolution strategy: one antithetic pair, deviation 0.001 to 0.1.

use super::{TaskFamily, family_named};
use crate::augmentations::Augmentation;
use crate::config::TaskConfig;
use crate::partition::Partition;
use crate::rng::{Draws, stream_number};

/// Families whose tasks are small enough to be learned from such gradients.
const SOURCES: [&str; 4] = ["mlp_mixture", "mlp_glyphs", "ill_conditioned", "surfaces"];

/// Tasks without exact gradients.
pub(super) struct EvolutionGradient;

impl TaskFamily for EvolutionGradient {
    fn name(&self) -> &str {
        "evolution_gradient"
    }

    fn summary(&self) -> &str {
        "small tasks of other families with gradients estimated from one pair of losses"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("evolution_gradient") });
        let source = family_named(draws.choose(SOURCES)).expect("the sources are families");
        let mut task = source.sample(Partition::within(seed, draws.bits()));
        task.name = self.name().to_owned();
        let deviation = draws.log_uniform(0.001, 0.1) as f32;
        task.augmentations.push(Augmentation::EvolutionGradients { deviation, pairs: 1, seed: draws.bits() });
        task
    }
}
