//! The meta-loss: what one inner step is worth.
//!
//! Losses of different tasks live on different scales, so they are compared with the loss `L_ref` of a model
//! that knows only the mean of its targets:
//!
//! ```text
//! u(L) = min( ln( max(L, 0) / L_ref + floor ), ln cap )        u(NaN) = u(∞) = ln cap
//! ```
//!
//! or, with [`Transform::Ratio`], `min(max(L, 0) / L_ref, cap)` and `cap`. The logarithm makes halving the loss worth the same early and late; the floor bounds what can be earned
//! on a task that is solved. A run whose loss is not finite, or beyond [`DIVERGED`] times the reference, has
//! diverged: it costs `ln cap` (or `cap`) for the rest of the episode, the worst that any run can get.
//!
//! Training batches measure optimisation, held-out rows what was learned. A stretch of steps is scored by
//! `(1 - w) · mean u(train) + w · mean u(held out)`, where the held-out loss is taken every few steps.
//!
//! # The gap of a segment
//! A segment of `n` steps of an episode of `m` steps has the mean gap `D` of `L⁺ - L⁻` over its steps. Where the
//! final loss counts, with weight `f`, the gap `G` of the losses on a few batches that stay the same for the
//! whole episode is measured at the end of every segment, and the segment contributes
//!
//! ```text
//! gap = (1-f) D + f (m/n) (G - G_before)           G_before = 0 in the first segment
//! ```
//!
//! so that the mean of the gap over the steps of an episode is `(1-f) · mean (L⁺ - L⁻) + f · G_end` exactly: the
//! final loss is learned from without waiting for the end.
//!
//! A fresh run has `m = T`, its horizon, and both sides are the same at its start. A run that is resumed at step `s`,
//! to reach the horizon `T`, is an episode of its own of `m = T - s` steps ([`crate::resume`]).

use serde::{Deserialize, Serialize};

use crate::Error;

/// A loss of this many times the reference counts as diverged.
pub const DIVERGED: f32 = 1e3;

/// How a loss becomes a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Transform {
    /// `ln(L / L_ref + floor)`, at most `ln cap`.
    #[default]
    Log,
    /// `L / L_ref`, at most `cap`.
    Ratio,
    /// `ln(L / L_ref + floor) - ln(L_tuned / L_ref + floor)`, between `-ln cap` and `ln cap`: how far the run is behind
    /// AdamW with cosine, tuned for its task. Needs a pool of tasks.
    Tuned,
}

/// Weights and bounds of the meta-loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objective {
    /// How a loss becomes a score.
    pub transform: Transform,
    /// Added to the loss ratio under the logarithm.
    pub floor: f32,
    /// Largest loss ratio that counts.
    pub cap: f32,
    /// Weight `w` of the held-out loss, in `[0, 1]`.
    pub held_out_weight: f32,
    /// Inner steps between two held-out losses.
    pub held_out_every: u64,
    /// Weight of the loss at the end of the run against its mean over the run, in `[0, 1]`.
    pub final_weight: f32,
    /// Batches of each split on which the final loss is measured.
    pub final_batches: u64,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            transform: Transform::Log,
            floor: 0.01,
            cap: 3.0,
            held_out_weight: 0.5,
            held_out_every: 5,
            final_weight: 0.0,
            final_batches: 2,
        }
    }
}

impl Objective {
    /// `u(loss)`, always finite; `tuned` is what a tuned optimizer has at that step, over `reference`. Every episode
    /// whose objective asks for it has it.
    pub fn score_beside(&self, loss: f32, reference: f32, tuned: Option<f32>) -> f32 {
        let Some(tuned) = tuned.filter(|_| self.transform == Transform::Tuned) else {
            return self.score(loss, reference);
        };
        if !loss.is_finite() {
            return self.worst();
        }
        let behind = (loss.max(0.0) / reference + self.floor).ln() - (tuned.max(0.0) + self.floor).ln();
        behind.clamp(-self.worst(), self.worst())
    }

    /// `u(loss)` by the reference loss alone, always finite; the logarithm where the transform is relative to a tuned
    /// optimizer, as for tasks outside the pool.
    pub fn score(&self, loss: f32, reference: f32) -> f32 {
        if !loss.is_finite() {
            return self.worst();
        }
        let ratio = loss.max(0.0) / reference;
        match self.transform {
            Transform::Log | Transform::Tuned => (ratio + self.floor).ln().min(self.worst()),
            Transform::Ratio => ratio.min(self.worst()),
        }
    }

    /// The score of a diverged run, the worst that any run can get.
    pub fn worst(&self) -> f32 {
        match self.transform {
            Transform::Log | Transform::Tuned => self.cap.ln(),
            Transform::Ratio => self.cap,
        }
    }

    /// `(1-f) D + f (m/n) ΔG` for a segment of `steps` of the `length` steps of an episode, whose mean gap is
    /// `mean_gap` and over which the gap of the final loss changed by `final_change`.
    pub fn segment_gap(&self, mean_gap: f64, final_change: f64, steps: u64, length: u64) -> f64 {
        let weight = f64::from(self.final_weight);
        (1.0 - weight) * mean_gap + weight * (length as f64 / steps as f64) * final_change
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
        for (field, value) in
            [("objective.held_out_weight", self.held_out_weight), ("objective.final_weight", self.final_weight)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::config(field, value, "a fraction in [0, 1]"));
            }
        }
        if self.final_batches == 0 {
            return Err(Error::config("objective.final_batches", 0, "at least 1"));
        }
        if self.held_out_every == 0 {
            return Err(Error::config("objective.held_out_every", 0, "at least 1"));
        }
        if self.transform == Transform::Tuned && self.cap <= 1.0 {
            return Err(Error::config("objective.cap", self.cap, "a number above 1 where the transform is Tuned"));
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

    /// `(1 - w) · mean train + w · mean held out`; one of them alone where the other was not taken.
    pub fn mean(&self, objective: &Objective) -> f64 {
        let train = self.train / f64::from(self.train_count.max(1));
        if self.held_out_count == 0 {
            return train;
        }
        if self.train_count == 0 {
            return self.held_out / f64::from(self.held_out_count);
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
    fn a_ratio_is_capped_and_has_no_floor() {
        let objective = Objective { transform: Transform::Ratio, ..Objective::default() };
        assert_eq!(objective.score(1.0, 2.0), 0.5);
        assert_eq!(objective.score(0.0, 2.0), 0.0);
        assert_eq!((objective.score(100.0, 2.0), objective.score(f32::NAN, 2.0)), (3.0, 3.0));
    }

    #[test]
    fn a_run_that_keeps_up_with_the_tuned_optimizer_scores_zero_and_both_ends_are_bounded() {
        let objective = Objective { transform: Transform::Tuned, ..Objective::default() };
        let score = |loss| objective.score_beside(loss, 2.0, Some(0.25));
        assert_eq!(score(0.5), 0.0);
        assert!(score(0.6) > 0.0 && score(0.4) < 0.0);
        assert_eq!((score(f32::NAN), score(1e9), score(0.0)), (3f32.ln(), 3f32.ln(), -3f32.ln()));
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
