//! Images of waves: the classes of a texture differ in directions, wave lengths and colours.
//!
//! Class `c` is a few waves with wave vectors `k` (cycles per image, between 1 and a third of the side, any direction) and
//! colours `a`. A row shifts every wave by a random phase and turns the whole texture a little:
//!
//! ```text
//! pixel_channel(p) = Σ_w a_w,channel · sin 2π(R k_w · p / 2 + φ_w) + noise · ε      R: turn by up to ±jitter · 45°
//! ```

use serde::{Deserialize, Serialize};

use super::canvas::{Canvas, Lane, MAX_SIDE, Shader, wave};
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, add_pixel_noise, noisy_label, on_stack, sample_label_noise};
use crate::error::{check_choice, check_range};
use crate::rng::{Draws, Stream, derive_seed, sin_cos_turns, stream_number};

/// Waves of a class at most.
const MAX_WAVES: usize = 8;

/// Wave textures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TexturesConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Side of the image in pixels, 4 to 32.
    pub side: usize,
    /// 1 for grey, 3 for colours.
    pub channels: usize,
    /// Classes, 2 to 1000.
    pub classes: usize,
    /// Waves of a class, 1 to 8.
    pub waves: usize,
    /// Strength of the random turn, 0 to 1.
    pub jitter: f32,
    /// Standard deviation of the noise on pixels, 0 to 2.
    pub pixel_noise: f32,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, 0 to 1.
    pub label_noise: f32,
}

impl Default for TexturesConfig {
    fn default() -> Self {
        let (rows, pixel_noise, label_noise) = (RowCount::Fixed(512), 0.2, 0.0);
        Self { seed: 0, side: 8, channels: 1, classes: 10, waves: 2, jitter: 0.2, pixel_noise, rows, label_noise }
    }
}

impl TexturesConfig {
    /// A configuration of random difficulty, 6 to 16 pixels wide.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            side: draws.choose([6, 8, 8, 12, 16]),
            channels: draws.choose([1, 1, 3]),
            classes: draws.log_uniform_integer(2, 10),
            waves: draws.choose([1, 2, 3, 4]),
            jitter: draws.uniform(0.0, 0.4) as f32,
            pixel_noise: draws.uniform(0.0, 0.8) as f32,
            rows: RowCount::sample(draws),
            label_noise: sample_label_noise(draws, 0.2),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.side", self.side, 4..=MAX_SIDE)?;
        check_choice("data.channels", self.channels, &[1, 3])?;
        check_range("data.classes", self.classes, 2..=1000)?;
        check_range("data.waves", self.waves, 1..=MAX_WAVES)?;
        check_range("data.jitter", self.jitter, 0.0..=1.0)?;
        check_range("data.pixel_noise", self.pixel_noise, 0.0..=2.0)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", self.channels * self.side * self.side)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::Image { channels: self.channels, height: self.side, width: self.side };
        (inputs, TargetKind::Class(self.classes))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Textures::new(self), self.kinds(), self.rows)
    }
}

/// One wave: half its wave vector, because an image is two units wide, and its phase.
#[derive(Debug, Clone, Copy, Default)]
struct Wave {
    vector: [f32; 2],
    phase: f32,
    /// Amplitude in each channel.
    colour: [f32; 3],
}

/// One channel of a texture.
struct Channel<'a> {
    waves: &'a [Wave],
    channel: usize,
}

impl Shader for Channel<'_> {
    #[inline(always)]
    fn shade(&self, x: &Lane, y: &Lane) -> Lane {
        let mut sum = Lane::default();
        for Wave { vector, phase, colour } in self.waves {
            let amplitude = colour[self.channel];
            for (sum, (x, y)) in sum.iter_mut().zip(x.iter().zip(y)) {
                *sum += amplitude * wave(vector[0] * x + vector[1] * y + phase);
            }
        }
        sum
    }
}

/// The drawn classes.
struct Textures {
    config: TexturesConfig,
    /// `class × wave`; phases are zero.
    waves: Vec<Wave>,
    canvas: Canvas,
}

impl Textures {
    fn new(config: &TexturesConfig) -> Self {
        let mut draws = Draws::new(config.seed, const { stream_number("texture classes") });
        // The amplitudes of all waves together have a variance of 1.
        let loudest = (2.0 / config.waves as f64).sqrt();
        let mut random_wave = || {
            let half_cycles = 0.5 * draws.log_uniform(1.0, (config.side as f64 / 3.0).max(1.5));
            let (sine, cosine) = sin_cos_turns(draws.uniform(0.0, 1.0));
            let vector = [(half_cycles * cosine) as f32, (half_cycles * sine) as f32];
            let grey = draws.uniform(0.5, 1.5) * loudest;
            let colour = std::array::from_fn(|_| {
                let tint = if config.channels == 1 { 1.0 } else { draws.uniform(-1.0, 1.0) };
                (grey * tint) as f32
            });
            Wave { vector, phase: 0.0, colour }
        };
        let waves = (0..config.classes * config.waves).map(|_| random_wave()).collect();
        Self { waves, canvas: Canvas::new(config.side), config: config.clone() }
    }
}

impl Generator for Textures {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let TexturesConfig { seed, channels, classes, waves: count, jitter, pixel_noise, label_noise, .. } =
            self.config;
        let row_seed = derive_seed(seed, id);
        let stream = Stream::new(row_seed, const { stream_number("texture row") });
        let class = stream.below(0, classes as u64) as usize;
        let turn = 0.125 * f64::from(jitter) * (2.0 * stream.uniform(1) - 1.0);
        let (sine, cosine) = sin_cos_turns(turn.rem_euclid(1.0));
        let (sine, cosine) = (sine as f32, cosine as f32);
        let mut waves = [Wave::default(); MAX_WAVES];
        let waves = &mut waves[..count];
        for ((wave, drawn), index) in waves.iter_mut().zip(&self.waves[class * count..]).zip(2..) {
            let [x, y] = drawn.vector;
            wave.vector = [cosine * x - sine * y, sine * x + cosine * y];
            wave.phase = stream.uniform(index) as f32;
            wave.colour = drawn.colour;
        }
        if channels == 1 {
            self.canvas.paint(&Channel { waves, channel: 0 }, inputs);
        } else {
            on_stack(inputs.len() / channels, |plane| {
                for channel in 0..channels {
                    self.canvas.paint(&Channel { waves, channel }, plane);
                    inputs.iter_mut().skip(channel).step_by(channels).zip(&*plane).for_each(|(to, from)| *to = *from);
                }
            });
        }
        add_pixel_noise(inputs, pixel_noise, row_seed);
        noisy_label(class as u32, classes, label_noise, row_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn pixels_have_mean_zero_and_about_unit_variance() {
        for channels in [1, 3] {
            let config = TexturesConfig { channels, pixel_noise: 0.0, waves: 4, ..Default::default() };
            let dataset = config.generate();
            let pixels = &dataset.rows(Split::Train).inputs;
            let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
            let square = pixels.iter().map(|x| x * x).sum::<f32>() / pixels.len() as f32;
            assert!(mean.abs() < 0.1 && (0.2..1.8).contains(&square), "{mean} {square}");
        }
    }

    #[test]
    fn the_energy_of_a_class_lies_at_its_own_wave_vector() {
        // One wave a class, not turned: its own sine and cosine explain the image, those of other classes do not.
        let config = TexturesConfig {
            waves: 1,
            jitter: 0.0,
            pixel_noise: 0.0,
            side: 16,
            classes: 4,
            seed: 3,
            ..Default::default()
        };
        let (textures, dataset) = (Textures::new(&config), config.generate());
        let rows = dataset.rows(Split::Train);
        let energy = |image: &[f32], wave: &Wave| {
            let mut sums = [0.0f32; 2];
            for (i, value) in image.iter().enumerate() {
                let at = |index: usize| (index as f32 + 0.5) / 8.0 - 1.0;
                let turns = wave.vector[0] * at(i % 16) + wave.vector[1] * at(i / 16);
                let (sine, cosine) = (turns * std::f32::consts::TAU).sin_cos();
                sums[0] += value * sine;
                sums[1] += value * cosine;
            }
            sums[0].powi(2) + sums[1].powi(2)
        };
        let mut right = 0;
        for (image, &label) in rows.inputs.chunks(256).zip(&rows.labels).take(100) {
            let energies: Vec<_> = textures.waves.iter().map(|wave| energy(image, wave)).collect();
            let best = (0..4).max_by(|&a, &b| energies[a].total_cmp(&energies[b])).unwrap();
            right += usize::from(best == label as usize);
        }
        assert!(right > 95, "{right} of 100");
    }
}
