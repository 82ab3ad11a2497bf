//! From hits to light.
//!
//! Diffuse surfaces follow Lambert, highlights the GGX distribution with Smith's shadowing and Schlick's Fresnel term.
//! Each light gets one shadow ray per sample to a random point of it, so shadows are soft. Metal mirrors what it sees,
//! one reflection deep. Either ambient light, darkened by rays that meet something near, or one bounce of real light
//! fills the shadows. All colours are linear.

use super::lamp::Lamp;
use super::occluders::Occluders;
use super::stage::{Hit, Look, Stage};
use super::texture::{Backdrop, Paint, linear};
use crate::description::{Image, Material, Scene};
use crate::geometry::Ray;
use crate::random::mix;
use crate::vector::Vec3;

/// Offset of secondary rays from the surface they leave, in metres, times the distance from the camera where larger.
pub(super) const OFFSET: f64 = 1e-4;

/// How far ambient rays look for something near, in metres.
pub(super) const NEAR: f64 = 1.2;

/// Random numbers for one sample of one pixel: hashes of a counter, so that no pixel depends on another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, frame: i64, pixel: usize, sample: usize) -> Self {
        Self(mix(seed ^ mix((frame as u64) << 40 ^ (pixel as u64) << 8 ^ sample as u64)))
    }

    #[inline]
    pub(crate) fn pair(&mut self) -> (f64, f64) {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = mix(self.0);
        let scale = 1.0 / (1u64 << 32) as f64;
        ((bits >> 32) as f64 * scale, (bits & 0xffff_ffff) as f64 * scale)
    }
}

/// A scene at one moment, and what can shade what in it.
#[derive(Debug)]
pub(crate) struct Lit<'a> {
    pub(super) stage: Stage<'a>,
    pub(super) occluders: Occluders,
}

/// Lights, colours and settings of a scene, prepared once.
#[derive(Debug)]
pub(crate) struct Shader<'a> {
    scene: &'a Scene,
    looks: Vec<Look>,
    floor: Option<Paint>,
    pub(super) lamps: Vec<Lamp>,
    pub(crate) backdrop: Backdrop,
    image: &'a Image,
}

impl<'a> Shader<'a> {
    pub(crate) fn new(scene: &'a Scene) -> Self {
        Self {
            scene,
            looks: scene.objects.iter().map(Look::new).collect(),
            floor: scene.world.floor.as_ref().map(|floor| Paint::new(&floor.surface)),
            lamps: scene.world.lights.iter().map(Lamp::new).collect(),
            backdrop: Backdrop::new(&scene.world.sky),
            image: &scene.image,
        }
    }

    /// Light along a primary ray.
    #[inline]
    pub(crate) fn light(&self, lit: &Lit<'_>, ray: &Ray, hit: Option<&Hit>, dice: &mut Dice) -> Vec3 {
        match hit {
            None => self.backdrop.at(ray.direction),
            Some(hit) => {
                let color = self.surface(lit, ray, hit, dice, true);
                self.hazy(color, hit)
            }
        }
    }

    /// Far ground fades into the horizon instead of ending at a line.
    fn hazy(&self, color: Vec3, hit: &Hit) -> Vec3 {
        if hit.id != 0 || hit.t < 20.0 {
            return color;
        }
        let share = 1.0 - 20.0 / hit.t;
        let share = share * share;
        color * (1.0 - share) + self.backdrop.haze() * share
    }

    fn albedo(&self, hit: &Hit) -> (Vec3, Material, f64) {
        if hit.id == 0 {
            let color = self.floor.as_ref().map_or(Vec3::ZERO, |paint| paint.at(hit.local));
            // The ground has no highlights worth their time.
            return (color, Material::Paper, 1.0);
        }
        let index = usize::from(hit.id) - 1;
        let (look, surface) = (&self.looks[index], &self.scene.objects[index].surface);
        if let Some((lettering, half)) = &look.lettering {
            let (u, v) = (0.5 + 0.5 * hit.local.x / half[0], 0.5 - 0.5 * hit.local.y / half[1]);
            if lettering.is_ink(u, v) {
                return (Vec3::splat(0.02), surface.material, surface.roughness);
            }
        }
        (look.paint.at(hit.local), surface.material, surface.roughness)
    }

    fn surface(&self, lit: &Lit<'_>, ray: &Ray, hit: &Hit, dice: &mut Dice, is_primary: bool) -> Vec3 {
        let (albedo, material, roughness) = self.albedo(hit);
        if self.lamps.is_empty() {
            return albedo;
        }
        let toward_eye = -ray.direction;
        let place = ray.at(hit.t);
        // Grows with the distance: far hits have larger rounding errors.
        let start = place + hit.normal * (OFFSET * hit.t.max(1.0));
        let (diffuse, f0) = match material {
            Material::Metal => (albedo * 0.12, albedo * 0.85 + Vec3::splat(0.1)),
            Material::Rubber => (albedo, Vec3::splat(0.035)),
            Material::Paper => (albedo, Vec3::ZERO),
        };
        let mut sum = Vec3::ZERO;
        for (number, lamp) in self.lamps.iter().enumerate() {
            let (u, v) = dice.pair();
            let (toward, distance, strength) = lamp.arriving(start, u, v);
            let cosine = hit.shading.dot(toward);
            if cosine <= 0.0 || hit.normal.dot(toward) <= 0.0 {
                continue;
            }
            let suspects = lit.occluders.between(hit, number);
            if lit.stage.is_blocked_by(suspects, &Ray { origin: start, direction: toward }, 0.0, distance) {
                continue;
            }
            let mut reflected = diffuse * std::f64::consts::FRAC_1_PI;
            if f0.x > 0.0 {
                reflected = reflected + highlight(hit.shading, toward_eye, toward, roughness, f0);
            }
            sum = sum + reflected.times(strength) * cosine;
        }
        sum = sum + diffuse.times(self.ambient(lit, hit, start, dice, is_primary));
        if material == Material::Metal {
            sum = sum + self.mirrored(lit, ray, hit, start, f0, dice, is_primary);
        }
        sum
    }

    /// Of a grid of points on every light that a surface faces, the share that nothing hides from it.
    pub(super) fn open_share(&self, lit: &Lit<'_>, ray: &Ray, hit: &Hit) -> f64 {
        const SIDE: usize = 4;
        let start = ray.at(hit.t) + hit.normal * (OFFSET * hit.t.max(1.0));
        let (mut open, mut faced) = (0, 0);
        for (number, lamp) in self.lamps.iter().enumerate() {
            let suspects = lit.occluders.between(hit, number);
            for point in 0..SIDE * SIDE {
                let along = |i: usize| (i as f64 + 0.5) / SIDE as f64;
                let (toward, distance, _) = lamp.arriving(start, along(point % SIDE), along(point / SIDE));
                if hit.normal.dot(toward) > 0.0 {
                    faced += 1;
                    let ray = Ray { origin: start, direction: toward };
                    open += usize::from(!lit.stage.is_blocked_by(suspects, &ray, 0.0, distance));
                }
            }
        }
        if faced == 0 { 0.0 } else { open as f64 / faced as f64 }
    }

    fn ambient(&self, lit: &Lit<'_>, hit: &Hit, start: Vec3, dice: &mut Dice, is_primary: bool) -> Vec3 {
        let all = self.backdrop.around(hit.shading) * self.scene.world.ambient;
        let (tangent, bitangent) = hit.normal.tangents();
        let mut around = || {
            // Cosine-weighted: a disc lifted to the half-ball.
            let (u, v) = dice.pair();
            let (sine, cosine) = turn(u);
            let radius = v.sqrt();
            tangent * (radius * cosine) + bitangent * (radius * sine) + hit.normal * (1.0 - v).max(0.0).sqrt()
        };
        if is_primary && self.image.bounce > 0 {
            let mut sum = Vec3::ZERO;
            for _ in 0..self.image.bounce {
                let ray = Ray { origin: start, direction: around() };
                sum = sum
                    + match lit.stage.closest(&ray, 0.0) {
                        None => self.backdrop.at(ray.direction),
                        Some(hit) => {
                            let mut inner = Dice(ray.direction.x.to_bits() ^ ray.direction.y.to_bits());
                            self.surface(lit, &ray, &hit, &mut inner, false)
                        }
                    };
            }
            return sum * (self.scene.world.ambient / self.image.bounce as f64);
        }
        if !is_primary || self.image.ambient_occlusion == 0 {
            return all;
        }
        let count = self.image.ambient_occlusion;
        let suspects = lit.occluders.near(hit);
        let is_blocked = |ray: Ray| lit.stage.is_blocked_by(suspects, &ray, 0.0, NEAR);
        let open = (0..count).filter(|_| !is_blocked(Ray { origin: start, direction: around() }));
        // A floor of light: what blocks the sky shines a little itself.
        all * (0.25 + 0.75 * open.count() as f64 / count as f64)
    }

    fn mirrored(
        &self,
        lit: &Lit<'_>,
        ray: &Ray,
        hit: &Hit,
        start: Vec3,
        f0: Vec3,
        dice: &mut Dice,
        is_primary: bool,
    ) -> Vec3 {
        let cosine = -hit.shading.dot(ray.direction);
        let direction = ray.direction + hit.shading * (2.0 * cosine);
        let fresnel = schlick(f0, cosine.max(0.0));
        if !is_primary || !self.image.reflections || hit.normal.dot(direction) <= 0.0 {
            return fresnel.times(self.backdrop.at(direction)) * 0.6;
        }
        let mirrored = Ray { origin: start, direction };
        let seen = match lit.stage.closest(&mirrored, 0.0) {
            None => self.backdrop.at(direction),
            Some(hit) => self.hazy(self.surface(lit, &mirrored, &hit, dice, false), &hit),
        };
        fresnel.times(seen)
    }
}

/// Sine and cosine of a turn for random directions: they need not be exact, but the same everywhere.
fn turn(u: f64) -> (f64, f64) {
    libm::sincos(u * std::f64::consts::TAU)
}

fn schlick(f0: Vec3, cosine: f64) -> Vec3 {
    let m = (1.0 - cosine).clamp(0.0, 1.0);
    let fifth = m * m * m * m * m;
    f0 + (Vec3::splat(1.0) - f0) * fifth
}

/// The GGX highlight.
fn highlight(normal: Vec3, eye: Vec3, light: Vec3, roughness: f64, f0: Vec3) -> Vec3 {
    let half = (eye + light).normalized();
    let (nh, nv, nl) = (normal.dot(half).max(0.0), normal.dot(eye).max(1e-3), normal.dot(light).max(1e-3));
    let alpha = (roughness * roughness).max(0.02);
    let a2 = alpha * alpha;
    let d = nh * nh * (a2 - 1.0) + 1.0;
    let distribution = a2 / (std::f64::consts::PI * d * d);
    let k = (roughness + 1.0) * (roughness + 1.0) / 8.0;
    let shadowing = 1.0 / ((nv * (1.0 - k) + k) * (nl * (1.0 - k) + k));
    schlick(f0, half.dot(eye).max(0.0)) * (distribution * shadowing * 0.25)
}

/// From linear light to a display: a soft shoulder for what is too bright, sRGB's curve, rounding to 8 bits.
#[derive(Debug)]
pub(crate) struct Display {
    has_shoulder: bool,
    /// Where one byte ends and the next begins, in linear light: looking up is four times as fast as a power.
    ends: [f64; 255],
}

impl Display {
    pub(crate) fn new(has_shoulder: bool) -> Self {
        Self { has_shoulder, ends: std::array::from_fn(|i| linear([(i as f64 + 0.5) / 255.0; 3]).x) }
    }

    #[inline]
    pub(crate) fn bytes(&self, color: Vec3) -> [u8; 3] {
        let channel = |c: f64| {
            let bright = self.has_shoulder && c > 0.8;
            let c = if bright { 0.8 + 0.2 * (1.0 - libm::exp((0.8 - c) / 0.2)) } else { c };
            self.ends.partition_point(|end| *end <= c) as u8
        };
        [channel(color.x), channel(color.y), channel(color.z)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::vec3;

    #[test]
    fn display_inverts_linear_for_every_byte() {
        let display = Display::new(false);
        for byte in 0..=255u8 {
            let color = linear([f64::from(byte) / 255.0; 3]);
            assert_eq!(display.bytes(color), [byte; 3]);
        }
    }

    #[test]
    fn a_highlight_is_brightest_in_the_mirror_direction() {
        let eye = vec3(0.6, 0.0, 0.8);
        let at = |x: f64| highlight(Vec3::UP, eye, vec3(x, 0.0, 1.0).normalized(), 0.3, Vec3::splat(0.5)).x;
        assert!(at(-0.75) > at(-0.3) && at(-0.75) > 2.0 * at(0.5));
    }
}
