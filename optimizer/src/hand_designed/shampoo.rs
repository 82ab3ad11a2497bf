//! Shampoo: gradients preconditioned along every axis (Gupta, Koren and Singer, arXiv 1802.09568; Anil et al.,
//! arXiv 2002.09018), with the step length of a simpler rule grafted on (Agarwal et al., arXiv 2002.11803).
//!
//! Neighbouring axes are merged while their product is at most `merge_limit`, and axes longer than `block_size` are
//! cut into blocks of that length. For a block of the gradient `G` with `r` axes, `G_(a)` being its unfolding along axis `a`:
//!
//! ```text
//! L_a ← β₂ L_a + (1-β₂) G_(a) G_(a)ᵀ                  starts at ε I
//! P_a = (L_a + ε λ_max I)^(-1/(2r))                   every preconditioning_interval steps
//! S = G ×₁ P₁ ×₂ P₂ …
//! F = g                                               grafting onto SGD
//! F = n / (√v + 1e-10),  n = g / ‖g‖,  v ← β₂ v + (1-β₂) n²      onto normalised RMSProp
//! s ← β₁ s + w (S ‖F‖/‖S‖ + λ p)                      w = 1-β₁ with moving_average, else 1
//! f ← β₁ f + w (F + λ p)
//! p ← p - α (s, or f while t < start_preconditioning_step); Nesterov: w · the new term + β₁ · the momentum
//! ```
//!
//! Scalars, and tensors with an axis above 4096, take the grafted step alone. Roots are taken in `f64`.

mod blocks;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use self::blocks::BlockedTensor;
use super::reductions::sum_of_squares;
use super::{checks, eigen};
use crate::matmul::{Addend, Dims, Left, gram, matmul, transpose};
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Tensors with a longer axis are not preconditioned.
const LONGEST_AXIS: usize = 4096;
/// Added to the root mean square that normalises a grafted step.
const GRAFTING_EPSILON: f32 = 1e-10;
/// Keeps a quotient of norms finite when both are zero.
const NORM_FLOOR: f64 = 1e-25;
/// Largest eigenvalues below this do not scale the ridge.
const EIGENVALUE_FLOOR: f64 = 1e-6;

/// Axis-wise preconditioning with a grafted step length.
pub type Shampoo = RuleOptimizer<ShampooRule>;

/// The rule whose step length Shampoo takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grafting {
    /// The gradient itself.
    Sgd,
    /// The gradient, normalised to length one, divided by its running root mean square.
    RmsPropNormalised,
}

/// Hyper-parameters of [`Shampoo`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShampooConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the momentum.
    pub beta1: f32,
    /// Decay `β₂` of the statistics.
    pub beta2: f32,
    /// `ε`, the ridge under the roots.
    pub matrix_epsilon: f32,
    /// Decay `λ`, inside the momentum.
    pub weight_decay: f32,
    /// Neighbouring axes are merged up to this product.
    pub merge_limit: usize,
    /// Largest side of a preconditioner.
    pub block_size: usize,
    /// First step, counted from zero, that is preconditioned.
    pub start_preconditioning_step: u64,
    /// Steps between two computations of the roots.
    pub preconditioning_interval: u64,
    /// Look ahead along the momentum.
    pub nesterov: bool,
    /// Weigh the newest term of the momentum by `1-β₁`.
    pub moving_average: bool,
    /// Where the step length comes from.
    pub grafting: Grafting,
}

impl Default for ShampooConfig {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            matrix_epsilon: 1e-6,
            weight_decay: 0.0,
            merge_limit: 128,
            block_size: 128,
            start_preconditioning_step: 5,
            preconditioning_interval: 10,
            nesterov: true,
            moving_average: true,
            grafting: Grafting::RmsPropNormalised,
        }
    }
}

/// The update of [`Shampoo`].
#[derive(Debug, Clone)]
pub struct ShampooRule {
    config: ShampooConfig,
    momentum: Slot,
    grafted_momentum: Slot,
    mean_square: Option<Slot>,
    tensors: Vec<Tensor>,
    scratch: Scratch,
}

#[derive(Debug, Clone)]
struct Tensor {
    range: Range<usize>,
    /// Empty when the tensor takes the grafted step alone.
    blocks: BlockedTensor,
    /// Statistic and preconditioner of every axis of every block, block by block.
    sides: Vec<Side>,
}

#[derive(Debug, Clone, Copy)]
struct Side {
    len: usize,
    statistic: Slot,
    preconditioner: Slot,
}

/// Room for one tensor and for one matrix.
#[derive(Debug, Clone)]
struct Scratch {
    grafted: Vec<f32>,
    preconditioned: Vec<f32>,
    block: Vec<f32>,
    turned: Vec<f32>,
    matrix: Vec<f64>,
    vectors: Vec<f64>,
    values: Vec<f64>,
    work: Vec<f64>,
}

impl UpdateRule for ShampooRule {
    type Config = ShampooConfig;
    const NAME: &'static str = "shampoo";

    fn build(config: ShampooConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::positive("matrix_epsilon", config.matrix_epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        checks::at_least_one("block_size", config.block_size as u64)?;
        checks::at_least_one("preconditioning_interval", config.preconditioning_interval)?;
        let momentum = state.per_param("momentum", layout);
        let grafted_momentum = state.per_param("grafted_momentum", layout);
        let mean_square =
            (config.grafting == Grafting::RmsPropNormalised).then(|| state.per_param("mean_square", layout));
        let (mut longest, mut longest_block, mut side) = (0, 0, 0);
        let tensors = layout.tensors().iter().filter(|tensor| !tensor.is_empty()).map(|tensor| {
            let plain = tensor.shape.is_empty() || tensor.shape.iter().any(|&axis| axis > LONGEST_AXIS);
            let shape = if plain { &[][..] } else { &tensor.shape[..] };
            let blocks = BlockedTensor::new(shape, config.merge_limit, config.block_size);
            let mut sides = Vec::new();
            for (index, block) in blocks.blocks().iter().enumerate() {
                longest_block = longest_block.max(block.len());
                for (axis, &len) in block.shape.iter().enumerate() {
                    side = side.max(len);
                    let mut slot = |kind| state.tensor(&format!("{kind}_{index}_{axis}/{}", tensor.name), &[len, len]);
                    sides.push(Side { len, statistic: slot("statistic"), preconditioner: slot("preconditioner") });
                }
            }
            longest = longest.max(tensor.len());
            Tensor { range: tensor.range.clone(), blocks, sides }
        });
        let tensors = tensors.collect();
        let scratch = Scratch {
            grafted: vec![0.0; longest],
            preconditioned: vec![0.0; longest],
            block: vec![0.0; longest_block],
            turned: vec![0.0; longest_block],
            matrix: vec![0.0; side * side],
            vectors: vec![0.0; side * side],
            values: vec![0.0; side],
            work: vec![0.0; side],
        };
        Ok(Self { config, momentum, grafted_momentum, mean_square, tensors, scratch })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let config = self.config;
        let rate = config.learning_rate * context.rate;
        let newest = if config.moving_average { 1.0 - config.beta1 } else { 1.0 };
        let (of_momentum, of_term) = if config.nesterov { (config.beta1, newest) } else { (1.0, 0.0) };
        for tensor in &self.tensors {
            let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
            let mean_square = self.mean_square.map(|slot| &mut state[slot.range()][tensor.range.clone()]);
            self.scratch.graft(grads, mean_square, config.beta2);
            self.scratch.precondition(tensor, grads, state, &config, context.step);
            let (grafted, preconditioned) = self.scratch.directions(grads.len());
            let lengths = [&*grafted, &*preconditioned].map(|direction| sum_of_squares(direction).sqrt());
            let graft_scale = (lengths[0] / (lengths[1] + NORM_FLOOR)) as f32;

            let [momentum, grafted_momentum] = parts(state, [self.momentum, self.grafted_momentum]);
            let momenta = momentum[tensor.range.clone()].iter_mut().zip(&mut grafted_momentum[tensor.range.clone()]);
            let preconditioned_run = context.step >= config.start_preconditioning_step;
            for (((p, s), (momentum, grafted_momentum)), f) in
                params.iter_mut().zip(preconditioned).zip(momenta).zip(grafted)
            {
                let decay = context.weight_decay * *p;
                let (s, f) = (*s * graft_scale + decay, *f + decay);
                *momentum = config.beta1 * *momentum + newest * s;
                *grafted_momentum = config.beta1 * *grafted_momentum + newest * f;
                let (momentum, term) = if preconditioned_run { (*momentum, s) } else { (*grafted_momentum, f) };
                *p -= rate * (of_momentum * momentum + of_term * term);
            }
        }
    }
}

impl Scratch {
    /// Both directions of a tensor of this length.
    fn directions(&mut self, len: usize) -> (&mut [f32], &mut [f32]) {
        (&mut self.grafted[..len], &mut self.preconditioned[..len])
    }

    /// The grafted step `F` of the module's formula.
    fn graft(&mut self, grads: &[f32], mean_square: Option<&mut [f32]>, beta2: f32) {
        let grafted = &mut self.grafted[..grads.len()];
        let Some(mean_square) = mean_square else {
            return grafted.copy_from_slice(grads);
        };
        let scale = (1.0 / (sum_of_squares(grads).sqrt() + NORM_FLOOR)) as f32;
        for ((f, &g), v) in grafted.iter_mut().zip(grads).zip(mean_square) {
            let normalised = scale * g;
            *v = beta2 * *v + (1.0 - beta2) * normalised * normalised;
            *f = normalised / (v.sqrt() + GRAFTING_EPSILON);
        }
    }

    /// Statistics, roots and the preconditioned gradient `S` of one tensor.
    fn precondition(&mut self, tensor: &Tensor, grads: &[f32], state: &mut [f32], config: &ShampooConfig, step: u64) {
        let blocks = tensor.blocks.blocks();
        if blocks.is_empty() {
            let (grafted, preconditioned) = self.directions(grads.len());
            return preconditioned.copy_from_slice(grafted);
        }
        let renew = step.is_multiple_of(config.preconditioning_interval) || step == config.start_preconditioning_step;
        let mut remaining = &tensor.sides[..];
        for block in blocks {
            let (sides, rest) = remaining.split_at(block.shape.len());
            remaining = rest;
            tensor.blocks.gather(block, grads, &mut self.block[..block.len()]);
            for side in sides {
                let statistic = &mut state[side.statistic.range()];
                if step == 0 {
                    (0..side.len).for_each(|i| statistic[i * side.len + i] = config.matrix_epsilon);
                }
                self.accumulate_axis(block.len(), side.len, statistic, config.beta2);
            }
            for side in sides {
                let [statistic, preconditioner] = parts(state, [side.statistic, side.preconditioner]);
                if renew {
                    self.inverse_root(preconditioner, statistic, side.len, config.matrix_epsilon, 2 * sides.len());
                }
                self.multiply_axis(block.len(), side.len, preconditioner);
            }
            let preconditioned = &mut self.preconditioned[..grads.len()];
            tensor.blocks.scatter(block, &self.block[..block.len()], preconditioned);
        }
    }

    /// Adds the outer products of the first axis of the block to its statistic and moves that axis to the end.
    fn accumulate_axis(&mut self, len: usize, side: usize, statistic: &mut [f32], beta2: f32) {
        let (block, turned, rest) = (&mut self.block[..len], &mut self.turned[..len], len / side);
        transpose(turned, block, side, rest);
        gram(statistic, turned, [rest, side], 1.0 - beta2, Addend::Before(beta2));
        block.copy_from_slice(turned);
    }

    /// Multiplies the first axis of the block by its preconditioner and moves that axis to the end.
    fn multiply_axis(&mut self, len: usize, side: usize, preconditioner: &[f32]) {
        let (block, turned, rest) = (&mut self.block[..len], &mut self.turned[..len], len / side);
        let dims = Dims { rows: rest, depth: side, cols: side };
        matmul(turned, Left::Transposed(block), preconditioner, dims, 1.0, Addend::Nothing);
        block.copy_from_slice(turned);
    }

    /// `root ← (statistic + ε max(λ_max, 1e-6) I)^(-1/power)`.
    fn inverse_root(&mut self, root: &mut [f32], statistic: &[f32], n: usize, epsilon: f32, power: usize) {
        let (matrix, vectors) = (&mut self.matrix[..n * n], &mut self.vectors[..n * n]);
        for (to, &from) in matrix.iter_mut().zip(statistic) {
            *to = f64::from(from);
        }
        let (values, work) = (&mut self.values[..n], &mut self.work[..n]);
        eigen::symmetric_eigen(matrix, vectors, values, work, n);
        let ridge =
            f64::from(epsilon) * values.first().map_or(EIGENVALUE_FLOOR, |&largest| largest.max(EIGENVALUE_FLOOR));
        // The sum over λ^(-1/power) v vᵀ, below the diagonal.
        matrix.fill(0.0);
        for (&value, vector) in values.iter().zip(vectors.chunks_exact(n)) {
            let weight = (value.max(0.0) + ridge).powf(-1.0 / power as f64);
            for (row, (sums, &x)) in matrix.chunks_exact_mut(n).zip(vector).enumerate() {
                let factor = weight * x;
                sums[..=row].iter_mut().zip(vector).for_each(|(sum, &y)| *sum += factor * y);
            }
        }
        for row in 0..n {
            for col in 0..=row {
                let value = matrix[row * n + col] as f32;
                root[row * n + col] = value;
                root[col * n + row] = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Optimizer;

    fn run(config: ShampooConfig, grads: &[[f32; 6]]) -> Vec<f32> {
        // No merging: the matrix keeps its two axes.
        let config = ShampooConfig {
            learning_rate: 1.0,
            merge_limit: 1,
            start_preconditioning_step: 0,
            preconditioning_interval: 1,
            nesterov: false,
            grafting: Grafting::Sgd,
            ..config
        };
        let layout = ParamLayout::new([("matrix", vec![2, 3])]).unwrap();
        let mut optimizer = Shampoo::new(&layout, config).unwrap();
        let mut params = vec![0.0; 6];
        for grads in grads {
            optimizer.step(&mut params, grads, 0.0).unwrap();
        }
        params
    }

    #[test]
    fn a_first_diagonal_gradient_becomes_equal_steps_of_the_grafted_length() {
        let config = ShampooConfig { beta1: 0.0, matrix_epsilon: 1e-9, ..Default::default() };
        let params = run(config, &[[4.0, 0.0, 0.0, 0.0, 3.0, 0.0]]);
        let step = 5.0 / 2.0f32.sqrt();
        for (got, expected) in params.iter().zip([-step, 0.0, 0.0, 0.0, -step, 0.0]) {
            assert!((got - expected).abs() < 1e-3, "{params:?} instead of steps of {step}");
        }
    }

    #[test]
    fn rotating_every_gradient_rotates_the_path() {
        let grads: Vec<[f32; 6]> =
            (0..8).map(|step| std::array::from_fn(|index| ((index * index + 3 * step) as f32 * 0.7).sin())).collect();
        // The rows are rotated by an angle with cosine 0.6 and sine 0.8.
        let rotate = |x: &[f32]| -> [f32; 6] {
            std::array::from_fn(|at| match at {
                0..3 => 0.6 * x[at] - 0.8 * x[at + 3],
                _ => 0.8 * x[at - 3] + 0.6 * x[at],
            })
        };
        let rotated_grads: Vec<_> = grads.iter().map(|grads| rotate(grads)).collect();
        let config = ShampooConfig { matrix_epsilon: 1e-3, ..Default::default() };
        let expected = rotate(&run(config, &grads));
        let got = run(config, &rotated_grads);
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-4, "{got} is not {expected}");
        }
        assert!(expected.iter().any(|p| p.abs() > 0.1), "{expected:?} hardly moved");
    }
}
