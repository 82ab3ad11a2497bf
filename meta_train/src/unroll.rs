//! A particle: one antithetic pair of inner runs after another, window by window.
//!
//! [`Particle::run_window`] trains both sides of its [`Episode`] for one window around theta, perturbed in
//! opposite directions, and reports the gap of their meta-losses. When an episode reaches its horizon inside a
//! window the particle starts the next one at once, so that every window costs the same number of inner steps.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::episode::exact;
pub use crate::episode::{Birth, Episode, EpisodeDraw, EpisodeRecord, Side};
use crate::estimator::Position;
use crate::resume::{Snapshot, resumed};
pub use crate::setting::{Setting, Stage, TaskSource};

/// What one window of one particle says about the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SegmentGap {
    /// Where it was measured; determines the direction.
    pub position: Position,
    /// Number of the task's family.
    pub family: usize,
    /// Inner steps of the segment (per side).
    pub steps: u64,
    /// Mean of `L⁺ - L⁻` over the segment, or what the objective makes of it.
    #[serde(with = "exact")]
    pub gap: f32,
    /// Mean meta-loss of both sides over the segment.
    #[serde(with = "exact")]
    pub meta_loss: f32,
}

/// The end of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Number of the task's family.
    pub family: usize,
    /// Sides, of two, that had diverged.
    pub diverged: u32,
}

/// The report of one window: one segment, or more when episodes ended inside it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WindowReport {
    /// Inner steps trained (per side).
    pub steps: u64,
    /// Parts of the window, in order, whose steps add up to the window; whole runs that ended in it where the
    /// estimator waits for the end.
    pub segments: Vec<SegmentGap>,
    /// Episodes that ended.
    pub ended: Vec<Ended>,
}

impl WindowReport {
    /// Whether it speaks of families and stages that a run with so many has.
    pub fn fits(&self, families: usize, stages: usize) -> bool {
        let segments = self.segments.iter().all(|segment| segment.family < families && segment.position.stage < stages);
        segments && self.ended.iter().all(|ended| ended.family < families)
    }

    /// Sides, of two per ended episode, that had diverged.
    pub fn diverged(&self) -> u32 {
        self.ended.iter().map(|ended| ended.diverged).sum()
    }
}

/// Buffers that a worker lends to every window it runs.
#[derive(Debug, Default)]
pub struct Scratch {
    buffer: Vec<f32>,
    perturbation: Vec<f32>,
    theta: Vec<f32>,
}

/// A pair of runs that is reset again and again.
pub struct Particle {
    /// Its number in the population.
    pub index: u64,
    /// Times it was reset.
    pub episode: u64,
    /// Windows finished.
    pub window: u64,
    /// Window in which the running episode began.
    pub episode_start: u64,
    /// The episode with which it began, or began anew together with all others; cut short to stagger them.
    pub first_episode: u64,
    /// The running episode; none before the first window and between two.
    pub live: Option<Episode>,
    /// A state to return to.
    pub saved: Option<Snapshot>,
}

impl Particle {
    /// A particle before its first episode.
    pub fn new(index: u64) -> Self {
        Self { index, episode: 0, window: 0, episode_start: 0, first_episode: 0, live: None, saved: None }
    }

    /// The particle after a failure in `window` of `episode`: it goes on with the next episode.
    pub fn restarted(index: u64, episode: u64, window: u64) -> Self {
        let (episode, window) = (episode + 1, window + 1);
        Self { episode, window, episode_start: window, ..Self::new(index) }
    }

    /// Gives up the running episode and the state to return to, as all other particles do at this moment.
    pub fn begin_anew(&mut self) {
        self.saved = None;
        if self.live.take().is_some() {
            self.episode += 1;
        }
        self.episode_start = self.window;
        self.first_episode = self.episode;
    }

    /// Trains for one window around `theta`, which was published after `generation` outer steps; idles if the stage
    /// that is on then has no use for this particle.
    ///
    /// # Errors
    /// When a task or optimizer cannot be built or refuses its input.
    pub fn run_window(
        &mut self,
        theta: &[f32],
        generation: u64,
        setting: &Setting,
        scratch: &mut Scratch,
    ) -> Result<WindowReport, Error> {
        let stage = setting.stage(generation);
        if self.index >= stage.pairs {
            self.idle(setting);
            return Ok(WindowReport::default());
        }
        let mut report = WindowReport { steps: stage.truncation.window, ..WindowReport::default() };
        let mut left = report.steps;
        while left > 0 {
            let mut episode = match self.live.take() {
                Some(episode) => episode,
                None => self.begin(generation, setting)?,
            };
            let Birth { episode: number, start, stage: born_in, .. } = episode.record().birth;
            let position = Position {
                particle: self.index,
                episode: number,
                window: self.window,
                episode_start: start,
                stage: born_in,
            };
            let before = stage.resume.map(|_| Snapshot::of(&episode));
            let conditions = &setting.stages[born_in];
            publish(&mut episode, theta, position, setting, scratch)?;
            let mut segment = episode.advance(left, &conditions.objective, &mut scratch.buffer)?;
            left -= segment.steps;
            if setting.estimator.waits_for_the_end() {
                segment = episode.whole();
            }
            if episode.is_over() || !setting.estimator.waits_for_the_end() {
                report.segments.push(SegmentGap {
                    position,
                    family: episode.family,
                    steps: segment.steps,
                    gap: segment.gap as f32,
                    meta_loss: segment.meta_loss as f32,
                });
            }
            let rose = episode.rose_to_a_record();
            if let Some(before) = before.filter(|before| (rose || episode.is_over()) && before.is_worth_it()) {
                self.saved = Some(before);
            }
            if episode.is_over() {
                let diverged = episode.sides.iter().filter(|side| side.diverged).count() as u32;
                report.ended.push(Ended { family: episode.family, diverged });
                self.episode += 1;
                self.episode_start = self.window;
                episode.end(setting);
            } else {
                self.live = Some(episode);
            }
        }
        self.window += 1;
        if self.live.is_none() {
            self.episode_start = self.window;
        }
        Ok(report)
    }

    fn begin(&mut self, generation: u64, setting: &Setting) -> Result<Episode, Error> {
        let stage = setting.stage_number(generation);
        match resumed(&mut self.saved, setting, &setting.stages[stage], self.index, self.episode) {
            Some(snapshot) => snapshot.restore(setting),
            None => {
                let (particle, episode, start) = (self.index, self.episode, self.episode_start);
                let staggered = episode == self.first_episode;
                Episode::new(setting, Birth { particle, episode, start, stage, staggered })
            }
        }
    }

    /// Lets a window pass; an episode that was running is given up, so that none is trained across a pause.
    pub(crate) fn idle(&mut self, setting: &Setting) {
        if let Some(episode) = self.live.take() {
            self.episode += 1;
            episode.end(setting);
        }
        self.window += 1;
        self.episode_start = self.window;
    }
}

/// Gives both sides their perturbed theta.
fn publish(
    episode: &mut Episode,
    theta: &[f32],
    position: Position,
    setting: &Setting,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let stage = &setting.stages[position.stage];
    scratch.perturbation.resize(theta.len(), 0.0);
    setting.estimator.perturbation(&mut scratch.perturbation, position, &stage.noise);
    for (side, sign) in episode.sides.iter_mut().zip([1.0, -1.0]) {
        let perturbed = theta.iter().zip(&scratch.perturbation).zip(&stage.sigmas);
        scratch.theta.clear();
        scratch.theta.extend(perturbed.map(|((theta, n), sigma)| theta + sign * sigma * n));
        side.optimizer.set_theta(&scratch.theta)?;
    }
    Ok(())
}
