//! Celo2 (arXiv 2602.19142): a normalised per-parameter network, without tensor LSTM, loss or horizon.
//!
//! For every tensor that the network handles, with `g` clipped to ±1000:
//!
//! ```text
//! accumulators → thirty channels → each divided by its RMS over the last two axes → MLP 30-8-8 → o₀, o₁
//! u = o₀ · exp(exp_mult · o₁)                  exp_mult = 0 by default
//! u ← NewtonSchulz(u)                          optional, rank ≥ 2
//! u ← u / √(mean(u²) + 1e-9)                   over the last two axes
//! p ← p - s u - λ s p                          s = step_size · multiplier · schedule
//! ```
//!
//! Tensors whose name matches `adam_pattern` take Adam steps instead. As an update has a root mean square of
//! `s` whatever the gradient, the optimizer never stops by itself: give it a schedule that ends low.

mod config;

pub use config::{AdamPath, Celo2Config};

use crate::accumulators::{AccumulatorSlots, Accumulators, Decays};
use crate::architecture::LearnedConfig;
use crate::averages::MEAN_SQUARE;
use crate::bfloat16::AccumulatorStorage;
use crate::elementwise::for_each_element;
use crate::geometry::Geometry;
use crate::orthogonalise::{self, orthogonalise};
use crate::param_network::channels::{BARE, BiasCorrection, FeatureSettings};
use crate::param_network::mlp::{Mlp, PublishedWeights};
use crate::param_network::{ApplyNetwork, NetworkInputs, NetworkOutputs, NetworkScratch, NetworkSettings, Scope};
use crate::rule::{StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::step::{subtract, sum_of_squares};
use crate::{Error, ParamLayout};
pub(crate) use config::{HIDDEN, OUTPUTS, STORED_CHANNELS, fan_in, theta_tensors};

pub(crate) const DECAYS: Decays =
    Decays { momentum: [0.9, 0.99, 0.999], mean_square: 0.95, factored: [0.9, 0.99, 0.999] };
const GRADIENT_CLIP: f32 = 1000.0;
const SQUARE_EPSILON: f32 = 1e-8;
pub(crate) const NORM_EPSILON: f64 = 1e-9;
const ADAM_BETA1: f32 = 0.9;

/// The network as the published weights are applied, with normalised channels and no magnitude.
pub(crate) const NETWORK: NetworkSettings = NetworkSettings {
    features: FeatureSettings { clip: GRADIENT_CLIP, epsilon: SQUARE_EPSILON, vector_epsilon: 0.0, correction: None },
    normalize: Some((Scope::Block, NORM_EPSILON)),
    exp_mult: 0.0,
};

/// The update of Celo2.
#[derive(Debug, Clone)]
pub struct Celo2Rule {
    theta_len: usize,
    config: Celo2Config,
    mlp: Box<Mlp<HIDDEN>>,
    tensors: Vec<Tensor>,
    scratch: Scratch,
}

#[derive(Debug, Clone)]
struct Tensor {
    range: std::ops::Range<usize>,
    geometry: Geometry,
    path: Path,
}

#[derive(Debug, Clone)]
enum Path {
    Learned(AccumulatorSlots),
    Adam { mean: Slot, mean_square: Slot },
}

/// Work buffers, sized for the largest tensor.
#[derive(Debug, Clone, Default)]
struct Scratch {
    network: NetworkScratch,
    /// The update before it is scaled, for a whole tensor.
    direction: Vec<f32>,
    /// The second output, where its mean is wanted.
    magnitude: Vec<f32>,
    orthogonalise: Vec<f32>,
}

impl Scratch {
    fn grow(&mut self, geometry: &Geometry, storage: AccumulatorStorage, config: &Celo2Config) {
        let at_least = |buffer: &mut Vec<f32>, len: usize| buffer.resize(buffer.len().max(len), 0.0);
        self.network.grow(geometry, storage, HIDDEN);
        at_least(&mut self.direction, geometry.len);
        if config.aggregate_magnitude {
            at_least(&mut self.magnitude, geometry.len);
        }
        if config.orthogonalize && geometry.factors.is_some() {
            at_least(&mut self.orthogonalise, orthogonalise::scratch_len(geometry.rows, geometry.cols));
        }
    }
}

impl Celo2Rule {
    pub(crate) fn theta_len(&self) -> usize {
        self.theta_len
    }

    pub(crate) fn set_theta(&mut self, theta: &[f32]) {
        *self.mlp = Mlp::new(&PublishedWeights::read(theta, &STORED_CHANNELS, OUTPUTS), self.config.activation);
    }

    /// How the network is applied after `step` updates.
    #[cfg(test)]
    pub(crate) fn network_settings(&self, step: u64) -> NetworkSettings {
        settings(&self.config, step)
    }

    /// The last direction of a tensor of `len` elements, before it was normalised.
    #[cfg(test)]
    pub(crate) fn direction(&self, len: usize) -> &[f32] {
        &self.scratch.direction[..len]
    }
}

impl UpdateRule for Celo2Rule {
    type Config = Celo2Config;
    const NAME: &'static str = "celo2";

    fn build(config: Celo2Config, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        config.check()?;
        let pattern = regex_lite::Regex::new(&config.adam_pattern).expect("the pattern was checked");
        let takes_adam = |name: &str| !config.adam_pattern.is_empty() && pattern.is_match(name);
        let mut scratch = Scratch::default();
        let tensors = layout
            .tensors()
            .iter()
            .map(|tensor| {
                let geometry = Geometry::new(&tensor.shape);
                let path = if takes_adam(&tensor.name) {
                    Path::Adam {
                        mean: state.tensor(&format!("adam_mean/{}", tensor.name), &tensor.shape),
                        mean_square: state.tensor(&format!("adam_mean_square/{}", tensor.name), &tensor.shape),
                    }
                } else {
                    scratch.grow(&geometry, state.accumulator_storage(), &config);
                    Path::Learned(AccumulatorSlots::new(&tensor.name, &tensor.shape, &geometry, state))
                };
                Tensor { range: tensor.range.clone(), geometry, path }
            })
            .collect();
        let blank = PublishedWeights::read(&vec![0.0; config.theta_layout().len()], &STORED_CHANNELS, OUTPUTS);
        Ok(Self {
            theta_len: config.theta_layout().len(),
            mlp: Box::new(Mlp::new(&blank, config.activation)),
            config,
            tensors,
            scratch,
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        for tensor in &self.tensors {
            let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
            match &tensor.path {
                Path::Adam { mean, mean_square } => {
                    let [mean, mean_square] = parts(state, [*mean, *mean_square]);
                    adam_step(params, grads, mean, mean_square, &self.config, context);
                }
                Path::Learned(slots) if tensor.geometry.len > 0 => LearnedStep {
                    params,
                    grads,
                    accumulators: slots.resolve(state, context.step),
                    geometry: &tensor.geometry,
                    config: &self.config,
                    mlp: &self.mlp,
                    context,
                    scratch: &mut self.scratch,
                }
                .run(),
                Path::Learned(_) => {}
            }
        }
    }
}

fn adam_step(
    params: &mut [f32],
    grads: &[f32],
    mean: &mut [f32],
    mean_square: &mut [f32],
    config: &Celo2Config,
    context: &StepContext,
) {
    let AdamPath { rate_mult, beta2, bias_correction } = config.adam;
    let rate = config.step_size * rate_mult * context.rate;
    let correction = |decay| if bias_correction { undo_bias(decay, context.step) } else { 1.0 };
    let (mean_factor, square_factor) = (correction(ADAM_BETA1), correction(beta2));
    for_each_element(
        params,
        grads,
        [mean, mean_square],
        #[inline(always)]
        |p, g, [m, v]| {
            let m = ADAM_BETA1 * m + (1.0 - ADAM_BETA1) * g;
            let v = beta2 * v + (1.0 - beta2) * g * g;
            let update = m * mean_factor / (v * square_factor + SQUARE_EPSILON).sqrt();
            (p - rate * (update + context.weight_decay * p), [m, v])
        },
    );
}

/// `1 / (1 - decay^(step + 1))`.
fn undo_bias(decay: f32, step: u64) -> f32 {
    (1.0 / (1.0 - f64::from(decay).powf((step + 1) as f64))) as f32
}

/// One update of one tensor by the network.
struct LearnedStep<'a> {
    params: &'a mut [f32],
    grads: &'a [f32],
    accumulators: Accumulators<'a>,
    geometry: &'a Geometry,
    config: &'a Celo2Config,
    mlp: &'a Mlp<HIDDEN>,
    context: &'a StepContext,
    scratch: &'a mut Scratch,
}

impl LearnedStep<'_> {
    fn run(mut self) {
        let Scratch { network, direction, magnitude, .. } = &mut *self.scratch;
        let direction = &mut direction[..self.geometry.len];
        let magnitude = self.config.aggregate_magnitude.then_some(magnitude.as_mut_slice());
        ApplyNetwork::<HIDDEN, BARE> {
            outputs: NetworkOutputs { direction, magnitude },
            inputs: NetworkInputs {
                params: self.params,
                grads: self.grads,
                accumulators: &mut self.accumulators,
                geometry: self.geometry,
            },
            decays: &DECAYS,
            mlp: self.mlp,
            settings: &settings(self.config, self.context.step),
            scratch: network,
        }
        .run();
        self.apply();
    }

    /// From outputs to new parameters.
    fn apply(&mut self) {
        let (config, geometry) = (self.config, self.geometry);
        let mean_of = |values: &[f32], count: usize| values.iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64;
        let direction = &mut self.scratch.direction[..geometry.len];
        let orthogonalized = config.orthogonalize && geometry.factors.is_some();
        let mut factor = 1.0;
        if config.aggregate_magnitude {
            let mean = mean_of(&self.scratch.magnitude[..geometry.len], geometry.len) as f32;
            factor *= (config.exp_mult * mean).exp();
        }
        if config.param_scale_mult {
            factor *= (sum_of_squares(self.params) / geometry.len as f64 + 1e-9).sqrt() as f32;
        }
        if factor != 1.0 {
            direction.iter_mut().for_each(|u| *u *= factor);
        }
        if config.precondition_output {
            let mut rest = &mut *direction;
            self.accumulators.averages.for_each_stretch::<1024>(MEAN_SQUARE, |mean_square| {
                let (own, after) = std::mem::take(&mut rest).split_at_mut(mean_square.len());
                own.iter_mut().zip(mean_square).for_each(|(u, &v)| *u /= (v + 1e-6).sqrt());
                rest = after;
            });
        }
        let step = config.step_size * self.context.rate;
        let keep = 1.0 - step * self.context.weight_decay;
        for block in 0..geometry.blocks {
            let range = geometry.block(block);
            let direction = &mut direction[range.clone()];
            if orthogonalized {
                orthogonalise(direction, geometry.rows, geometry.cols, &mut self.scratch.orthogonalise);
            }
            let mut scale = config.rms_mult;
            if config.normalize_output {
                let untouched = factor == 1.0 && !config.precondition_output && !orthogonalized;
                let squares = if untouched {
                    self.scratch.network.direction_squares(geometry, block)
                } else {
                    sum_of_squares(direction)
                };
                let mean_square = squares / direction.len() as f64;
                scale *= (1.0 / (mean_square + NORM_EPSILON).sqrt()) as f32;
            }
            subtract(&mut self.params[range], direction, step * scale, keep);
        }
    }
}

/// How the network is applied at this step.
fn settings(config: &Celo2Config, step: u64) -> NetworkSettings {
    let correct = |decay| undo_bias(decay, step);
    let correction = config.bias_correction.then(|| BiasCorrection {
        momentum: DECAYS.momentum.map(correct),
        mean_square: correct(DECAYS.mean_square),
        factored: DECAYS.factored.map(correct),
    });
    NetworkSettings {
        features: FeatureSettings { correction, ..NETWORK.features },
        normalize: NETWORK.normalize.filter(|_| config.normalize_input),
        exp_mult: config.exp_mult,
    }
}
