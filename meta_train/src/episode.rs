//! One pair of inner training runs, from initial parameters to the horizon.
//!
//! What an episode is follows from counters alone ([`EpisodeDraw`]); what it has become (parameters, optimizer
//! states, sums of its gap) is in its two [`Side`]s and its [`EpisodeRecord`], which is all that a checkpoint
//! needs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use velo_optimizer::{LearnedOptimizer, LearnedWeights, Optimizer, Schedule};
use velo_tasks::{Batch, Partition, Split, Task};

use crate::Error;
use crate::noise::{Purpose, bits, uniform};
use crate::objective::{Objective, Scores, Transform, has_diverged};
use crate::reference::Reference;
use crate::setting::Setting;

/// Batches from here on measure the final loss; no inner run is that long.
const FIRST_FINAL_BATCH: u64 = 1 << 48;

/// Which episode it is: all that its draw follows from, beside the seed of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Birth {
    /// The particle.
    pub particle: u64,
    /// How many episodes the particle had before.
    pub episode: u64,
    /// Window of the particle in which it begins.
    pub start: u64,
    /// Number of the stage that is on then.
    pub stage: usize,
    /// Whether its horizon is cut, so that the particles of a fresh population do not end together.
    pub staggered: bool,
}

/// The conditions of one episode, a pure function of its [`Birth`] and the seed.
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
    /// Whether the optimizer is not told the horizon.
    pub horizon_hidden: bool,
}

impl EpisodeDraw {
    /// The draw for one episode.
    pub fn new(setting: &Setting, birth: Birth) -> Self {
        let Birth { particle, episode, .. } = birth;
        let stage = &setting.stages[birth.stage];
        let bits = |purpose| bits(setting.seed, purpose, particle, episode);
        let uniform = |purpose| uniform(setting.seed, purpose, particle, episode);
        let horizon = stage.truncation.horizon(uniform(Purpose::Horizon));
        let (low, high) = stage.step_multiplier;
        let pick = |purpose, count: usize| (uniform(purpose) * count as f64) as usize;
        let task = bits(Purpose::Task);
        Self {
            task: setting.pool.map_or(Partition::Train.seed(task), |pool| pool_task(setting.seed, task % pool)),
            initialisation: bits(Purpose::Initialisation),
            batches: bits(Purpose::Batches),
            horizon: match birth.staggered {
                true => stage.truncation.staggered(horizon, particle, setting.particles),
                false => horizon,
            },
            step_multiplier: low * (high / low).powf(uniform(Purpose::StepMultiplier) as f32),
            schedule: stage.schedules[pick(Purpose::Schedule, stage.schedules.len())],
            weight_decay: stage.weight_decays[pick(Purpose::WeightDecay, stage.weight_decays.len())],
            horizon_hidden: uniform(Purpose::HideHorizon) < stage.hide_horizon,
        }
    }
}

/// Seed of task number `index` of the pool of the run `seed`.
pub fn pool_task(seed: u64, index: u64) -> u64 {
    Partition::Train.seed(bits(seed, Purpose::Pool, index, 0))
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

/// Counters and sums of an episode, beside its arrays.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EpisodeRecord {
    /// The episode from whose draw it follows.
    pub birth: Birth,
    /// Inner steps in total; more than were drawn if it was resumed.
    pub horizon: u64,
    /// Inner steps done.
    pub inner_step: u64,
    /// Inner steps that it had done when it was resumed, from which on it is scored anew; 0 for a fresh run.
    pub resumed_at: u64,
    /// Which sides were given up.
    pub diverged: [bool; 2],
    /// Gap of the final losses at the end of the last segment; 0 before the first.
    #[serde(with = "exact")]
    pub final_gap: f64,
    /// Sum over scored steps of the gap of their segments.
    #[serde(with = "exact")]
    pub gap_sum: f64,
    /// Sum over scored steps of the mean meta-loss of both sides.
    #[serde(with = "exact")]
    pub loss_sum: f64,
    /// Meta-loss of the last segment; none before the first.
    pub last_loss: Option<f32>,
    /// Sum of its rises, reset where falls outweigh them.
    pub rise: f32,
    /// The largest of those sums.
    pub largest_rise: f32,
}

/// Numbers as their bits: a decimal text may come back as a neighbour, and NaN not at all.
pub(crate) mod exact {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub trait Bits: Copy {
        type Pattern: Serialize + for<'de> Deserialize<'de>;

        fn pattern(self) -> Self::Pattern;

        fn of(pattern: Self::Pattern) -> Self;
    }

    impl Bits for f32 {
        type Pattern = u32;

        fn pattern(self) -> u32 {
            self.to_bits()
        }

        fn of(pattern: u32) -> Self {
            Self::from_bits(pattern)
        }
    }

    impl Bits for f64 {
        type Pattern = u64;

        fn pattern(self) -> u64 {
            self.to_bits()
        }

        fn of(pattern: u64) -> Self {
            Self::from_bits(pattern)
        }
    }

    pub fn serialize<T: Bits, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.pattern().serialize(serializer)
    }

    pub fn deserialize<'de, T: Bits, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::Pattern::deserialize(deserializer).map(T::of)
    }
}

/// A pair of runs of one task.
pub struct Episode {
    /// Its conditions.
    pub draw: EpisodeDraw,
    /// Number of the task's family.
    pub family: usize,
    /// Runs under `θ + σ n` and `θ - σ n`.
    pub sides: [Side; 2],
    task: Box<dyn Task>,
    tuned: Option<Arc<Reference>>,
    record: EpisodeRecord,
}

/// What a stretch of steps came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Inner steps of each side.
    pub steps: u64,
    /// What the direction is multiplied with.
    pub gap: f64,
    /// Mean meta-loss of both sides.
    pub meta_loss: f64,
}

impl Episode {
    /// An episode at its first step.
    ///
    /// # Errors
    /// When the task or the optimizer cannot be built, or the meta-loss is relative to a tuned optimizer whose curves on
    /// the task are not known.
    pub fn new(setting: &Setting, birth: Birth) -> Result<Self, Error> {
        let draw = EpisodeDraw::new(setting, birth);
        let (family, task) = setting.tasks.draw_in(birth.stage, draw.task)?;
        let mut params = vec![0.0; task.layout().len()];
        task.init(draw.initialisation, &mut params);
        let theta = vec![0.0; setting.architecture.theta_layout().len()];
        let weights = LearnedWeights::new(setting.architecture.clone(), theta)?;
        let side = || -> Result<Side, Error> {
            let mut optimizer = LearnedOptimizer::new(task.layout(), weights.clone())?;
            optimizer.set_step_multiplier(draw.step_multiplier);
            optimizer.set_weight_decay(draw.weight_decay);
            optimizer.set_schedule(draw.schedule);
            optimizer.set_horizon((!draw.horizon_hidden).then_some(draw.horizon));
            Ok(Side { params: params.clone(), optimizer, diverged: false })
        };
        let record = EpisodeRecord { birth, horizon: draw.horizon, ..EpisodeRecord::default() };
        let tuned = setting.references.get(&(birth.stage, draw.task)).cloned();
        if tuned.is_none() && setting.stages[birth.stage].objective.transform == Transform::Tuned {
            let field = format!("the reference curve of the task with seed {} in stages[{}]", draw.task, birth.stage);
            let expected = "known before a run begins, from `Setting::find_references`, for every task of the pool";
            return Err(Error::config(field, "missing", expected));
        }
        Ok(Self { draw, family, sides: [side()?, side()?], task, tuned, record })
    }

    /// Counters and sums.
    pub fn record(&self) -> EpisodeRecord {
        EpisodeRecord { diverged: [self.sides[0].diverged, self.sides[1].diverged], ..self.record }
    }

    /// Goes on from saved counters and sums; the arrays of the sides are for the caller to fill.
    pub fn set_record(&mut self, record: EpisodeRecord) {
        self.record = record;
        for (side, diverged) in self.sides.iter_mut().zip(record.diverged) {
            side.diverged = diverged;
            side.optimizer.set_horizon((!self.draw.horizon_hidden).then_some(record.horizon));
        }
    }

    /// Trains both sides for up to `steps` inner steps, or to the horizon. Held-out rows, and all rows in the end, are measured
    /// with the parameters that an optimizer which averages would be evaluated with. `buffer` may hold anything.
    ///
    /// # Errors
    /// When an optimizer refuses its input.
    pub fn advance(&mut self, steps: u64, objective: &Objective, buffer: &mut Vec<f32>) -> Result<Segment, Error> {
        let first = self.record.inner_step;
        let steps = steps.min(self.record.horizon - first);
        let reference = self.task.reference_loss();
        let len = self.task.layout().len();
        buffer.resize(2 * len, 0.0);
        let (grads, evaluated) = buffer.split_at_mut(len);
        let mut scores = [Scores::default(); 2];
        for index in first..first + steps {
            let train = Batch { seed: self.draw.batches, split: Split::Train, index };
            let held_out = Batch { seed: self.draw.batches, split: Split::Validation, index };
            let takes_held_out = objective.takes_held_out(index);
            let tuned = |split| self.tuned.as_ref().map(|tuned| tuned.ratio(split, index, self.record.horizon));
            for (side, scores) in self.sides.iter_mut().zip(&mut scores) {
                if !side.diverged {
                    let loss = self.task.loss_and_grad(&side.params, train, grads);
                    side.diverged = has_diverged(loss, reference);
                    if !side.diverged {
                        scores.add_train(objective.score_beside(loss, reference, tuned(Split::Train)));
                        if takes_held_out {
                            side.optimizer.evaluation_params(&side.params, evaluated)?;
                            let loss = self.task.loss(evaluated, held_out);
                            let tuned = tuned(Split::Validation);
                            scores.add_held_out(objective.score_beside(loss, reference, tuned));
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
        self.record.inner_step += steps;
        let [plus, minus] = scores.map(|scores| scores.mean(objective));
        let change = self.change_of_final_gap(objective, evaluated)?;
        Ok(self.account(steps, plus - minus, change, 0.5 * (plus + minus), objective))
    }

    /// By how much the gap of the final losses has changed since the last segment; zero where they do not matter.
    fn change_of_final_gap(&mut self, objective: &Objective, evaluated: &mut [f32]) -> Result<f64, Error> {
        if objective.final_weight == 0.0 {
            return Ok(0.0);
        }
        let [plus, minus] = self.final_losses(objective, evaluated)?;
        let before = std::mem::replace(&mut self.record.final_gap, plus - minus);
        Ok(self.record.final_gap - before)
    }

    /// Adds a segment with mean gap `mean_gap` to the sums, at whose end the final gap had changed by `change`.
    fn account(&mut self, steps: u64, mean_gap: f64, change: f64, meta_loss: f64, objective: &Objective) -> Segment {
        let length = self.record.horizon - self.record.resumed_at;
        let gap = objective.segment_gap(mean_gap, change, steps, length);
        self.record.gap_sum += steps as f64 * gap;
        self.record.loss_sum += steps as f64 * meta_loss;
        let change = self.record.last_loss.map_or(0.0, |last| meta_loss as f32 - last);
        self.record.rise = (self.record.rise + change).max(0.0);
        self.record.last_loss = Some(meta_loss as f32);
        Segment { steps, gap, meta_loss }
    }

    /// Whether the meta-loss has risen, since its last low, by more than ever before in this episode; says so once.
    pub fn rose_to_a_record(&mut self) -> bool {
        let record = self.record.rise > self.record.largest_rise;
        self.record.largest_rise = self.record.largest_rise.max(self.record.rise);
        record
    }

    /// Meta-loss of both sides as they are, on batches that stay the same for the whole episode.
    fn final_losses(&mut self, objective: &Objective, evaluated: &mut [f32]) -> Result<[f64; 2], Error> {
        let (reference, horizon) = (self.task.reference_loss(), self.record.horizon);
        let mut losses = [0.0; 2];
        for (loss, side) in losses.iter_mut().zip(&self.sides) {
            side.optimizer.evaluation_params(&side.params, evaluated)?;
            let mut scores = Scores::default();
            for index in FIRST_FINAL_BATCH..FIRST_FINAL_BATCH + objective.final_batches {
                let mut score = |split| match side.diverged {
                    true => objective.worst(),
                    false => {
                        let batch = Batch { seed: self.draw.batches, split, index };
                        let tuned = self.tuned.as_ref().map(|tuned| tuned.ratio(split, horizon, horizon));
                        objective.score_beside(self.task.loss(evaluated, batch), reference, tuned)
                    }
                };
                if objective.held_out_weight < 1.0 {
                    scores.add_train(score(Split::Train));
                }
                if objective.held_out_weight > 0.0 {
                    scores.add_held_out(score(Split::Validation));
                }
            }
            *loss = scores.mean(objective);
        }
        Ok(losses)
    }

    /// All that is scored of the run, as one segment.
    pub fn whole(&self) -> Segment {
        let steps = self.record.inner_step - self.record.resumed_at;
        let mean = |sum: f64| sum / steps.max(1) as f64;
        Segment { steps, gap: mean(self.record.gap_sum), meta_loss: mean(self.record.loss_sum) }
    }

    /// Whether the horizon is reached.
    pub fn is_over(&self) -> bool {
        self.record.inner_step >= self.record.horizon
    }

    /// Gives the task back to where it came from.
    pub fn end(self, setting: &Setting) {
        setting.tasks.give_back(self.record.birth.stage, self.draw.task, self.family, self.task);
    }
}
