//! The head: from fourteen numbers about a tensor and the moment to the logarithms of two factors.
//!
//! ```text
//! h = tanh(x W₀ + b₀), eight units          o = h W₁ + b₁, log factor on the step and log factor on the decay
//! ```
//!
//! | inputs | value | range |
//! | --- | --- | --- |
//! | 0, 1, 2 | agreement of each momentum: 1 when all gradients point one way, -1 when they are independent | [-2, 1.5] |
//! | 3 | `ln RMS(p) / 3 + 1` | [-2, 2] |
//! | 4, 5 | `ln n / 4 - 1` of the longer and the shorter of the last two axes | [-1, 3] |
//! | 6 | 1 for vectors and scalars | 0, 1 |
//! | 7 | `ln(1 + t) / 5 - 1` | [-1, 3] |
//! | 8, 9 | fraction of the horizon that is left, and 1; both zero if none is declared | [0, 1] |
//! | 10 | short minus long average of the [log loss](super::loss_progress) | [-2, 2] |
//! | 11 | log loss since the start, `/ 3` | [-3, 1] |
//! | 12 | `ln pace / 3` | [-2.5, 0] |
//! | 13 | the log factor on the step at the last update, over its bound | [-1, 1] |
//!
//! The axes are ordered by length, not by place: frameworks that store a matrix transposed get the same steps.

use serde::{Deserialize, Serialize};

use super::loss_progress::Progress;
use crate::celo2::DECAYS;
use crate::imitation::walsh_sign;
use crate::rule::StepContext;

/// Numbers that the head sees.
const INPUTS: usize = 14;
const UNITS: usize = 8;
const OUTPUTS: usize = 2;

/// Inputs of the head that tell of the same thing, numbered as in the table of its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputGroup {
    /// Agreement of the momenta, inputs 0 to 2.
    Agreement,
    /// Root mean square of the parameters, input 3.
    Scale,
    /// Inputs 4 to 6.
    Shape,
    /// Number of the update, input 7.
    Time,
    /// Inputs 8 and 9. The pace, which ends at the horizon, is still seen.
    Horizon,
    /// Inputs 10 and 11.
    Loss,
    /// Input 12.
    Pace,
    /// The last factor on the step, input 13.
    Previous,
}

impl InputGroup {
    fn range(self) -> std::ops::Range<usize> {
        match self {
            Self::Agreement => 0..3,
            Self::Scale => 3..4,
            Self::Shape => 4..7,
            Self::Time => 7..8,
            Self::Horizon => 8..10,
            Self::Loss => 10..12,
            Self::Pace => 12..13,
            Self::Previous => 13..14,
        }
    }
}

/// All weights of the head.
pub(super) const WEIGHTS: usize = (INPUTS + 1) * UNITS + (UNITS + 1) * OUTPUTS;

/// The name of `W₀`.
pub(super) const INPUT_WEIGHTS: &str = "head/w0";

/// The name of `W₁`.
pub(super) const OUTPUT_WEIGHTS: &str = "head/w1";

/// Whether `W₀` at `index` is read by a head blind to `hidden`.
pub(super) fn sees(hidden: &[InputGroup], index: usize) -> bool {
    !hidden.iter().any(|group| group.range().contains(&(index / UNITS)))
}

/// Names and shapes of the weights, in order.
pub(super) fn theta_tensors() -> impl Iterator<Item = (String, Vec<usize>)> {
    [
        (INPUT_WEIGHTS, vec![INPUTS, UNITS]),
        ("head/b0", vec![UNITS]),
        (OUTPUT_WEIGHTS, vec![UNITS, OUTPUTS]),
        ("head/b1", vec![OUTPUTS]),
    ]
    .into_iter()
    .map(|(name, shape)| (name.to_owned(), shape))
}

/// Weights that put out zero, from units that are all at work and all different.
pub(super) fn silent() -> impl Iterator<Item = f32> {
    let size = 1.0 / (INPUTS as f32).sqrt();
    let first = (0..INPUTS * UNITS).map(move |at| size * walsh_sign(at / UNITS + 1, 2 * (at % UNITS) + 1));
    first.chain(std::iter::repeat_n(0.0, WEIGHTS - INPUTS * UNITS))
}

/// The weights.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    w0: [[f32; UNITS]; INPUTS],
    b0: [f32; UNITS],
    w1: [[f32; OUTPUTS]; UNITS],
    b1: [f32; OUTPUTS],
}

impl Head {
    /// Reads [`WEIGHTS`] weights in the order of [`theta_tensors`].
    pub fn read(theta: &[f32]) -> Self {
        let mut head = Self::default();
        let slices = [head.w0.as_flattened_mut(), &mut head.b0, head.w1.as_flattened_mut(), &mut head.b1];
        let mut rest = theta;
        for slice in slices {
            let (values, tail) = rest.split_at(slice.len());
            slice.copy_from_slice(values);
            rest = tail;
        }
        head
    }

    /// This head without those inputs: their weights are zero.
    pub fn blind_to(mut self, hidden: &[InputGroup]) -> Self {
        hidden.iter().for_each(|group| self.w0[group.range()].as_flattened_mut().fill(0.0));
        self
    }

    /// The outputs.
    pub fn outputs(&self, inputs: &[f32; INPUTS]) -> [f32; OUTPUTS] {
        let mut units = self.b0;
        for (input, weights) in inputs.iter().zip(&self.w0) {
            units.iter_mut().zip(weights).for_each(|(unit, weight)| *unit += input * weight);
        }
        let mut outputs = self.b1;
        for (unit, weights) in units.iter().zip(&self.w1) {
            let unit = unit.tanh();
            outputs.iter_mut().zip(weights).for_each(|(output, weight)| *output += unit * weight);
        }
        outputs
    }
}

/// What the head sees of the shape of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ShapeInputs([f32; 3]);

impl ShapeInputs {
    /// Of the shape.
    pub fn new(shape: &[usize]) -> Self {
        let (rows, cols) = match shape {
            [.., rows, cols] => (*rows, *cols),
            [cols] => (1, *cols),
            [] => (1, 1),
        };
        let size = |axis: usize| ((axis.max(1) as f32).ln() / 4.0 - 1.0).min(3.0);
        Self([size(rows.max(cols)), size(rows.min(cols)), f32::from(shape.len() < 2)])
    }
}

/// What the head sees of one tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct TensorInputs {
    /// Its elements, at least one.
    pub elements: usize,
    /// The sum of squares of its parameters.
    pub param_squares: f64,
    /// The sums of squares of `m_k e`.
    pub agreement_squares: [f64; 3],
    /// Its shape.
    pub shape: ShapeInputs,
    /// The log factor on the step at the last update, over its bound.
    pub previous: f32,
}

/// Bounds of the agreement of momenta.
const AGREEMENT: (f32, f32) = (-2.0, 1.5);

/// What the head sees of the moment, equal for all tensors, and what undoes the bias of the averages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    inputs: [f32; 6],
    /// Factors on the mean squares of `m_k e` that undo the bias of `m_k` and of `v`.
    corrections: [f64; 3],
    /// `2 / ln` of the root mean square that independent gradients have, negative.
    scales: [f32; 3],
}

impl Moment {
    /// Of an update.
    pub fn new(context: &StepContext, pace: f32, loss: Progress) -> Self {
        let updates = (context.step + 1) as f64;
        let collected = |decay: f32| 1.0 - f64::from(decay).powf(updates);
        let declared = context.horizon.filter(|&horizon| horizon > 0);
        let left = declared.map_or(0.0, |horizon| (1.0 - context.call as f64 / horizon as f64).max(0.0));
        Self {
            inputs: [
                ((updates.ln() / 5.0 - 1.0) as f32).min(3.0),
                left as f32,
                f32::from(declared.is_some()),
                loss.trend.clamp(-2.0, 2.0),
                (loss.since_start / 3.0).clamp(-3.0, 1.0),
                (pace.max(1e-6).ln() / 3.0).max(-2.5),
            ],
            corrections: DECAYS.momentum.map(|decay| collected(DECAYS.mean_square) / collected(decay).powi(2)),
            scales: DECAYS.momentum.map(|decay| 4.0 / ((1.0 - decay) / (1.0 + decay)).ln()),
        }
    }

    /// All inputs for one tensor.
    pub fn inputs(&self, tensor: &TensorInputs) -> [f32; INPUTS] {
        let mean = 1.0 / tensor.elements as f64;
        // The logarithm of a root mean square; the floor keeps it finite.
        let log_rms = |mean_square: f64| 0.5 * ((mean_square as f32).max(1e-30)).ln();
        let agreement = |k: usize| {
            let log = log_rms(tensor.agreement_squares[k] * mean * self.corrections[k]);
            (1.0 - self.scales[k] * log).clamp(AGREEMENT.0, AGREEMENT.1)
        };
        let scale = (log_rms(tensor.param_squares * mean) / 3.0 + 1.0).clamp(-2.0, 2.0);
        let [longer, shorter, is_vector] = tensor.shape.0;
        let [time, left, declared, trend, since_start, pace] = self.inputs;
        [
            agreement(0),
            agreement(1),
            agreement(2),
            scale,
            longer,
            shorter,
            is_vector,
            time,
            left,
            declared,
            trend,
            since_start,
            pace,
            tensor.previous,
        ]
    }
}
