//! Convolutions as matrix products: every window of an image becomes a row.
//!
//! An image is `height · width` rows of `channels` numbers. With `k` the side of the kernel and `s` the stride, the window of
//! output pixel `(i, j)` starts at `(s i - p, s j - p')`; what it holds beyond the image is zero. Padding is chosen so that the
//! output has `⌈height / s⌉ × ⌈width / s⌉` pixels ("same"); with `k = s` dividing the sides, windows are the patches
//! of a vision transformer.
//!
//! ```text
//! row[(di, dj, c)] = x[s i - p + di, s j - p' + dj, c]       convolution = rows · kernel, a dense layer
//! ```
//!
//! Backward, every window adds its gradient to the pixels that it read.

use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::operations::Dense;
use crate::graph::real::Real;

/// Which windows are taken from images of which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patches {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Side of a window.
    pub side: usize,
    /// Pixels from a window to the next.
    pub stride: usize,
}

impl Patches {
    /// Rows and columns of windows.
    pub(crate) fn grid(self) -> (usize, usize) {
        (self.height.div_ceil(self.stride), self.width.div_ceil(self.stride))
    }

    /// Zeros above and to the left of an image.
    fn padding(self) -> (usize, usize) {
        let before = |pixels: usize| {
            let covered = (pixels.div_ceil(self.stride) - 1) * self.stride + self.side;
            covered.saturating_sub(pixels) / 2
        };
        (before(self.height), before(self.width))
    }
}

/// See the [module](self).
struct PatchesStep {
    patches: Patches,
    channels: usize,
}

/// A run of pixels that a row of a window shares with a row of the image.
struct Run {
    /// First element in the windows.
    window: usize,
    /// First element in the image.
    image: usize,
    len: usize,
}

impl PatchesStep {
    /// Calls `visit` for each run of one image that lies inside it.
    fn for_each_run(&self, mut visit: impl FnMut(Run)) {
        let Patches { height, width, side, stride } = self.patches;
        let ((rows, columns), (above, before)) = (self.patches.grid(), self.patches.padding());
        let window_len = side * side * self.channels;
        for i in 0..rows {
            for j in 0..columns {
                let first_column = (j * stride).saturating_sub(before);
                let skipped = first_column + before - j * stride;
                let last_column = (j * stride + side).saturating_sub(before).min(width);
                for di in 0..side {
                    let Some(row) = (i * stride + di).checked_sub(above).filter(|&row| row < height) else { continue };
                    visit(Run {
                        window: (i * columns + j) * window_len + (di * side + skipped) * self.channels,
                        image: (row * width + first_column) * self.channels,
                        len: last_column.saturating_sub(first_column) * self.channels,
                    });
                }
            }
        }
    }

    fn image_len(&self) -> usize {
        self.patches.height * self.patches.width * self.channels
    }

    fn windows_len(&self) -> usize {
        let (rows, columns) = self.patches.grid();
        rows * columns * self.patches.side * self.patches.side * self.channels
    }
}

impl<T: Real> GraphBuilder<T> {
    /// The windows of an image: one row of `side² · channels` numbers for each.
    pub(crate) fn patches(&mut self, image: Node, patches: Patches) -> Node {
        assert_eq!(image.rows, patches.height * patches.width, "an image has a row for each pixel");
        let (rows, columns) = patches.grid();
        let shape = (rows * columns, patches.side * patches.side * image.width);
        self.step(PatchesStep { patches, channels: image.width }, &[image], shape, false)
    }

    /// A convolution with "same" padding: `layer` on every window. Its kernel has the shape `[side, side, channels, outputs]`.
    pub(crate) fn convolution(&mut self, name: &str, image: Node, patches: Patches, layer: Dense) -> Node {
        let shape = vec![patches.side, patches.side, image.width, layer.outputs()];
        // A window of one pixel is the image itself.
        let windows = if patches.side == 1 && patches.stride == 1 { image } else { self.patches(image, patches) };
        self.dense(name, windows, layer.with_kernel_shape(shape))
    }
}

impl<T: Real> Operation<T> for PatchesStep {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        output.fill(T::ZERO);
        let images = pass.inputs[0].chunks_exact(self.image_len());
        for (windows, image) in output.chunks_exact_mut(self.windows_len()).zip(images) {
            self.for_each_run(|run| copy(&mut windows[run.window..][..run.len], &image[run.image..][..run.len]));
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [gradient, _] = pass.input_gradients;
        let Some(gradient) = gradient else { return };
        gradient.fill(T::ZERO);
        let windows = pass.output_gradient.chunks_exact(self.windows_len());
        for (image, windows) in gradient.chunks_exact_mut(self.image_len()).zip(windows) {
            self.for_each_run(|run| {
                for (sum, term) in image[run.image..][..run.len].iter_mut().zip(&windows[run.window..][..run.len]) {
                    *sum += *term;
                }
            });
        }
    }
}

/// Copies a short run: a loop, because a call of the system's copy costs more than the few numbers.
#[inline(always)]
fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Activation;
    use crate::graph::check::assert_gradients;
    use crate::graph::{Examples, Regression, TargetSource};

    #[test]
    fn gradients_agree_with_finite_differences_for_odd_sides_and_strides() {
        for (side, stride) in [(3, 1), (3, 2), (2, 2), (1, 1), (5, 3)] {
            assert_gradients(2, 4 * 5 * 2, |g, input| {
                let image = g.reshape(input, 2);
                let first = Patches { height: 4, width: 5, side, stride };
                let x = g.convolution("first", image, first, Dense::linear(3, 0.3).activated(Activation::Tanh));
                let (height, width) = first.grid();
                let second = Patches { height, width, side: 3, stride: 1 };
                let x = g.convolution("second", x, second, Dense::linear(2, 0.3));
                let x = g.reshape(x, x.rows * x.width);
                let out = g.dense("out", x, Dense::linear(40, 0.3));
                g.regression(out, Regression::Squared, TargetSource::Inputs);
            });
        }
    }

    #[test]
    fn a_convolution_agrees_with_its_definition() {
        let (height, width, side) = (3usize, 4usize, 3usize);
        let image: Vec<f64> = (0..12).map(|i| f64::from(i * i % 7)).collect();
        let kernel: Vec<f64> = (0..9).map(|i| f64::from(i) - 3.0).collect();
        let mut g = GraphBuilder::<f64>::new(1, 12);
        let input = g.reshape(g.input(), 1);
        let layer = Dense::linear(1, 1.0).without_bias();
        let out = g.convolution("conv", input, Patches { height, width, side, stride: 1 }, layer);
        g.regression(out, Regression::Squared, TargetSource::Values);
        let (mut graph, layout, _) = g.finish().unwrap();
        assert_eq!(layout.tensors()[0].shape, [3, 3, 1, 1]);
        let mut expected = vec![0.0; 12];
        for (i, j, di, dj) in (0..81 * 4).map(|n| (n / 9 / width, n / 9 % width, n / 3 % 3, n % 3)) {
            let (row, column) = ((i + di).checked_sub(1), (j + dj).checked_sub(1));
            if let (Some(row), Some(column)) = (row.filter(|&r| r < height), column.filter(|&c| c < width))
                && i < height
            {
                expected[i * width + j] += image[row * width + column] * kernel[di * side + dj];
            }
        }
        let examples = Examples { inputs: &image, labels: &[0], values: &expected, noise_seed: 0 };
        assert!(graph.score(&kernel, examples).loss < 1e-20);
    }
}
