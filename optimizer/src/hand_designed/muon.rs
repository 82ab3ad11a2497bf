//! Muon: momentum made orthogonal, matrix by matrix (K. Jordan et al., 2024; Bernstein and Newhouse, arXiv 2409.20325),
//! with NAdam for everything that is not a matrix.
//!
//! ```text
//! m ← μ m + (1-μ) g
//! m̂ = μ m / (1 - μ^(t+2)) + (1-μ) g / (1 - μ^(t+1))       Nesterov;  otherwise m / (1 - μ^(t+1))
//! U = NewtonSchulz(m̂)                                     five iterations towards the nearest orthogonal matrix
//! U ← ⟨m̂, U⟩ U                                            adaptive only: the dual norm of m̂
//! p ← p - α ( √max(1, cols / rows) U + λ p )
//! ```
//!
//! Tensors of rank 0, 1, 3 and more take the step of [`NAdam`](super::NAdam) (of [`Adam`](super::Adam) without
//! Nesterov), and decay only if `decay_vectors` says so.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::checks;
use super::moments::{Moments, bias_correction};
use super::reductions::dot;
use super::step_size::StepSize;
use crate::elementwise::for_each_element;
use crate::orthogonalise::{orthogonalise, scratch_len};
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Orthogonalised momentum for matrices, Adam for the rest.
pub type Muon = RuleOptimizer<MuonRule>;

/// Hyper-parameters of [`Muon`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MuonConfig {
    /// Step size `α`: the spectral norm of a step.
    pub learning_rate: f32,
    /// Decay `μ` of the mean of gradients of matrices.
    pub momentum: f32,
    /// Look ahead along the momentum.
    pub nesterov: bool,
    /// Scale by the dual norm of the momentum instead of a step of constant size.
    pub adaptive: bool,
    /// Decay of the mean of gradients of other tensors.
    pub adam_beta1: f32,
    /// Decay of the mean of squared gradients of other tensors.
    pub adam_beta2: f32,
    /// `ε` of Adam, added outside the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
    /// Whether `λ` also holds for tensors that are not matrices.
    pub decay_vectors: bool,
}

impl Default for MuonConfig {
    fn default() -> Self {
        Self {
            learning_rate: 0.02,
            momentum: 0.95,
            nesterov: true,
            adaptive: false,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decay_vectors: false,
        }
    }
}

/// The update of [`Muon`].
#[derive(Debug, Clone)]
pub struct MuonRule {
    config: MuonConfig,
    mean: Slot,
    tensors: Vec<RoutedTensor>,
    /// Room for one matrix: its orthogonalised momentum,
    direction: Vec<f32>,
    /// the momentum itself, for the adaptive variant,
    dual: Vec<f32>,
    /// and what the orthogonalisation needs.
    scratch: Vec<f32>,
}

#[derive(Debug, Clone)]
struct RoutedTensor {
    range: Range<usize>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Matrix { rows: usize, cols: usize },
    Other { mean_square: Slot },
}

impl UpdateRule for MuonRule {
    type Config = MuonConfig;
    const NAME: &'static str = "muon";

    fn build(config: MuonConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("momentum", config.momentum)?;
        checks::decay("adam_beta1", config.adam_beta1)?;
        checks::decay("adam_beta2", config.adam_beta2)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        let mean = state.per_param("mean", layout);
        let (mut longest, mut scratch) = (0, 0);
        let tensors = layout.tensors().iter().filter(|tensor| !tensor.is_empty()).map(|tensor| {
            let kind = if let [rows, cols] = tensor.shape[..] {
                longest = longest.max(tensor.len());
                scratch = scratch.max(scratch_len(rows, cols));
                Kind::Matrix { rows, cols }
            } else {
                Kind::Other { mean_square: state.tensor(&format!("mean_square/{}", tensor.name), &tensor.shape) }
            };
            RoutedTensor { range: tensor.range.clone(), kind }
        });
        let tensors = tensors.collect();
        Ok(Self {
            config,
            mean,
            tensors,
            direction: vec![0.0; longest],
            dual: vec![0.0; if config.adaptive { longest } else { 0 }],
            scratch: vec![0.0; scratch],
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let MuonConfig { learning_rate, adam_beta1: beta1, adam_beta2: beta2, epsilon, .. } = self.config;
        let step_size = StepSize::new(learning_rate, context);
        let vector_shrink = if self.config.decay_vectors { step_size.shrink } else { 1.0 };
        for tensor in &self.tensors {
            let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
            match tensor.kind {
                Kind::Matrix { rows, cols } => {
                    let mean = &mut state[self.mean.range()][tensor.range.clone()];
                    let direction = &mut self.direction[..params.len()];
                    momentum_ahead(direction, mean, grads, &self.config, context.step);
                    let dual = &mut self.dual[..if self.config.adaptive { params.len() } else { 0 }];
                    dual.copy_from_slice(&direction[..dual.len()]);
                    orthogonalise(direction, rows, cols, &mut self.scratch);
                    let shape_scale = (cols as f32 / rows as f32).max(1.0).sqrt();
                    let dual_norm = if self.config.adaptive { dot(dual, direction) as f32 } else { 1.0 };
                    let scale = shape_scale * dual_norm;
                    for_each_element(
                        params,
                        direction,
                        [],
                        #[inline(always)]
                        |p, u, []| (step_size.moved(p, scale * u), []),
                    );
                }
                Kind::Other { mean_square } => {
                    let [mean, mean_square] = parts(state, [self.mean, mean_square]);
                    let state = [&mut mean[tensor.range.clone()], mean_square];
                    let moments = Moments { beta1, beta2, epsilon };
                    let step_size = StepSize { shrink: vector_shrink, ..step_size };
                    if self.config.nesterov {
                        moments.nadam(params, grads, state, context.step, step_size);
                    } else {
                        moments.adam(params, grads, state, context.step, step_size);
                    }
                }
            }
        }
    }
}

/// The corrected momentum of the module's formula into `direction`.
fn momentum_ahead(direction: &mut [f32], mean: &mut [f32], grads: &[f32], config: &MuonConfig, step: u64) {
    let mu = config.momentum;
    let (of_mean, of_gradient) = if config.nesterov {
        (mu * bias_correction(mu, step + 1), (1.0 - mu) * bias_correction(mu, step))
    } else {
        (bias_correction(mu, step), 0.0)
    };
    for_each_element(
        direction,
        grads,
        [mean],
        #[inline(always)]
        |_, g, [m]| {
            let m = mu * m + (1.0 - mu) * g;
            (of_mean * m + of_gradient * g, [m])
        },
    );
}
