//! Linear problems whose features have very different variances along hidden axes.
//!
//! ```text
//! z ~ N(0, I)      x = Q diag(i^(-exponent/2)) z,  i = 1 … inputs      y = W z + noise
//! ```
//!
//! `Q` is a product of three random reflections, so that no feature is an axis of the spectrum, and `W` is normal with variance
//! `1 / inputs`: every axis matters alike, and those of small variance are learned late by whatever does not precondition.
//! The condition number of the features is `inputs^exponent`. A class is `argmax y` without noise.

use serde::{Deserialize, Serialize};

use super::TeacherTarget;
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, noisy_label, on_stack, sample_label_noise};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, normals, stream_number};

/// Reflections that make up the rotation.
const REFLECTIONS: usize = 3;

/// Outputs at most.
const MAX_OUTPUTS: usize = 256;

/// A linear problem with a power-law spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IllConditionedConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Numbers in an input, 2 to 1024.
    pub inputs: usize,
    /// Outputs, 1 to 256; at least 2 for classes.
    pub outputs: usize,
    /// Decay of the spectrum, 0 to 4.
    pub exponent: f32,
    /// Classification or regression.
    pub target: TeacherTarget,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, or deviation of the noise on values, 0 to 1.
    pub label_noise: f32,
}

impl Default for IllConditionedConfig {
    fn default() -> Self {
        let (target, rows) = (TeacherTarget::Values, RowCount::Fixed(1024));
        Self { seed: 0, inputs: 32, outputs: 1, exponent: 2.0, target, rows, label_noise: 0.1 }
    }
}

impl IllConditionedConfig {
    /// A problem of random size and condition.
    pub fn sample(draws: &mut Draws) -> Self {
        let target = draws.choose([TeacherTarget::Class, TeacherTarget::Values]);
        Self {
            seed: draws.bits(),
            inputs: draws.log_uniform_integer(8, 64),
            outputs: if target == TeacherTarget::Class { draws.log_uniform_integer(2, 10) } else { 1 },
            exponent: draws.uniform(0.5, 3.0) as f32,
            target,
            rows: RowCount::sample(draws),
            label_noise: sample_label_noise(draws, 0.2),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.inputs", self.inputs, 2..=1024)?;
        check_range("data.outputs", self.outputs, self.target.fewest_outputs()..=MAX_OUTPUTS)?;
        check_range("data.exponent", self.exponent, 0.0..=4.0)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", self.inputs + self.outputs)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::Features(self.inputs), self.target.kind(self.outputs))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Spectrum::new(self), self.kinds(), self.rows)
    }
}

/// The drawn problem.
struct Spectrum {
    config: IllConditionedConfig,
    /// Standard deviation along each axis.
    deviations: Vec<f32>,
    /// Unit normals of the mirrors, one after the other.
    mirrors: Vec<f32>,
    /// `inputs × outputs`.
    weights: Vec<f32>,
}

impl Spectrum {
    fn new(config: &IllConditionedConfig) -> Self {
        let IllConditionedConfig { seed, inputs, outputs, exponent, .. } = *config;
        let mut mirrors = vec![0.0; REFLECTIONS * inputs];
        normals(seed, const { stream_number("ill-conditioned mirrors") }, 0, &mut mirrors);
        for mirror in mirrors.chunks_exact_mut(inputs) {
            let norm = mirror.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            mirror.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
        let mut weights = vec![0.0; inputs * outputs];
        normals(seed, const { stream_number("ill-conditioned weights") }, 0, &mut weights);
        weights.iter_mut().for_each(|w| *w /= (inputs as f32).sqrt());
        let deviation = |axis: usize| (axis as f64).powf(-0.5 * f64::from(exponent)) as f32;
        Self { deviations: (1..=inputs).map(deviation).collect(), mirrors, weights, config: config.clone() }
    }

    /// `y += W z`.
    fn add_outputs(&self, z: &[f32], y: &mut [f32]) {
        for (&z, row) in z.iter().zip(self.weights.chunks_exact(y.len())) {
            y.iter_mut().zip(row).for_each(|(y, w)| *y += w * z);
        }
    }
}

/// The inner product, in eight sums that do not wait for each other.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_groups, a_rest) = a.as_chunks::<8>();
    let (b_groups, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_groups.iter().zip(b_groups) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

impl Generator for Spectrum {
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32 {
        let IllConditionedConfig { seed, outputs, target, label_noise, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        normals(row_seed, const { stream_number("ill-conditioned row") }, 0, inputs);
        let label = match target {
            TeacherTarget::Class => on_stack(outputs, |y| {
                self.add_outputs(inputs, y);
                let largest = (1..outputs).fold(0, |best, o| if y[o] > y[best] { o } else { best });
                noisy_label(largest as u32, outputs, label_noise, row_seed)
            }),
            TeacherTarget::Values => {
                let noise = Stream::new(row_seed, const { stream_number("value noise") });
                values.iter_mut().zip(0..).for_each(|(y, i)| *y = label_noise * noise.normal(i));
                self.add_outputs(inputs, values);
                0
            }
        };
        inputs.iter_mut().zip(&self.deviations).for_each(|(x, deviation)| *x *= deviation);
        for mirror in self.mirrors.chunks_exact(inputs.len()) {
            let twice = 2.0 * dot(inputs, mirror);
            inputs.iter_mut().zip(mirror).for_each(|(x, m)| *x -= twice * m);
        }
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn mirrored_back_the_axes_have_the_variances_of_the_power_law() {
        let config = IllConditionedConfig { inputs: 8, rows: RowCount::Fixed(20_000), ..Default::default() };
        let (spectrum, dataset) = (Spectrum::new(&config), config.generate());
        let rows = dataset.rows(Split::Train);
        let mut squares = [0.0f64; 8];
        for row in rows.inputs.chunks(8) {
            let mut x: Vec<_> = row.to_vec();
            for mirror in spectrum.mirrors.chunks(8).rev() {
                let along: f32 = x.iter().zip(mirror).map(|(x, m)| x * m).sum();
                x.iter_mut().zip(mirror).for_each(|(x, m)| *x -= 2.0 * along * m);
            }
            squares.iter_mut().zip(&x).for_each(|(sum, &x)| *sum += f64::from(x * x) / rows.len() as f64);
        }
        for (axis, square) in (1..).zip(squares) {
            let expected = f64::from(axis).powi(-2);
            assert!((square / expected - 1.0).abs() < 0.06, "axis {axis}: {square} against {expected}");
        }
    }

    #[test]
    fn targets_have_about_unit_variance_and_the_noise_asked_for() {
        let clean = IllConditionedConfig { label_noise: 0.0, rows: RowCount::Fixed(4000), ..Default::default() };
        let noisy = IllConditionedConfig { label_noise: 0.5, ..clean.clone() };
        let (clean, noisy) = (clean.generate(), noisy.generate());
        let (a, b) = (&clean.rows(Split::Train).values, &noisy.rows(Split::Train).values);
        let variance = |values: &mut dyn Iterator<Item = f32>| values.map(|y| y * y).sum::<f32>() / a.len() as f32;
        let signal = variance(&mut a.iter().copied());
        let noise = variance(&mut a.iter().zip(b).map(|(a, b)| a - b));
        assert!((0.3..2.0).contains(&signal) && (noise - 0.25).abs() < 0.03, "{signal} {noise}");
    }
}
