//! A running average of the parameters (Polyak averaging with exponential weights), to evaluate with.
//!
//! After every update, with a weight `w` that starts at zero and makes up for the short past:
//!
//! ```text
//! w ← decay · w + (1 - decay)
//! a ← a + (1 - decay) / w · (p - a)
//! ```
//!
//! The parameters that are trained are left alone; those to evaluate with are `a`, so an average kept by the inner
//! optimizer is not used.

use serde::{Deserialize, Serialize};

use super::wrapped::inner;
use super::{Call, Wrapped, Wrapper};
use crate::hand_designed::checks;
use crate::registry::OptimizerConfig;
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, Optimizer, ParamLayout, StepOutcome};

/// An optimizer that evaluates with averaged parameters.
pub type Averaged = Wrapped<RunningAverage>;

/// An entry of a configuration file: a decay and the optimizer that is averaged over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AveragedConfig {
    /// Part of the average that is left after an update.
    #[serde(default = "default_decay")]
    pub decay: f32,
    /// The optimizer.
    pub inner: Box<OptimizerConfig>,
}

fn default_decay() -> f32 {
    0.999
}

impl AveragedConfig {
    pub(crate) fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        Ok(Box::new(Averaged::new(inner(&self.inner, layout)?, self.decay)?))
    }
}

/// The wrapper of [`Averaged`].
#[derive(Debug, Clone)]
pub struct RunningAverage {
    decay: f32,
    average: Slot,
    weight: Slot,
}

impl Wrapper for RunningAverage {
    type Settings = f32;
    const NAME: &'static str = "averaged";

    fn build(decay: f32, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::decay("decay", decay)?;
        Ok(Self { decay, average: state.per_param("average", layout), weight: state.tensor("weight", &[]) })
    }

    fn step(&mut self, inner: &mut dyn Optimizer, call: Call<'_>) -> Result<StepOutcome, Error> {
        let outcome = inner.step(call.params, call.grads, call.loss)?;
        if outcome == StepOutcome::Applied {
            let [average, weight] = parts(call.state, [self.average, self.weight]);
            weight[0] = self.decay * weight[0] + (1.0 - self.decay);
            let share = (1.0 - self.decay) / weight[0];
            for (average, param) in average.iter_mut().zip(call.params) {
                *average += share * (*param - *average);
            }
        }
        Ok(outcome)
    }

    fn evaluation_params(
        &self,
        _inner: &dyn Optimizer,
        params: &[f32],
        state: &[f32],
        out: &mut [f32],
    ) -> Result<(), Error> {
        let untouched = state[self.weight.range()] == [0.0];
        out.copy_from_slice(if untouched { params } else { &state[self.average.range()] });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand_designed::{Sgd, SgdConfig};

    #[test]
    fn the_average_makes_up_for_its_short_past() {
        let layout = ParamLayout::new([("w", vec![1])]).unwrap();
        let sgd = Sgd::new(&layout, SgdConfig { learning_rate: 1.0, ..Default::default() }).unwrap();
        let mut optimizer = Averaged::new(Box::new(sgd), 0.5).unwrap();
        let (mut params, mut evaluated) = ([7.0], [0.0]);
        optimizer.evaluation_params(&params, &mut evaluated).unwrap();
        assert_eq!(evaluated, [7.0]);
        // Parameters 6, then 3: weights 1/3 and 2/3.
        for (grad, expected) in [(1.0, 6.0), (3.0, 4.0)] {
            optimizer.step(&mut params, &[grad], 0.0).unwrap();
            optimizer.evaluation_params(&params, &mut evaluated).unwrap();
            assert!((evaluated[0] - expected).abs() < 1e-6, "{evaluated:?}");
        }
        assert_eq!(params, [3.0]);
    }
}
