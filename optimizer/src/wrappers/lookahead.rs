//! Lookahead (Zhang and others, arXiv 1907.08610): slow parameters that follow the fast ones at a distance.
//!
//! Every `k` updates of the inner optimizer, from the parameters `s` that they started at:
//!
//! ```text
//! s ← s + fraction · (p - s)
//! p ← s
//! ```
//!
//! The parameters to evaluate with are `s`, so an average kept by the inner optimizer is not used.

use serde::{Deserialize, Serialize};

use super::wrapped::{check_period, inner};
use super::{Call, Wrapped, Wrapper};
use crate::registry::OptimizerConfig;
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, Optimizer, ParamLayout, StepOutcome};

/// An optimizer followed by slow parameters.
pub type Lookahead = Wrapped<SlowParams>;

/// How the slow parameters follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pull {
    /// Updates `k` of the inner optimizer from one pull to the next.
    pub updates: u64,
    /// Part of the way, in `[0, 1]`.
    pub fraction: f32,
}

/// An entry of a configuration file: how the slow parameters follow, and the optimizer in front.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookaheadConfig {
    /// Updates of the inner optimizer from one pull to the next.
    #[serde(default = "published_updates")]
    pub updates: u64,
    /// Part of the way that the slow parameters follow.
    #[serde(default = "published_fraction")]
    pub fraction: f32,
    /// The optimizer of the fast parameters.
    pub inner: Box<OptimizerConfig>,
}

fn published_updates() -> u64 {
    5
}

fn published_fraction() -> f32 {
    0.5
}

impl LookaheadConfig {
    pub(crate) fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        let pull = Pull { updates: self.updates, fraction: self.fraction };
        Ok(Box::new(Lookahead::new(inner(&self.inner, layout)?, pull)?))
    }
}

/// The wrapper of [`Lookahead`].
#[derive(Debug, Clone)]
pub struct SlowParams {
    pull: Pull,
    slow: Slot,
    /// Updates since the last pull.
    count: Slot,
}

impl Wrapper for SlowParams {
    type Settings = Pull;
    const NAME: &'static str = "lookahead";

    fn build(pull: Pull, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        check_period("updates", pull.updates)?;
        if !(0.0..=1.0).contains(&pull.fraction) {
            let (field, found, expected) = ("fraction", pull.fraction.to_string(), "a fraction in [0, 1]");
            return Err(Error::InvalidHyperParameter { field, found, expected });
        }
        Ok(Self { pull, slow: state.per_param("slow", layout), count: state.tensor("count", &[]) })
    }

    fn step(&mut self, inner: &mut dyn Optimizer, call: Call<'_>) -> Result<StepOutcome, Error> {
        let [slow, count] = parts(call.state, [self.slow, self.count]);
        if count[0] == 0.0 {
            // After a pull they are equal already; before the first one they are not.
            slow.copy_from_slice(call.params);
        }
        let outcome = inner.step(call.params, call.grads, call.loss)?;
        if outcome == StepOutcome::Applied {
            count[0] += 1.0;
            if count[0] as u64 >= self.pull.updates {
                for (slow, fast) in slow.iter_mut().zip(call.params) {
                    *slow += self.pull.fraction * (*fast - *slow);
                    *fast = *slow;
                }
                count[0] = 0.0;
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
        let pulled = state[self.count.range()] == [0.0];
        out.copy_from_slice(if pulled { params } else { &state[self.slow.range()] });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand_designed::{Sgd, SgdConfig};

    fn lookahead(updates: u64, fraction: f32) -> Result<Lookahead, Error> {
        let layout = ParamLayout::new([("w", vec![1])]).unwrap();
        let sgd = Sgd::new(&layout, SgdConfig { learning_rate: 1.0, ..Default::default() }).unwrap();
        Lookahead::new(Box::new(sgd), Pull { updates, fraction })
    }

    #[test]
    fn after_every_window_the_parameters_fall_back_towards_its_start() {
        let mut optimizer = lookahead(2, 0.25).unwrap();
        let (mut params, mut evaluated) = ([10.0], [0.0]);
        let mut seen = Vec::new();
        for _ in 0..4 {
            optimizer.step(&mut params, &[4.0], 0.0).unwrap();
            optimizer.evaluation_params(&params, &mut evaluated).unwrap();
            seen.push((params[0], evaluated[0]));
        }
        assert_eq!(seen, [(6.0, 10.0), (8.0, 8.0), (4.0, 8.0), (6.0, 6.0)]);
    }

    #[test]
    fn a_fraction_above_one_is_refused_by_name() {
        let error = lookahead(5, 1.5).err().unwrap();
        assert_eq!(error.to_string(), "fraction is 1.5, expected a fraction in [0, 1]");
    }
}
