//! Adafactor: second moments of matrices kept as one row and one column (Shazeer and Stern, arXiv 1804.04235).
//!
//! ```text
//! b = 1 - (t+1)^(-c)                                  c = decay_exponent
//! q = g² + 1e-30
//! R ← b R + (1-b) mean(q over the longest axis)       C ← b C + (1-b) mean(q over the second longest axis)
//! u = g / √(R / mean(R)) / √C                         factored
//! V ← b V + (1-b) q,    u = g / √V                    scalars, vectors and thin matrices
//! u ← u / max(1, rms(u) / clipping_threshold)
//! u ← u · max(rms(p), 1e-3)                           if multiply_by_parameter_scale
//! m ← μ m + (1-μ) α u                                 α u without momentum
//! p ← p - m - α λ p
//! ```
//!
//! Differs from optax in the decay, which there is not multiplied by the learning rate; `λ = weight_decay_rate / α`
//! reproduces it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::checks;
use super::reductions::{root_mean_square, sum_of_squares};
use super::step_size::StepSize;
use crate::geometry::{FactorMap, Geometry};
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Added to every squared gradient.
const SQUARE_FLOOR: f32 = 1e-30;
/// Parameters smaller than this still move.
const SMALLEST_PARAMETER_SCALE: f32 = 1e-3;

/// Adam with factored second moments and relative steps.
pub type Adafactor = RuleOptimizer<AdafactorRule>;

/// Hyper-parameters of [`Adafactor`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdafactorConfig {
    /// Step size `α`, relative to the parameters if they scale it.
    pub learning_rate: f32,
    /// Keep rows and columns instead of whole second moments.
    pub factored: bool,
    /// The second longest axis of a factored tensor has at least this length.
    pub min_dim_size_to_factor: usize,
    /// Exponent `c` of the growing decay.
    pub decay_exponent: f32,
    /// Largest root mean square of a step before scaling.
    pub clipping_threshold: f32,
    /// Scale steps by the root mean square of the parameters.
    pub multiply_by_parameter_scale: bool,
    /// Decay `μ` of the mean of steps; zero for none.
    pub momentum: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for AdafactorConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-2,
            factored: true,
            min_dim_size_to_factor: 128,
            decay_exponent: 0.8,
            clipping_threshold: 1.0,
            multiply_by_parameter_scale: true,
            momentum: 0.0,
            weight_decay: 0.0,
        }
    }
}

/// The update of [`Adafactor`].
#[derive(Debug, Clone)]
pub struct AdafactorRule {
    config: AdafactorConfig,
    tensors: Vec<FactoredTensor>,
    momentum: Option<Slot>,
    /// The step of one tensor.
    direction: Vec<f32>,
    /// The factors of one tensor.
    factors: Vec<f32>,
}

#[derive(Debug, Clone)]
struct FactoredTensor {
    range: Range<usize>,
    geometry: Geometry,
    second_moment: SecondMoment,
}

#[derive(Debug, Clone, Copy)]
enum SecondMoment {
    Full(Slot),
    /// `R` and `C`.
    Factored(Slot, Slot),
}

impl UpdateRule for AdafactorRule {
    type Config = AdafactorConfig;
    const NAME: &'static str = "adafactor";

    fn build(config: AdafactorConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::positive("decay_exponent", config.decay_exponent)?;
        checks::positive("clipping_threshold", config.clipping_threshold)?;
        checks::decay("momentum", config.momentum)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        let momentum = (config.momentum > 0.0).then(|| state.per_param("momentum", layout));
        let (mut longest, mut factors) = (0, 0);
        let tensors = layout.tensors().iter().filter(|tensor| !tensor.is_empty()).map(|tensor| {
            let geometry = Geometry::new(&tensor.shape);
            let wide_enough = |map: &FactorMap| map.averaged >= config.min_dim_size_to_factor;
            let second_moment = match &geometry.factors {
                // C averages over the second longest axis, the shorter of the two.
                Some(maps) if config.factored && wide_enough(&maps.col) => {
                    factors = factors.max(maps.row.len + maps.col.len);
                    SecondMoment::Factored(
                        state.tensor(&format!("row/{}", tensor.name), &maps.row.shape),
                        state.tensor(&format!("col/{}", tensor.name), &maps.col.shape),
                    )
                }
                _ => SecondMoment::Full(state.tensor(&format!("mean_square/{}", tensor.name), &tensor.shape)),
            };
            longest = longest.max(tensor.len());
            FactoredTensor { range: tensor.range.clone(), geometry, second_moment }
        });
        let tensors = tensors.collect();
        Ok(Self { config, tensors, momentum, direction: vec![0.0; longest], factors: vec![0.0; factors] })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let AdafactorConfig { learning_rate, momentum: mu, clipping_threshold, .. } = self.config;
        let decay = 1.0 - ((context.step + 1) as f32).powf(-self.config.decay_exponent);
        let step_size = StepSize::new(learning_rate, context);
        for tensor in &self.tensors {
            let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
            let direction = &mut self.direction[..params.len()];
            match tensor.second_moment {
                SecondMoment::Full(slot) => full_direction(direction, grads, &mut state[slot.range()], decay),
                SecondMoment::Factored(row, col) => {
                    let moments = parts(state, [row, col]);
                    factored_direction(direction, grads, moments, &tensor.geometry, decay, &mut self.factors);
                }
            }
            let mut scale = step_size.rate / (root_mean_square(direction) / clipping_threshold).max(1.0);
            if self.config.multiply_by_parameter_scale {
                scale *= root_mean_square(params).max(SMALLEST_PARAMETER_SCALE);
            }
            if let Some(momentum) = self.momentum {
                let momentum = &mut state[momentum.range()][tensor.range.clone()];
                for (u, m) in direction.iter_mut().zip(momentum) {
                    *m = mu * *m + (1.0 - mu) * scale * *u;
                    *u = *m;
                }
                scale = 1.0;
            }
            for (p, &u) in params.iter_mut().zip(&*direction) {
                *p = step_size.shrink * *p - scale * u;
            }
        }
    }
}

/// `u = g / √V`, with `V` updated first.
fn full_direction(direction: &mut [f32], grads: &[f32], mean_square: &mut [f32], decay: f32) {
    for ((u, &g), v) in direction.iter_mut().zip(grads).zip(mean_square) {
        *v = decay * *v + (1.0 - decay) * (g * g + SQUARE_FLOOR);
        *u = g / v.sqrt();
    }
}

/// `u = g / √(R / mean(R)) / √C`, with `R` and `C` updated first.
fn factored_direction(
    direction: &mut [f32],
    grads: &[f32],
    [row, col]: [&mut [f32]; 2],
    geometry: &Geometry,
    decay: f32,
    scratch: &mut [f32],
) {
    let Some(factors) = &geometry.factors else { return };
    let (row_factor, rest) = scratch.split_at_mut(row.len());
    let col_factor = &mut rest[..col.len()];
    for (average, sums, map) in
        [(&mut *row, &mut *row_factor, &factors.row), (&mut *col, &mut *col_factor, &factors.col)]
    {
        sum_squares_into(sums, grads, geometry, map);
        let weight = (1.0 - decay) / map.averaged as f32;
        for (average, &sum) in average.iter_mut().zip(&*sums) {
            *average = decay * *average + weight * sum;
        }
    }
    // The row factor is relative to the mean of R along the axis that C averages away.
    let (outer, len, inner) = factors.centre;
    for outer in 0..outer {
        for inner_at in 0..inner {
            let entries = (0..len).map(|at| (outer * len + at) * inner + inner_at);
            let mean = entries.clone().map(|entry| row[entry]).sum::<f32>() / len as f32;
            entries.for_each(|entry| row_factor[entry] = (mean / row[entry]).sqrt());
        }
    }
    for (factor, &average) in col_factor.iter_mut().zip(&*col) {
        *factor = 1.0 / average.sqrt();
    }
    for block in 0..geometry.blocks {
        for row in 0..geometry.rows {
            let range = geometry.row(block, row);
            let (direction, grads) = (&mut direction[range.clone()], &grads[range]);
            direction.copy_from_slice(grads);
            for (map, factor) in [(&factors.row, &*row_factor), (&factors.col, &*col_factor)] {
                multiply_row(direction, &factor[map.at(block, row)..], map.col_stride);
            }
        }
    }
}

/// Multiplies a row by one factor, or by one a column.
fn multiply_row(row: &mut [f32], factors: &[f32], col_stride: usize) {
    if col_stride == 0 {
        row.iter_mut().for_each(|u| *u *= factors[0]);
    } else {
        row.iter_mut().zip(factors).for_each(|(u, factor)| *u *= factor);
    }
}

/// Adds up `g² + 1e-30` over the elements that share an entry of the statistic.
fn sum_squares_into(sums: &mut [f32], grads: &[f32], geometry: &Geometry, map: &FactorMap) {
    sums.fill(0.0);
    for block in 0..geometry.blocks {
        for row in 0..geometry.rows {
            let grads = &grads[geometry.row(block, row)];
            let sums = &mut sums[map.at(block, row)..];
            if map.col_stride == 0 {
                sums[0] += sum_of_squares(grads) as f32 + SQUARE_FLOOR * grads.len() as f32;
            } else {
                sums.iter_mut().zip(grads).for_each(|(sum, &g)| *sum += g * g + SQUARE_FLOOR);
            }
        }
    }
}
