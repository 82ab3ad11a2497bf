//! Gradients as half-precision training delivers them: rounded to bfloat16, to nearest even.

use velo_optimizer::ParamLayout;

use super::disguised_gradients::GradientDisguise;
use crate::task::Batch;

/// See the [module](self).
pub(super) struct Bfloat16;

impl GradientDisguise for Bfloat16 {
    fn disguise(&mut self, grads: &mut [f32], _batch: Batch, _layout: &ParamLayout) {
        for gradient in grads {
            *gradient = round(*gradient);
        }
    }
}

/// The nearest number with the upper 16 bits of an `f32`; ties go to the even one, not-a-numbers stay.
fn round(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    if x.is_nan() { x } else { f32::from_bits(rounded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_eight_bits_to_nearest_even() {
        // Around 1 the neighbours are 1/128 apart.
        let step = 1.0 / 128.0;
        assert_eq!(round(1.0 + 0.4 * step), 1.0);
        assert_eq!(round(-1.0 - 0.6 * step), -1.0 - step);
        assert_eq!(round(1.0 + 0.5 * step), 1.0, "a tie goes down to the even neighbour");
        assert_eq!(round(1.0 + 1.5 * step), 1.0 + 2.0 * step, "a tie goes up to the even neighbour");
        assert_eq!(round(f32::MAX), f32::INFINITY);
        assert_eq!(round(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(round(f32::from_bits(0x7f80_0001)).is_nan());
    }

    #[test]
    fn the_relative_error_is_at_most_one_in_256_and_rounding_twice_changes_nothing() {
        for i in 1..10_000 {
            let x = (i as f32).powi(3) * 1e-7;
            assert!((round(x) - x).abs() <= x / 256.0, "{x}");
            assert_eq!(round(round(x)), round(x));
        }
    }
}
