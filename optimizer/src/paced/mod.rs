//! Paced: a normalised per-parameter network whose step size and decay are set per tensor by a small learned head.
//!
//! The architecture of this project, for the person who gives no learning rate, no decay and no schedule. For every
//! tensor, with `t` updates done and a horizon `T` that may or may not be declared:
//!
//! ```text
//! accumulators → thirty channels → each divided by its RMS over the last two axes → MLP 30-8-8 → u
//! u ← NewtonSchulz(u)                             only if `orthogonalize`, for matrices
//! fourteen numbers about the tensor, the moment and the loss → eight tanh units → o₀, o₁
//! a ← a + clip(A tanh(o₀/A) - a, ±slew)          d ← d + clip(D tanh(o₁/D) - d, ±slew)
//! s = step_size · multiplier · schedule · pace(t, T) · eᵃ
//! λ = weight_decay + decay · eᵈ                   vectors and scalars: weight_decay + decay · max(0, eᵈ - 1)
//! p ← e^(-s λ) p - s u / √(mean(u²) + 1e-9)       mean over the last two axes
//! p̄ ← p̄ + min(1, 1 / (average · (t + 1))) (p - p̄)   only if there is an `average`: what to evaluate with
//! ```
//!
//! The first line is [Celo2](crate::Celo2Config)'s, weight by weight. The [pace](self::pace) is fixed: a short warm-up,
//! then half a cosine to zero at a declared horizon, or a slow decline without one. `multiplier`, `schedule` and
//! `weight_decay` are the user's; left alone they are `1`, `1` and `0`. A head whose output layer is zero changes
//! nothing; whatever its weights and the losses are, it scales a step by at most `e^A` and by `e^slew` from one update
//! to the next. As decay shrinks parameters by an exponential, it never turns a sign.

mod config;
mod head;
mod loss_progress;
mod pace;

pub use config::PacedConfig;
pub use head::InputGroup;

use crate::accumulators::AccumulatorSlots;
use crate::architecture::LearnedConfig;
use crate::celo2::{DECAYS, HIDDEN, NETWORK, NORM_EPSILON, OUTPUTS, STORED_CHANNELS};
use crate::geometry::Geometry;
use crate::orthogonalise::{self, orthogonalise};
use crate::param_network::channels::BARE;
use crate::param_network::mlp::{Activation, Mlp, PublishedWeights};
use crate::param_network::{ApplyNetwork, NetworkInputs, NetworkOutputs, NetworkScratch};
use crate::rule::{StepContext, UpdateRule};
use crate::state::{Slot, StateLayout};
use crate::step::{subtract, sum_of_squares};
use crate::wrappers::newest_of_share;
use crate::{Error, ParamLayout};
use head::{Head, Moment, ShapeInputs, TensorInputs};
use loss_progress::LossProgress;

/// The update of the paced architecture.
#[derive(Debug, Clone)]
pub struct PacedRule {
    theta_len: usize,
    config: PacedConfig,
    mlp: Box<Mlp<HIDDEN>>,
    head: Head,
    loss: LossProgress,
    tensors: Vec<Tensor>,
    network: NetworkScratch,
    direction: Vec<f32>,
    /// Room for the orthogonalisation of one matrix.
    orthogonalise: Vec<f32>,
}

#[derive(Debug, Clone)]
struct Tensor {
    range: std::ops::Range<usize>,
    geometry: Geometry,
    accumulators: AccumulatorSlots,
    /// Logarithms of the factors on step and decay, as they were at the last update.
    logs: Slot,
    /// The average of its parameters.
    average: Option<Slot>,
    shape: ShapeInputs,
    /// Rank below two: decays only where the head asks for it.
    is_vector: bool,
}

impl PacedRule {
    pub(crate) fn theta_len(&self) -> usize {
        self.theta_len
    }

    pub(crate) fn set_theta(&mut self, theta: &[f32]) {
        let (network, head) = theta.split_at(theta.len() - head::WEIGHTS);
        *self.mlp = Mlp::new(&PublishedWeights::read(network, &STORED_CHANNELS, OUTPUTS), Activation::Relu);
        self.head = Head::read(head).blind_to(&self.config.hidden_inputs);
    }
}

impl UpdateRule for PacedRule {
    type Config = PacedConfig;
    const NAME: &'static str = "paced";
    const READS_LOSS: bool = true;

    fn build(config: PacedConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        config.check()?;
        let loss = LossProgress::new(state);
        let (mut network, mut largest, mut orthogonal) = (NetworkScratch::default(), 0, 0);
        let tensors = layout
            .tensors()
            .iter()
            .map(|tensor| {
                let geometry = Geometry::new(&tensor.shape);
                network.grow(&geometry, state.accumulator_storage(), HIDDEN);
                largest = largest.max(geometry.len);
                if config.orthogonalize && geometry.factors.is_some() {
                    orthogonal = orthogonal.max(orthogonalise::scratch_len(geometry.rows, geometry.cols));
                }
                Tensor {
                    range: tensor.range.clone(),
                    accumulators: AccumulatorSlots::new(&tensor.name, &tensor.shape, &geometry, state),
                    logs: state.tensor(&format!("log_factors/{}", tensor.name), &[2]),
                    average: config.average.map(|_| state.tensor(&format!("average/{}", tensor.name), &tensor.shape)),
                    shape: ShapeInputs::new(&tensor.shape),
                    is_vector: tensor.shape.len() < 2,
                    geometry,
                }
            })
            .collect();
        let theta_len = config.theta_layout().len();
        let blank = PublishedWeights::read(&vec![0.0; theta_len], &STORED_CHANNELS, OUTPUTS);
        Ok(Self {
            theta_len,
            config,
            mlp: Box::new(Mlp::new(&blank, Activation::Relu)),
            head: Head::default(),
            loss,
            tensors,
            network,
            direction: vec![0.0; largest],
            orthogonalise: vec![0.0; orthogonal],
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let pace = pace::pace(&self.config, context.call, context.horizon);
        let loss = self.loss.update(state, context.loss, context.step);
        let moment = Moment::new(context, pace, loss);
        let step_size = self.config.step_size * context.rate * pace;
        for tensor in self.tensors.iter().filter(|tensor| tensor.geometry.len > 0) {
            let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
            let param_squares = ApplyNetwork::<HIDDEN, BARE> {
                outputs: NetworkOutputs { direction: &mut self.direction[..params.len()], magnitude: None },
                inputs: NetworkInputs {
                    params,
                    grads,
                    accumulators: &mut tensor.accumulators.resolve(state, context.step),
                    geometry: &tensor.geometry,
                },
                decays: &DECAYS,
                mlp: &self.mlp,
                settings: &NETWORK,
                scratch: &mut self.network,
            }
            .run();
            let agreement_squares = self.network.agreement_squares(&tensor.geometry);
            let logs = &mut state[tensor.logs.range()];
            let inputs = TensorInputs {
                elements: params.len(),
                param_squares,
                agreement_squares,
                shape: tensor.shape,
                previous: logs[0] / self.config.step_bound,
            };
            self.config.slew_towards(logs, self.head.outputs(&moment.inputs(&inputs)));

            let step = step_size * logs[0].exp();
            let asked = if tensor.is_vector { logs[1].exp_m1().max(0.0) } else { logs[1].exp() };
            let keep = (-step * (context.weight_decay + self.config.decay * asked)).exp();
            for block in 0..tensor.geometry.blocks {
                let range = tensor.geometry.block(block);
                let direction = &mut self.direction[range.clone()];
                let squares = if self.config.orthogonalize && tensor.geometry.factors.is_some() {
                    orthogonalise(direction, tensor.geometry.rows, tensor.geometry.cols, &mut self.orthogonalise);
                    sum_of_squares(direction)
                } else {
                    self.network.direction_squares(&tensor.geometry, block)
                };
                let scale = (1.0 / (squares / range.len() as f64 + NORM_EPSILON).sqrt()) as f32;
                subtract(&mut params[range], direction, step * scale, keep);
            }
            if let (Some(slot), Some(share)) = (tensor.average, self.config.average) {
                let newest = newest_of_share(share, (context.step + 1) as f32);
                let average = &mut state[slot.range()];
                average.iter_mut().zip(params).for_each(|(average, param)| *average += newest * (*param - *average));
            }
        }
    }

    fn evaluation_params(&self, params: &[f32], state: &[f32], context: &StepContext, out: &mut [f32]) {
        out.copy_from_slice(params);
        if context.step == 0 {
            return;
        }
        for tensor in &self.tensors {
            if let Some(average) = tensor.average {
                out[tensor.range.clone()].copy_from_slice(&state[average.range()]);
            }
        }
    }
}
