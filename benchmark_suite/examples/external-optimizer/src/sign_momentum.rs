//! An optimizer of one's own: only its update is written here, all else is that of every optimizer.
//!
//! ```text
//! m ← β m + (1-β) g          p ← p - rate · sign(m)
//! ```

use velo_comparison::{Error, OptimizerSource};
use velo_optimizer::rule::{RuleOptimizer, StepContext, UpdateRule};
use velo_optimizer::state::{Slot, StateLayout};
use velo_optimizer::{Optimizer, ParamLayout};

/// Hyper-parameters.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Step of every parameter.
    pub learning_rate: f32,
    /// Decay `β` of the momentum.
    pub decay: f32,
}

/// What a suite makes the optimizer of.
impl OptimizerSource for Config {
    fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        Ok(Box::new(RuleOptimizer::<SignMomentum>::new(layout, *self)?))
    }

    // Change the number when the code below changes what it computes: finished trials are known again by it.
    fn fingerprint(&self) -> Result<String, Error> {
        Ok(format!("sign momentum 1, {self:?}"))
    }

    fn learning_rate(&self) -> Option<f32> {
        Some(self.learning_rate)
    }
}

/// The update.
struct SignMomentum {
    config: Config,
    momentum: Slot,
}

impl UpdateRule for SignMomentum {
    type Config = Config;
    const NAME: &'static str = "sign_momentum";

    fn build(
        config: Config,
        layout: &ParamLayout,
        state: &mut StateLayout,
    ) -> Result<Self, velo_optimizer::Error> {
        if !(0.0..1.0).contains(&config.decay) {
            let found = config.decay.to_string();
            let expected = "a number from 0 to below 1";
            return Err(velo_optimizer::Error::InvalidHyperParameter { field: "decay", found, expected });
        }
        Ok(Self { config, momentum: state.per_param("momentum", layout) })
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let Config { learning_rate, decay } = self.config;
        let step = learning_rate * context.rate;
        let momentum = &mut state[self.momentum.range()];
        for ((p, g), m) in params.iter_mut().zip(grads).zip(momentum) {
            *m = decay * *m + (1.0 - decay) * g;
            *p -= step * (m.signum() + context.weight_decay * *p);
        }
    }
}
