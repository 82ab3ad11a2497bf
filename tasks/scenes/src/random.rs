//! Randomness as a function of (what is drawn, which scene, which attempt).
//!
//! Each purpose has a named stream: ChaCha8 under a key mixed from the seed of the scene, the name and the attempt.
//! Drawing more for the camera therefore never changes the objects. Distributions are written out here, because those
//! of libraries may change between versions, and angles go through `libm`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::vector::{Rotation, Vec3, vec3};

/// One step of SplitMix64: a bijection of 64 bits in which every input bit moves every output bit.
pub(crate) const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A generator of random numbers for one purpose in one scene.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream `name` of the scene `seed`, attempt `attempt`.
    pub fn new(seed: u64, name: &str, attempt: u32) -> Self {
        let mut key = mix(seed);
        for byte in name.bytes() {
            key = mix(key ^ u64::from(byte));
        }
        key = mix(key ^ (u64::from(attempt) << 32));
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            key = mix(key);
            chunk.copy_from_slice(&key.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform between `low` and `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count` (at least one); the bias is below 2⁻³² for counts of this crate.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of a slice that is not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Uniform in a box.
    pub fn in_box(&mut self, low: Vec3, high: Vec3) -> Vec3 {
        let (x, y, z) = (self.unit(), self.unit(), self.unit());
        vec3(low.x + (high.x - low.x) * x, low.y + (high.y - low.y) * y, low.z + (high.z - low.z) * z)
    }

    /// A rotation, uniform over all (Shoemake 1992).
    pub fn rotation(&mut self) -> Rotation {
        let (u, a, b) = (self.unit(), self.unit() * std::f64::consts::TAU, self.unit() * std::f64::consts::TAU);
        let ((sa, ca), (sb, cb)) = (libm::sincos(a), libm::sincos(b));
        let (low, high) = ((1.0 - u).sqrt(), u.sqrt());
        Rotation { w: low * sa, v: vec3(low * ca, high * sb, high * cb) }.normalized()
    }

    /// A point of the part of a spherical shell above `min_z`, uniform over each sphere's area.
    pub fn in_half_shell(&mut self, radius: Range, min_z: f64) -> Vec3 {
        let r = radius.draw(self);
        // On a sphere the height is uniform (Archimedes), so no point has to be rejected.
        let z = self.between(min_z.min(r), r);
        let (sine, cosine) = libm::sincos(self.unit() * std::f64::consts::TAU);
        let around = (r * r - z * z).max(0.0).sqrt();
        vec3(around * cosine, around * sine, z)
    }
}

/// An interval to draw from uniformly; the same number twice is a constant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Range {
    /// The smallest value.
    pub low: f64,
    /// The largest value.
    pub high: f64,
}

impl From<[f64; 2]> for Range {
    fn from([low, high]: [f64; 2]) -> Self {
        Self { low, high }
    }
}

impl From<Range> for [f64; 2] {
    fn from(r: Range) -> Self {
        [r.low, r.high]
    }
}

/// Shorthand for a [`Range`].
pub const fn range(low: f64, high: f64) -> Range {
    Range { low, high }
}

impl Range {
    /// A value of the interval.
    pub fn draw(&self, stream: &mut Stream) -> f64 {
        stream.between(self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_name_and_attempt_and_repeat_exactly() {
        let first = |seed, name, attempt| Stream::new(seed, name, attempt).bits();
        let all = [first(0, "objects", 0), first(1, "objects", 0), first(0, "camera", 0), first(0, "objects", 1)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{all:?}");
        }
        assert_eq!(first(0, "objects", 0), all[0]);
    }

    #[test]
    fn the_bits_of_a_stream_are_frozen() {
        // A change here changes every scene ever generated: raise the generator version with it.
        assert_eq!(Stream::new(0, "objects", 0).bits(), 10_624_144_572_722_707_846);
    }

    #[test]
    fn half_shell_points_keep_their_radius_and_height_and_have_uniform_height() {
        let mut stream = Stream::new(3, "camera", 0);
        let mut mean = 0.0;
        for _ in 0..4000 {
            let p = stream.in_half_shell(range(7.0, 9.0), 1.0);
            assert!((7.0 - 1e-9..=9.0 + 1e-9).contains(&p.length()) && p.z >= 1.0, "{p:?}");
            mean += (p.z - 1.0) / (p.length() - 1.0) / 4000.0;
        }
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn rotations_have_no_preferred_direction() {
        let mut stream = Stream::new(1, "rotation", 0);
        let mut mean = Vec3::ZERO;
        for _ in 0..4000 {
            mean = mean + stream.rotation().rotate(Vec3::UP) / 4000.0;
        }
        assert!(mean.length() < 0.04, "{mean:?}");
    }
}
