//! Random inputs labelled by a random network with one hidden layer, the teacher.
//!
//! ```text
//! x ~ N(0, I)      z_o = Σ_h v_oh tanh(w_h·x + b_h)      y_o = (z_o - mean z_o) / std z_o
//! ```
//!
//! with `w ~ N(0, 2.25 / inputs)`, `b ~ N(0, ½²)`, `v ~ N(0, 1 / hidden)`; means and deviations are estimated once over a fixed sample. A
//! regression target is `y` plus normal noise of standard deviation `label_noise`; a class is `argmax y`, replaced by a
//! random one with a chance of `label_noise`. Standardising before the maximum keeps the classes about equally frequent.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, noisy_label, on_stack};
use crate::error::check_range;
use crate::rng::{Stream, derive_seed, normals, stream_number};

/// Rows over which the teacher's outputs are standardised.
const CALIBRATION_ROWS: u64 = 512;

/// What a teacher tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TeacherTarget {
    /// Which of its outputs is largest.
    Class,
    /// Its outputs.
    Values,
}

impl TeacherTarget {
    /// Outputs that a teacher needs to have something to tell.
    pub(super) fn fewest_outputs(self) -> usize {
        match self {
            Self::Class => 2,
            Self::Values => 1,
        }
    }

    /// What there is to predict of that many outputs.
    pub(super) fn kind(self, outputs: usize) -> TargetKind {
        match self {
            Self::Class => TargetKind::Class(outputs),
            Self::Values => TargetKind::Values(outputs),
        }
    }
}

/// A random teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TeacherConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Numbers in an input, 1 to 1024.
    pub inputs: usize,
    /// Hidden units of the teacher, 1 to 1024.
    pub hidden: usize,
    /// Outputs of the teacher, 1 to 1000; at least 2 for classes.
    pub outputs: usize,
    /// Classification or regression.
    pub target: TeacherTarget,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, or deviation of the noise on values, 0 to 1.
    pub label_noise: f32,
}

impl Default for TeacherConfig {
    fn default() -> Self {
        let (target, rows) = (TeacherTarget::Class, RowCount::Fixed(512));
        Self { seed: 0, inputs: 16, hidden: 16, outputs: 4, target, rows, label_noise: 0.0 }
    }
}

impl TeacherConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.inputs", self.inputs, 1..=1024)?;
        check_range("data.hidden", self.hidden, 1..=1024)?;
        check_range("data.outputs", self.outputs, self.target.fewest_outputs()..=1000)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", self.inputs + self.outputs)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::Features(self.inputs), self.target.kind(self.outputs))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Teacher::new(self), self.kinds(), self.rows)
    }
}

/// The drawn network.
struct Teacher {
    config: TeacherConfig,
    /// `inputs × hidden`: the inner loop runs over contiguous hidden units.
    first: Vec<f32>,
    bias: Vec<f32>,
    /// `hidden × outputs`.
    second: Vec<f32>,
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
}

impl Teacher {
    fn new(config: &TeacherConfig) -> Self {
        let TeacherConfig { seed, inputs, hidden, outputs, .. } = *config;
        let drawn = |purpose: u64, count: usize, scale: f32| {
            let mut values = vec![0.0; count];
            normals(seed, purpose, 0, &mut values);
            values.iter_mut().for_each(|value| *value *= scale);
            values
        };
        let mut teacher = Self {
            first: drawn(const { stream_number("teacher first") }, inputs * hidden, 1.5 / (inputs as f32).sqrt()),
            bias: drawn(const { stream_number("teacher bias") }, hidden, 0.5),
            second: drawn(const { stream_number("teacher second") }, hidden * outputs, 1.0 / (hidden as f32).sqrt()),
            mean: vec![0.0; outputs],
            inverse_deviation: vec![1.0; outputs],
            config: config.clone(),
        };
        teacher.calibrate();
        teacher
    }

    fn calibrate(&mut self) {
        let TeacherConfig { seed, inputs, outputs, .. } = self.config;
        let (mut sum, mut sum_of_squares) = (vec![0.0f64; outputs], vec![0.0f64; outputs]);
        let (mut x, mut y) = (vec![0.0; inputs], vec![0.0; outputs]);
        for row in 0..CALIBRATION_ROWS {
            normals(derive_seed(seed, row), const { stream_number("teacher calibration") }, 0, &mut x);
            self.outputs(&x, &mut y);
            for ((sum, sum_of_squares), &y) in sum.iter_mut().zip(&mut sum_of_squares).zip(&y) {
                *sum += f64::from(y);
                *sum_of_squares += f64::from(y) * f64::from(y);
            }
        }
        let rows = CALIBRATION_ROWS as f64;
        self.mean = sum.iter().map(|sum| (sum / rows) as f32).collect();
        self.inverse_deviation = std::iter::zip(&sum, &sum_of_squares)
            .map(|(sum, square)| (1.0 / (square / rows - (sum / rows).powi(2)).max(1e-12).sqrt()) as f32)
            .collect();
    }

    /// Standardised outputs.
    fn outputs(&self, x: &[f32], y: &mut [f32]) {
        on_stack(self.bias.len(), |hidden| {
            hidden.copy_from_slice(&self.bias);
            for (&x, row) in x.iter().zip(self.first.chunks_exact(hidden.len())) {
                hidden.iter_mut().zip(row).for_each(|(h, w)| *h += x * w);
            }
            y.fill(0.0);
            for (&h, row) in hidden.iter().zip(self.second.chunks_exact(y.len())) {
                let h = tanh(h);
                y.iter_mut().zip(row).for_each(|(y, v)| *y += h * v);
            }
        });
        for ((y, mean), scale) in y.iter_mut().zip(&self.mean).zip(&self.inverse_deviation) {
            *y = (*y - mean) * scale;
        }
    }
}

impl Generator for Teacher {
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32 {
        let TeacherConfig { seed, outputs, label_noise, target, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        normals(row_seed, const { stream_number("teacher input") }, 0, inputs);
        match target {
            TeacherTarget::Class => on_stack(outputs, |y| {
                self.outputs(inputs, y);
                let largest = (1..outputs).fold(0, |best, o| if y[o] > y[best] { o } else { best });
                noisy_label(largest as u32, outputs, label_noise, row_seed)
            }),
            TeacherTarget::Values => {
                self.outputs(inputs, values);
                if label_noise > 0.0 {
                    let noise = Stream::new(row_seed, const { stream_number("value noise") });
                    values.iter_mut().zip(0..).for_each(|(y, i)| *y += label_noise * noise.normal(i));
                }
                0
            }
        }
    }
}

/// A rational function close to the hyperbolic tangent, within 0.03, the same bits on every platform.
///
/// A teacher needs some smooth bounded function, not this very one.
fn tanh(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    let square = x * x;
    x * (27.0 + square) / (27.0 + 9.0 * square)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn regression_targets_are_standardised() {
        let config = TeacherConfig { target: TeacherTarget::Values, rows: RowCount::Fixed(4000), ..Default::default() };
        let dataset = config.generate();
        let values = &dataset.rows(Split::Train).values;
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let square = values.iter().map(|y| y * y).sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.1 && (square - 1.0).abs() < 0.15, "{mean} {square}");
    }

    #[test]
    fn noise_on_values_has_the_deviation_asked_for() {
        let clean = TeacherConfig { target: TeacherTarget::Values, rows: RowCount::Fixed(4000), ..Default::default() };
        let noisy = TeacherConfig { label_noise: 0.5, ..clean.clone() };
        let (clean, noisy) = (clean.generate(), noisy.generate());
        let pairs = clean.rows(Split::Train).values.iter().zip(&noisy.rows(Split::Train).values);
        let variance = pairs.map(|(a, b)| (a - b).powi(2)).sum::<f32>() / 12_000.0;
        assert!((variance - 0.25).abs() < 0.02, "{variance}");
    }

    #[test]
    fn every_class_occurs() {
        for seed in 0..10 {
            let dataset = TeacherConfig { seed, ..Default::default() }.generate();
            for class in 0..4 {
                let count = dataset.rows(Split::Train).labels.iter().filter(|&&label| label == class).count();
                assert!(count > 20, "seed {seed}, class {class}: {count} of 384");
            }
        }
    }
}
