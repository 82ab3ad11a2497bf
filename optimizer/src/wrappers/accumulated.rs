//! Gradient accumulation: one update from the mean of several gradients and losses.
//!
//! Calls `1 … k-1` of a window of `k` only add to the mean and return [`StepOutcome::Accumulated`]; call `k`
//! steps the inner optimizer. Counters and horizon are in calls here and in updates (`horizon / k`) inside. A call
//! with non-finite numbers is skipped without ending the window; `k` of them count as one skipped update inside,
//! so that its schedule keeps pace.

use serde::{Deserialize, Serialize};

use super::wrapped::{check_period, inner};
use super::{Call, Wrapped, Wrapper};
use crate::finite::all_finite;
use crate::registry::OptimizerConfig;
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, NonFinitePolicy, Optimizer, ParamLayout, StepOutcome};

/// The longest run that VeLO was meta-trained for; its published front end accumulates beyond.
const VELO_LONGEST_RUN: u64 = 150_000;

/// An optimizer that sees the mean of several gradients.
pub type Accumulated = Wrapped<Accumulation>;

impl Accumulated {
    /// The rule of VeLO's published front end for a run of `horizon` calls: at most 150,000 updates or so, in
    /// windows of `⌈horizon / 150000⌉` calls. The horizon is declared, too.
    ///
    /// # Panics
    /// Beyond 2.5 · 10¹² calls.
    pub fn as_published_for_velo(inner: Box<dyn Optimizer>, horizon: u64) -> Self {
        let calls = horizon.div_ceil(VELO_LONGEST_RUN).max(1);
        let mut optimizer = Self::new(inner, calls).expect("no run needs a window of millions of calls");
        optimizer.set_horizon(Some(horizon));
        optimizer
    }
}

/// An entry of a configuration file: a window and the optimizer behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccumulatedConfig {
    /// Calls that make one update.
    pub calls: u64,
    /// The optimizer that sees the means.
    pub inner: Box<OptimizerConfig>,
}

impl AccumulatedConfig {
    pub(crate) fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        Ok(Box::new(Accumulated::new(inner(&self.inner, layout)?, self.calls)?))
    }
}

/// The wrapper of [`Accumulated`].
#[derive(Debug, Clone)]
pub struct Accumulation {
    calls: u64,
    mean_gradient: Slot,
    mean_loss: Slot,
    /// Calls of this window so far.
    count: Slot,
}

impl Wrapper for Accumulation {
    type Settings = u64;
    const NAME: &'static str = "accumulated";

    fn build(calls: u64, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        check_period("calls", calls)?;
        Ok(Self {
            calls,
            mean_gradient: state.per_param("mean_gradient", layout),
            mean_loss: state.tensor("mean_loss", &[]),
            count: state.tensor("count", &[]),
        })
    }

    fn step(&mut self, inner: &mut dyn Optimizer, call: Call<'_>) -> Result<StepOutcome, Error> {
        let Call { params, grads, loss, state, skipped, policy } = call;
        if !all_finite(grads) || (inner.reads_loss() && !loss.is_finite()) {
            let due = policy == NonFinitePolicy::Error || (skipped + 1).is_multiple_of(self.calls);
            return if due { inner.step(params, grads, loss) } else { Ok(StepOutcome::Skipped) };
        }
        let [mean, mean_loss, count] = parts(state, [self.mean_gradient, self.mean_loss, self.count]);
        // Shares of the mean, not sums: they cannot overflow.
        let share = 1.0 / self.calls as f32;
        if count[0] == 0.0 {
            mean.fill(0.0);
            mean_loss[0] = 0.0;
        }
        mean.iter_mut().zip(grads).for_each(|(mean, grad)| *mean += share * grad);
        mean_loss[0] += share * loss;
        count[0] += 1.0;
        if (count[0] as u64) < self.calls {
            return Ok(StepOutcome::Accumulated);
        }
        count[0] = 0.0;
        inner.step(params, mean, mean_loss[0])
    }

    fn calls_per_update(&self) -> u64 {
        self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand_designed::{Sgd, SgdConfig};

    fn sgd() -> Box<dyn Optimizer> {
        let layout = ParamLayout::new([("w", vec![2])]).unwrap();
        Box::new(Sgd::new(&layout, SgdConfig { learning_rate: 1.0, ..Default::default() }).unwrap())
    }

    #[test]
    fn parameters_move_once_in_a_window_by_the_mean_gradient() {
        let mut optimizer = Accumulated::new(sgd(), 2).unwrap();
        let mut params = [0.0, 0.0];
        for window in 0..2 {
            assert_eq!(optimizer.step(&mut params, &[1.0, 4.0], 0.0).unwrap(), StepOutcome::Accumulated);
            assert_eq!(params, [-2.0 * window as f32, -3.0 * window as f32]);
            assert_eq!(optimizer.step(&mut params, &[3.0, 2.0], 0.0).unwrap(), StepOutcome::Applied);
        }
        assert_eq!(params, [-4.0, -6.0]);
        assert_eq!((optimizer.steps_taken(), optimizer.inner().steps_taken()), (4, 2));
    }

    #[test]
    fn the_horizon_is_in_calls_outside_and_in_updates_inside() {
        let mut optimizer = Accumulated::new(sgd(), 4).unwrap();
        optimizer.set_horizon(Some(103));
        assert_eq!((optimizer.horizon(), optimizer.inner().horizon()), (Some(103), Some(25)));
    }

    #[test]
    fn velo_is_never_told_more_than_its_longest_run() {
        for (horizon, calls, updates) in [(150_000, 1, 150_000), (150_001, 2, 75_000), (1_000_000, 7, 142_857)] {
            let optimizer = Accumulated::as_published_for_velo(sgd(), horizon);
            assert_eq!((optimizer.wrapper().calls, optimizer.inner().horizon()), (calls, Some(updates)), "{horizon}");
        }
    }

    #[test]
    fn a_skipped_call_does_not_end_a_window_and_a_window_of_them_is_one_skipped_update() {
        let mut optimizer = Accumulated::new(sgd(), 2).unwrap();
        let mut params = [0.0, 0.0];
        optimizer.step(&mut params, &[1.0, 1.0], 0.0).unwrap();
        for skipped_inside in [0, 1, 1, 2] {
            assert_eq!(optimizer.step(&mut params, &[f32::NAN, 0.0], 0.0).unwrap(), StepOutcome::Skipped);
            assert_eq!(optimizer.inner().steps_skipped(), skipped_inside);
        }
        optimizer.step(&mut params, &[1.0, 3.0], 0.0).unwrap();
        assert_eq!(params, [-1.0, -2.0]);
    }

    #[test]
    fn a_loss_that_nobody_reads_may_be_nan() {
        let mut optimizer = Accumulated::new(sgd(), 2).unwrap();
        let mut params = [0.0, 0.0];
        optimizer.step(&mut params, &[1.0, 1.0], f32::NAN).unwrap();
        assert_eq!(optimizer.step(&mut params, &[1.0, 1.0], 1.0).unwrap(), StepOutcome::Applied);
    }

    #[test]
    fn a_window_of_no_calls_is_refused_by_name() {
        let error = Accumulated::new(sgd(), 0).err().unwrap();
        assert_eq!(error.to_string(), "calls is 0, expected a number from 1 to 16777216");
    }
}
