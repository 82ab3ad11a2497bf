//! Training a learned optimizer as a task: the parameters are the weights of a small update rule, the loss is how well it trains.
//!
//! A batch is a number of random quadratics `f(x) = ½ Σ_i λ_i x_i²`. The rule sees, for each coordinate, the gradient and two of its
//! running means, all divided by the running root mean square of the gradient, and the time; it is an MLP of one hidden layer:
//!
//! ```text
//! (d, s) = W₂ tanh(W₁ (g, m, m', 2 t/T - 1) + b₁) + b₂      x ← x - 0.1 · d · exp(s), |s| ≤ 3
//! L = mean over problems and times of min(f(x_t) / f(x_0), 10)
//! ```
//!
//! A rule that does nothing has the loss 1. Nothing is differentiated through the training: the gradient is an antithetic
//! evolution estimate, as in meta-training itself.

use serde::{Deserialize, Serialize};
use velo_optimizer::{FlushDenormals, ParamLayout};

use crate::Error;
use crate::error::check_range;
use crate::evolution::Antithetic;
use crate::graph::{Initial, initialise};
use crate::rng::{Draws, Stream, derive_seed, stream_number};
use crate::task::{Batch, Metrics, Split, Task};

/// Numbers that the rule sees of a coordinate.
const FEATURES: usize = 4;

/// Outputs of the rule: direction and logarithm of the size.
const OUTPUTS: usize = 2;

/// Largest share of the first loss that counts.
const WORST_RATIO: f32 = 10.0;

/// Batches of problems that are evaluated.
const EVALUATION_BATCHES: u64 = 8;

/// A small update rule and what it is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnedOptimizerConfig {
    /// Hidden units of the rule, 1 to 256.
    pub hidden: usize,
    /// Steps of a training, 1 to 1000.
    pub steps: usize,
    /// Coordinates of a problem, 1 to 256.
    pub dimensions: usize,
    /// Standard deviation of the perturbations, 1e-4 to 1.
    pub deviation: f32,
    /// Pairs of perturbations, 1 to 64.
    pub pairs: usize,
}

impl Default for LearnedOptimizerConfig {
    fn default() -> Self {
        Self { hidden: 8, steps: 10, dimensions: 8, deviation: 0.05, pairs: 1 }
    }
}

impl LearnedOptimizerConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.hidden", self.hidden, 1..=256)?;
        check_range("model.steps", self.steps, 1..=1000)?;
        check_range("model.dimensions", self.dimensions, 1..=256)?;
        check_range("model.deviation", self.deviation, 1e-4..=1.0)?;
        check_range("model.pairs", self.pairs, 1..=64)
    }
}

/// A learned optimizer as a task.
pub(crate) struct LearnedOptimizerTask {
    name: String,
    layout: ParamLayout,
    initials: [Initial; 4],
    estimator: Antithetic,
    problems: Problems,
}

/// Random quadratics and the room to train on them.
struct Problems {
    config: LearnedOptimizerConfig,
    count: usize,
    coordinates: Vec<Coordinate>,
}

/// One coordinate of a problem in training.
#[derive(Debug, Clone, Copy, Default)]
struct Coordinate {
    curvature: f32,
    x: f32,
    fast: f32,
    slow: f32,
    square: f32,
}

impl LearnedOptimizerTask {
    pub(crate) fn new(name: &str, config: &LearnedOptimizerConfig, batch_size: usize) -> Result<Self, Error> {
        let hidden = config.hidden;
        let layout = ParamLayout::new([
            ("hidden/kernel", vec![FEATURES, hidden]),
            ("hidden/bias", vec![hidden]),
            ("outputs/kernel", vec![hidden, OUTPUTS]),
            ("outputs/bias", vec![OUTPUTS]),
        ])?;
        let initials = [
            Initial::Normal(1.0 / (FEATURES as f32).sqrt()),
            Initial::Constant(0.0),
            Initial::Normal(0.1 / (hidden as f32).sqrt()),
            Initial::Constant(0.0),
        ];
        let coordinates = vec![Coordinate::default(); config.dimensions];
        Ok(Self {
            name: name.to_owned(),
            initials,
            estimator: Antithetic::new(layout.len(), config.deviation, config.pairs),
            layout,
            problems: Problems { config: config.clone(), count: batch_size, coordinates },
        })
    }
}

impl Problems {
    /// The mean loss of the rule over the problems of `seed`.
    fn loss(&mut self, rule: &[f32], seed: u64) -> f32 {
        let total: f32 = (0..self.count).map(|problem| self.train(rule, derive_seed(seed, problem as u64))).sum();
        total / self.count as f32
    }

    /// Trains on one problem; the mean over time of its loss, relative to the first.
    fn train(&mut self, rule: &[f32], seed: u64) -> f32 {
        let mut draws = Draws::new(seed, const { stream_number("inner problem") });
        let starts = Stream::new(seed, const { stream_number("inner start") });
        for (i, coordinate) in self.coordinates.iter_mut().enumerate() {
            let (curvature, x) = (draws.log_uniform(0.01, 1.0) as f32, starts.normal(i as u64));
            *coordinate = Coordinate { curvature, x, ..Coordinate::default() };
        }
        let value = |coordinates: &[Coordinate]| coordinates.iter().map(|c| c.curvature * c.x * c.x).sum::<f32>();
        let first = value(&self.coordinates).max(f32::MIN_POSITIVE);
        let steps = self.config.steps;
        let mut total = 0.0;
        for time in 0..steps {
            let progress = 2.0 * time as f32 / steps as f32 - 1.0;
            let correction = 1.0 / (1.0 - 0.95f32.powi(time as i32 + 1));
            for coordinate in &mut self.coordinates {
                coordinate.step(rule, self.config.hidden, progress, correction);
            }
            // `min` prefers a number to a NaN: a training that fails costs the most.
            total += (value(&self.coordinates) / first).min(WORST_RATIO);
        }
        total / steps as f32
    }
}

impl Coordinate {
    fn step(&mut self, rule: &[f32], hidden: usize, progress: f32, correction: f32) {
        let gradient = self.curvature * self.x;
        self.fast = 0.5 * self.fast + 0.5 * gradient;
        self.slow = 0.9 * self.slow + 0.1 * gradient;
        self.square = 0.95 * self.square + 0.05 * gradient * gradient;
        let inverse = 1.0 / (self.square * correction + 1e-12).sqrt();
        let features = [gradient * inverse, self.fast * inverse, self.slow * inverse, progress];
        let (first, rest) = rule.split_at(FEATURES * hidden);
        let (first_bias, rest) = rest.split_at(hidden);
        let (last, last_bias) = rest.split_at(hidden * OUTPUTS);
        let mut outputs = [last_bias[0], last_bias[1]];
        for j in 0..hidden {
            let sum: f32 = features.iter().enumerate().map(|(i, feature)| feature * first[i * hidden + j]).sum();
            let unit = (sum + first_bias[j]).tanh();
            outputs[0] += unit * last[j * OUTPUTS];
            outputs[1] += unit * last[j * OUTPUTS + 1];
        }
        self.x -= 0.1 * outputs[0] * outputs[1].clamp(-3.0, 3.0).exp();
    }
}

/// What the problems of a batch follow from.
fn batch_seed(batch: Batch) -> u64 {
    derive_seed(derive_seed(batch.seed, batch.split as u64), batch.index)
}

impl Task for LearnedOptimizerTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, seed: u64, params: &mut [f32]) {
        initialise(params, &self.layout, &self.initials, seed);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        let _flush = FlushDenormals::new();
        let (seed, problems) = (batch_seed(batch), &mut self.problems);
        self.estimator.gradient(grads, params, seed, |rule| problems.loss(rule, seed));
        problems.loss(params, seed)
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        let _flush = FlushDenormals::new();
        self.problems.loss(params, batch_seed(batch))
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        let total: f32 = (0..EVALUATION_BATCHES).map(|index| self.loss(params, Batch { seed: 0, split, index })).sum();
        Metrics { loss: total / EVALUATION_BATCHES as f32, accuracy: None }
    }

    fn reference_loss(&self) -> f32 {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Batch = Batch { seed: 2, split: Split::Train, index: 3 };

    #[test]
    fn a_rule_that_does_nothing_costs_one_and_one_that_descends_costs_less() {
        let mut task = LearnedOptimizerTask::new("rule", &LearnedOptimizerConfig::default(), 4).unwrap();
        let mut rule = vec![0.0; task.layout().len()];
        assert_eq!(task.loss(&rule, BATCH), 1.0);
        // Unit 0 follows the slow mean, and the step follows unit 0.
        let hidden = task.layout().get("outputs/kernel").unwrap().range.start;
        (rule[2 * 8], rule[hidden]) = (1.0, 1.0);
        assert!(task.loss(&rule, BATCH) < 0.9);
    }

    #[test]
    fn a_rule_that_explodes_costs_the_worst() {
        let mut task = LearnedOptimizerTask::new("rule", &LearnedOptimizerConfig::default(), 4).unwrap();
        let mut rule = vec![0.0; task.layout().len()];
        let bias = task.layout().get("outputs/bias").unwrap().range.start;
        rule[bias] = f32::MAX;
        assert_eq!(task.loss(&rule, BATCH), WORST_RATIO);
    }
}
