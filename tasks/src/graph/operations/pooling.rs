//! Means over windows of an image or a sequence.
//!
//! ```text
//! y[i, j, c] = 1/(a b) Σ_{di < a, dj < b} x[a i + di, b j + dj, c]      ∂L/∂x = ∂L/∂y / (a b)
//! ```
//!
//! Windows do not overlap; those at the edge may be smaller, and average what they have. One window over everything is
//! global pooling, and a sequence is an image of one row.

use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;

/// The size of the image and of the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Rows of a window.
    pub rows: usize,
    /// Columns of a window.
    pub columns: usize,
}

impl Window {
    /// Rows and columns of windows.
    pub(crate) fn grid(self) -> (usize, usize) {
        (self.height.div_ceil(self.rows), self.width.div_ceil(self.columns))
    }

    /// The window that pixel `(i, j)` is in, and one over its number of pixels.
    fn of(self, i: usize, j: usize) -> (usize, f64) {
        let (row, column) = (i / self.rows, j / self.columns);
        let rows = self.rows.min(self.height - row * self.rows);
        let columns = self.columns.min(self.width - column * self.columns);
        (row * self.grid().1 + column, 1.0 / (rows * columns) as f64)
    }
}

/// See the [module](self).
struct AveragePool {
    window: Window,
    channels: usize,
}

impl<T: Real> GraphBuilder<T> {
    /// The mean of each window.
    pub(crate) fn average_pool(&mut self, image: Node, window: Window) -> Node {
        assert_eq!(image.rows, window.height * window.width, "an image has a row for each pixel");
        let (rows, columns) = window.grid();
        self.step(AveragePool { window, channels: image.width }, &[image], (rows * columns, image.width), false)
    }

    /// The mean over all rows.
    pub(crate) fn mean_row(&mut self, x: Node) -> Node {
        self.average_pool(x, Window { height: 1, width: x.rows, rows: 1, columns: x.rows })
    }
}

impl AveragePool {
    /// Calls `visit` with each pixel of an image, its window and the share of the pixel in it.
    fn for_each_pixel(&self, mut visit: impl FnMut(usize, usize, f64)) {
        for i in 0..self.window.height {
            for j in 0..self.window.width {
                let (window, share) = self.window.of(i, j);
                visit((i * self.window.width + j) * self.channels, window * self.channels, share);
            }
        }
    }

    fn lens(&self) -> (usize, usize) {
        let (rows, columns) = self.window.grid();
        (self.window.height * self.window.width * self.channels, rows * columns * self.channels)
    }
}

impl<T: Real> Operation<T> for AveragePool {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        output.fill(T::ZERO);
        let (image_len, output_len) = self.lens();
        for (output, image) in output.chunks_exact_mut(output_len).zip(pass.inputs[0].chunks_exact(image_len)) {
            self.for_each_pixel(|pixel, window, share| {
                let share = T::from_f64(share);
                let means = &mut output[window..][..self.channels];
                for (mean, x) in means.iter_mut().zip(&image[pixel..][..self.channels]) {
                    *mean += share * *x;
                }
            });
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [gradient, _] = pass.input_gradients;
        let Some(gradient) = gradient else { return };
        let (image_len, output_len) = self.lens();
        let deltas = pass.output_gradient.chunks_exact(output_len);
        for (image, delta) in gradient.chunks_exact_mut(image_len).zip(deltas) {
            self.for_each_pixel(|pixel, window, share| {
                let share = T::from_f64(share);
                let pixels = &mut image[pixel..][..self.channels];
                for (gradient, delta) in pixels.iter_mut().zip(&delta[window..][..self.channels]) {
                    *gradient = share * *delta;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::check::assert_gradients;
    use crate::graph::{Dense, Regression, TargetSource};

    #[test]
    fn gradients_agree_with_finite_differences_also_at_ragged_edges() {
        for (rows, columns) in [(2, 2), (3, 5), (1, 3)] {
            assert_gradients(2, 3 * 5 * 2, |g, input| {
                let image = g.reshape(input, 2);
                let x = g.dense("x", image, Dense::linear(3, 1.0));
                let x = g.average_pool(x, Window { height: 3, width: 5, rows, columns });
                let x = g.reshape(x, x.rows * x.width);
                let out = g.dense("out", x, Dense::linear(30, 0.5));
                g.regression(out, Regression::Squared, TargetSource::Inputs);
            });
        }
    }
}
