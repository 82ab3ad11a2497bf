//! Images of bright spots; the class is how many there are.
//!
//! Every spot is `a · (1 - d²)²` within its radius, `d` the distance from its centre in radii, added to the others. Classes are the numbers
//! 1 to `classes`.

use serde::{Deserialize, Serialize};

use super::canvas::{Canvas, Lane, MAX_SIDE, Shader};
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, add_pixel_noise, noisy_label, on_stack};
use crate::error::check_range;
use crate::rng::{Stream, derive_seed, stream_number};

/// Images of spots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlobsConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Side of the image in pixels, 4 to 32; one channel.
    pub side: usize,
    /// Spots at most, and so classes, 2 to 16.
    pub classes: usize,
    /// Radius of the largest spot, where the image reaches from -1 to 1; 0.1 to 1. The smallest has two thirds of it.
    pub radius: f32,
    /// Standard deviation of the noise on pixels, 0 to 2.
    pub pixel_noise: f32,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, 0 to 1.
    pub label_noise: f32,
}

impl Default for BlobsConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            side: 10,
            classes: 4,
            radius: 0.45,
            pixel_noise: 0.05,
            rows: RowCount::Fixed(1024),
            label_noise: 0.0,
        }
    }
}

impl BlobsConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.side", self.side, 4..=MAX_SIDE)?;
        check_range("data.classes", self.classes, 2..=16)?;
        check_range("data.radius", self.radius, 0.1..=1.0)?;
        check_range("data.pixel_noise", self.pixel_noise, 0.0..=2.0)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", self.side * self.side)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::grey(self.side), TargetKind::Class(self.classes))
    }

    pub(crate) fn generate(&self) -> Dataset {
        let blobs = Blobs { canvas: Canvas::new(self.side), config: self.clone() };
        procedural::from_generator(blobs, self.kinds(), self.rows)
    }
}

/// Random spots.
struct Blobs {
    config: BlobsConfig,
    canvas: Canvas,
}

/// One spot.
struct Blob {
    centre: [f32; 2],
    inverse_radius: f32,
    brightness: f32,
}

impl Shader for Blob {
    #[inline(always)]
    fn shade(&self, x: &Lane, y: &Lane) -> Lane {
        let mut light = Lane::default();
        for (light, (x, y)) in light.iter_mut().zip(x.iter().zip(y)) {
            let (x, y) = ((x - self.centre[0]) * self.inverse_radius, (y - self.centre[1]) * self.inverse_radius);
            let inside = (1.0 - (x * x + y * y)).max(0.0);
            *light = self.brightness * inside * inside;
        }
        light
    }
}

impl Generator for Blobs {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let BlobsConfig { seed, classes, radius, pixel_noise, label_noise, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        let stream = Stream::new(row_seed, const { stream_number("spots") });
        let class = stream.below(0, classes as u64);
        inputs.fill(0.0);
        on_stack(inputs.len(), |layer| {
            for spot in 0..=class {
                let uniform = |number: u64| stream.uniform(1 + 4 * spot + number) as f32;
                let radius = radius * (2.0 + uniform(0)) / 3.0;
                let place = |number: u64| (1.0 - radius) * (2.0 * uniform(number) - 1.0);
                let blob = Blob {
                    centre: [place(1), place(2)],
                    inverse_radius: 1.0 / radius,
                    brightness: 0.6 + 0.4 * uniform(3),
                };
                self.canvas.paint(&blob, layer);
                inputs.iter_mut().zip(&*layer).for_each(|(pixel, light)| *pixel += light);
            }
        });
        add_pixel_noise(inputs, pixel_noise, row_seed);
        noisy_label(class as u32, classes, label_noise, row_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn an_image_has_as_much_light_as_its_class_has_spots() {
        let config = BlobsConfig { side: 32, pixel_noise: 0.0, rows: RowCount::Fixed(4000), ..Default::default() };
        let dataset = config.generate();
        let rows = dataset.rows(Split::Train);
        let (mut light, mut count) = ([0.0; 4], [0.0f32; 4]);
        for (image, &label) in rows.inputs.chunks(32 * 32).zip(&rows.labels) {
            light[label as usize] += image.iter().sum::<f32>();
            count[label as usize] += 1.0;
        }
        let mean: Vec<_> = light.iter().zip(count).map(|(light, count)| light / count).collect();
        for (class, light) in mean.iter().enumerate() {
            let spots = light / mean[0];
            assert!((spots - (class + 1) as f32).abs() < 0.1 * spots, "class {class}: {spots} spots' light");
        }
    }

    #[test]
    fn every_spot_lies_within_the_image() {
        let config = BlobsConfig { side: 16, pixel_noise: 0.0, rows: RowCount::Fixed(400), ..Default::default() };
        let dataset = config.generate();
        for image in dataset.rows(Split::Train).inputs.chunks(256) {
            assert!(image.iter().all(|&light| (0.0..=4.0).contains(&light)));
            // A spot touches the edge at most, so the outermost pixels are nearly dark.
            assert!(image[..16].iter().all(|&light| light < 0.6));
        }
    }
}
