//! A running average of the parameters (Polyak averaging), to evaluate with.
//!
//! After update number `t`, counted from one, `a ← a + c (p - a)`. The memory says how far back the average reaches:
//!
//! ```text
//! Decay(d)    w ← d w + (1 - d),   c = (1 - d) / w     exponential weights; w starts at zero and makes up for the short past
//! Share(s)    c = min(1, 1 / (s t))                    polynomial weights (Shamir and Zhang, arXiv 1212.1824):
//!                                                      the last `s t` updates or so, whatever `t` is
//! ```
//!
//! `t` is counted in `f32`: after 2²⁴ updates a share reaches back no further than it did then. Where the number of steps is
//! not known, a share does what a schedule would have done: steps that are still large average out.
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

/// How far back an average reaches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum AverageMemory {
    /// Part of the average that is left after an update, in `[0, 1)`.
    Decay(f32),
    /// Part of all updates so far, in `(0, 1]`; 1 weighs all of them equally.
    Share(f32),
}

impl Default for AverageMemory {
    fn default() -> Self {
        Self::Decay(0.999)
    }
}

impl AverageMemory {
    fn check(self) -> Result<(), Error> {
        match self {
            Self::Decay(decay) => checks::decay("memory", decay),
            Self::Share(share) => check_share("memory", share),
        }
    }

    /// The name of the one number that is kept about the past.
    fn past(self) -> &'static str {
        match self {
            Self::Decay(_) => "weight",
            Self::Share(_) => "updates",
        }
    }

    /// The weight of the newest parameters. `past` is zero before the first update: afterwards `w` or `t`.
    fn newest(self, past: &mut f32) -> f32 {
        match self {
            Self::Decay(decay) => {
                *past = decay * *past + (1.0 - decay);
                (1.0 - decay) / *past
            }
            Self::Share(share) => {
                *past += 1.0;
                newest_of_share(share, *past)
            }
        }
    }
}

/// Refuses what is no share of the updates.
pub(crate) fn check_share(field: &'static str, share: f32) -> Result<(), Error> {
    if share > 0.0 && share <= 1.0 {
        return Ok(());
    }
    Err(Error::InvalidHyperParameter { field, found: share.to_string(), expected: "a share of the updates in (0, 1]" })
}

/// The weight of the newest of so many updates in an average of their last `share`: `min(1, 1 / (share · updates))`.
pub(crate) fn newest_of_share(share: f32, updates: f32) -> f32 {
    (1.0 / (share * updates)).min(1.0)
}

/// An entry of a configuration file: a memory and the optimizer that is averaged over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AveragedConfig {
    /// How far back the average reaches.
    #[serde(default)]
    pub memory: AverageMemory,
    /// The optimizer.
    pub inner: Box<OptimizerConfig>,
}

impl AveragedConfig {
    pub(crate) fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        Ok(Box::new(Averaged::new(inner(&self.inner, layout)?, self.memory)?))
    }
}

/// The share of [`Averaged::open_ended`], chosen on the validation tasks (`results/2026-11-27-open-ended`).
const OPEN_ENDED: AverageMemory = AverageMemory::Share(0.05);

impl Averaged {
    /// For who does not know how many steps there will be: `inner`, told no horizon, evaluated with the average of the last
    /// twentieth of its updates. It makes up for about half of what the pretrained optimizer loses without a horizon in
    /// training loss, and for nearly all in validation loss.
    ///
    /// ```
    /// use velo_optimizer::{Averaged, LearnedOptimizer, Optimizer, ParamLayout};
    ///
    /// let layout = ParamLayout::new([("kernel", vec![3, 2]), ("bias", vec![2])])?;
    /// let mut optimizer = Averaged::open_ended(Box::new(LearnedOptimizer::pretrained(&layout, None)?))?;
    /// let (mut params, grads, loss) = (vec![0.1; 8], vec![0.5; 8], 1.0);
    /// optimizer.step(&mut params, &grads, loss)?;
    /// let mut evaluated = vec![0.0; 8];
    /// optimizer.evaluation_params(&params, &mut evaluated)?;    // at any time; training goes on with `params`
    /// # Ok::<(), velo_optimizer::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Wrapped::new`].
    pub fn open_ended(mut inner: Box<dyn Optimizer>) -> Result<Self, Error> {
        inner.set_horizon(None);
        Self::new(inner, OPEN_ENDED)
    }
}

/// The wrapper of [`Averaged`].
#[derive(Debug, Clone)]
pub struct RunningAverage {
    memory: AverageMemory,
    average: Slot,
    /// One number about the past, see [`AverageMemory::newest`].
    past: Slot,
}

impl Wrapper for RunningAverage {
    type Settings = AverageMemory;
    const NAME: &'static str = "averaged";

    fn build(memory: AverageMemory, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        memory.check()?;
        Ok(Self { memory, average: state.per_param("average", layout), past: state.tensor(memory.past(), &[]) })
    }

    fn step(&mut self, inner: &mut dyn Optimizer, call: Call<'_>) -> Result<StepOutcome, Error> {
        let outcome = inner.step(call.params, call.grads, call.loss)?;
        if outcome == StepOutcome::Applied {
            let [average, past] = parts(call.state, [self.average, self.past]);
            let newest = self.memory.newest(&mut past[0]);
            for (average, param) in average.iter_mut().zip(call.params) {
                *average += newest * (*param - *average);
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
        let untouched = state[self.past.range()] == [0.0];
        out.copy_from_slice(if untouched { params } else { &state[self.average.range()] });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand_designed::{Sgd, SgdConfig};

    fn averaged(memory: AverageMemory) -> Result<Averaged, Error> {
        let layout = ParamLayout::new([("w", vec![1])]).unwrap();
        let sgd = Sgd::new(&layout, SgdConfig { learning_rate: 1.0, ..Default::default() }).unwrap();
        Averaged::new(Box::new(sgd), memory)
    }

    /// The parameters to evaluate with while the parameter goes from 7 to 6, 3, 5 and 9.
    fn path(memory: AverageMemory) -> Vec<f32> {
        let mut optimizer = averaged(memory).unwrap();
        let (mut params, mut evaluated) = ([7.0], [0.0]);
        optimizer.evaluation_params(&params, &mut evaluated).unwrap();
        let mut path = vec![evaluated[0]];
        for grad in [1.0, 3.0, -2.0, -4.0] {
            optimizer.step(&mut params, &[grad], 0.0).unwrap();
            optimizer.evaluation_params(&params, &mut evaluated).unwrap();
            path.push(evaluated[0]);
        }
        assert_eq!(params, [9.0]);
        path
    }

    #[test]
    fn exponential_weights_make_up_for_the_short_past() {
        // Weights 1/3 and 2/3, then 1/7, 2/7 and 4/7, then 1/15 to 8/15.
        for (got, want) in path(AverageMemory::Decay(0.5)).iter().zip([7.0, 6.0, 4.0, 32.0 / 7.0, 104.0 / 15.0]) {
            assert!((got - want).abs() < 1e-6, "{got}, not {want}");
        }
    }

    #[test]
    fn a_share_reaches_as_far_back_as_there_are_updates() {
        let mean = [7.0, 6.0, 4.5, 14.0 / 3.0, 23.0 / 4.0];
        // From the third update on c = 2/3, then 1/2: 3 + 2/3 · 2, then halfway to 9.
        let half = [7.0, 6.0, 3.0, 13.0 / 3.0, 20.0 / 3.0];
        for (share, expected) in [(1.0, mean), (0.5, half), (1e-3, [7.0, 6.0, 3.0, 5.0, 9.0])] {
            for (got, want) in path(AverageMemory::Share(share)).iter().zip(expected) {
                assert!((got - want).abs() < 1e-6, "share {share}: {got}, not {want}");
            }
        }
    }

    #[test]
    fn a_memory_out_of_range_is_refused() {
        for memory in [
            AverageMemory::Decay(1.0),
            AverageMemory::Decay(-0.1),
            AverageMemory::Share(0.0),
            AverageMemory::Share(1.5),
            AverageMemory::Share(f32::NAN),
        ] {
            let error = averaged(memory).err().expect("out of range").to_string();
            assert!(error.contains("memory"), "{memory:?}: {error}");
        }
    }
}
