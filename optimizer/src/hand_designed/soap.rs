//! SOAP: Adam in the eigenbasis of Shampoo's preconditioners (Vyas et al., arXiv 2409.11321).
//!
//! For a matrix gradient `G`, with `Q_L`, `Q_R` the eigenvectors of `L`, `R`, renewed every `basis_interval` steps:
//!
//! ```text
//! M ← β₁ M + (1-β₁) G
//! G' = Q_Lᵀ G Q_R                 M' = Q_Lᵀ M Q_R
//! V ← β₂ V + (1-β₂) G'²
//! U = Q_L ( M̂' / (√V̂ + ε) ) Q_Rᵀ  bias-corrected as in Adam
//! P ← P - α (U + λ P)
//! L ← β_s L + (1-β_s) G Gᵀ        R ← β_s R + (1-β_s) Gᵀ G
//! ```
//!
//! The first gradient only sets `L`, `R` and the basis. Leading axes of tensors of rank three and more count as
//! rows. A side longer than `max_side` keeps the identity as its basis; vectors and scalars take plain Adam.
//!
//! The first basis is an eigendecomposition; every later one is a step of orthogonal iteration, `Q ← qr(L Q)`, from the columns of the
//! last one in descending order of `diag(Qᵀ L Q)`. `V` is put into the same order.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::moments::{Moments, bias_correction};
use super::step_size::StepSize;
use super::{checks, eigen};
use crate::matmul::{Addend, Dims, Left, gram, matmul, transpose};
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Adam in Shampoo's eigenbasis.
pub type Soap = RuleOptimizer<SoapRule>;

/// Hyper-parameters of [`Soap`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoapConfig {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squared rotated gradients.
    pub beta2: f32,
    /// Decay `β_s` of the two statistics.
    pub statistics_beta: f32,
    /// `ε`, added outside the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
    /// Steps between two renewals of the basis.
    pub basis_interval: u64,
    /// Longest side that gets a basis of its own.
    pub max_side: usize,
}

impl Default for SoapConfig {
    fn default() -> Self {
        Self {
            learning_rate: 3e-3,
            beta1: 0.95,
            beta2: 0.95,
            statistics_beta: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.0,
            basis_interval: 10,
            max_side: 256,
        }
    }
}

/// The update of [`Soap`].
#[derive(Debug, Clone)]
pub struct SoapRule {
    config: SoapConfig,
    mean: Slot,
    mean_square: Slot,
    tensors: Vec<Tensor>,
    scratch: Scratch,
}

#[derive(Debug, Clone)]
struct Tensor {
    range: Range<usize>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Matrix { rows: usize, cols: usize, left: Option<Side>, right: Option<Side> },
    Vector,
}

/// Statistic and eigenvectors of one side.
#[derive(Debug, Clone, Copy)]
struct Side {
    len: usize,
    statistic: Slot,
    basis: Slot,
}

/// Room for one tensor and for one side.
#[derive(Debug, Clone)]
struct Scratch {
    grads: Vec<f32>,
    direction: Vec<f32>,
    turned: Vec<f32>,
    basis_transposed: Vec<f32>,
    image: Vec<f32>,
    matrix: Vec<f64>,
    vectors: Vec<f64>,
    values: Vec<f64>,
    work: Vec<f64>,
    order: Vec<usize>,
}

impl UpdateRule for SoapRule {
    type Config = SoapConfig;
    const NAME: &'static str = "soap";

    fn build(config: SoapConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("beta1", config.beta1)?;
        checks::decay("beta2", config.beta2)?;
        checks::decay("statistics_beta", config.statistics_beta)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        checks::at_least_one("basis_interval", config.basis_interval)?;
        let mean = state.per_param("mean", layout);
        let mean_square = state.per_param("mean_square", layout);
        let (mut longest, mut longest_side) = (0, 0);
        let tensors = layout.tensors().iter().filter(|tensor| !tensor.is_empty()).map(|tensor| {
            let kind = match &tensor.shape[..] {
                [leading @ .., cols] if !leading.is_empty() => {
                    let (rows, cols) = (leading.iter().product(), *cols);
                    longest = longest.max(tensor.len());
                    let mut side = |name: &str, len: usize| {
                        (len <= config.max_side).then(|| {
                            longest_side = longest_side.max(len);
                            let mut slot = |kind| state.tensor(&format!("{name}_{kind}/{}", tensor.name), &[len, len]);
                            Side { len, statistic: slot("statistic"), basis: slot("basis") }
                        })
                    };
                    Kind::Matrix { rows, cols, left: side("left", rows), right: side("right", cols) }
                }
                _ => Kind::Vector,
            };
            Tensor { range: tensor.range.clone(), kind }
        });
        let tensors = tensors.collect();
        let square = longest_side * longest_side;
        let scratch = Scratch {
            grads: vec![0.0; longest],
            direction: vec![0.0; longest],
            turned: vec![0.0; longest],
            basis_transposed: vec![0.0; square],
            image: vec![0.0; square],
            matrix: vec![0.0; square],
            vectors: vec![0.0; square],
            values: vec![0.0; longest_side],
            work: vec![0.0; longest_side],
            order: Vec::with_capacity(longest_side),
        };
        Ok(Self { config, mean, mean_square, tensors, scratch })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let SoapConfig { learning_rate, beta1, beta2, epsilon, .. } = self.config;
        let step_size = StepSize::new(learning_rate, context);
        let moments = Moments { beta1, beta2, epsilon };
        for tensor in &self.tensors {
            let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
            let Kind::Matrix { rows, cols, left, right } = tensor.kind else {
                let [mean, mean_square] = parts(state, [self.mean, self.mean_square]);
                let state = [&mut mean[tensor.range.clone()], &mut mean_square[tensor.range.clone()]];
                moments.adam(params, grads, state, context.step, step_size);
                continue;
            };
            if context.step > 0 {
                let slots = (self.mean.range(), self.mean_square.range());
                for (m, &g) in state[slots.0.clone()][tensor.range.clone()].iter_mut().zip(grads) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                }
                self.scratch.grads[..grads.len()].copy_from_slice(grads);
                let mean = &state[slots.0][tensor.range.clone()];
                self.scratch.direction[..grads.len()].copy_from_slice(mean);
                self.scratch.rotate(state, [rows, cols], [left, right], Turn::IntoBasis);
                let mean_square = &mut state[slots.1][tensor.range.clone()];
                self.scratch.normalise(mean_square, moments, context.step - 1);
                self.scratch.rotate(state, [rows, cols], [left, right], Turn::OutOfBasis);
                for (p, &u) in params.iter_mut().zip(&self.scratch.direction) {
                    *p = step_size.moved(*p, u);
                }
            }
            self.scratch.accumulate(grads, state, [rows, cols], [left, right], &self.config, context.step);
            if context.step.is_multiple_of(self.config.basis_interval) {
                for (is_left, side) in
                    [left, right].into_iter().enumerate().filter_map(|(at, side)| Some((at == 0, side?)))
                {
                    let [statistic, basis] = parts(state, [side.statistic, side.basis]);
                    if context.step == 0 {
                        self.scratch.first_basis(basis, statistic, side.len);
                        continue;
                    }
                    self.scratch.next_basis(basis, statistic, side.len);
                    let mean_square = &mut state[self.mean_square.range()][tensor.range.clone()];
                    self.scratch.reorder(mean_square, cols, is_left);
                }
            }
        }
    }
}

/// Which way a matrix is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// `Q_Lᵀ X Q_R`, for the gradients and the direction.
    IntoBasis,
    /// `Q_L X Q_Rᵀ`, for the direction.
    OutOfBasis,
}

impl Scratch {
    fn rotate(&mut self, state: &[f32], [rows, cols]: [usize; 2], sides: [Option<Side>; 2], turn: Turn) {
        let Self { grads, direction, turned, basis_transposed, .. } = self;
        let len = rows * cols;
        let turned = &mut turned[..len];
        for (is_left, side) in sides.into_iter().enumerate().filter_map(|(at, side)| Some((at == 0, side?))) {
            let basis = &state[side.basis.range()];
            let basis_transposed = &mut basis_transposed[..basis.len()];
            if !is_left && turn == Turn::OutOfBasis {
                transpose(basis_transposed, basis, side.len, side.len);
            }
            let rotated = if turn == Turn::IntoBasis { 2 } else { 1 };
            for matrix in [&mut direction[..len], &mut grads[..len]].into_iter().take(rotated) {
                let (left, right): (_, &[f32]) = match (is_left, turn) {
                    (true, Turn::IntoBasis) => (Left::Transposed(basis), matrix),
                    (true, Turn::OutOfBasis) => (Left::Plain(basis), matrix),
                    (false, Turn::IntoBasis) => (Left::Plain(matrix), basis),
                    (false, Turn::OutOfBasis) => (Left::Plain(matrix), basis_transposed),
                };
                matmul(turned, left, right, Dims { rows, depth: side.len, cols }, 1.0, Addend::Nothing);
                matrix.copy_from_slice(turned);
            }
        }
    }

    /// Adam's quotient, in the basis. `step` counts from the first gradient that moves anything.
    fn normalise(&mut self, mean_square: &mut [f32], moments: Moments, step: u64) {
        let Moments { beta1, beta2, epsilon } = moments;
        let (mean_correction, square_correction) = (bias_correction(beta1, step), bias_correction(beta2, step));
        for ((u, &g), v) in self.direction.iter_mut().zip(&self.grads).zip(mean_square) {
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *u = *u * mean_correction / ((*v * square_correction).sqrt() + epsilon);
        }
    }

    /// Adds a gradient to both statistics.
    fn accumulate(
        &mut self,
        grads: &[f32],
        state: &mut [f32],
        [rows, cols]: [usize; 2],
        [left, right]: [Option<Side>; 2],
        config: &SoapConfig,
        step: u64,
    ) {
        let (share, before) = match config.statistics_beta {
            _ if step == 0 => (1.0, Addend::Nothing),
            beta => (1.0 - beta, Addend::Before(beta)),
        };
        if let Some(side) = left {
            let turned = &mut self.turned[..grads.len()];
            transpose(turned, grads, rows, cols);
            gram(&mut state[side.statistic.range()], turned, [cols, rows], share, before);
        }
        if let Some(side) = right {
            gram(&mut state[side.statistic.range()], grads, [rows, cols], share, before);
        }
    }

    /// Turns `basis` into the eigenvectors of `statistic`, as columns.
    fn first_basis(&mut self, basis: &mut [f32], statistic: &[f32], n: usize) {
        let (matrix, vectors) = (&mut self.matrix[..n * n], &mut self.vectors[..n * n]);
        for (to, &from) in matrix.iter_mut().zip(statistic) {
            *to = f64::from(from);
        }
        eigen::symmetric_eigen(matrix, vectors, &mut self.values[..n], &mut self.work[..n], n);
        narrow_transposed(basis, vectors, n);
    }

    /// One step of orthogonal iteration; `order` says which column each new one came from.
    fn next_basis(&mut self, basis: &mut [f32], statistic: &[f32], n: usize) {
        let (image, values, order) = (&mut self.image[..n * n], &mut self.values[..n], &mut self.order);
        matmul(image, Left::Plain(statistic), basis, Dims { rows: n, depth: n, cols: n }, 1.0, Addend::Nothing);
        values.fill(0.0);
        for (basis, image) in basis.chunks_exact(n).zip(image.chunks_exact(n)) {
            for (value, (&q, &p)) in values.iter_mut().zip(basis.iter().zip(image)) {
                *value += f64::from(q) * f64::from(p);
            }
        }
        order.clear();
        order.extend(0..n);
        order.sort_unstable_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
        let (matrix, vectors) = (&mut self.matrix[..n * n], &mut self.vectors[..n * n]);
        for (row, &column) in matrix.chunks_exact_mut(n).zip(&*order) {
            for (to, image) in row.iter_mut().zip(image.chunks_exact(n)) {
                *to = f64::from(image[column]);
            }
        }
        eigen::orthonormal_rows(matrix, vectors, n);
        narrow_transposed(basis, vectors, n);
    }

    /// Puts the rows or the columns of a matrix into the order that [`Self::next_basis`] has found.
    fn reorder(&mut self, matrix: &mut [f32], cols: usize, rows: bool) {
        if self.order.is_sorted() {
            return;
        }
        let before = &mut self.turned[..matrix.len()];
        before.copy_from_slice(matrix);
        if rows {
            for (to, &from) in matrix.chunks_exact_mut(cols).zip(&self.order) {
                to.copy_from_slice(&before[from * cols..][..cols]);
            }
        } else {
            for (to, before) in matrix.chunks_exact_mut(cols).zip(before.chunks_exact(cols)) {
                to.iter_mut().zip(&self.order).for_each(|(to, &from)| *to = before[from]);
            }
        }
    }
}

/// `to ← fromᵀ`.
fn narrow_transposed(to: &mut [f32], from: &[f64], n: usize) {
    for (row, to) in to.chunks_exact_mut(n).enumerate() {
        for (to, from) in to.iter_mut().zip(from.chunks_exact(n)) {
            *to = from[row] as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Adam, AdamConfig};
    use super::*;
    use crate::Optimizer;

    /// `A B` of row-major matrices with `n` columns in `A`.
    fn times(a: &[f32], b: &[f32], n: usize) -> Vec<f32> {
        let (rows, cols) = (a.len() / n, b.len() / n);
        let entry = |at: usize| (0..n).map(|k| a[at / cols * n + k] * b[k * cols + at % cols]).sum();
        (0..rows * cols).map(entry).collect()
    }

    fn run(shape: [usize; 2], config: SoapConfig, grads: impl Fn(usize) -> Vec<f32>) -> Vec<f32> {
        let layout = ParamLayout::new([("matrix", shape.to_vec())]).unwrap();
        let mut optimizer = Soap::new(&layout, config).unwrap();
        let mut params = vec![0.0; layout.len()];
        for step in 0..12 {
            optimizer.step(&mut params, &grads(step), 0.0).unwrap();
        }
        params
    }

    fn wave(step: usize) -> Vec<f32> {
        (0..6).map(|index| ((index * index + 3 * step) as f32 * 0.7).sin()).collect()
    }

    #[test]
    fn rotating_every_gradient_rotates_the_path() {
        let (c, s) = (0.6, 0.8);
        let left = [c, -s, s, c];
        let right = [c, 0.0, -s, 0.0, 1.0, 0.0, s, 0.0, c];
        let config = SoapConfig { learning_rate: 0.1, basis_interval: 3, ..Default::default() };
        let plain = run([2, 3], config, wave);
        let rotated = run([2, 3], config, |step| times(&times(&left, &wave(step), 2), &right, 3));
        let expected = times(&times(&left, &plain, 2), &right, 3);
        for (got, expected) in rotated.iter().zip(&expected) {
            assert!((got - expected).abs() < 2e-4, "{rotated:?} is not {expected:?}");
        }
        assert!(plain.iter().any(|p| p.abs() > 0.1), "{plain:?} hardly moved");
    }

    /// Where Adam goes that sees the gradients from the second on, with SOAP's settings.
    fn adam_one_step_late(shape: [usize; 2], grads: impl Fn(usize) -> Vec<f32>) -> Vec<f32> {
        let layout = ParamLayout::new([("matrix", shape.to_vec())]).unwrap();
        let adam = AdamConfig { learning_rate: 0.1, beta1: 0.95, beta2: 0.95, ..Default::default() };
        let mut adam = Adam::new(&layout, adam).unwrap();
        let mut params = vec![0.0; layout.len()];
        for step in 1..12 {
            adam.step(&mut params, &grads(step), 0.0).unwrap();
        }
        params
    }

    #[test]
    fn without_bases_it_is_adam_one_step_late() {
        let config = SoapConfig { max_side: 0, learning_rate: 0.1, ..Default::default() };
        for (soap, adam) in run([2, 3], config, wave).iter().zip(&adam_one_step_late([2, 3], wave)) {
            assert!((soap - adam).abs() < 1e-6, "{soap} is not {adam}");
        }
    }

    #[test]
    fn when_directions_change_places_their_mean_squares_go_along() {
        // Diagonal gradients keep the bases on the axes, so that SOAP is Adam, whichever axis comes first.
        let grads = |step: usize| if step < 4 { vec![3.0, 0.0, 0.0, 1.0] } else { vec![0.5, 0.0, 0.0, 8.0] };
        let config = SoapConfig { learning_rate: 0.1, basis_interval: 3, ..Default::default() };
        for (soap, adam) in run([2, 2], config, grads).iter().zip(&adam_one_step_late([2, 2], grads)) {
            assert!((soap - adam).abs() < 1e-5, "{soap} is not {adam}");
        }
    }
}
