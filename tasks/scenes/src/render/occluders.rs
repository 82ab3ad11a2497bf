//! Which objects can stand between a place and a light, or near it: decided once per frame, so that most shadow rays look
//! at no object at all.
//!
//! Places are grouped: all of an object's ball, or a cell of the floor. All rays from a ball `(p, r)` to a light's ball
//! `(l, e)` lie, a share `s` of the way along, within `r + s (e - r)` of `p + s (l - p)`. A ball `(c, b)` is in the way of
//! none of them unless for some `s` of 0 to 1
//!
//! ```text
//! |c - p - s (l - p)|  <=  b + r + s (e - r)
//! ```
//!
//! which is a quadratic in `s`; rays to a sun have no end and go along its direction. What is left out can therefore not
//! be met, and pictures are the same to the bit as without this.

use super::lamp::{Extent, Lamp};
use super::shading::{NEAR, OFFSET};
use super::stage::{Hit, MANY, Stage, Suspects};
use crate::vector::{Vec3, vec3};

/// Cells of the floor along each axis.
const CELLS: usize = 24;

/// Half of the edge of the part of the floor that is divided into cells, in metres.
const REACH: f64 = 9.0;

/// How far rays may start from the surface they leave: longer distances than this allows are not looked up.
const SLACK: f64 = 0.02;

/// For every group of places: what can shade it from each light, and, last, what is near it.
#[derive(Debug)]
pub(crate) struct Occluders {
    /// Groups: objects, then cells of the floor, row by row. Empty if there are too many objects for bits.
    masks: Vec<u32>,
    per_group: usize,
    objects: usize,
}

impl Occluders {
    pub(super) fn new(stage: &Stage<'_>, lamps: &[Lamp]) -> Self {
        let (objects, per_group) = (stage.len(), lamps.len() + 1);
        if objects > MANY || lamps.is_empty() {
            return Self { masks: vec![], per_group, objects };
        }
        let mut masks = Vec::with_capacity((objects + CELLS * CELLS) * per_group);
        let extents: Vec<Extent> = lamps.iter().map(Lamp::extent).collect();
        let mut group = |center: Vec3, radius: f64, but: u32| {
            let among = |is_suspect: &dyn Fn(Vec3, f64) -> bool| {
                let bit = |index: usize| {
                    let (ball, size) = stage.ball(index);
                    u32::from(but >> index & 1 == 0 && is_suspect(ball - center, size + radius + SLACK)) << index
                };
                (0..objects).map(bit).fold(0, |mask, bit| mask | bit)
            };
            for extent in &extents {
                masks.push(among(&|apart, reach| is_between(apart, reach, center, radius + SLACK, extent)));
            }
            masks.push(among(&|apart, reach| apart.length() < reach + NEAR));
        };
        for index in 0..objects {
            let (center, radius) = stage.ball(index);
            group(center, radius, u32::from(stage.is_convex(index)) << index);
        }
        let half = REACH / CELLS as f64;
        for row in 0..CELLS {
            for column in 0..CELLS {
                let along = |i: usize| (2 * i + 1) as f64 * half - REACH;
                group(vec3(along(column), along(row), 0.0), half * std::f64::consts::SQRT_2, 0);
            }
        }
        Self { masks, per_group, objects }
    }

    /// What can be between a hit and a light.
    #[inline]
    pub(super) fn between(&self, hit: &Hit, lamp: usize) -> Suspects {
        self.group(hit).map_or(Suspects::All, |group| Suspects::Among(self.masks[group * self.per_group + lamp]))
    }

    /// What ambient rays from a hit can meet.
    #[inline]
    pub(super) fn near(&self, hit: &Hit) -> Suspects {
        self.between(hit, self.per_group - 1)
    }

    #[inline]
    fn group(&self, hit: &Hit) -> Option<usize> {
        // A camera may be inside of an object, and there it is dark.
        if self.masks.is_empty() || hit.is_inner || hit.t * OFFSET > SLACK {
            return None;
        }
        if hit.id > 0 {
            return Some(usize::from(hit.id) - 1);
        }
        let along = |v: f64| (v + REACH) * (CELLS as f64 / (2.0 * REACH));
        let (x, y) = (along(hit.local.x), along(hit.local.y));
        let inside = 0.0..CELLS as f64;
        (inside.contains(&x) && inside.contains(&y)).then(|| self.objects + y as usize * CELLS + x as usize)
    }
}

/// True if a ball at `apart` from the middle of a group of places can be in the way of rays from there to a light; `reach` is
/// the sum of both radii, `radius` that of the group.
fn is_between(apart: Vec3, reach: f64, center: Vec3, radius: f64, light: &Extent) -> bool {
    let (along, growth, end) = match *light {
        Extent::Near { center: light, radius: size } => (light - center, size - radius, 1.0),
        Extent::Far { toward, spread } => (toward, spread, f64::INFINITY),
    };
    // a s² - 2 b s + c is at most zero for some s of 0 to `end`.
    let a = along.dot(along) - growth * growth;
    let b = apart.dot(along) + reach * growth;
    let c = apart.dot(apart) - reach * reach;
    if c <= 0.0 || a <= 0.0 {
        return true;
    }
    let lowest = (b / a).clamp(0.0, end);
    (a * lowest - 2.0 * b) * lowest + c <= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::presets;
    use crate::generate::Generator;
    use crate::geometry::Ray;
    use crate::random::Stream;

    #[test]
    fn what_is_left_out_is_never_met() {
        let mut stream = Stream::new(3, "shadows", 0);
        let (mut blocked, mut spared) = (0, 0);
        for (preset, seed) in [("movi_a", 0), ("movi_b", 1), ("movi_d", 2), ("classification", 3)] {
            let drawn = Generator::new(presets::named(preset).unwrap()).unwrap().draw(seed).unwrap();
            let camera = &drawn.scene.cameras[0];
            let stage = Stage::at(&drawn.scene, &drawn.solids, 0);
            let view = camera.view(0, 96, 96);
            let lamps: Vec<_> = drawn.scene.world.lights.iter().map(Lamp::new).collect();
            let occluders = Occluders::new(&stage, &lamps);
            for _ in 0..4000 {
                let ray = view.ray(stream.between(0.0, 96.0), stream.between(0.0, 96.0));
                let Some(hit) = stage.closest(&ray, 0.0) else { continue };
                let start = ray.at(hit.t) + hit.normal * (OFFSET * hit.t.max(1.0));
                for (number, lamp) in lamps.iter().enumerate() {
                    let (toward, distance, _) =
                        lamp.arriving(start, stream.between(0.0, 1.0), stream.between(0.0, 1.0));
                    if hit.normal.dot(toward) <= 0.0 {
                        continue;
                    }
                    let (ray, suspects) = (Ray { origin: start, direction: toward }, occluders.between(&hit, number));
                    let expected = stage.is_blocked(&ray, 0.0, distance);
                    assert_eq!(stage.is_blocked_by(suspects, &ray, 0.0, distance), expected, "{preset}");
                    blocked += usize::from(expected);
                    spared += usize::from(suspects == Suspects::Among(0));
                }
                let mut around = stream.rotation().rotate(Vec3::UP);
                if around.dot(hit.normal) < 0.0 {
                    around = -around;
                }
                let ray = Ray { origin: start, direction: around };
                let expected = stage.is_blocked(&ray, 0.0, NEAR);
                assert_eq!(stage.is_blocked_by(occluders.near(&hit), &ray, 0.0, NEAR), expected, "{preset}");
            }
        }
        assert!(blocked > 1000 && spared > 10_000, "{blocked} {spared}");
    }
}
