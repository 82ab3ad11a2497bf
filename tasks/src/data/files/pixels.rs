//! From the bytes of images to numbers: another size, grey instead of colours.

use super::check_size;
use crate::Error;
use crate::data::dataset::{Dataset, InputKind};
use crate::data::table::{Column, Features, Table};

/// Height, width and channels of an image, row-major in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

impl Shape {
    pub(super) fn len(self) -> usize {
        self.height * self.width * self.channels
    }
}

/// Labelled images of one shape, collected one after the other.
#[derive(Debug)]
pub(super) struct Images {
    shape: Shape,
    pixels: Vec<f32>,
    labels: Vec<u32>,
}

impl Images {
    /// Room for up to `count` images of this shape.
    pub(super) fn new(file: &str, shape: Shape, count: usize) -> Result<Self, Error> {
        check_size(file, count, shape.len())?;
        Ok(Self { shape, pixels: Vec::with_capacity(count * shape.len()), labels: Vec::with_capacity(count) })
    }

    /// Adds an image, in the shape of all of them.
    pub(super) fn push(&mut self, bytes: &[u8], shape: Shape, label: u32) {
        let start = self.pixels.len();
        self.pixels.resize(start + self.shape.len(), 0.0);
        resize(bytes, shape, &mut self.pixels[start..], self.shape);
        self.labels.push(label);
    }

    /// The data set, a fifth of it held out.
    pub(super) fn into_dataset(self, classes: usize) -> Dataset {
        let Shape { height, width, channels } = self.shape;
        let table = Table {
            width: self.shape.len(),
            features: self.pixels,
            target: Column::Labels { labels: self.labels, classes },
        };
        table.split(InputKind::Image { channels, height, width }, Features::AsTheyAre)
    }
}

/// Weights of red, green and blue in a grey level (ITU-R BT.601).
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// Writes an image in another shape, from bytes to levels of 0 to 1.
///
/// A new pixel is the mean over the area that it covers. Three channels become one by the weights of [`GREY`]; one
/// becomes three equal ones.
fn resize(bytes: &[u8], from: Shape, out: &mut [f32], to: Shape) {
    let rows = Coverage::new(from.height, to.height);
    let columns = Coverage::new(from.width, to.width);
    for (i, pixel) in out.chunks_exact_mut(to.channels).enumerate() {
        let mut sums = [0.0f32; 3];
        for (row, row_share) in rows.of(i / to.width) {
            for (column, column_share) in columns.of(i % to.width) {
                let source = &bytes[(row * from.width + column) * from.channels..][..from.channels];
                let share = row_share * column_share / 255.0;
                sums.iter_mut().zip(source).for_each(|(sum, &byte)| *sum += share * f32::from(byte));
            }
        }
        match (from.channels, pixel) {
            (3, [grey]) => *grey = sums.iter().zip(GREY).map(|(sum, weight)| sum * weight).sum(),
            (1, pixel) => pixel.fill(sums[0]),
            (_, pixel) => pixel.iter_mut().zip(sums).for_each(|(pixel, sum)| *pixel = sum),
        }
    }
}

/// Which old pixels of a line lie under a new one.
struct Coverage {
    scale: f32,
    old: usize,
}

impl Coverage {
    fn new(old: usize, new: usize) -> Self {
        Self { scale: old as f32 / new as f32, old }
    }

    /// Old pixels under the new pixel `index`, with their shares of it, which add up to 1.
    fn of(&self, index: usize) -> impl Iterator<Item = (usize, f32)> + Clone {
        let (start, end) = (index as f32 * self.scale, ((index + 1) as f32 * self.scale).min(self.old as f32));
        let (first, last) = (start as usize, (end.ceil() as usize).min(self.old));
        let width = end - start;
        (first..last.max(first + 1)).map(move |pixel| {
            let overlap = end.min(pixel as f32 + 1.0) - start.max(pixel as f32);
            (pixel, overlap / width)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(bytes: &[u8], from: [usize; 3], to: [usize; 3]) -> Vec<f32> {
        let [from, to] = [from, to].map(|[height, width, channels]| Shape { height, width, channels });
        let mut out = vec![f32::NAN; to.len()];
        resize(bytes, from, &mut out, to);
        out.iter().map(|level| (level * 255.0 * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn the_same_shape_keeps_every_pixel() {
        let bytes: Vec<_> = (0..60).collect();
        let expected: Vec<_> = (0..60u8).map(f32::from).collect();
        assert_eq!(resized(&bytes, [4, 5, 3], [4, 5, 3]), expected);
    }

    #[test]
    fn smaller_pixels_are_means_over_their_area() {
        assert_eq!(resized(&[0, 10, 20, 30], [2, 2, 1], [1, 1, 1]), [15.0]);
        // Three into two: each new pixel is one and a half old ones.
        assert_eq!(resized(&[0, 30, 90], [1, 3, 1], [1, 2, 1]), [10.0, 70.0]);
        assert_eq!(resized(&[0, 30], [1, 2, 1], [1, 4, 1]), [0.0, 0.0, 30.0, 30.0]);
    }

    #[test]
    fn colours_become_grey_and_grey_becomes_equal_colours() {
        assert_eq!(resized(&[100, 0, 0], [1, 1, 3], [1, 1, 1]), [29.9]);
        assert_eq!(resized(&[50, 50, 50], [1, 1, 3], [1, 1, 1]), [50.0]);
        assert_eq!(resized(&[7], [1, 1, 1], [1, 1, 3]), [7.0, 7.0, 7.0]);
    }

    #[test]
    fn the_mean_level_stays_for_any_pair_of_sizes() {
        for old in 1..12 {
            for new in 1..12 {
                let bytes: Vec<_> = (0..old).map(|i| (i * 20) as u8).collect();
                let mean = bytes.iter().map(|&byte| f32::from(byte)).sum::<f32>() / old as f32;
                let out = resized(&bytes, [1, old, 1], [1, new, 1]);
                assert!((out.iter().sum::<f32>() / new as f32 - mean).abs() < 0.01, "{old} to {new}");
            }
        }
    }
}
