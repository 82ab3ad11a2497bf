//! An axis with its own ticks, even or by factors.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

use super::ticks;

/// A range of values and how it is laid out and divided.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Axis {
    /// Evenly divided, with about `count` ticks.
    pub(super) fn linear(low: f64, high: f64, count: usize) -> Self {
        Self { low, high, logarithmic: false, ticks: ticks::linear(low, high, count) }
    }

    /// Divided by factors; both ends are positive.
    pub(super) fn logarithmic(low: f64, high: f64) -> Self {
        Self { low, high, logarithmic: true, ticks: ticks::logarithmic(low, high) }
    }

    /// Where ticks stand.
    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// The share of the axis below `value`.
    fn share(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        first + (f64::from(last - first) * self.share(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Only labelled ticks: lines between them would be noise.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_factors_take_equal_lengths_on_a_logarithmic_axis() {
        let axis = Axis::logarithmic(0.01, 100.0);
        assert_eq!([0.01, 0.1, 1.0, 100.0].map(|value| axis.map(&value, (400, 0))), [400, 300, 200, 0]);
        assert_eq!(Axis::linear(-1.0, 1.0, 4).map(&0.5, (0, 100)), 75);
    }
}
