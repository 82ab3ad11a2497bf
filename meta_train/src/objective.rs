//! The meta-loss: what one inner step is worth.
//!
//! Losses of different tasks live on different scales, so they are compared with the loss `L_ref` of a model
//! that knows only the mean of its targets:
//!
//! ```text
//! u(L) = min( ln( max(L, 0) / L_ref + floor ), ln cap )        u(NaN) = u(∞) = ln cap
//! ```
//!
//! The logarithm makes halving the loss worth the same early and late; the floor bounds what can be earned
//! on a task that is solved. A run whose loss is not finite, or beyond [`DIVERGED`] times the reference, has
//! diverged: it costs `ln cap` for the rest of the episode, the worst that any run can get.
//!
//! Training batches measure optimisation, held-out rows what was learned. A stretch of steps is scored by
//! `(1 - w) · mean u(train) + w · mean u(held out)`, where the held-out loss is taken every few steps.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A loss of this many times the reference counts as diverged.
pub const DIVERGED: f32 = 1e3;

/// Weights and bounds of the meta-loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objective {
    /// Added to the loss ratio under the logarithm.
    pub floor: f32,
    /// Largest loss ratio that counts.
    pub cap: f32,
    /// Weight `w` of the held-out loss, in `[0, 1]`.
    pub held_out_weight: f32,
    /// Inner steps between two held-out losses.
    pub held_out_every: u64,
}

impl Default for Objective {
    fn default() -> Self {
        Self { floor: 0.01, cap: 3.0, held_out_weight: 0.5, held_out_every: 5 }
    }
}

impl Objective {
    /// `u(loss)`, always finite.
    pub fn score(&self, loss: f32, reference: f32) -> f32 {
        if loss.is_finite() { ((loss.max(0.0) / reference) + self.floor).ln().min(self.worst()) } else { self.worst() }
    }

    /// `ln cap`, the score of a diverged run.
    pub fn worst(&self) -> f32 {
        self.cap.ln()
    }

    /// Whether the held-out loss is taken at `inner_step`.
    pub fn takes_held_out(&self, inner_step: u64) -> bool {
        self.held_out_weight > 0.0 && inner_step % self.held_out_every == self.held_out_every - 1
    }

    /// Rejects bounds that make the score meaningless.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        if !(self.floor > 0.0 && self.floor.is_finite()) {
            return Err(Error::config("objective.floor", self.floor, "a number above 0"));
        }
        if !(self.cap > self.floor && self.cap.is_finite()) {
            return Err(Error::config("objective.cap", self.cap, "a number above objective.floor"));
        }
        if !(0.0..=1.0).contains(&self.held_out_weight) {
            return Err(Error::config("objective.held_out_weight", self.held_out_weight, "a fraction in [0, 1]"));
        }
        if self.held_out_every == 0 {
            return Err(Error::config("objective.held_out_every", 0, "at least 1"));
        }
        Ok(())
    }
}

/// True when a run with this loss is given up.
pub fn has_diverged(loss: f32, reference: f32) -> bool {
    loss.is_nan() || loss > DIVERGED * reference
}

/// Sums of scores over a stretch of steps of one side.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    train: f64,
    train_count: u32,
    held_out: f64,
    held_out_count: u32,
}

impl Scores {
    /// Records the score of a training batch.
    pub fn add_train(&mut self, score: f32) {
        self.train += f64::from(score);
        self.train_count += 1;
    }

    /// Records the score of a held-out batch.
    pub fn add_held_out(&mut self, score: f32) {
        self.held_out += f64::from(score);
        self.held_out_count += 1;
    }

    /// `(1 - w) · mean train + w · mean held out`; the training mean alone where no held-out loss was taken.
    pub fn mean(&self, objective: &Objective) -> f64 {
        let train = self.train / f64::from(self.train_count.max(1));
        if self.held_out_count == 0 {
            return train;
        }
        let weight = f64::from(objective.held_out_weight);
        (1.0 - weight) * train + weight * self.held_out / f64::from(self.held_out_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_the_worst_score_and_finite() {
        let objective = Objective::default();
        for loss in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            assert_eq!(objective.score(loss, 1.0), 3f32.ln(), "{loss}");
        }
        assert!(has_diverged(f32::NAN, 1.0) && has_diverged(1001.0, 1.0) && !has_diverged(999.0, 1.0));
    }

    #[test]
    fn a_solved_task_earns_no_more_than_the_floor() {
        let objective = Objective::default();
        assert_eq!(objective.score(0.0, 2.3), 0.01f32.ln());
        assert!((objective.score(2.3, 2.3) - 1.01f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn held_out_rows_weigh_as_configured_however_rarely_they_are_measured() {
        let objective = Objective { held_out_weight: 0.25, ..Objective::default() };
        let mut scores = Scores::default();
        (0..10).for_each(|_| scores.add_train(1.0));
        assert_eq!(scores.mean(&objective), 1.0);
        scores.add_held_out(5.0);
        assert_eq!(scores.mean(&objective), 2.0);
    }
}
