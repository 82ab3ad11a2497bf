//! Distributions over tasks: a [`TaskFamily`] turns a seed into a [`TaskConfig`].
//!
//! One file for each kind of model says from what ranges its fields are drawn. Models have mostly 100 to 30,000 parameters; a
//! batch is drawn log-uniformly and cut where a gradient would cost more than about a millisecond.

mod convolutional;
mod evolution;
mod fields;
mod learned_optimizer;
mod linear;
mod mixture;
mod mlp;
mod sequences;
mod surfaces;
mod towers;
mod vision;

use crate::Error;
use crate::config::TaskConfig;
use crate::rng::Draws;
pub use mixture::{Budget, Component, Drawn, Mixture, MixtureConfig};

/// A distribution over tasks.
pub trait TaskFamily: Send + Sync {
    /// The name in configuration files.
    fn name(&self) -> &str;

    /// One line about what it draws.
    fn summary(&self) -> &str;

    /// The draw number `seed`: always the same for the same seed, and always buildable.
    fn sample(&self, seed: u64) -> TaskConfig;
}

/// All families.
pub fn families() -> &'static [&'static dyn TaskFamily] {
    &[
        &mlp::MlpTeacher,
        &mlp::MlpMixture,
        &mlp::MlpGlyphs,
        &mlp::MlpAutoencoder,
        &mlp::MlpNormalised,
        &mlp::Variational,
        &convolutional::Convolutional,
        &convolutional::Residual,
        &sequences::Recurrent,
        &sequences::Transformer,
        &vision::VisionTransformer,
        &vision::Mixer,
        &linear::IllConditioned,
        &linear::Factorisation,
        &surfaces::Surfaces,
        &fields::Poisson,
        &fields::ImplicitImage,
        &evolution::EvolutionGradient,
        &learned_optimizer::LearnedOptimizer,
        &towers::Towers,
    ]
}

/// The family of that name.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name and all of them.
pub fn family_named(name: &str) -> Result<&'static dyn TaskFamily, Error> {
    families().iter().copied().find(|family| family.name() == name).ok_or_else(|| {
        let names: Vec<_> = families().iter().map(|family| family.name()).collect();
        Error::unknown("task family", name, &names)
    })
}

/// Multiplications and additions of a forward pass that a batch may cost: about a millisecond for a gradient.
const AFFORDABLE: usize = 6_000_000;

/// Rows of a batch, log-uniform 4 to 64, fewer if an example costs many multiplications and additions.
fn affordable_batch(draws: &mut Draws, multiply_adds: usize) -> usize {
    draws.log_uniform_integer(4, 64).min(AFFORDABLE / multiply_adds.max(1)).max(4)
}

/// Factor on initial kernels: from too small to too large.
fn init_gain(draws: &mut Draws) -> f32 {
    draws.log_uniform(0.4, 2.0) as f32
}

/// Factor on the last kernel: as the others, small, or zero.
fn output_scale(draws: &mut Draws) -> f32 {
    draws.choose([1.0, 0.1, 0.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_a_task_and_other_seeds_name_others() {
        for family in families() {
            assert_eq!(family.sample(17), family.sample(17));
            assert_ne!(family.sample(17), family.sample(18));
            assert_eq!(family.sample(17).name, family.name());
        }
    }

    #[test]
    fn all_draws_are_valid() {
        for family in families() {
            for seed in 0..500 {
                let draw = family.sample(seed);
                assert!(draw.check().is_ok(), "{}: {:?} of {draw:?}", family.name(), draw.check());
            }
        }
    }
}
