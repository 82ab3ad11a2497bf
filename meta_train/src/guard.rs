//! Notices when theta blows up, and knows where to go back to.
//!
//! A generation is judged twice. Its meta-loss says how theta did, before the step; theta itself is looked at
//! after the step:
//!
//! ```text
//! blown up:  meta-loss not finite, or above min( max(usual + 2, worst - 0.5), usual + 0.9 (worst - usual) )
//!            an entry of theta not finite, or ‖θ‖ above 100 (1 + ‖θ at the last good generation‖)
//! usual ← 0.9 usual + 0.1 meta-loss
//! ```
//!
//! `worst` is the score of a diverged run: a meta-loss that near to it says that almost all runs of the generation
//! fail, which no hard draw of tasks explains. Where the usual meta-loss is near it already, nine tenths of the way that
//! is left are the bound, if the mean is over enough segments that a few hard draws cannot make it.
//!
//! Stages may score by different meta-losses, and an episode keeps that of the stage in which it began. What is usual
//! holds for one of them: a generation that reports by several is not compared, and the first that reports by another
//! says anew what is usual.
//!
//! The last good generation is the newest theta of which a meta-loss in bounds has been heard. Workers that do not wait
//! for each other report about older ones, so a theta waits here until reports about it, or about a newer one, are in.
//! A rollback restores it with the state of the outer optimizer; the unrolls, which a bad theta has spoilt, start new
//! episodes. All of it follows from what the population reported, so it is the same on any number of workers, and after
//! a resume, for which checkpoints hold the guard. A run that blows up again and again ends with an error that says so.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::learner::{Learner, LearnerState};

/// Rise above the usual meta-loss that no ordinary draw of tasks explains.
const LARGEST_RISE: f32 = 2.0;

/// A mean score that near to the worst one says that almost all runs fail.
const NEAR_WORST: f32 = 0.5;

/// Share of the way from the usual to the worst score beyond which, however short the way, something has happened.
const MOST_OF_THE_WAY: f32 = 0.9;

/// Segments that have to be heard for that.
const ENOUGH: usize = 8;

/// Growth of theta's norm since the last good generation that no ordinary step explains.
const LARGEST_GROWTH: f64 = 100.0;

/// Weight of the newest generation in the usual meta-loss.
const NEWEST: f32 = 0.1;

/// Rollbacks without ten good generations in a row between them, after which a run gives up.
pub const MOST_ROLLBACKS: u32 = 10;

/// Good generations in a row after which earlier rollbacks are forgotten.
const CALM: u32 = 10;

/// What a meta-loss is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// Smoothed over good generations.
    pub meta_loss: f32,
    /// By which of the run's meta-losses, as in [`Heard::scale`].
    pub scale: usize,
}

/// The numbers of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// What is usual, if anything was heard so far.
    pub usual: Option<Usual>,
    /// Rollbacks since the last calm.
    pub rollbacks: u32,
    /// Good generations in a row.
    pub calm: u32,
}

/// The last good generation, and what is usual.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Guard {
    good: Option<LearnerState>,
    /// Newer generations that no report has been about so far, oldest first.
    unheard: VecDeque<(u64, LearnerState)>,
    counts: Counts,
}

/// What was heard about a generation of theta.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Outer steps that had made theta.
    pub generation: u64,
    /// The oldest theta among those that the reports are about.
    pub oldest: u64,
    /// Mean meta-loss of the reports; none when no run said anything.
    pub meta_loss: Option<f32>,
    /// Segments that it is the mean of.
    pub segments: usize,
    /// Number of the first stage with the meta-loss by which all of them are scored; none where they differ.
    pub scale: Option<usize>,
    /// The score of a diverged run by that meta-loss.
    pub worst: f32,
}

impl Guard {
    /// A guard as a checkpoint holds it.
    pub fn restored(good: Option<LearnerState>, counts: Counts) -> Self {
        Self { good, unheard: VecDeque::new(), counts }
    }

    /// The last good generation, if there was one.
    pub fn good(&self) -> Option<&LearnerState> {
        self.good.as_ref()
    }

    /// Its numbers.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Smoothed meta-loss of good generations.
    pub fn usual_meta_loss(&self) -> Option<f32> {
        self.counts.usual.map(|usual| usual.meta_loss)
    }

    /// Judges the meta-loss of theta in `before`, a copy from before its step. In bounds, the newest theta that it says
    /// something about becomes the last good generation, otherwise the reason is returned. A generation in which no run reached
    /// its end may have no meta-loss to judge.
    ///
    /// # Errors
    /// What is out of bounds.
    pub fn judge_meta_loss(&mut self, before: LearnerState, heard: Heard) -> Result<(), String> {
        let Some(meta_loss) = heard.meta_loss else {
            // There is nothing but the start to go back to then.
            self.good.get_or_insert(before);
            return Ok(());
        };
        let usual = self.counts.usual.filter(|usual| Some(usual.scale) == heard.scale).map(|usual| usual.meta_loss);
        let bound = usual.map_or(f32::INFINITY, |usual| bound(usual, heard));
        if !meta_loss.is_finite() || meta_loss > bound {
            return Err(format!("the meta-loss is {meta_loss}, expected a finite number up to {bound}"));
        }
        if let Some(scale) = heard.scale {
            let meta_loss = usual.map_or(meta_loss, |usual| usual + NEWEST * (meta_loss - usual));
            self.counts.usual = Some(Usual { meta_loss, scale });
        }
        self.unheard.push_back((heard.generation, before));
        while self.unheard.front().is_some_and(|(generation, _)| *generation <= heard.oldest) {
            self.good = self.unheard.pop_front().map(|(_, state)| state);
        }
        Ok(())
    }

    /// Judges theta after its step.
    ///
    /// # Errors
    /// What is out of bounds.
    pub fn judge_theta(&mut self, theta: &[f32]) -> Result<(), String> {
        let bound = LARGEST_GROWTH * (1.0 + self.good.as_ref().map_or(f64::INFINITY, |good| norm(&good.theta)));
        let found = norm(theta);
        // Not `found > bound`: a NaN has to end up here too.
        if !(found.is_finite() && found <= bound) {
            return Err(format!("the norm of theta is {found:.4e}, expected a finite number up to {bound:.4e}"));
        }
        self.counts.calm = self.counts.calm.saturating_add(1);
        if self.counts.calm >= CALM {
            self.counts.rollbacks = 0;
        }
        Ok(())
    }

    /// Puts `learner` back to the last good generation, its clock going on; false when the run should give up.
    ///
    /// # Errors
    /// When the learner refuses the state, which was its own.
    pub fn roll_back(&mut self, learner: &mut Learner) -> Result<bool, crate::Error> {
        self.counts.rollbacks += 1;
        self.counts.calm = 0;
        self.unheard.clear();
        match &self.good {
            Some(good) if self.counts.rollbacks <= MOST_ROLLBACKS => {
                let generation = learner.generation();
                learner.restore(good.clone(), generation)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

fn bound(usual: f32, Heard { worst, segments, .. }: Heard) -> f32 {
    let bound = (usual + LARGEST_RISE).max(worst - NEAR_WORST);
    if segments >= ENOUGH { bound.min(usual + MOST_OF_THE_WAY * (worst - usual)) } else { bound }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use velo_optimizer::ParamLayout;

    use super::*;
    use crate::config::OuterConfig;

    fn state(value: f32) -> LearnerState {
        LearnerState { theta: vec![value; 4], average: vec![value; 4], ..learner().state() }
    }

    fn learner() -> Learner {
        let layout = ParamLayout::new([("w", vec![4])]).unwrap();
        Learner::new(vec![1.0; 4], &layout, 0, 1, OuterConfig::default()).unwrap()
    }

    /// Reports about theta itself.
    fn heard(generation: u64, meta_loss: impl Into<Option<f32>>) -> Heard {
        Heard { generation, oldest: generation, meta_loss: meta_loss.into(), segments: 8, scale: Some(0), worst: 1.0 }
    }

    #[test]
    fn a_meta_loss_far_above_the_usual_and_near_the_worst_is_a_blow_up_and_leaves_the_last_good_generation() {
        let mut guard = Guard::default();
        guard.judge_meta_loss(state(1.0), heard(0, -2.0)).unwrap();
        guard.judge_meta_loss(state(2.0), heard(1, 0.4)).expect("a hard draw, but half a nat from the worst");
        let problem = guard.judge_meta_loss(state(3.0), heard(2, 0.75)).unwrap_err();
        assert!(problem.contains("0.75") && problem.contains("0.5"), "{problem}");
        assert!(guard.judge_meta_loss(state(3.0), heard(2, f32::NAN)).is_err());
        assert_eq!(guard.good(), Some(&state(2.0)));
    }

    #[test]
    fn a_usual_meta_loss_near_the_worst_leaves_room_for_a_blow_up() {
        let mut guard = Guard::default();
        guard.judge_meta_loss(state(1.0), heard(0, 0.5)).unwrap();
        guard.judge_meta_loss(state(2.0), heard(1, 0.9)).unwrap();
        assert!(guard.judge_meta_loss(state(3.0), heard(2, 0.999)).is_err());
        guard.judge_meta_loss(state(3.0), Heard { segments: 7, ..heard(2, 0.999) }).expect("a few hard draws");
        let mut guard = Guard::default();
        guard.judge_meta_loss(state(1.0), heard(0, 1.0)).unwrap();
        guard.judge_meta_loss(state(2.0), heard(1, 1.0)).expect("it cannot get worse than it was from the start");
    }

    #[test]
    fn a_change_of_the_meta_loss_is_not_a_blow_up() {
        let mut guard = Guard::default();
        guard.judge_meta_loss(state(1.0), heard(0, -2.0)).unwrap();
        let mixed = Heard { scale: None, ..heard(1, 2.5) };
        guard.judge_meta_loss(state(2.0), mixed).expect("by several meta-losses");
        assert_eq!(guard.usual_meta_loss(), Some(-2.0));
        let other = |generation, meta_loss| Heard { scale: Some(1), worst: 3.0, ..heard(generation, meta_loss) };
        guard.judge_meta_loss(state(3.0), other(2, 2.0)).expect("by another");
        assert_eq!(guard.usual_meta_loss(), Some(2.0));
        assert!(guard.judge_meta_loss(state(4.0), other(3, 2.95)).is_err(), "it is what is usual now");
        let nan = Heard { scale: None, ..heard(4, f32::NAN) };
        assert!(guard.judge_meta_loss(state(4.0), nan).is_err());
    }

    #[test]
    fn a_run_that_is_good_and_blows_up_in_turns_gives_up() {
        let mut guard = Guard::default();
        let mut learner = learner();
        let mut generation = 0;
        let mut good = |guard: &mut Guard| {
            guard.judge_meta_loss(state(1.0), heard(generation, -2.0)).unwrap();
            guard.judge_theta(&[1.0; 4]).unwrap();
            generation += 1;
        };
        good(&mut guard);
        let rolled_back = (0..50).take_while(|_| {
            good(&mut guard);
            assert!(guard.judge_meta_loss(state(2.0), heard(0, 0.9)).is_err());
            guard.roll_back(&mut learner).unwrap()
        });
        assert_eq!(rolled_back.count(), MOST_ROLLBACKS as usize);
        let mut guard = Guard::default();
        for _ in 0..3 * MOST_ROLLBACKS {
            (0..CALM).for_each(|_| good(&mut guard));
            assert!(guard.roll_back(&mut learner).unwrap(), "rollbacks that lie far apart are forgotten");
        }
    }

    #[test]
    fn a_generation_without_a_meta_loss_changes_nothing_except_that_a_start_is_better_than_nothing() {
        let mut guard = Guard::default();
        guard.judge_meta_loss(state(1.0), heard(0, None)).unwrap();
        assert_eq!((guard.usual_meta_loss(), guard.good()), (None, Some(&state(1.0))));
        guard.judge_meta_loss(state(2.0), heard(1, -2.0)).unwrap();
        guard.judge_meta_loss(state(3.0), heard(2, None)).unwrap();
        assert_eq!((guard.usual_meta_loss(), guard.good()), (Some(-2.0), Some(&state(2.0))));
    }

    #[test]
    fn a_theta_is_not_good_before_reports_about_it_are_in() {
        let mut guard = Guard::default();
        let mut judge = |generation, oldest| {
            let heard = Heard { oldest, ..heard(generation, -1.0) };
            guard.judge_meta_loss(state(generation as f32), heard).unwrap();
            guard.good().map(|good| good.theta[0])
        };
        assert_eq!(judge(5, 3), None);
        assert_eq!(judge(6, 5), Some(5.0));
        assert_eq!(judge(7, 5), Some(5.0));
        assert_eq!(judge(8, 8), Some(8.0));
    }

    #[test]
    fn theta_may_grow_but_neither_explode_nor_cease_to_be_numbers() {
        let mut guard = Guard::default();
        guard.judge_meta_loss(state(1.0), heard(0, 0.0)).unwrap();
        guard.judge_theta(&[20.0; 4]).unwrap();
        for value in [1e3, f32::NAN, f32::INFINITY] {
            assert!(guard.judge_theta(&[value, 1.0, 1.0, 1.0]).is_err(), "{value}");
        }
    }
}
