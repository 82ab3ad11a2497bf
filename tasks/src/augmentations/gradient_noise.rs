//! Gradients with noise in proportion to themselves: `g + r · rms(g) · ε`, as smaller batches would have.
//!
//! The root mean square is that of the tensor, so that tensors with small gradients are not drowned.

use velo_optimizer::ParamLayout;

use super::disguised_gradients::{GradientDisguise, batch_seed};
use crate::rng::{Stream, stream_number};
use crate::task::Batch;

/// Values of noise made at once.
const CHUNK: usize = 64;

/// See the [module](self).
pub(super) struct GradientNoise {
    pub(super) relative: f32,
    pub(super) seed: u64,
}

impl GradientDisguise for GradientNoise {
    fn disguise(&mut self, grads: &mut [f32], batch: Batch, layout: &ParamLayout) {
        let stream = Stream::new(batch_seed(self.seed, batch), const { stream_number("gradient noise") });
        let mut noise = [0.0; CHUNK];
        for tensor in layout.tensors() {
            let grads = &mut grads[tensor.range.clone()];
            let square: f64 = grads.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
            let scale = self.relative * (square / grads.len() as f64).sqrt() as f32;
            for (chunk, first) in grads.chunks_mut(CHUNK).zip((tensor.range.start..).step_by(CHUNK)) {
                stream.bell_noise(first as u64, &mut noise[..chunk.len()]);
                chunk.iter_mut().zip(&noise).for_each(|(g, noise)| *g += scale * noise);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn the_noise_has_its_share_of_each_tensors_size_and_differs_by_batch() {
        let layout = ParamLayout::new([("large", vec![4001]), ("small", vec![4000]), ("zero", vec![10])]).unwrap();
        let plain: Vec<_> =
            (0..8011).map(|i| if i < 4001 { 100.0 } else { f32::from(i16::from(i < 8001)) * 0.01 }).collect();
        let noisy = |index| {
            let mut grads = plain.clone();
            let batch = Batch { seed: 1, split: Split::Train, index };
            GradientNoise { relative: 0.5, seed: 7 }.disguise(&mut grads, batch, &layout);
            grads
        };
        let first = noisy(0);
        for (range, size) in [(0..4001, 100.0f64), (4001..8001, 0.01)] {
            let count = range.len() as f64;
            let errors: Vec<_> = range.map(|i| f64::from(first[i] - plain[i]) / size).collect();
            let mean = errors.iter().sum::<f64>() / count;
            let square = errors.iter().map(|e| e * e).sum::<f64>() / count;
            assert!(mean.abs() < 5.0 * 0.5 / count.sqrt(), "{mean}");
            assert!((square - 0.25).abs() < 5.0 * 0.25 * (1.7 / count).sqrt(), "{square}");
        }
        assert!(first[8001..].iter().all(|&g| g == 0.0));
        assert_eq!(first, noisy(0));
        assert_ne!(first, noisy(1));
    }
}
