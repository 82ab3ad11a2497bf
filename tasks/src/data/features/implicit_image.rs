//! A picture as a function: from a place in `[-1, 1]²` to its colour.
//!
//! ```text
//! colour_c(p) = Σ_w a_w,c cos 2π(k_w · p / 2 + φ_w)      |k| log-uniform up to `detail` cycles, a ∝ 1 / √|k|
//! ```
//!
//! Amplitudes are scaled to a variance of 1 per channel. The picture has no resolution: every place has its exact colour, and
//! held-out places are between those trained on.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::{check_choice, check_range};
use crate::rng::{Draws, Stream, derive_seed, sin_cos_turns, stream_number};

/// A random picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImplicitImageConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// 1 for grey, 3 for colours.
    pub channels: usize,
    /// Waves, 1 to 64.
    pub waves: usize,
    /// Cycles of the finest wave over the picture, 1 to 64.
    pub detail: f32,
    /// Number of places.
    pub rows: RowCount,
}

impl Default for ImplicitImageConfig {
    fn default() -> Self {
        Self { seed: 0, channels: 3, waves: 12, detail: 4.0, rows: RowCount::Fresh }
    }
}

impl ImplicitImageConfig {
    /// A picture of random detail.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            channels: draws.choose([1, 3]),
            waves: draws.log_uniform_integer(2, 16),
            detail: draws.log_uniform(1.0, 8.0) as f32,
            rows: RowCount::sample(draws),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_choice("data.channels", self.channels, &[1, 3])?;
        check_range("data.waves", self.waves, 1..=64)?;
        check_range("data.detail", self.detail, 1.0..=64.0)?;
        self.rows.check("data.rows", 2 + self.channels)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let target = TargetKind::Values(self.channels);
        (InputKind::Features(2), target)
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Picture::new(self), self.kinds(), self.rows)
    }
}

/// One wave of the picture.
#[derive(Debug, Clone, Copy)]
struct Wave {
    /// Half the wave vector.
    vector: [f64; 2],
    phase: f64,
    colour: [f32; 3],
}

/// The drawn picture.
struct Picture {
    seed: u64,
    waves: Vec<Wave>,
}

impl Picture {
    fn new(config: &ImplicitImageConfig) -> Self {
        let mut draws = Draws::new(config.seed, const { stream_number("implicit image") });
        let mut random_wave = || {
            let cycles = draws.log_uniform(0.5, f64::from(config.detail));
            let (sine, cosine) = sin_cos_turns(draws.uniform(0.0, 1.0));
            let colour = std::array::from_fn(|_| (draws.uniform(-1.0, 1.0) / cycles.sqrt()) as f32);
            let vector = [0.5 * cycles * cosine, 0.5 * cycles * sine];
            Wave { vector, phase: draws.uniform(0.0, 1.0), colour }
        };
        let mut waves: Vec<_> = (0..config.waves).map(|_| random_wave()).collect();
        for channel in 0..3 {
            // A cosine has a variance of one half.
            let variance: f32 = waves.iter().map(|wave| 0.5 * wave.colour[channel].powi(2)).sum();
            waves.iter_mut().for_each(|wave| wave.colour[channel] /= variance.sqrt().max(1e-6));
        }
        Self { waves, seed: config.seed }
    }
}

impl Generator for Picture {
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32 {
        let stream = Stream::new(derive_seed(self.seed, id), const { stream_number("implicit image row") });
        let place = [0, 1].map(|axis| 2.0 * stream.uniform(axis) - 1.0);
        inputs.copy_from_slice(&place.map(|axis| axis as f32));
        values.fill(0.0);
        for Wave { vector, phase, colour } in &self.waves {
            let turns = vector[0] * place[0] + vector[1] * place[1] + phase;
            let cosine = sin_cos_turns(turns - turns.floor()).1 as f32;
            values.iter_mut().zip(colour).for_each(|(value, amplitude)| *value += amplitude * cosine);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn colours_have_about_unit_variance_and_neighbours_are_alike() {
        let config = ImplicitImageConfig { waves: 30, rows: RowCount::Fixed(4000), ..Default::default() };
        let dataset = config.generate();
        let rows = dataset.rows(Split::Train);
        let variance = rows.values.iter().map(|y| y * y).sum::<f32>() / rows.values.len() as f32;
        assert!((0.5..2.0).contains(&variance), "{variance}");
        // The steepest wave changes by 4 cycles over two units: at most 2 π · 2 · √2 per unit and unit of amplitude.
        let places: Vec<_> = rows.inputs.chunks(2).zip(rows.values.chunks(3)).collect();
        for (a, colour_a) in places.iter().take(50) {
            for (b, colour_b) in &places {
                let distance = (a[0] - b[0]).hypot(a[1] - b[1]);
                if distance < 0.01 {
                    assert!((colour_a[0] - colour_b[0]).abs() < 1.0, "{distance}: {colour_a:?} {colour_b:?}");
                }
            }
        }
    }
}
