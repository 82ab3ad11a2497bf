//! A slot per particle for the state that is worth returning to.
//!
//! Log-uniform horizons spend most inner steps on young runs. A particle with a slot keeps a state from before a
//! window in which its run got worse than ever, or from before the last window, and with a given probability goes
//! on from there, for another drawn horizon, instead of starting anew (the resume buffer of ELO, arXiv 2607.06772).
//!
//! The trigger is a CUSUM over the mean meta-losses `u_k` of the windows of an episode,
//!
//! ```text
//! c_k = max(0, c_{k-1} + u_k - u_{k-1})        snapshot when c_k > max of all c before
//! ```
//!
//! A snapshot carries the numbers of its episode, from which its perturbation is regenerated: the two sides go on
//! under the `n` that made them, so that NRES stays unbiased.
//!
//! A run that goes on from step `s` to the horizon `T` is scored as an episode of its own: of `m = T - s` steps, with
//! no gap of the final loss before the first of them. Its windows `k` of `n_k` steps then telescope as those of a
//! fresh run do,
//!
//! ```text
//! 1/m Σ n_k ((1-f) D_k + f (m/n_k) (G_k - G_{k-1})) = (1-f) · mean D + f · G_end        G before the first = 0
//! ```
//!
//! The gap that there is at `s` is not taken off `G_end`: `n` has shaped the final loss at `T` since the first step of
//! the run, not since step `s`, and what the earlier life was scored by is the final loss at another horizon.

use serde::{Deserialize, Serialize};
use velo_optimizer::Optimizer;

use crate::Error;
use crate::episode::{Birth, Episode, EpisodeRecord};
use crate::noise::{Purpose, uniform};
use crate::setting::{Setting, Stage};

/// When a particle returns to an earlier state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resume {
    /// Probability of a fresh task although there is a state to return to.
    pub fresh: f64,
    /// Longest horizon that a run may get by being resumed.
    pub longest: u64,
}

impl Default for Resume {
    fn default() -> Self {
        Self { fresh: 0.2, longest: 10_000 }
    }
}

impl Resume {
    /// Rejects what is not a probability, and a horizon of zero.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.fresh) {
            return Err(Error::config("resume.fresh", self.fresh, "a fraction in [0, 1]"));
        }
        if self.longest == 0 {
            return Err(Error::config("resume.longest", 0, "at least 1"));
        }
        Ok(())
    }
}

/// The whole state of an episode between two windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Which episode, and how far it was.
    pub record: EpisodeRecord,
    /// Parameters of both sides.
    pub params: [Vec<f32>; 2],
    /// Optimizer states of both sides.
    pub states: [Vec<u8>; 2],
}

impl Snapshot {
    /// The state of `episode`.
    pub fn of(episode: &Episode) -> Self {
        Self {
            record: episode.record(),
            params: episode.sides.each_ref().map(|side| side.params.clone()),
            states: episode.sides.each_ref().map(|side| side.optimizer.save_state()),
        }
    }

    /// Whether there is something to learn from it: it has begun, and no side was given up.
    pub fn is_worth_it(&self) -> bool {
        self.record.inner_step > 0 && self.record.diverged == [false, false]
    }

    /// The episode in that state.
    ///
    /// # Errors
    /// When the task or optimizer cannot be built, or the arrays do not fit them.
    pub fn restore(self, setting: &Setting) -> Result<Episode, Error> {
        let Birth { particle, stage, .. } = self.record.birth;
        if stage >= setting.stages.len() {
            let expected = format!("a stage below {}", setting.stages.len());
            return Err(Error::config(
                format!("the saved state of particle {particle}"),
                format!("of stage {stage}"),
                expected,
            ));
        }
        let mut episode = Episode::new(setting, self.record.birth)?;
        episode.set_record(self.record);
        for ((side, params), state) in episode.sides.iter_mut().zip(self.params).zip(self.states) {
            if params.len() != side.params.len() {
                let (found, expected) = (params.len(), side.params.len());
                return Err(Error::config(
                    format!("the saved state of particle {particle}"),
                    format!("{found} parameters"),
                    format!("{expected} parameters"),
                ));
            }
            side.params = params;
            side.optimizer.load_state(&state)?;
        }
        Ok(episode)
    }

    /// The snapshot with a horizon that reaches as far again as a fresh run of number `episode` would, and nothing
    /// scored so far.
    fn extended(mut self, setting: &Setting, stage: &Stage, particle: u64, episode: u64) -> Self {
        let more = stage.truncation.horizon(uniform(setting.seed, Purpose::Horizon, particle, episode));
        let inner_step = self.record.inner_step;
        self.record = EpisodeRecord {
            horizon: inner_step + more,
            resumed_at: inner_step,
            final_gap: 0.0,
            gap_sum: 0.0,
            loss_sum: 0.0,
            ..self.record
        };
        self
    }
}

/// What the reset number `episode` of `particle` in `stage` goes on with: the saved state, taken out of its slot, or
/// `None` for a fresh task.
pub fn resumed(
    slot: &mut Option<Snapshot>,
    setting: &Setting,
    stage: &Stage,
    particle: u64,
    episode: u64,
) -> Option<Snapshot> {
    let resume = stage.resume?;
    if uniform(setting.seed, Purpose::Resume, particle, episode) < resume.fresh {
        return None;
    }
    let snapshot = slot.take()?.extended(setting, stage, particle, episode);
    (snapshot.record.horizon <= resume.longest).then_some(snapshot)
}
