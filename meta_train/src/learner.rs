//! Gathers contributions, forms the meta-gradient and takes the outer step.
//!
//! Per segment with gap `D` and family `f`, over `N` particles and windows of `W` steps:
//!
//! ```text
//! D̂ = clip( D / rms_f, ± gap_clip )          rms_f: running root mean square of D in the family
//! ḡ = 1/N Σ  steps/W · d D̂ / (2 σ)            merged in the order of particles
//! θ ← outer optimizer( θ, clip_norm(ḡ), mean meta-loss )     AdamW unless configured; warm-up times the rate of the stage
//! ```
//!
//! The outer optimizer may be a learned one: it is shown the meta-loss and told how many outer steps there are; warm-up and
//! rate of the stage come on top of the pace that it keeps itself. Where no run said anything, as between the ends of
//! full-length runs, there is no meta-loss and theta rests: its pace then does not come to its end.
//!
//! Dividing by the running scale lets families with loud and quiet losses speak equally; it happens here and
//! not in the workers, because it depends on what all of them report. [`GapScaling`] also offers the bare gap
//! and its sign. The frozen optimizer is an exponential
//! average of theta: one gradient is nearly all noise, an average of thousands is not.

use serde::{Deserialize, Serialize};
use velo_optimizer::{Optimizer, ParamLayout};

use crate::Error;
use crate::config::OuterConfig;
use crate::estimator::add_contribution;
use crate::unroll::{SegmentGap, Setting, WindowReport};

/// Decay of the running mean square of gaps.
const SCALE_DECAY: f32 = 0.95;

/// What a gap is divided by before it enters the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum GapScaling {
    /// The running root mean square of its family, then clipped.
    #[default]
    RunningRms,
    /// Its own size: only the sign counts.
    Sign,
    /// Nothing.
    Raw,
}

/// Running mean square of the gaps of one family, bias-corrected by its own weight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GapScale {
    /// Decayed sum of squares.
    pub mean_square: f32,
    /// Decayed sum of ones.
    pub weight: f32,
}

impl GapScale {
    fn add(&mut self, mean_square: f32) {
        self.mean_square = SCALE_DECAY * self.mean_square + (1.0 - SCALE_DECAY) * mean_square;
        self.weight = SCALE_DECAY * self.weight + (1.0 - SCALE_DECAY);
    }

    /// The running root mean square; infinite before the first gap, so that nothing is divided by zero.
    pub fn rms(&self) -> f32 {
        let mean_square = self.mean_square / self.weight;
        if mean_square > 0.0 { mean_square.sqrt() } else { f32::INFINITY }
    }
}

/// What one outer step did.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OuterStep {
    /// Mean meta-loss over all windows; none where no run said anything, as between the ends of full-length runs.
    pub meta_loss: Option<f32>,
    /// Norm of the mean gradient before clipping.
    pub gradient_norm: f32,
    /// Squared norm of the mean gradient over that of its standard error, minus one: zero for pure noise.
    pub signal_to_noise: f32,
    /// Contributions left out because they were not finite.
    pub dropped: u32,
    /// Episodes that ended.
    pub episodes: u32,
    /// Sides of ended episodes that had diverged.
    pub diverged: u32,
}

/// Everything a learner has learned, as plain arrays: what checkpoints hold and rollbacks return to.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerState {
    /// The meta-parameters.
    pub theta: Vec<f32>,
    /// Their exponential average.
    pub average: Vec<f32>,
    /// Running gap scale per family.
    pub scales: Vec<GapScale>,
    /// State of the outer optimizer.
    pub outer: Vec<u8>,
}

/// Owner of theta.
pub struct Learner {
    theta: Vec<f32>,
    average: Vec<f32>,
    outer: Box<dyn Optimizer>,
    /// The factor on its steps that its configuration asks for.
    outer_multiplier: f32,
    outer_steps: u64,
    scales: Vec<GapScale>,
    generation: u64,
    config: OuterConfig,
}

impl Learner {
    /// A learner before its first step, for weights of that layout.
    ///
    /// # Errors
    /// When the hyper-parameters of the outer optimizer are out of range.
    pub fn new(
        theta: Vec<f32>,
        layout: &ParamLayout,
        families: usize,
        outer_steps: u64,
        config: OuterConfig,
    ) -> Result<Self, Error> {
        let mut outer = config.optimizer.clone().with_learning_rate(config.learning_rate).build(layout)?;
        outer.set_horizon(Some(outer_steps));
        Ok(Self {
            average: theta.clone(),
            theta,
            outer_multiplier: outer.step_multiplier(),
            outer,
            outer_steps,
            scales: vec![GapScale::default(); families],
            generation: 0,
            config,
        })
    }

    /// The published meta-parameters.
    pub fn theta(&self) -> &[f32] {
        &self.theta
    }

    /// Their exponential average, which is what is frozen.
    pub fn average(&self) -> &[f32] {
        &self.average
    }

    /// Outer steps taken.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// A copy of everything learned so far.
    pub fn state(&self) -> LearnerState {
        let (theta, average, scales) = (self.theta.clone(), self.average.clone(), self.scales.clone());
        LearnerState { theta, average, scales, outer: self.outer.save_state() }
    }

    /// Continues from `state` after `generation` outer steps.
    ///
    /// # Errors
    /// When the parts do not fit this learner; it is unchanged then.
    pub fn restore(&mut self, state: LearnerState, generation: u64) -> Result<(), Error> {
        for (field, found, expected) in [
            ("theta", state.theta.len(), self.theta.len()),
            ("average", state.average.len(), self.average.len()),
            ("scales", state.scales.len(), self.scales.len()),
        ] {
            if found != expected {
                return Err(Error::config(field, format!("of length {found}"), format!("length {expected}")));
            }
        }
        self.outer.load_state(&state.outer)?;
        // The state brings the horizon of the run that it comes from.
        self.outer.set_horizon(Some(self.outer_steps));
        (self.theta, self.average, self.scales) = (state.theta, state.average, state.scales);
        self.generation = generation;
        Ok(())
    }

    /// One outer step from the reports of one generation, in the order of particles; `None` where a particle
    /// was lost.
    ///
    /// # Errors
    /// When the outer optimizer refuses its input.
    pub fn step(&mut self, reports: &[Option<WindowReport>], setting: &Setting) -> Result<OuterStep, Error> {
        let mut outcome = OuterStep::default();
        self.update_scales(reports);
        let gradients = self.gradients(reports, setting, &mut outcome);
        let count = gradients.len();
        let mut mean = vec![0.0f32; self.theta.len()];
        for gradient in &gradients {
            mean.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
        mean.iter_mut().for_each(|sum| *sum /= count.max(1) as f32);
        outcome.gradient_norm = squared_norm(&mean).sqrt() as f32;
        outcome.signal_to_noise = signal_to_noise(&mean, &gradients);
        summarise(reports, &mut outcome);
        if let Some(meta_loss) = outcome.meta_loss.filter(|_| count > 0) {
            self.apply(mean, outcome.gradient_norm, meta_loss, setting)?;
        }
        self.generation += 1;
        self.update_average();
        Ok(outcome)
    }

    fn update_scales(&mut self, reports: &[Option<WindowReport>]) {
        let mut sums = vec![(0.0f64, 0u32); self.scales.len()];
        for segment in reports.iter().flatten().flat_map(|report| &report.segments) {
            if segment.gap.is_finite() {
                sums[segment.family].0 += f64::from(segment.gap).powi(2);
                sums[segment.family].1 += 1;
            }
        }
        for (scale, (sum, count)) in self.scales.iter_mut().zip(sums) {
            if count > 0 {
                scale.add((sum / f64::from(count)) as f32);
            }
        }
    }

    /// One gradient per particle that had something to say; a particle that idled has not.
    fn gradients(&self, reports: &[Option<WindowReport>], setting: &Setting, outcome: &mut OuterStep) -> Vec<Vec<f32>> {
        let mut direction = vec![0.0f32; self.theta.len()];
        let mut gradients = Vec::with_capacity(reports.len());
        for report in reports.iter().flatten().filter(|report| report.steps > 0) {
            let mut gradient = vec![0.0f32; self.theta.len()];
            for segment in &report.segments {
                let share = segment.steps as f32 / report.steps as f32;
                let stage = &setting.stages[segment.position.stage];
                setting.estimator.direction(&mut direction, segment.position, &stage.noise);
                add_contribution(&mut gradient, &direction, self.scaled(segment) * share, &stage.sigmas);
            }
            if gradient.iter().all(|g| g.is_finite()) {
                gradients.push(gradient);
            } else {
                outcome.dropped += 1;
            }
        }
        gradients
    }

    fn scaled(&self, segment: &SegmentGap) -> f32 {
        let gap = segment.gap;
        match self.config.gap_scaling {
            GapScaling::Raw => gap,
            GapScaling::Sign if gap == 0.0 => 0.0,
            GapScaling::Sign => gap.signum(),
            GapScaling::RunningRms => {
                (gap / self.scales[segment.family].rms()).clamp(-self.config.gap_clip, self.config.gap_clip)
            }
        }
    }

    fn apply(&mut self, mut gradient: Vec<f32>, norm: f32, meta_loss: f32, setting: &Setting) -> Result<(), Error> {
        if norm > self.config.clip_norm {
            let factor = self.config.clip_norm / norm;
            gradient.iter_mut().for_each(|g| *g *= factor);
        }
        let stage = setting.stage(self.generation);
        let learned = stage.noise.learned();
        // An episode of the stage before may still speak of weights that are not learned any more.
        gradient.iter_mut().zip(learned).filter(|(_, learned)| !**learned).for_each(|(g, _)| *g = 0.0);
        let before = self.theta.clone();
        let factor = self.warm_up() * stage.rate_factor(self.generation);
        self.outer.set_step_multiplier(self.outer_multiplier * factor);
        self.outer.step(&mut self.theta, &gradient, meta_loss)?;
        // Momentum and decay of the outer optimizer must not touch entries that are not learned.
        for ((theta, before), _) in self.theta.iter_mut().zip(before).zip(learned).filter(|(_, learned)| !**learned) {
            *theta = before;
        }
        Ok(())
    }

    fn warm_up(&self) -> f32 {
        let steps = (f64::from(self.config.warmup) * self.outer_steps as f64).floor();
        let ramp = (self.generation as f64 + 1.0) / (steps + 1.0);
        ramp.min(1.0) as f32
    }

    /// `average ← d average + (1-d) theta`, with a shorter memory at the start, where theta moves fast.
    fn update_average(&mut self) {
        let age = self.generation as f32;
        let decay = self.config.average_decay.min((1.0 + age) / (10.0 + age));
        for (average, theta) in self.average.iter_mut().zip(&self.theta) {
            *average = decay * *average + (1.0 - decay) * theta;
        }
    }
}

fn squared_norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum()
}

/// `‖ḡ‖² / (s²/N) - 1` with `s²` the summed sample variance of the gradients.
fn signal_to_noise(mean: &[f32], gradients: &[Vec<f32>]) -> f32 {
    let count = gradients.len();
    if count < 2 {
        return 0.0;
    }
    let spread: f64 = gradients
        .iter()
        .map(|gradient| gradient.iter().zip(mean).map(|(g, m)| f64::from(g - m).powi(2)).sum::<f64>())
        .sum();
    let error = spread / ((count - 1) * count) as f64;
    if error > 0.0 { (squared_norm(mean) / error - 1.0) as f32 } else { 0.0 }
}

fn summarise(reports: &[Option<WindowReport>], outcome: &mut OuterStep) {
    let (mut sum, mut steps) = (0.0f64, 0u64);
    for report in reports.iter().flatten() {
        for segment in &report.segments {
            sum += f64::from(segment.meta_loss) * segment.steps as f64;
            steps += segment.steps;
        }
        outcome.episodes += report.ended.len() as u32;
        outcome.diverged += report.diverged();
    }
    outcome.meta_loss = (steps > 0).then(|| (sum / steps as f64) as f32);
}
