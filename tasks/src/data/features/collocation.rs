//! Points of the unit square at which a network is to fulfil Poisson's equation, `-Δu = f` inside and `u = 0` on the edge.
//!
//! The solution is a few products of sines, so that the right-hand side is known exactly:
//!
//! ```text
//! u(x, y) = Σ_k a_k sin(π m_k x) sin(π n_k y)      f(x, y) = Σ_k a_k π² (m_k² + n_k²) sin(π m_k x) sin(π n_k y)
//! ```
//!
//! A row is a point `(x, y)`, even over the square, with the values `(f, u)`: the first to train on, the second to measure with.
//! Amplitudes fall with frequency so that every term has its share in `f`, and are scaled to a mean square of 1 for `f`.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, sin_cos_turns, stream_number};

/// A random right-hand side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollocationConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Products of sines, 1 to 16.
    pub terms: usize,
    /// Highest frequency in half periods, 1 to 16.
    pub frequency: usize,
    /// Number of points.
    pub rows: RowCount,
}

impl Default for CollocationConfig {
    fn default() -> Self {
        Self { seed: 0, terms: 3, frequency: 3, rows: RowCount::Fresh }
    }
}

impl CollocationConfig {
    /// A right-hand side of random difficulty.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            terms: draws.log_uniform_integer(1, 10),
            // Half of them high: these are learned only after hundreds of steps without progress, in which an optimizer must
            // not let the network decay to nothing.
            frequency: 1 + draws.uniform(0.0, 10.0) as usize,
            rows: RowCount::sample(draws),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.terms", self.terms, 1..=16)?;
        check_range("data.frequency", self.frequency, 1..=16)?;
        self.rows.check("data.rows", 4)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::Features(2), TargetKind::Values(2))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Solution::new(self), self.kinds(), self.rows)
    }
}

/// `a sin(π m x) sin(π n y)`.
#[derive(Debug, Clone, Copy)]
struct Term {
    m: f64,
    n: f64,
    amplitude: f64,
}

/// The drawn solution.
struct Solution {
    seed: u64,
    terms: Vec<Term>,
}

impl Solution {
    fn new(config: &CollocationConfig) -> Self {
        let mut draws = Draws::new(config.seed, const { stream_number("collocation terms") });
        // A product of sines has a mean square of 1/4.
        let share = 2.0 / (config.terms as f64).sqrt();
        let mut term = || {
            let [m, n] = [draws.bits(), draws.bits()].map(|bits| (1 + bits % config.frequency as u64) as f64);
            let sign = draws.choose([-1.0, 1.0]);
            Term { m, n, amplitude: sign * share / (std::f64::consts::PI.powi(2) * (m * m + n * n)) }
        };
        Self { terms: (0..config.terms).map(|_| term()).collect(), seed: config.seed }
    }

    /// `(f, u)` at a point.
    fn at(&self, x: f64, y: f64) -> [f64; 2] {
        // sin(π m x) is the sine of m x / 2 turns.
        let sine = |half_turns: f64| sin_cos_turns((0.5 * half_turns).fract()).0;
        self.terms.iter().fold([0.0, 0.0], |[f, u], &Term { m, n, amplitude }| {
            let value = amplitude * sine(m * x) * sine(n * y);
            [f + std::f64::consts::PI.powi(2) * (m * m + n * n) * value, u + value]
        })
    }
}

impl Generator for Solution {
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32 {
        let stream = Stream::new(derive_seed(self.seed, id), const { stream_number("collocation row") });
        let point = [stream.uniform(0), stream.uniform(1)];
        inputs.copy_from_slice(&point.map(|axis| axis as f32));
        values.copy_from_slice(&self.at(point[0], point[1]).map(|value| value as f32));
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_hand_side_is_minus_the_laplacian_and_the_edge_is_zero() {
        let solution = Solution::new(&CollocationConfig { terms: 5, frequency: 6, seed: 2, ..Default::default() });
        let h = 1e-3;
        for (x, y) in [(0.3, 0.2), (0.71, 0.55), (0.12, 0.93)] {
            let u = |x: f64, y: f64| solution.at(x, y)[1];
            let laplacian = (u(x + h, y) + u(x - h, y) + u(x, y + h) + u(x, y - h) - 4.0 * u(x, y)) / (h * h);
            let f = solution.at(x, y)[0];
            assert!((f + laplacian).abs() < 1e-3, "{f} against {}", -laplacian);
        }
        for t in [0.1, 0.4, 0.8] {
            for (x, y) in [(0.0, t), (1.0 - 1e-12, t), (t, 0.0), (t, 1.0 - 1e-12)] {
                assert!(solution.at(x, y)[1].abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_right_hand_side_has_about_unit_size() {
        for seed in 0..5 {
            let dataset = CollocationConfig { seed, ..Default::default() }.generate();
            let values = &dataset.rows(crate::task::Split::Train).values;
            let square = values.chunks(2).map(|row| row[0] * row[0]).sum::<f32>() / (values.len() / 2) as f32;
            // Equal terms may come twice and add up or cancel.
            assert!((0.2..4.0).contains(&square), "seed {seed}: {square}");
        }
    }
}
