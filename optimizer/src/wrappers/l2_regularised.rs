//! Weight decay through the gradient, as the published code of VeLO and Celo wraps it around an optimizer:
//!
//! ```text
//! L ← L + w · Σp²        (unless left out)
//! g ← g + w · p          (not 2 w p: the two do not belong to one another, but that is what is published)
//! ```
//!
//! Other than decoupled decay it passes through the averages and the normalisation of the inner optimizer.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::wrapped::inner;
use super::{Call, Wrapped, Wrapper};
use crate::hand_designed::{checks, reductions};
use crate::registry::OptimizerConfig;
use crate::state::StateLayout;
use crate::{Error, Optimizer, ParamLayout, StepOutcome};

/// An optimizer that sees a penalised loss.
pub type L2Regularised = Wrapped<L2Penalty>;

/// The penalty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalty {
    /// `w`.
    pub coefficient: f32,
    /// Whether the loss is penalised, too.
    pub add_to_loss: bool,
}

/// An entry of a configuration file: a penalty and the optimizer that sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L2RegularisedConfig {
    /// The coefficient of the penalty.
    pub coefficient: f32,
    /// Whether the loss is penalised, too.
    #[serde(default = "as_published")]
    pub add_to_loss: bool,
    /// The optimizer.
    pub inner: Box<OptimizerConfig>,
}

fn as_published() -> bool {
    true
}

impl L2RegularisedConfig {
    pub(crate) fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        let penalty = Penalty { coefficient: self.coefficient, add_to_loss: self.add_to_loss };
        Ok(Box::new(L2Regularised::new(inner(&self.inner, layout)?, penalty)?))
    }
}

/// The wrapper of [`L2Regularised`].
#[derive(Debug, Clone)]
pub struct L2Penalty {
    penalty: Penalty,
    tensors: Vec<Range<usize>>,
    penalised: Vec<f32>,
}

impl Wrapper for L2Penalty {
    type Settings = Penalty;
    const NAME: &'static str = "l2_regularised";

    fn build(penalty: Penalty, layout: &ParamLayout, _state: &mut StateLayout) -> Result<Self, Error> {
        checks::non_negative("coefficient", penalty.coefficient)?;
        Ok(Self { penalty, tensors: layout.ranges_by_name(), penalised: vec![0.0; layout.len()] })
    }

    fn step(&mut self, inner: &mut dyn Optimizer, call: Call<'_>) -> Result<StepOutcome, Error> {
        let Penalty { coefficient, add_to_loss } = self.penalty;
        for ((penalised, grad), param) in self.penalised.iter_mut().zip(call.grads).zip(&*call.params) {
            *penalised = grad + coefficient * param;
        }
        let squares = self.tensors.iter().map(|range| reductions::sum_of_squares(&call.params[range.clone()]));
        let penalised_loss = || call.loss + coefficient * squares.sum::<f64>() as f32;
        let loss = if add_to_loss && inner.reads_loss() { penalised_loss() } else { call.loss };
        inner.step(call.params, &self.penalised, loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand_designed::{Sgd, SgdConfig};

    #[test]
    fn the_gradient_gains_the_coefficient_times_the_parameters() {
        let layout = ParamLayout::new([("w", vec![2])]).unwrap();
        let sgd = Sgd::new(&layout, SgdConfig { learning_rate: 1.0, ..Default::default() }).unwrap();
        let penalty = Penalty { coefficient: 0.25, add_to_loss: true };
        let mut optimizer = L2Regularised::new(Box::new(sgd), penalty).unwrap();
        let mut params = [4.0, -8.0];
        optimizer.step(&mut params, &[1.0, 0.0], 0.0).unwrap();
        assert_eq!(params, [2.0, -6.0]);
    }
}
