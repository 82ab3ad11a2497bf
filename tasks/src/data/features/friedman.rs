//! Friedman's function (1991, Annals of Statistics 19): a smooth function of five numbers among many that do not matter.
//!
//! ```text
//! y = (10 sin(π x₀ x₁) + 20 (x₂ - ½)² + 10 x₃ + 5 x₄ - 14.4) / 4.9 + noise · ε       x uniform in [0, 1)
//! ```
//!
//! The two constants bring it near mean 0 and variance 1. A model sees `2 x - 1`.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, add_pixel_noise};
use crate::error::check_range;
use crate::rng::{Stream, derive_seed, sin_cos_turns, stream_number};

/// Values of Friedman's function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FriedmanConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Numbers in an input, 5 to 1024.
    pub inputs: usize,
    /// Standard deviation of the noise on values, 0 to 2.
    pub noise: f32,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for FriedmanConfig {
    fn default() -> Self {
        Self { seed: 0, inputs: 10, noise: 0.2, rows: RowCount::Fixed(1024) }
    }
}

impl FriedmanConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.inputs", self.inputs, 5..=1024)?;
        check_range("data.noise", self.noise, 0.0..=2.0)?;
        self.rows.check("data.rows", self.inputs)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::Features(self.inputs), TargetKind::Values(1))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Values { config: self.clone() }, self.kinds(), self.rows)
    }
}

/// Random points with their values.
struct Values {
    config: FriedmanConfig,
}

impl Generator for Values {
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32 {
        let FriedmanConfig { seed, noise, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        let stream = Stream::new(row_seed, const { stream_number("Friedman") });
        let x: [f64; 5] = std::array::from_fn(|axis| stream.uniform(axis as u64));
        for (input, axis) in inputs.iter_mut().zip(0..) {
            *input = (2.0 * stream.uniform(axis) - 1.0) as f32;
        }
        let (sine, _) = sin_cos_turns(x[0] * x[1] / 2.0);
        let value = 10.0 * sine + 20.0 * (x[2] - 0.5) * (x[2] - 0.5) + 10.0 * x[3] + 5.0 * x[4];
        values[0] = ((value - 14.4) / 4.9) as f32;
        add_pixel_noise(values, noise, row_seed);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn values_follow_the_formula_and_are_near_standard() {
        let config = FriedmanConfig { noise: 0.0, rows: RowCount::Fixed(20_000), ..Default::default() };
        let dataset = config.generate();
        let rows = dataset.rows(Split::Train);
        for (row, &value) in rows.inputs.chunks(10).zip(&rows.values).take(100) {
            let x: Vec<_> = row.iter().map(|&input| (f64::from(input) + 1.0) / 2.0).collect();
            let sine = (std::f64::consts::PI * x[0] * x[1]).sin();
            let expected = 10.0 * sine + 20.0 * (x[2] - 0.5).powi(2) + 10.0 * x[3] + 5.0 * x[4];
            assert!((f64::from(value) * 4.9 + 14.4 - expected).abs() < 1e-4);
        }
        let mean =
            |f: &dyn Fn(f64) -> f64| rows.values.iter().map(|&y| f(y.into())).sum::<f64>() / rows.values.len() as f64;
        let (first, second) = (mean(&|y| y), mean(&|y| y * y));
        assert!(first.abs() < 0.05 && (second - 1.0).abs() < 0.1, "mean {first}, square {second}");
    }

    #[test]
    fn noise_has_the_deviation_asked_for_and_leaves_the_inputs_alone() {
        let rows = RowCount::Fixed(4000);
        let [clean, noisy] = [0.0, 0.5].map(|noise| FriedmanConfig { noise, rows, ..Default::default() }.generate());
        let (clean, noisy) = (clean.rows(Split::Train), noisy.rows(Split::Train));
        assert_eq!(clean.inputs, noisy.inputs);
        let squares = clean.values.iter().zip(&noisy.values).map(|(a, b)| (a - b) * (a - b));
        let deviation = (squares.sum::<f32>() / 3000.0).sqrt();
        assert!((deviation - 0.5).abs() < 0.03, "{deviation}");
    }
}
