//! Exponential functions made of additions and multiplications, so that loops over them use vector instructions.
//!
//! ```text
//! x = n ln 2 + r, |r| ≤ ½ ln 2      eˣ - 1 = 2ⁿ (eʳ - 1) + (2ⁿ - 1)      eʳ - 1 = r + r²/2! + … + r⁷/7!
//! sin x = (-1)ⁿ sin(x - n π) and cos x = -(-1)ⁿ sin(x - (n + ½) π), the difference within ± ½ π
//! ```
//!
//! Accurate to a few units in the last place (sine and cosine: of one, for arguments up to a thousand); `NaN` stays
//! `NaN`; to the exponential, arguments beyond ±87 are ±87.

use super::simd::Instructions;

/// `1.5 · 2²³`: adding it rounds a small number to the nearest integer, which its low bits then hold.
const ROUNDING: f32 = 12_582_912.0;

/// `ln 2` in two parts, the first with enough trailing zeros that its multiples are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `(2ⁿ, eʳ - 1)`.
#[inline(always)]
fn split_exp<I: Instructions>(x: f32) -> (f32, f32) {
    let x = x.clamp(-87.0, 87.0);
    let shifted = I::multiply_add(x, std::f32::consts::LOG2_E, ROUNDING);
    let n = shifted - ROUNDING;
    let r = I::multiply_add(n, -LN_2_LOW, I::multiply_add(n, -LN_2_HIGH, x));
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        series = I::multiply_add(series, r, coefficient);
    }
    // The low bits of `shifted` are `n`; its high bits fall off the end.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (power, series * r)
}

/// `eˣ`.
#[inline(always)]
pub(crate) fn exp<I: Instructions>(x: f32) -> f32 {
    let (power, rest) = split_exp::<I>(x);
    I::multiply_add(power, rest, power)
}

/// `tanh x = e / (e + 2)` with `e = e²ˣ - 1`, which loses nothing near zero.
#[inline(always)]
pub(crate) fn tanh<I: Instructions>(x: f32) -> f32 {
    let (power, rest) = split_exp::<I>(2.0 * x);
    let e = I::multiply_add(power, rest, power - 1.0);
    e / (e + 2.0)
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid<I: Instructions>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<I>(-x))
}

/// `π` in three parts, the first two with enough trailing zeros that their small multiples are exact.
const PI_HIGH: f32 = 3.140_625;
const PI_MIDDLE: f32 = 9.670_257_6e-4;
const PI_LOW: f32 = 6.278_329_6e-7;

/// `(-1)ⁿ sin(x - (n + shift) π)` with `n` the nearest integer to `x / π - shift`.
#[inline(always)]
fn sin_shifted<I: Instructions>(x: f32, shift: f32) -> f32 {
    let rounded = I::multiply_add(x, std::f32::consts::FRAC_1_PI, -shift) + ROUNDING;
    let n = rounded - ROUNDING;
    let multiple = n + shift;
    let r = I::multiply_add(multiple, -PI_HIGH, x);
    let r = I::multiply_add(multiple, -PI_LOW, I::multiply_add(multiple, -PI_MIDDLE, r));
    let square = r * r;
    let mut series = 1.0 / 6_227_020_800.0;
    for coefficient in [-1.0 / 39_916_800.0, 1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0] {
        series = I::multiply_add(series, square, coefficient);
    }
    let sine = I::multiply_add(series * square, r, r);
    // The lowest bit of `rounded` is that of `n`: moved up, it is a sign.
    f32::from_bits(sine.to_bits() ^ (rounded.to_bits() << 31))
}

/// `sin x`.
#[inline(always)]
pub(crate) fn sin<I: Instructions>(x: f32) -> f32 {
    sin_shifted::<I>(x, 0.0)
}

/// `cos x`.
#[inline(always)]
pub(crate) fn cos<I: Instructions>(x: f32) -> f32 {
    -sin_shifted::<I>(x, 0.5)
}

#[cfg(test)]
mod tests {
    use super::super::simd::{Fused, Plain};
    use super::*;

    #[test]
    fn they_agree_with_the_library_to_a_few_units_in_the_last_place() {
        for i in -86_000..=86_000 {
            let x = i as f32 * 1e-3;
            let close = |value: f32, exact: f64| (f64::from(value) - exact).abs() <= 4e-7 * exact.abs();
            let wide = f64::from(x);
            assert!(close(exp::<Plain>(x), wide.exp()) && close(exp::<Fused>(x), wide.exp()), "exp {x}");
            assert!(close(tanh::<Plain>(x), wide.tanh()) && close(tanh::<Fused>(x), wide.tanh()), "tanh {x}");
            assert!(close(sigmoid::<Fused>(x), 1.0 / (1.0 + (-wide).exp())), "sigmoid {x}");
        }
    }

    #[test]
    fn sine_and_cosine_agree_with_the_library() {
        for i in -100_000..=100_000 {
            let x = i as f32 * 1e-2;
            let wide = f64::from(x);
            for (value, exact) in [
                (sin::<Fused>(x), wide.sin()),
                (sin::<Plain>(x), wide.sin()),
                (cos::<Fused>(x), wide.cos()),
                (cos::<Plain>(x), wide.cos()),
            ] {
                assert!((f64::from(value) - exact).abs() < 3e-7, "{x}: {value} against {exact}");
            }
        }
        assert!(sin::<Fused>(f32::NAN).is_nan() && cos::<Plain>(f32::NAN).is_nan());
    }

    #[test]
    fn they_are_accurate_near_zero_and_finite_far_away() {
        for x in [1e-20, 1e-8, -1e-4] {
            assert!((tanh::<Fused>(x) / x - 1.0).abs() < 1e-6);
        }
        assert_eq!((tanh::<Fused>(1e30), tanh::<Fused>(-1e30)), (1.0, -1.0));
        assert!(exp::<Fused>(f32::INFINITY).is_finite() && exp::<Fused>(f32::NAN).is_nan());
        assert!(tanh::<Fused>(f32::NAN).is_nan() && sigmoid::<Plain>(f32::NAN).is_nan());
    }
}
