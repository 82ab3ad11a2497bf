//! One inner training run under a perturbed optimizer, in windows.
//!
//! A [`Particle`] owns a pair of runs of one task: same initial parameters, batches, horizon, rate and
//! schedule, theta perturbed in opposite directions. [`Particle::run_window`] trains both for one window and
//! reports the gap of their meta-losses. When an episode reaches its horizon inside a window the particle
//! starts the next one at once, so that every window costs the same number of inner steps.
//!
//! What an episode is follows from counters alone ([`EpisodeDraw`]); what it has become (parameters, optimizer
//! state, divergence) is in its two [`Side`]s, which is all that a checkpoint needs.

use velo_optimizer::{Architecture, LearnedOptimizer, LearnedWeights, Optimizer, Schedule};
use velo_tasks::{Batch, Split, Task};

use crate::Error;
use crate::estimator::{GradientEstimator, Position};
use crate::noise::{Noise, Purpose, bits, uniform};
use crate::objective::{Objective, Scores, has_diverged};
use crate::truncation::Truncation;

/// Where the tasks of a run come from.
pub trait TaskSource: Send + Sync {
    /// Names of the families, in the order of their numbers.
    fn families(&self) -> Vec<String>;

    /// The task for `seed` and the number of its family: a pure function of `seed`.
    ///
    /// # Errors
    /// When a drawn configuration cannot be built, which names the field.
    fn draw(&self, seed: u64) -> Result<(usize, Box<dyn Task>), Error>;
}

/// Everything that stays the same during a run and that a window depends on.
pub struct Setting {
    /// Seed of the run.
    pub seed: u64,
    /// Number of particles.
    pub particles: u64,
    /// The rule that is learned.
    pub architecture: Architecture,
    /// Scale of the perturbations.
    pub sigma: f32,
    /// The gradient estimator.
    pub estimator: &'static dyn GradientEstimator,
    /// Perturbations.
    pub noise: Noise,
    /// Lengths.
    pub truncation: Truncation,
    /// The meta-loss.
    pub objective: Objective,
    /// Range of the step multiplier.
    pub step_multiplier: (f32, f32),
    /// Schedules to draw from.
    pub schedules: Vec<Schedule>,
    /// Decay coefficients to draw from.
    pub weight_decays: Vec<f32>,
    /// Tasks.
    pub tasks: Box<dyn TaskSource>,
}

/// The conditions of one episode, a pure function of (seed, particle, episode).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpisodeDraw {
    /// Seed of the task configuration.
    pub task: u64,
    /// Seed of the initial parameters.
    pub initialisation: u64,
    /// Seed of the batches.
    pub batches: u64,
    /// Inner steps.
    pub horizon: u64,
    /// Factor on the native step size.
    pub step_multiplier: f32,
    /// Schedule over the horizon.
    pub schedule: Schedule,
    /// Decoupled decay.
    pub weight_decay: f32,
}

impl EpisodeDraw {
    /// The draw for one episode of one particle.
    pub fn new(setting: &Setting, particle: u64, episode: u64) -> Self {
        let bits = |purpose| bits(setting.seed, purpose, particle, episode);
        let uniform = |purpose| uniform(setting.seed, purpose, particle, episode);
        let horizon = setting.truncation.horizon(uniform(Purpose::Horizon));
        let (low, high) = setting.step_multiplier;
        let pick = |purpose, count: usize| (uniform(purpose) * count as f64) as usize;
        Self {
            task: bits(Purpose::Task),
            initialisation: bits(Purpose::Initialisation),
            batches: bits(Purpose::Batches),
            horizon: match episode {
                0 => setting.truncation.staggered(horizon, particle, setting.particles),
                _ => horizon,
            },
            step_multiplier: low * (high / low).powf(uniform(Purpose::StepMultiplier) as f32),
            schedule: setting.schedules[pick(Purpose::Schedule, setting.schedules.len())],
            weight_decay: setting.weight_decays[pick(Purpose::WeightDecay, setting.weight_decays.len())],
        }
    }
}

/// One run of a pair.
pub struct Side {
    /// Parameters of the task.
    pub params: Vec<f32>,
    /// The perturbed optimizer.
    pub optimizer: LearnedOptimizer,
    /// Set when the run was given up; it then costs the worst score until the episode ends.
    pub diverged: bool,
}

/// A pair of runs of one task.
pub struct Episode {
    /// Its conditions.
    pub draw: EpisodeDraw,
    /// Number of the task's family.
    pub family: usize,
    /// Inner steps done.
    pub inner_step: u64,
    /// Runs under `θ + σ n` and `θ - σ n`.
    pub sides: [Side; 2],
    task: Box<dyn Task>,
}

impl Episode {
    /// An episode at its first step.
    ///
    /// # Errors
    /// When the task or the optimizer cannot be built.
    pub fn new(setting: &Setting, particle: u64, episode: u64) -> Result<Self, Error> {
        let draw = EpisodeDraw::new(setting, particle, episode);
        let (family, task) = setting.tasks.draw(draw.task)?;
        let mut params = vec![0.0; task.layout().len()];
        task.init(draw.initialisation, &mut params);
        let weights = LearnedWeights::new(setting.architecture.clone(), vec![0.0; setting.noise.learned().len()])?;
        let side = || -> Result<Side, Error> {
            let mut optimizer = LearnedOptimizer::new(task.layout(), weights.clone())?;
            optimizer.set_step_multiplier(draw.step_multiplier);
            optimizer.set_weight_decay(draw.weight_decay);
            optimizer.set_schedule(draw.schedule);
            optimizer.set_horizon(Some(draw.horizon));
            Ok(Side { params: params.clone(), optimizer, diverged: false })
        };
        Ok(Self { draw, family, inner_step: 0, sides: [side()?, side()?], task })
    }

    /// Trains both sides for up to `steps` inner steps, or to the horizon.
    fn advance(&mut self, steps: u64, objective: &Objective, grads: &mut Vec<f32>) -> Result<Segment, Error> {
        let steps = steps.min(self.draw.horizon - self.inner_step);
        let reference = self.task.reference_loss();
        grads.resize(self.task.layout().len(), 0.0);
        let mut scores = [Scores::default(); 2];
        for index in self.inner_step..self.inner_step + steps {
            let train = Batch { seed: self.draw.batches, split: Split::Train, index };
            let held_out = Batch { seed: self.draw.batches, split: Split::Validation, index };
            let takes_held_out = objective.takes_held_out(index);
            for (side, scores) in self.sides.iter_mut().zip(&mut scores) {
                if !side.diverged {
                    let loss = self.task.loss_and_grad(&side.params, train, grads);
                    side.diverged = has_diverged(loss, reference);
                    if !side.diverged {
                        scores.add_train(objective.score(loss, reference));
                        if takes_held_out {
                            let loss = self.task.loss(&side.params, held_out);
                            scores.add_held_out(objective.score(loss, reference));
                        }
                        side.optimizer.step(&mut side.params, grads, loss)?;
                        continue;
                    }
                }
                scores.add_train(objective.worst());
                if takes_held_out {
                    scores.add_held_out(objective.worst());
                }
            }
        }
        self.inner_step += steps;
        let [plus, minus] = scores.map(|scores| scores.mean(objective));
        Ok(Segment { steps, gap: (plus - minus) as f32, mean: (0.5 * (plus + minus)) as f32 })
    }

    fn is_over(&self) -> bool {
        self.inner_step >= self.draw.horizon
    }
}

struct Segment {
    steps: u64,
    gap: f32,
    mean: f32,
}

/// What one window of one particle says about the gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SegmentGap {
    /// Where it was measured; determines the direction.
    pub position: Position,
    /// Number of the task's family.
    pub family: usize,
    /// Inner steps of the segment (per side).
    pub steps: u64,
    /// Mean of `L⁺ - L⁻` over the segment.
    pub gap: f32,
    /// Mean meta-loss of both sides over the segment.
    pub meta_loss: f32,
}

/// The report of one window: one segment, or more when episodes ended inside it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WindowReport {
    /// Parts of the window, in order; their steps add up to the window.
    pub segments: Vec<SegmentGap>,
    /// Episodes that ended.
    pub episodes: u32,
    /// Sides, of two per ended episode, that had diverged.
    pub diverged: u32,
}

/// Buffers that a worker lends to every window it runs.
#[derive(Debug, Default)]
pub struct Scratch {
    grads: Vec<f32>,
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
    /// The running episode; none before the first window and between two.
    pub live: Option<Episode>,
}

impl Particle {
    /// A particle before its first episode.
    pub fn new(index: u64) -> Self {
        Self { index, episode: 0, window: 0, episode_start: 0, live: None }
    }

    /// The particle after a failure in `window` of `episode`: it goes on with the next episode.
    pub fn restarted(index: u64, episode: u64, window: u64) -> Self {
        Self { index, episode: episode + 1, window: window + 1, episode_start: window + 1, live: None }
    }

    /// Trains for one window around `theta`.
    ///
    /// # Errors
    /// When a task or optimizer cannot be built or refuses its input.
    pub fn run_window(
        &mut self,
        theta: &[f32],
        setting: &Setting,
        scratch: &mut Scratch,
    ) -> Result<WindowReport, Error> {
        let mut report = WindowReport::default();
        let mut left = setting.truncation.window;
        while left > 0 {
            let position = Position {
                particle: self.index,
                episode: self.episode,
                window: self.window,
                episode_start: self.episode_start,
            };
            let mut episode = match self.live.take() {
                Some(episode) => episode,
                None => Episode::new(setting, self.index, self.episode)?,
            };
            publish(&mut episode, theta, position, setting, scratch)?;
            let segment = episode.advance(left, &setting.objective, &mut scratch.grads)?;
            left -= segment.steps;
            report.segments.push(SegmentGap {
                position,
                family: episode.family,
                steps: segment.steps,
                gap: segment.gap,
                meta_loss: segment.mean,
            });
            if episode.is_over() {
                report.episodes += 1;
                report.diverged += episode.sides.iter().filter(|side| side.diverged).count() as u32;
                self.episode += 1;
                self.episode_start = self.window;
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
}

/// Gives both sides their perturbed theta.
fn publish(
    episode: &mut Episode,
    theta: &[f32],
    position: Position,
    setting: &Setting,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    scratch.perturbation.resize(theta.len(), 0.0);
    setting.estimator.perturbation(&mut scratch.perturbation, position, &setting.noise);
    for (side, sign) in episode.sides.iter_mut().zip([setting.sigma, -setting.sigma]) {
        scratch.theta.clear();
        scratch.theta.extend(theta.iter().zip(&scratch.perturbation).map(|(theta, n)| theta + sign * n));
        side.optimizer.set_theta(&scratch.theta)?;
    }
    Ok(())
}
