//! The frozen learned optimizer: weights of any architecture behind the ordinary [`Optimizer`] contract.

use crate::adafac_mlp::AdafacMlpRule;
use crate::celo::CeloRule;
use crate::celo_adam::CeloAdamRule;
use crate::celo2::Celo2Rule;
use crate::paced::PacedRule;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::StateLayout;
use crate::velo::VeloRule;
use crate::{Architecture, Error, LearnedWeights, ParamLayout};

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
    /// See [`crate::Celo2Config`].
    Celo2(Celo2Rule),
    /// See [`crate::VeloConfig`].
    Velo(VeloRule),
    /// See [`crate::CeloConfig`].
    Celo(CeloRule),
    /// See [`crate::CeloAdamConfig`].
    CeloAdam(CeloAdamRule),
    /// See [`crate::AdafacMlpConfig`].
    AdafacMlp(AdafacMlpRule),
    /// See [`crate::PacedConfig`].
    Paced(PacedRule),
}

/// The same expression for whichever rule it is.
macro_rules! for_any {
    ($self:expr, $rule:ident => $body:expr) => {
        match $self {
            LearnedRule::Celo2($rule) => $body,
            LearnedRule::Velo($rule) => $body,
            LearnedRule::Celo($rule) => $body,
            LearnedRule::CeloAdam($rule) => $body,
            LearnedRule::AdafacMlp($rule) => $body,
            LearnedRule::Paced($rule) => $body,
        }
    };
}

impl UpdateRule for LearnedRule {
    type Config = LearnedWeights;
    const NAME: &'static str = "learned";

    fn name(&self) -> &'static str {
        fn name_of<R: UpdateRule>(_: &R) -> &'static str {
            R::NAME
        }
        for_any!(self, rule => name_of(rule))
    }

    fn reads_loss(&self) -> bool {
        for_any!(self, rule => rule.reads_loss())
    }

    fn build(weights: LearnedWeights, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        let mut rule = match weights.architecture().clone() {
            Architecture::Celo2(config) => Self::Celo2(Celo2Rule::build(config, layout, state)?),
            Architecture::Velo(config) => Self::Velo(VeloRule::build(config, layout, state)?),
            Architecture::Celo(config) => Self::Celo(CeloRule::build(config, layout, state)?),
            Architecture::CeloAdam(config) => Self::CeloAdam(CeloAdamRule::build(config, layout, state)?),
            Architecture::AdafacMlp(config) => Self::AdafacMlp(AdafacMlpRule::build(config, layout, state)?),
            Architecture::Paced(config) => Self::Paced(PacedRule::build(config, layout, state)?),
        };
        for_any!(&mut rule, rule => rule.set_theta(weights.theta()));
        Ok(rule)
    }

    fn configured_weight_decay(&self) -> f32 {
        for_any!(self, rule => rule.configured_weight_decay())
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        for_any!(self, rule => rule.update(params, grads, state, context));
    }

    fn evaluation_params(&self, params: &[f32], state: &[f32], context: &StepContext, out: &mut [f32]) {
        for_any!(self, rule => rule.evaluation_params(params, state, context, out));
    }
}

impl LearnedOptimizer {
    /// Replaces the weights by others of the same architecture, keeping the state: what meta-training does
    /// between segments of an unroll.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when `theta` does not fit the architecture.
    pub fn set_theta(&mut self, theta: &[f32]) -> Result<(), Error> {
        let expected = self.rule().theta_len();
        if theta.len() != expected {
            return Err(Error::LengthMismatch { what: "theta", found: theta.len(), expected });
        }
        for_any!(self.rule_mut(), rule => rule.set_theta(theta));
        Ok(())
    }
}

impl LearnedRule {
    fn theta_len(&self) -> usize {
        for_any!(self, rule => rule.theta_len())
    }
}
