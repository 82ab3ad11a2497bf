//! Learning-rate schedules: a factor in `[0, 1]` for every update, multiplied with the optimizer's rate.
//!
//! `t` is the number of updates already done and `T` the horizon, the number planned in total. Past the
//! horizon a schedule keeps its last value.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A factor on the learning rate as a function of training progress.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub enum Schedule {
    /// `1` at every step; needs no horizon.
    #[default]
    Constant,
    /// Warm-up over `warmup · T` steps, then linearly down to `floor` at `T`.
    Linear {
        /// Fraction of the horizon spent warming up.
        #[serde(default)]
        warmup: f32,
        /// Value at the horizon.
        #[serde(default)]
        floor: f32,
    },
    /// Warm-up over `warmup · T` steps, then half a cosine down to `floor` at `T`.
    Cosine {
        /// Fraction of the horizon spent warming up.
        #[serde(default = "default_warmup")]
        warmup: f32,
        /// Value at the horizon.
        #[serde(default)]
        floor: f32,
    },
    /// Warm-up, then constant, then linearly down to `floor` over the last `decay · T` steps.
    WarmupStableDecay {
        /// Fraction of the horizon spent warming up.
        #[serde(default = "default_warmup")]
        warmup: f32,
        /// Fraction of the horizon spent decaying at the end.
        #[serde(default = "default_decay")]
        decay: f32,
        /// Value at the horizon.
        #[serde(default)]
        floor: f32,
    },
    /// Warm-up over `warmup_steps`, then `sqrt(warmup_steps / (t + 1))`; needs no horizon.
    ReciprocalSqrt {
        /// Steps of warm-up, at least one.
        warmup_steps: u64,
    },
}

fn default_warmup() -> f32 {
    0.05
}

fn default_decay() -> f32 {
    0.2
}

impl Schedule {
    /// The factor for the update with index `step`, counted from zero, of `horizon` planned ones.
    ///
    /// During warm-up over `W` steps the factor is `(t + 1) / (W + 1)`, so that no update is wasted on a
    /// rate of zero. Without a horizon the schedules that need one stay at `1` after an immediate start.
    pub fn factor(&self, step: u64, horizon: Option<u64>) -> f32 {
        if let Self::ReciprocalSqrt { warmup_steps } = *self {
            let (done, warm) = (step as f64 + 1.0, warmup_steps.max(1) as f64);
            return (done / warm).min((warm / done).sqrt()) as f32;
        }
        let Some(horizon) = horizon.filter(|&horizon| horizon > 0) else {
            return 1.0;
        };
        let (t, total) = (step.min(horizon) as f64, horizon as f64);
        let ramp = |warmup: f32| {
            let steps = (f64::from(warmup) * total).floor();
            if t < steps { Err((t + 1.0) / (steps + 1.0)) } else { Ok((t - steps) / (total - steps).max(1.0)) }
        };
        let falling = |floor: f32, shape: f64| f64::from(floor) + (1.0 - f64::from(floor)) * shape;
        let factor = match *self {
            Self::Constant | Self::ReciprocalSqrt { .. } => 1.0,
            Self::Linear { warmup, floor } => ramp(warmup).map_or_else(|rising| rising, |x| falling(floor, 1.0 - x)),
            Self::Cosine { warmup, floor } => ramp(warmup)
                .map_or_else(|rising| rising, |x| falling(floor, 0.5 + 0.5 * (std::f64::consts::PI * x).cos())),
            Self::WarmupStableDecay { warmup, decay, floor } => ramp(warmup).map_or_else(
                |rising| rising,
                |_| {
                    let length = (f64::from(decay) * total).max(1.0);
                    falling(floor, ((total - t) / length).min(1.0))
                },
            ),
        };
        factor as f32
    }

    /// Rejects fractions outside `[0, 1]`.
    ///
    /// # Errors
    /// [`Error::InvalidHyperParameter`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        let fraction = |field, value: f32| {
            if (0.0..=1.0).contains(&value) {
                Ok(())
            } else {
                Err(Error::InvalidHyperParameter { field, found: value.to_string(), expected: "a fraction in [0, 1]" })
            }
        };
        match *self {
            Self::Constant => Ok(()),
            Self::Linear { warmup, floor } | Self::Cosine { warmup, floor } => {
                fraction("schedule.warmup", warmup)?;
                fraction("schedule.floor", floor)
            }
            Self::WarmupStableDecay { warmup, decay, floor } => {
                fraction("schedule.warmup", warmup)?;
                fraction("schedule.decay", decay)?;
                fraction("schedule.floor", floor)
            }
            Self::ReciprocalSqrt { warmup_steps: 0 } => Err(Error::InvalidHyperParameter {
                field: "schedule.warmup_steps",
                found: "0".into(),
                expected: "at least 1",
            }),
            Self::ReciprocalSqrt { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(schedule: Schedule, horizon: u64) -> Vec<f32> {
        (0..horizon).map(|step| schedule.factor(step, Some(horizon))).collect()
    }

    #[test]
    fn constant_is_one_with_and_without_a_horizon() {
        assert_eq!(curve(Schedule::Constant, 3), [1.0; 3]);
        assert_eq!(Schedule::Constant.factor(1_000_000, None), 1.0);
    }

    #[test]
    fn linear_falls_evenly_to_its_floor() {
        assert_eq!(curve(Schedule::Linear { warmup: 0.0, floor: 0.2 }, 4), [1.0, 0.8, 0.6, 0.4]);
        assert_eq!(Schedule::Linear { warmup: 0.0, floor: 0.2 }.factor(9, Some(4)), 0.2);
    }

    #[test]
    fn cosine_rises_first_and_is_halfway_down_in_the_middle() {
        let schedule = Schedule::Cosine { warmup: 0.2, floor: 0.0 };
        let values = curve(schedule, 10);
        assert!((values[0] - 1.0 / 3.0).abs() < 1e-6 && (values[1] - 2.0 / 3.0).abs() < 1e-6, "{values:?}");
        assert_eq!(values[2], 1.0);
        assert!((values[6] - 0.5).abs() < 1e-6, "{values:?}");
        assert!(schedule.factor(10, Some(10)).abs() < 1e-6);
    }

    #[test]
    fn warmup_stable_decay_holds_its_plateau() {
        let values = curve(Schedule::WarmupStableDecay { warmup: 0.1, decay: 0.2, floor: 0.0 }, 10);
        assert_eq!(&values[1..9], [1.0; 8]);
        assert!((values[9] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn reciprocal_square_root_quarters_the_square_of_time() {
        let schedule = Schedule::ReciprocalSqrt { warmup_steps: 4 };
        assert_eq!(schedule.factor(0, None), 0.25);
        assert_eq!(schedule.factor(3, None), 1.0);
        assert_eq!(schedule.factor(63, None), 0.25);
    }

    #[test]
    fn a_fraction_above_one_is_refused_by_name() {
        let error = Schedule::Cosine { warmup: 1.5, floor: 0.0 }.check().unwrap_err();
        assert_eq!(error.to_string(), "schedule.warmup is 1.5, expected a fraction in [0, 1]");
    }
}
