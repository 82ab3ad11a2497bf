//! Patterns of two colours as functions of place, and the noise in them.

use crate::description::{Sky, Surface, Texture, TextureKind};
use crate::random::mix;
use crate::vector::{Vec3, vec3};

/// Linear light from a display-encoded colour: the inverse of sRGB's curve.
pub(crate) fn linear(rgb: [f64; 3]) -> Vec3 {
    let channel = |c: f64| if c <= 0.04045 { c / 12.92 } else { libm::pow((c + 0.055) / 1.055, 2.4) };
    vec3(channel(rgb[0]), channel(rgb[1]), channel(rgb[2]))
}

/// A surface with its colours in linear light.
#[derive(Debug, Clone)]
pub(crate) struct Paint {
    first: Vec3,
    second: Vec3,
    kind: TextureKind,
    per_cell: f64,
    seed: u64,
}

impl Paint {
    pub(crate) fn new(surface: &Surface) -> Self {
        let Texture { kind, second, cell, seed } = surface.texture;
        Self { first: linear(surface.rgb), second: linear(second), kind, per_cell: 1.0 / cell.max(1e-9), seed }
    }

    /// The colour at a place of the object.
    #[inline]
    pub(crate) fn at(&self, place: Vec3) -> Vec3 {
        if self.kind == TextureKind::Plain {
            return self.first;
        }
        let p = place * self.per_cell;
        // A hair off the grid, so that faces of boxes do not flicker between two cells.
        let odd = |v: f64| (v + 1e-6).floor() as i64 & 1;
        let share = match self.kind {
            TextureKind::Plain => 0.0,
            TextureKind::Checker => (odd(p.x) ^ odd(p.y) ^ odd(p.z)) as f64,
            TextureKind::Stripes => odd(p.x + 0.5 * p.y) as f64,
            TextureKind::Noise => fractal(p, self.seed),
            TextureKind::Rings => {
                let bent = (p.x * p.x + p.y * p.y).sqrt() * 2.0 + 1.5 * noise(p, self.seed);
                0.5 + 0.5 * (4.0 * (bent - bent.floor() - 0.5).abs() - 1.0)
            }
            TextureKind::Dots => {
                let off = |v: f64| v - v.floor() - 0.5;
                f64::from(off(p.x) * off(p.x) + off(p.y) * off(p.y) + off(p.z) * off(p.z) < 0.16)
            }
        };
        self.first * (1.0 - share) + self.second * share
    }
}

/// Value noise: random numbers at whole coordinates, smoothly mixed between; 0 to 1.
pub(crate) fn noise(p: Vec3, seed: u64) -> f64 {
    let cell = vec3(p.x.floor(), p.y.floor(), p.z.floor());
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    let (tx, ty, tz) = (smooth(p.x - cell.x), smooth(p.y - cell.y), smooth(p.z - cell.z));
    let (x, y, z) = (cell.x as i64, cell.y as i64, cell.z as i64);
    let value = |dx: i64, dy: i64, dz: i64| {
        let key = ((x + dx) as u64).wrapping_mul(0x9e37_79b1)
            ^ ((y + dy) as u64).wrapping_mul(0x85eb_ca77).rotate_left(21)
            ^ ((z + dz) as u64).wrapping_mul(0xc2b2_ae3d).rotate_left(42);
        (mix(seed ^ key) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    };
    let along = |dy, dz| value(0, dy, dz) * (1.0 - tx) + value(1, dy, dz) * tx;
    let across = |dz| along(0, dz) * (1.0 - ty) + along(1, dz) * ty;
    across(0) * (1.0 - tz) + across(1) * tz
}

/// Three octaves of noise with more contrast; 0 to 1.
fn fractal(p: Vec3, seed: u64) -> f64 {
    let sum = noise(p, seed) * 0.55 + noise(p * 2.03, seed ^ 1) * 0.3 + noise(p * 4.1, seed ^ 2) * 0.15;
    ((sum - 0.5) * 2.2 + 0.5).clamp(0.0, 1.0)
}

/// The background with its colours in linear light.
#[derive(Debug, Clone)]
pub(crate) struct Backdrop {
    horizon: Vec3,
    zenith: Vec3,
    clouds: Option<u64>,
}

impl Backdrop {
    pub(crate) fn new(sky: &Sky) -> Self {
        let (horizon, zenith, clouds) = match *sky {
            Sky::Plain(rgb) => (rgb, rgb, None),
            Sky::Gradient { horizon, zenith } => (horizon, zenith, None),
            Sky::Clouds { horizon, zenith, seed } => (horizon, zenith, Some(seed)),
        };
        Self { horizon: linear(horizon), zenith: linear(zenith), clouds }
    }

    /// The colour in a direction.
    #[inline]
    pub(crate) fn at(&self, direction: Vec3) -> Vec3 {
        let height = direction.z.max(0.0);
        let share = height.sqrt();
        let sky = self.horizon * (1.0 - share) + self.zenith * share;
        let Some(seed) = self.clouds else { return sky };
        if direction.z < 0.02 {
            return sky;
        }
        // A layer of clouds one unit up; near the horizon it fades into haze.
        let above = vec3(direction.x, direction.y, 0.0) / (direction.z + 0.12) * 1.7;
        let cover = ((fractal(above, seed) - 0.5) * 1.8).clamp(0.0, 1.0) * (height * 4.0).min(1.0);
        sky * (1.0 - cover) + Vec3::splat(0.95) * cover
    }

    /// What comes from the half of the sky around a normal, roughly.
    pub(crate) fn around(&self, normal: Vec3) -> Vec3 {
        let up = 0.5 + 0.5 * normal.z;
        self.horizon * (1.0 - 0.5 * up) + self.zenith * (0.5 * up)
    }

    /// Colour of the haze that far ground fades into.
    pub(crate) fn haze(&self) -> Vec3 {
        self.horizon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_continuous_and_uses_its_range() {
        let (mut low, mut high) = (1.0f64, 0.0f64);
        for i in 0..2000 {
            let p = vec3(f64::from(i) * 0.173 - 150.0, f64::from(i) * 0.071, 0.3);
            let value = noise(p, 5);
            low = low.min(value);
            high = high.max(value);
            assert!((noise(p + Vec3::splat(1e-6), 5) - value).abs() < 1e-4);
        }
        assert!(low < 0.15 && high > 0.85, "{low} {high}");
    }

    #[test]
    fn the_srgb_curve_meets_its_fixed_points() {
        let middle = linear([0.0, 0.5, 1.0]);
        assert!(middle.x == 0.0 && (middle.y - 0.214_041).abs() < 1e-6 && (middle.z - 1.0).abs() < 1e-12);
    }
}
