//! Points of the plane whose class is the part of a figure that they lie in: spiral arms, rings, squares of a board.
//!
//! ```text
//! spirals   point at radius r, angle 2π (turns · r + class / classes)         arms around each other
//! rings     class = ⌊classes · r⌋                                             one inside the other
//! board     class = (column + row) mod classes of a board of 2 turns · 2 turns squares
//! ```
//!
//! Radii and coordinates are uniform in `[0, 1)` and `[-1, 1)`; `noise` moves a point after its class is known.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, add_pixel_noise, noisy_label};
use crate::error::check_range;
use crate::rng::{Stream, derive_seed, sin_cos_turns, stream_number};

/// What the plane is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaneFigure {
    /// Arms that wind around the origin.
    Spirals,
    /// Rings around the origin.
    Rings,
    /// Squares of a board.
    Board,
}

/// Points of a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlaneFiguresConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// What the plane is divided into.
    pub figure: PlaneFigure,
    /// Classes, 2 to 64.
    pub classes: usize,
    /// Turns of an arm, half the squares of a side; 1 to 8.
    pub turns: usize,
    /// Standard deviation of the noise on coordinates, 0 to 1.
    pub noise: f32,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, 0 to 1.
    pub label_noise: f32,
}

impl Default for PlaneFiguresConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            figure: PlaneFigure::Spirals,
            classes: 3,
            turns: 1,
            noise: 0.02,
            rows: RowCount::Fixed(1024),
            label_noise: 0.0,
        }
    }
}

impl PlaneFiguresConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.classes", self.classes, 2..=64)?;
        check_range("data.turns", self.turns, 1..=8)?;
        check_range("data.noise", self.noise, 0.0..=1.0)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", 2)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::Features(2), TargetKind::Class(self.classes))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Points { config: self.clone() }, self.kinds(), self.rows)
    }
}

/// Random points.
struct Points {
    config: PlaneFiguresConfig,
}

impl Generator for Points {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let PlaneFiguresConfig { seed, figure, classes, turns, noise, label_noise, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        let stream = Stream::new(row_seed, const { stream_number("plane figure") });
        let on_circle = |radius: f64, angle: f64| {
            let (sine, cosine) = sin_cos_turns(angle.fract());
            [radius * cosine, radius * sine]
        };
        let radius = stream.uniform(0);
        let (place, class) = match figure {
            PlaneFigure::Spirals => {
                let class = stream.below(1, classes as u64);
                (on_circle(radius, turns as f64 * radius + class as f64 / classes as f64), class)
            }
            PlaneFigure::Rings => (on_circle(radius, stream.uniform(1)), (classes as f64 * radius) as u64),
            PlaneFigure::Board => {
                let place = [0, 1].map(|axis| stream.uniform(axis));
                let squares = place.map(|at| (2.0 * turns as f64 * at) as u64);
                (place.map(|at| 2.0 * at - 1.0), (squares[0] + squares[1]) % classes as u64)
            }
        };
        inputs.iter_mut().zip(place).for_each(|(input, at)| *input = at as f32);
        add_pixel_noise(inputs, noise, row_seed);
        noisy_label(class as u32, classes, label_noise, row_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    /// Points and classes of a figure without noise.
    fn points(figure: PlaneFigure, classes: usize, turns: usize) -> Vec<([f32; 2], u32)> {
        let config = PlaneFiguresConfig { figure, classes, turns, noise: 0.0, ..Default::default() };
        let dataset = config.generate();
        let rows = dataset.rows(Split::Train);
        rows.inputs.as_chunks::<2>().0.iter().copied().zip(rows.labels.iter().copied()).collect()
    }

    #[test]
    fn a_point_of_an_arm_lies_at_the_angle_of_its_radius_and_class() {
        for ([x, y], class) in points(PlaneFigure::Spirals, 4, 2) {
            let radius = x.hypot(y);
            let found = y.atan2(x) / std::f32::consts::TAU;
            let off = (found - 2.0 * radius - class as f32 / 4.0).rem_euclid(1.0);
            assert!(radius < 0.01 || off.min(1.0 - off) < 1e-4 / radius, "{off} at {radius}");
        }
    }

    #[test]
    fn rings_and_squares_have_the_classes_of_their_places() {
        for ([x, y], class) in points(PlaneFigure::Rings, 3, 1) {
            assert!((3.0 * x.hypot(y) - class as f32 - 0.5).abs() < 0.5001);
        }
        for ([x, y], class) in points(PlaneFigure::Board, 2, 2) {
            // Away from the borders, where rounding could tell otherwise.
            let square = |at: f32| (2.0 * (at + 1.0)).floor() as u32;
            let border = |at: f32| (2.0 * at - (2.0 * at).round()).abs() < 1e-4;
            assert!(border(x) || border(y) || (square(x) + square(y)) % 2 == class, "{x} {y}");
        }
    }
}
