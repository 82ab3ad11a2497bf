//! Gradients of unit size: `g / rms(g)` over all parameters; a gradient of zero stays zero.

use velo_optimizer::ParamLayout;

use super::disguised_gradients::GradientDisguise;
use crate::task::Batch;

/// See the [module](self).
pub(super) struct Normalise;

impl GradientDisguise for Normalise {
    fn disguise(&mut self, grads: &mut [f32], _batch: Batch, _layout: &ParamLayout) {
        let square: f64 = grads.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
        if square > 0.0 {
            // Not-a-numbers stay: the comparison is false for them.
            let inverse = (grads.len() as f64 / square).sqrt();
            grads.iter_mut().for_each(|g| *g = (f64::from(*g) * inverse) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    fn normalised<const N: usize>(mut grads: [f32; N]) -> [f32; N] {
        let layout = ParamLayout::new([("w", vec![N])]).unwrap();
        Normalise.disguise(&mut grads, Batch { seed: 0, split: Split::Train, index: 0 }, &layout);
        grads
    }

    #[test]
    fn the_root_mean_square_becomes_one_and_the_direction_stays() {
        // The root mean square of (3, 4, 0, 0) is 2.5.
        assert_eq!(normalised([3.0, -4.0, 0.0, 0.0]), [1.2, -1.6, 0.0, 0.0]);
        assert_eq!(normalised([3e-30, -4e-30, 0.0, 0.0]), [1.2, -1.6, 0.0, 0.0]);
        assert_eq!(normalised([0.0, 0.0]), [0.0, 0.0]);
        assert!(normalised([f32::NAN, 1.0])[0].is_nan());
    }
}
