//! SM3: a second moment kept only per row, column and so on (Anil, Gupta, Koren and Singer, arXiv 1901.11150).
//!
//! ```text
//! ν = min over axes a of s_a[i_a] + g²                 for the element with indices i
//! s_a[j] ← max of ν over the elements with i_a = j
//! m ← β m + (1-β) g / √(ν + ε)
//! p ← p - α (m + λ p)
//! ```
//!
//! A `rows × cols` matrix needs `rows + cols` accumulators; scalars count as vectors of length one.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::checks;
use super::step_size::StepSize;
use crate::rule::{RuleOptimizer, StepContext, UpdateRule};
use crate::state::{Slot, StateLayout};
use crate::{Error, ParamLayout};

/// AdaGrad with covers of rows and columns.
pub type Sm3 = RuleOptimizer<Sm3Rule>;

/// Hyper-parameters of [`Sm3`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sm3Config {
    /// Step size `α`.
    pub learning_rate: f32,
    /// Decay `β` of the mean of normalised gradients.
    pub momentum: f32,
    /// `ε`, added under the root.
    pub epsilon: f32,
    /// Decoupled decay `λ`.
    pub weight_decay: f32,
}

impl Default for Sm3Config {
    fn default() -> Self {
        Self { learning_rate: 1e-2, momentum: 0.9, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The update of [`Sm3`].
#[derive(Debug, Clone)]
pub struct Sm3Rule {
    config: Sm3Config,
    momentum: Slot,
    tensors: Vec<CoveredTensor>,
    /// The covers of one tensor as they were before the step.
    previous: Vec<f32>,
}

#[derive(Debug, Clone)]
struct CoveredTensor {
    range: Range<usize>,
    shape: Vec<usize>,
    /// The covers of all axes, one after the other, counted from the end of the momentum.
    covers: Range<usize>,
}

impl UpdateRule for Sm3Rule {
    type Config = Sm3Config;
    const NAME: &'static str = "sm3";

    fn build(config: Sm3Config, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("learning_rate", config.learning_rate)?;
        checks::decay("momentum", config.momentum)?;
        checks::positive("epsilon", config.epsilon)?;
        checks::non_negative("weight_decay", config.weight_decay)?;
        let momentum = state.per_param("momentum", layout);
        let mut tensors = Vec::new();
        for tensor in layout.tensors().iter().filter(|tensor| !tensor.is_empty()) {
            let shape = if tensor.shape.is_empty() { vec![1] } else { tensor.shape.clone() };
            let start = state.len() - momentum.range().end;
            for (axis, &len) in shape.iter().enumerate() {
                state.tensor(&format!("cover_{axis}/{}", tensor.name), &[len]);
            }
            let covers = start..state.len() - momentum.range().end;
            tensors.push(CoveredTensor { range: tensor.range.clone(), shape, covers });
        }
        let previous = vec![0.0; tensors.iter().map(|tensor| tensor.covers.len()).max().unwrap_or(0)];
        Ok(Self { config, momentum, tensors, previous })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        let Sm3Config { learning_rate, momentum: beta, epsilon, .. } = self.config;
        let step_size = StepSize::new(learning_rate, context);
        // The momentum was laid out first; all covers come after it.
        let (momentum, covers) = state.split_at_mut(self.momentum.range().end);
        for tensor in &self.tensors {
            let covers = &mut covers[tensor.covers.clone()];
            let previous = &mut self.previous[..covers.len()];
            previous.copy_from_slice(covers);
            covers.fill(0.0);
            let last = tensor.shape[tensor.shape.len() - 1];
            let leading = &tensor.shape[..tensor.shape.len() - 1];
            let (previous_leading, previous_last) = previous.split_at(previous.len() - last);
            let (leading_covers, last_covers) = covers.split_at_mut(previous_leading.len());
            for row in 0..tensor.range.len() / last {
                let mut bound = f32::INFINITY;
                for_each_entry(leading, row, |entry| bound = bound.min(previous_leading[entry]));
                let start = tensor.range.start + row * last;
                let (params, grads) = (&mut params[start..start + last], &grads[start..start + last]);
                let momentum = &mut momentum[start..start + last];
                let mut largest = 0.0f32;
                let covered = previous_last.iter().zip(&mut *last_covers);
                for (((p, &g), m), (&old, new)) in params.iter_mut().zip(grads).zip(momentum).zip(covered) {
                    let bound = bound.min(old) + g * g;
                    *new = new.max(bound);
                    largest = largest.max(bound);
                    let normalised = if bound > 0.0 { g / (bound + epsilon).sqrt() } else { 0.0 };
                    *m = beta * *m + (1.0 - beta) * normalised;
                    *p = step_size.moved(*p, *m);
                }
                for_each_entry(leading, row, |entry| leading_covers[entry] = leading_covers[entry].max(largest));
            }
        }
    }
}

/// The entries, one per leading axis, that cover the row with this flat index.
fn for_each_entry(leading: &[usize], row: usize, mut visit: impl FnMut(usize)) {
    let (mut rest, mut end) = (row, leading.iter().sum::<usize>());
    for &len in leading.iter().rev() {
        end -= len;
        visit(end + rest % len);
        rest /= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_covered_by_one_entry_of_every_leading_axis() {
        let mut entries = Vec::new();
        for_each_entry(&[2, 3], 5, |entry| entries.push(entry));
        assert_eq!(entries, [4, 1]);
    }
}
