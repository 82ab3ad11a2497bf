//! The frozen learned optimizer: weights of any architecture behind the ordinary [`Optimizer`] contract.

use crate::celo2::Celo2Rule;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::StateLayout;
use crate::weights::{Architecture, LearnedWeights};
use crate::{Error, ParamLayout};

/// A learned optimizer with frozen weights.
///
/// ```
/// use velo_optimizer::{Architecture, Celo2Config, LearnedOptimizer, LearnedWeights, Optimizer, ParamLayout};
///
/// let layout = ParamLayout::new([("kernel", vec![3, 2]), ("bias", vec![2])])?;
/// # let architecture = Architecture::Celo2(Celo2Config::default());
/// # let mut seed = 1.0f32;
/// # let theta = architecture.meta_init(&mut || { seed += 1.0; (seed * 12.9898).sin() });
/// # let file = std::env::temp_dir().join("velo-doc-learned.safetensors");
/// # LearnedWeights::new(architecture, theta)?.save(&file)?;
/// let mut optimizer = LearnedOptimizer::new(&layout, LearnedWeights::load(file)?)?;
/// let (mut params, grads, loss) = (vec![0.1; 8], vec![0.5; 8], 1.0);
/// optimizer.step(&mut params, &grads, loss)?;
/// # Ok::<(), velo_optimizer::Error>(())
/// ```
///
/// [`Optimizer`]: crate::Optimizer
pub type LearnedOptimizer = RuleOptimizer<LearnedRule>;

/// The update of [`LearnedOptimizer`]: one of the architectures.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LearnedRule {
    /// See [`Celo2Rule`].
    Celo2(Celo2Rule),
}

impl LearnedRule {
    /// Replaces all weights, keeping the state.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when `theta` does not fit the architecture.
    pub fn set_theta(&mut self, theta: &[f32]) -> Result<(), Error> {
        match self {
            Self::Celo2(rule) => rule.set_theta(theta),
        }
    }
}

impl UpdateRule for LearnedRule {
    type Config = LearnedWeights;
    const NAME: &'static str = "learned";

    fn name(&self) -> &'static str {
        match self {
            Self::Celo2(_) => Celo2Rule::NAME,
        }
    }

    fn build(weights: LearnedWeights, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        match weights.architecture() {
            Architecture::Celo2(config) => {
                let mut rule = Celo2Rule::build(config.clone(), layout, state)?;
                rule.set_theta(weights.theta())?;
                Ok(Self::Celo2(rule))
            }
        }
    }

    fn configured_weight_decay(&self) -> f32 {
        match self {
            Self::Celo2(rule) => rule.configured_weight_decay(),
        }
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        match self {
            Self::Celo2(rule) => rule.update(params, grads, state, context),
        }
    }
}

impl LearnedOptimizer {
    /// Replaces all weights, keeping the state: what meta-training does between segments of an unroll.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when `theta` does not fit the architecture.
    pub fn set_theta(&mut self, theta: &[f32]) -> Result<(), Error> {
        self.rule_mut().set_theta(theta)
    }
}
