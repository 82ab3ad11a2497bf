//! Gradient clipping: by value, by global norm (Pascanu and others, arXiv 1211.5063), and adaptively by the ratio
//! of gradient to parameter (Brock and others, arXiv 2102.06171).
//!
//! ```text
//! Value(c):     g ← min(max(g, -c), c)
//! Norm(c):      g ← g · min(1, c / ‖g‖)                             over all tensors together
//! Adaptive:     g ← g · min(1, ratio · max(‖p‖, floor) / ‖g‖)       unit by unit
//! ```
//!
//! A unit of the adaptive limit is everything that leads to one output: a column of a kernel stored as
//! `inputs × outputs`, a whole vector or scalar.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::wrapped::inner;
use super::{Call, Wrapped, Wrapper};
use crate::finite::all_finite;
use crate::hand_designed::{checks, reductions};
use crate::registry::OptimizerConfig;
use crate::state::StateLayout;
use crate::{Error, Optimizer, ParamLayout, StepOutcome, TensorLayout};

/// An optimizer that sees clipped gradients.
pub type Clipped = Wrapped<Clipping>;

/// What the gradients are clipped to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Limit {
    /// The largest magnitude of one element.
    Value(f32),
    /// The largest norm of all gradients together.
    Norm(f32),
    /// The largest ratio of the norms of gradient and parameters, unit by unit.
    Adaptive {
        /// The ratio.
        #[serde(default = "published_ratio")]
        ratio: f32,
        /// Norm that parameters count for at least, or those that start at zero would never move.
        #[serde(default = "published_floor")]
        floor: f32,
        /// What shares one ratio.
        #[serde(default)]
        unit: Unit,
    },
}

fn published_ratio() -> f32 {
    0.01
}

fn published_floor() -> f32 {
    1e-3
}

/// The part of a tensor of rank two or more that shares one ratio. Vectors and scalars share it as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Unit {
    /// One index of the last axis: an output of a kernel stored as `inputs × outputs`, as published.
    #[default]
    Column,
    /// One index of the first axis: an output of a kernel stored as `outputs × inputs`.
    Row,
    /// The whole tensor.
    Tensor,
}

/// An entry of a configuration file: a limit and the optimizer behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClippedConfig {
    /// The limit.
    pub by: Limit,
    /// The optimizer that sees the clipped gradients.
    pub inner: Box<OptimizerConfig>,
}

impl ClippedConfig {
    pub(crate) fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        Ok(Box::new(Clipped::new(inner(&self.inner, layout)?, self.by)?))
    }
}

/// The wrapper of [`Clipped`].
#[derive(Debug, Clone)]
pub struct Clipping {
    limit: Limit,
    tensors: Vec<Range<usize>>,
    /// The tensors cut into units, for the adaptive limit.
    units: Vec<Units>,
    /// One factor for every unit of the tensor with the most.
    factors: Vec<f32>,
    clipped: Vec<f32>,
}

impl Wrapper for Clipping {
    type Settings = Limit;
    const NAME: &'static str = "clipped";

    fn build(limit: Limit, layout: &ParamLayout, _state: &mut StateLayout) -> Result<Self, Error> {
        let mut units = Vec::new();
        match limit {
            Limit::Value(limit) => checks::positive("by.value", limit)?,
            Limit::Norm(limit) => checks::positive("by.norm", limit)?,
            Limit::Adaptive { ratio, floor, unit } => {
                checks::positive("by.ratio", ratio)?;
                checks::positive("by.floor", floor)?;
                let filled = layout.tensors().iter().filter(|tensor| !tensor.is_empty());
                units.extend(filled.map(|tensor| Units::of(tensor, unit)));
            }
        }
        let factors = vec![0.0; units.iter().map(|tensor| tensor.count).max().unwrap_or(0)];
        let (tensors, clipped) = (layout.ranges_by_name(), vec![0.0; layout.len()]);
        Ok(Self { limit, tensors, units, factors, clipped })
    }

    fn step(&mut self, inner: &mut dyn Optimizer, call: Call<'_>) -> Result<StepOutcome, Error> {
        let grads = match self.limit {
            Limit::Value(limit) => {
                for (clipped, &grad) in self.clipped.iter_mut().zip(call.grads) {
                    // Not what is infinite: the inner optimizer must see that something is wrong.
                    *clipped = if grad.is_finite() { grad.clamp(-limit, limit) } else { grad };
                }
                &self.clipped
            }
            Limit::Norm(limit) => {
                let squares = self.tensors.iter().map(|range| norm(&call.grads[range.clone()]).powi(2));
                let norm = squares.sum::<f64>().sqrt();
                if norm.is_finite() && norm > f64::from(limit) {
                    let factor = (f64::from(limit) / norm) as f32;
                    scaled(&mut self.clipped, call.grads, factor);
                    &self.clipped
                } else {
                    call.grads
                }
            }
            Limit::Adaptive { ratio, floor, .. } => {
                for tensor in &self.units {
                    let range = tensor.start..tensor.start + tensor.len;
                    let (params, grads) = (&call.params[range.clone()], &call.grads[range.clone()]);
                    tensor.clip(&mut self.clipped[range], params, grads, [ratio, floor], &mut self.factors);
                }
                &self.clipped
            }
        };
        inner.step(call.params, grads, call.loss)
    }
}

fn scaled(out: &mut [f32], values: &[f32], factor: f32) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out = value * factor);
}

/// `√Σx²`, also where the squares leave the range of 32-bit floats; not finite if an element is not.
fn norm(values: &[f32]) -> f64 {
    let norm = reductions::sum_of_squares(values).sqrt();
    if norm.is_finite() || !all_finite(values) {
        return norm;
    }
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    f64::from(largest) * reductions::sum_of(values.len(), |index| (values[index] / largest).powi(2)).sqrt()
}

/// One tensor cut into units: element `i` belongs to unit `i / per_unit mod count`.
#[derive(Debug, Clone, Copy)]
struct Units {
    start: usize,
    len: usize,
    count: usize,
    per_unit: usize,
}

impl Units {
    fn of(tensor: &TensorLayout, unit: Unit) -> Self {
        let (start, len) = (tensor.range.start, tensor.len());
        let (count, per_unit) = match (unit, tensor.shape.as_slice()) {
            (Unit::Column, [_, .., columns]) => (*columns, 1),
            (Unit::Row, [rows, _, ..]) => (*rows, len / rows),
            _ => (1, len),
        };
        Self { start, len, count, per_unit }
    }

    /// Writes the clipped gradients of this tensor.
    fn clip(&self, out: &mut [f32], params: &[f32], grads: &[f32], [ratio, floor]: [f32; 2], factors: &mut [f32]) {
        let factors = &mut factors[..self.count];
        for (unit, factor) in factors.iter_mut().enumerate() {
            let (allowed, norm) = (ratio * self.norm(params, unit).max(floor), self.norm(grads, unit));
            // A norm that is not finite is left to the inner optimizer, element by element.
            *factor = if norm.is_finite() && norm > allowed { allowed / norm } else { 1.0 };
        }
        for ((out, grads), unit) in
            out.chunks_mut(self.per_unit).zip(grads.chunks(self.per_unit)).zip((0..self.count).cycle())
        {
            scaled(out, grads, factors[unit]);
        }
    }

    /// The norm of one unit.
    fn norm(&self, values: &[f32], unit: usize) -> f32 {
        if self.per_unit > 1 {
            return norm(&values[unit * self.per_unit..][..self.per_unit]) as f32;
        }
        let column = values[unit..].iter().step_by(self.count).map(|&value| f64::from(value));
        column.map(|value| value * value).sum::<f64>().sqrt() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand_designed::{Sgd, SgdConfig};

    /// The gradients that an optimizer behind `limit` sees: the negated change under a learning rate of one.
    fn seen(limit: Limit, shape: &[usize], params: &[f32], grads: &[f32]) -> Vec<f32> {
        let layout = ParamLayout::new([("w", shape.to_vec())]).unwrap();
        let sgd = Sgd::new(&layout, SgdConfig { learning_rate: 1.0, ..Default::default() }).unwrap();
        let mut optimizer = Clipped::new(Box::new(sgd), limit).unwrap();
        let mut after = params.to_vec();
        assert_eq!(optimizer.step(&mut after, grads, 0.0).unwrap(), StepOutcome::Applied);
        params.iter().zip(&after).map(|(before, after)| before - after).collect()
    }

    #[test]
    fn a_value_beyond_the_limit_becomes_the_limit() {
        assert_eq!(seen(Limit::Value(0.5), &[4], &[0.0; 4], &[0.25, -0.25, 3.0, -4.0]), [0.25, -0.25, 0.5, -0.5]);
    }

    #[test]
    fn a_long_gradient_keeps_its_direction_and_a_short_one_its_length() {
        assert_eq!(seen(Limit::Norm(2.5), &[2], &[0.0; 2], &[3.0, -4.0]), [1.5, -2.0]);
        assert_eq!(seen(Limit::Norm(5.5), &[2], &[0.0; 2], &[3.0, -4.0]), [3.0, -4.0]);
    }

    #[test]
    fn gradients_too_large_to_square_are_clipped_all_the_same() {
        let clipped = seen(Limit::Norm(1.0), &[2], &[0.0; 2], &[3e30, -4e30]);
        assert!((clipped[0] - 0.6).abs() < 1e-6 && (clipped[1] + 0.8).abs() < 1e-6, "{clipped:?}");
    }

    #[test]
    fn the_adaptive_limit_holds_each_unit_to_its_own_parameters() {
        // Columns (3, 4) and (0, 0): norms 5 and, by the floor, 1.
        let (params, grads) = ([3.0, 0.0, 4.0, 0.0], [6.0, 3.0, 8.0, 4.0]);
        let limit = |unit| Limit::Adaptive { ratio: 0.5, floor: 1.0, unit };
        let column = seen(limit(Unit::Column), &[2, 2], &params, &grads);
        let close = |got: &[f32], want: [f32; 4]| got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6);
        assert!(close(&column, [1.5, 0.3, 2.0, 0.4]), "{column:?}");
        // Rows (3, 0) and (4, 0), gradients of norm √45 and √80.
        let row = seen(limit(Unit::Row), &[2, 2], &params, &grads);
        let (first, second) = (1.5 / 45f32.sqrt(), 2.0 / 80f32.sqrt());
        assert!(close(&row, [6.0 * first, 3.0 * first, 8.0 * second, 4.0 * second]), "{row:?}");
        let whole = seen(limit(Unit::Tensor), &[2, 2], &params, &grads);
        let factor = 2.5 / 125f32.sqrt();
        assert!(close(&whole, grads.map(|grad| grad * factor)), "{whole:?}");
    }

    #[test]
    fn a_limit_of_zero_is_refused_by_name() {
        let layout = ParamLayout::new([("w", vec![1])]).unwrap();
        let sgd = Sgd::new(&layout, SgdConfig::default()).unwrap();
        let error = Clipped::new(Box::new(sgd), Limit::Norm(0.0)).err().unwrap();
        assert_eq!(error.to_string(), "by.norm is 0, expected a finite number above 0");
    }
}
