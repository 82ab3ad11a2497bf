//! Functions of the parameters alone: each has one difficulty that networks have too, and its minimum is zero.
//!
//! Over `n` parameters `w`, with `y = Q (w - w*)`, `Q` a reflection along a random direction (or none), `w*` random:
//!
//! ```text
//! quadratic   L = 1/2n Σ_i κ^(-i/(n-1)) y_i²                                  curvatures from 1 to 1/κ
//! Rosenbrock  L = 1/(n-1) Σ_i κ (w_{i+1} - w_i²)² + (1 - w_i)²                a curved valley
//! saddle      L = 1/n Σ_{i < n/2} ½ y_i² + 1/n Σ_{i ≥ n/2} ¼ (y_i² - 1)²      a start where half of the slopes vanish
//! plateau     L = 1/n Σ_i y_i² / (1 + y_i²)                                   a start where all slopes are small
//! ```
//!
//! A batch adds `s / (√batch · n) Σ_i ε_i w_i` with normal `ε`: noise in the gradient with mean zero. Evaluation has none.

use serde::{Deserialize, Serialize};
use velo_optimizer::ParamLayout;

use crate::Error;
use crate::error::check_range;
use crate::rng::{Stream, derive_seed, normals, stream_number};
use crate::task::{Batch, Metrics, Split, Task};

/// Below this no reference is reported, so that ratios to it stay finite.
const SMALLEST_REFERENCE: f64 = 1e-3;

/// The shape of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Surface {
    /// Curvatures of many sizes.
    Quadratic,
    /// A chain of curved valleys.
    Rosenbrock,
    /// A start at a saddle.
    Saddle,
    /// A start where the function is flat.
    Plateau,
}

/// A function of the parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SurfaceConfig {
    /// Its shape.
    pub surface: Surface,
    /// Parameters, 2 to 65,536.
    pub dimensions: usize,
    /// `κ`, 1 to 1e6: the condition of a quadratic, the steepness of a valley.
    pub condition: f32,
    /// Mixes the coordinates by a reflection.
    pub reflected: bool,
    /// Strength `s` of the noise, 0 to 100.
    pub noise: f32,
    /// Minimum and reflection follow from it.
    pub seed: u64,
}

impl Default for SurfaceConfig {
    fn default() -> Self {
        Self { surface: Surface::Quadratic, dimensions: 32, condition: 100.0, reflected: true, noise: 0.1, seed: 0 }
    }
}

impl SurfaceConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.dimensions", self.dimensions, 2..=65_536)?;
        check_range("model.condition", self.condition, 1.0..=1e6)?;
        check_range("model.noise", self.noise, 0.0..=100.0)
    }
}

/// A surface as a task.
pub(crate) struct SurfaceTask {
    name: String,
    config: SurfaceConfig,
    layout: ParamLayout,
    batch_size: usize,
    /// `w*`.
    minimum: Vec<f32>,
    /// The direction of the reflection, of length one.
    direction: Vec<f32>,
    reference_loss: f32,
    point: Vec<f32>,
    slope: Vec<f32>,
    noise: Vec<f32>,
}

impl SurfaceTask {
    pub(crate) fn new(name: &str, config: &SurfaceConfig, batch_size: usize) -> Result<Self, Error> {
        let n = config.dimensions;
        let (mut minimum, mut direction) = (vec![0.0; n], vec![0.0; n]);
        normals(config.seed, const { stream_number("surface minimum") }, 0, &mut minimum);
        normals(config.seed, const { stream_number("surface reflection") }, 0, &mut direction);
        let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt();
        direction.iter_mut().for_each(|v| *v /= length);
        let room = vec![0.0; n];
        let mut task = Self {
            name: name.to_owned(),
            layout: ParamLayout::new([("w", vec![n])])?,
            config: config.clone(),
            batch_size,
            minimum,
            direction,
            reference_loss: 0.0,
            point: room.clone(),
            slope: room.clone(),
            noise: room.clone(),
        };
        let mut start = room;
        task.init(0, &mut start);
        task.reference_loss = task.value_and_slope(&start).max(SMALLEST_REFERENCE) as f32;
        Ok(task)
    }

    /// `x` mirrored along the direction, or as it is.
    fn reflect(config: &SurfaceConfig, direction: &[f32], x: &mut [f32]) {
        if config.reflected && config.surface != Surface::Rosenbrock {
            let along: f32 = x.iter().zip(direction).map(|(x, v)| x * v).sum();
            x.iter_mut().zip(direction).for_each(|(x, v)| *x -= 2.0 * along * v);
        }
    }

    /// The function at `params`, without noise; its gradient is left in `slope`.
    fn value_and_slope(&mut self, params: &[f32]) -> f64 {
        let Self { config, point, slope, minimum, direction, .. } = self;
        let n = params.len() as f32;
        match config.surface {
            // The minimum of a valley is at ones, that of a saddle or a random place elsewhere.
            Surface::Rosenbrock | Surface::Saddle => point.copy_from_slice(params),
            Surface::Quadratic | Surface::Plateau => {
                point.iter_mut().zip(params).zip(minimum).for_each(|((y, w), minimum)| *y = w - *minimum);
            }
        }
        Self::reflect(config, direction, point);
        let mut value = 0.0f64;
        let mut add = |term: f32| value += f64::from(term);
        match config.surface {
            Surface::Quadratic => {
                let ratio = config.condition.powf(-1.0 / (n - 1.0));
                let mut curvature = 1.0 / n;
                for (y, slope) in point.iter().zip(slope.iter_mut()) {
                    *slope = curvature * y;
                    add(0.5 * *slope * y);
                    curvature *= ratio;
                }
            }
            Surface::Rosenbrock => {
                slope.fill(0.0);
                let scale = 1.0 / (n - 1.0);
                for i in 0..point.len() - 1 {
                    let (w, next) = (point[i], point[i + 1]);
                    let (bend, rest) = (next - w * w, 1.0 - w);
                    add(scale * (config.condition * bend * bend + rest * rest));
                    slope[i] -= scale * (4.0 * config.condition * bend * w + 2.0 * rest);
                    slope[i + 1] += scale * 2.0 * config.condition * bend;
                }
            }
            Surface::Saddle => {
                let half = point.len() / 2;
                for (i, (y, slope)) in point.iter().zip(slope.iter_mut()).enumerate() {
                    let well = y * y - 1.0;
                    let (term, derivative) = if i < half { (0.5 * y * y, *y) } else { (0.25 * well * well, well * y) };
                    add(term / n);
                    *slope = derivative / n;
                }
            }
            Surface::Plateau => {
                for (y, slope) in point.iter().zip(slope.iter_mut()) {
                    let over = 1.0 / (1.0 + y * y);
                    add(y * y * over / n);
                    *slope = 2.0 * y * over * over / n;
                }
            }
        }
        Self::reflect(config, direction, slope);
        value
    }

    /// What the noise of `batch` adds at `params`; the noise itself is left in `noise`.
    fn noise_at(&mut self, params: &[f32], batch: Batch) -> f64 {
        let scale = self.config.noise / ((self.batch_size as f32).sqrt() * params.len() as f32);
        let seed = derive_seed(derive_seed(batch.seed, batch.split as u64), batch.index);
        Stream::new(seed, const { stream_number("surface noise") }).normals(0, &mut self.noise);
        self.noise.iter_mut().for_each(|noise| *noise *= scale);
        self.noise.iter().zip(params).map(|(noise, w)| f64::from(noise * w)).sum()
    }
}

impl Task for SurfaceTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, seed: u64, params: &mut [f32]) {
        normals(seed, const { stream_number("surface init") }, 0, params);
        let scale = match self.config.surface {
            Surface::Quadratic => 1.0,
            Surface::Rosenbrock => 0.5,
            Surface::Saddle => 0.01,
            Surface::Plateau => 3.0,
        };
        params.iter_mut().for_each(|w| *w *= scale);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        let loss = self.value_and_slope(params) + self.noise_at(params, batch);
        for ((gradient, slope), noise) in grads.iter_mut().zip(&self.slope).zip(&self.noise) {
            *gradient = slope + noise;
        }
        loss as f32
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        (self.value_and_slope(params) + self.noise_at(params, batch)) as f32
    }

    fn evaluate(&mut self, params: &[f32], _: Split) -> Metrics {
        Metrics { loss: self.value_and_slope(params) as f32, accuracy: None }
    }

    fn reference_loss(&self) -> f32 {
        self.reference_loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Batch = Batch { seed: 2, split: Split::Train, index: 3 };

    fn surfaces() -> impl Iterator<Item = SurfaceConfig> {
        [Surface::Quadratic, Surface::Rosenbrock, Surface::Saddle, Surface::Plateau].into_iter().flat_map(|surface| {
            [true, false].map(|reflected| SurfaceConfig {
                surface,
                dimensions: 7,
                condition: 50.0,
                reflected,
                ..Default::default()
            })
        })
    }

    #[test]
    fn gradients_agree_with_differences_of_the_loss() {
        for config in surfaces() {
            let mut task = SurfaceTask::new("surface", &config, 4).unwrap();
            let (mut params, mut grads) = (vec![0.0; 7], vec![0.0; 7]);
            task.init(1, &mut params);
            task.loss_and_grad(&params, BATCH, &mut grads);
            let largest = grads.iter().fold(0.0f32, |largest, g| largest.max(g.abs()));
            for i in 0..7 {
                let mut at = |step: f32| {
                    let mut moved = params.clone();
                    moved[i] += step;
                    f64::from(task.loss(&moved, BATCH)) / f64::from(2.0f32 * step.abs())
                };
                let slope = (at(1e-2) - at(-1e-2)) as f32;
                assert!((slope - grads[i]).abs() < 2e-2 * largest, "{config:?}: {slope} against {}", grads[i]);
            }
        }
    }

    #[test]
    fn minima_are_zero() {
        for config in surfaces() {
            let mut task = SurfaceTask::new("surface", &config, 4).unwrap();
            let mut minimum = match config.surface {
                Surface::Quadratic | Surface::Plateau => task.minimum.clone(),
                Surface::Rosenbrock => vec![1.0; 7],
                Surface::Saddle => (0..7).map(|i| if i < 3 { 0.0 } else { 1.0 }).collect(),
            };
            if config.surface == Surface::Saddle {
                SurfaceTask::reflect(&config, &task.direction, &mut minimum);
            }
            assert!(task.evaluate(&minimum, Split::Train).loss < 1e-10, "{config:?}");
            assert!(task.reference_loss() > 1e-3);
        }
    }
}
