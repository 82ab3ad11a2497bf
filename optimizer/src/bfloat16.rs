//! Numbers of state in half the room: bfloat16, the upper sixteen bits of an `f32`.
//!
//! An average with decay `β` moves by `(1-β)(x - a)` an update. Neighbours of `a` in bfloat16 are `2⁻⁸ a` to `2⁻⁷ a`
//! apart: rounded to the nearest, an average with `β = 0.999` stands still for every `x` between `-0.9 a` and `2.9 a`, and
//! never dies down when gradients do. So rounding is stochastic here: up or down with probabilities that make the expectation
//! exact,
//!
//! ```text
//! round(x) = (bits(x) + r) >> 16,   r uniform in 0..2¹⁶
//! ```
//!
//! and the average follows its inputs with a noise of some `0.002/√(1-β²)` of its size: 0.5 %, 1.6 % and 5 % for `β` of
//! 0.9, 0.99 and 0.999. `r` is a hash of who is rounded (tensor, plane, index) and of the update: nothing is kept for it,
//! and a resumed run has the same bits.

use serde::{Deserialize, Serialize};

/// How the momenta and second moments that a rule keeps for every parameter are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AccumulatorStorage {
    /// Four bytes each.
    #[default]
    F32,
    /// Two bytes each: bfloat16, rounded stochastically by a hash, so that slow averages go on moving. Factored
    /// statistics and whatever else is small or is no average of gradients keep four.
    Bf16,
}

/// Words of `f32` that hold `len` halves.
pub(crate) fn words(len: usize) -> usize {
    len.div_ceil(2)
}

/// The first `len` halves in words of the state.
///
/// # Panics
/// If there are not as many.
pub(crate) fn halves(words: &[f32], len: usize) -> &[u16] {
    assert!(len <= 2 * words.len(), "two halves a word");
    // SAFETY: inside the slice by the assertion; an `f32` has the alignment of a `u16`, which any bits are.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), len) }
}

/// The same, to be written.
pub(crate) fn halves_mut(words: &mut [f32], len: usize) -> &mut [u16] {
    assert!(len <= 2 * words.len(), "two halves a word");
    // SAFETY: as above, and any bits are an `f32` too.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}

/// Writes the values of `halves` to as many places. Vectorised where it is inlined into a [kernel](crate::simd).
#[inline(always)]
pub(crate) fn widen(halves: &[u16], to: &mut [f32]) {
    for (to, &half) in to.iter_mut().zip(halves) {
        *to = f32::from_bits(u32::from(half) << 16);
    }
}

/// Rounds finite values. The first of them is number `first` of those that `seed` stands for.
#[inline(always)]
pub(crate) fn round(values: &[f32], halves: &mut [u16], seed: u32, first: usize) {
    for (offset, (half, value)) in halves.iter_mut().zip(values).enumerate() {
        let random = hash(((first + offset) as u32).wrapping_mul(0x9E37_79B9) ^ seed) >> 16;
        *half = (value.to_bits().wrapping_add(random) >> 16) as u16;
    }
}

/// Mixes all bits of a number: two rounds of shift and multiplication.
#[inline(always)]
pub(crate) fn hash(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(value: f32, seed: u32) -> f32 {
        let (mut half, mut wide) = ([0], [0.0]);
        round(&[value], &mut half, seed, 7);
        widen(&half, &mut wide);
        wide[0]
    }

    #[test]
    fn rounding_gives_a_neighbour_and_the_value_itself_on_average() {
        for value in [1.0f32, -1.003, 0.3, 1.234e-20, -7.7e20, 0.0] {
            let draws: Vec<f32> = (0..20_000).map(|seed| rounded(value, hash(seed))).collect();
            assert!(draws.iter().all(|draw| (draw - value).abs() <= value.abs() / 128.0), "{value}");
            let mean = draws.iter().map(|&x| f64::from(x)).sum::<f64>() / draws.len() as f64;
            assert!((mean - f64::from(value)).abs() <= 1e-4 * f64::from(value.abs()), "{value}: {mean}");
        }
        assert_eq!(rounded(1.5, 3), 1.5, "what bfloat16 can hold stays as it is");
    }

    /// Why rounding is stochastic: the first half of this test is what rounding to the nearest would do.
    #[test]
    fn a_slow_average_dies_down_stochastically_and_never_to_the_nearest() {
        const DECAY: f32 = 0.999;
        let nearest =
            |value: f32| f32::from_bits((value.to_bits() + 0x7FFF + (value.to_bits() >> 16 & 1)) & 0xFFFF_0000);
        let (mut stuck, mut moving) = (1.0f32, vec![1.0f32; 100]);
        for update in 0..2000 {
            stuck = nearest(DECAY * stuck);
            for (index, average) in moving.iter_mut().enumerate() {
                *average = rounded(DECAY * *average, hash(update) ^ index as u32);
            }
        }
        assert_eq!(stuck, 1.0);
        let (mean, expected) = (moving.iter().sum::<f32>() / 100.0, DECAY.powi(2000));
        assert!((mean / expected - 1.0).abs() < 0.05, "{mean}, expected {expected}");
    }

    #[test]
    fn halves_of_a_word_are_its_own() {
        let mut state = vec![0.0; words(3)];
        halves_mut(&mut state, 3).copy_from_slice(&[1, 2, 3]);
        assert_eq!((state.len(), halves(&state, 3)), (2, &[1, 2, 3][..]));
    }
}
