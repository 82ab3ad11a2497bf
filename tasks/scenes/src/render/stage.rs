//! A scene at one moment, ready for rays.
//!
//! Poses become matrices and bounding balls once per moment; a ray skips every object whose ball it misses. Scenes of
//! many objects get a hierarchy of boxes on top. Nothing is allocated per ray.

use super::font::Lettering;
use super::texture::Paint;
use crate::description::{Form, Object, Scene};
use crate::geometry::{Ray, Solid, bvh::Bvh};
use crate::vector::{Aabb, Pose, Vec3};

/// Objects above which a hierarchy pays.
pub(super) const MANY: usize = 32;

/// How an object looks, prepared once per scene.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) paint: Paint,
    pub(crate) lettering: Option<(Lettering, [f64; 2])>,
}

impl Look {
    pub(crate) fn new(object: &Object) -> Self {
        let half = match object.form {
            Form::Flat { half, .. } => half,
            _ => [1.0, 1.0],
        };
        let lettering = object.text.as_deref().map(|text| (Lettering::new(text), half));
        Self { paint: Paint::new(&object.surface), lettering }
    }
}

/// One object at one moment.
#[derive(Debug)]
struct Instance<'a> {
    solid: &'a Solid,
    position: Vec3,
    /// Columns of the rotation: its axes in the world.
    axes: [Vec3; 3],
}

impl Instance<'_> {
    /// A ray of the world in the object's frame.
    #[inline(always)]
    fn local(&self, ray: &Ray) -> Ray {
        let [x, y, z] = self.axes;
        let turned = |v: Vec3| Vec3 { x: x.dot(v), y: y.dot(v), z: z.dot(v) };
        Ray { origin: turned(ray.origin - self.position), direction: turned(ray.direction) }
    }
}

/// What can be in the way of a ray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspects {
    /// Anything.
    All,
    /// The floor, and the objects whose bits are set.
    Among(u32),
}

/// A ball around an object, apart from the rest so that the loop over all of them reads little memory.
#[derive(Debug, Clone, Copy)]
struct Ball {
    center: Vec3,
    radius: f64,
}

impl Ball {
    /// True if the ray passes through it between `near` and `far`.
    #[inline(always)]
    fn is_met(&self, ray: &Ray, near: f64, far: f64) -> bool {
        let to_center = self.center - ray.origin;
        let along = to_center.dot(ray.direction);
        let foot = to_center - ray.direction * along;
        along + self.radius >= near && along - self.radius <= far && foot.dot(foot) <= self.radius * self.radius
    }
}

/// Where a ray meets the scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Distance along the ray.
    pub t: f64,
    /// Id of the object; 0 is the floor.
    pub id: u16,
    /// The point in the object's frame; in the world for the floor.
    pub local: Vec3,
    /// Unit normal of the surface, in the world, facing the ray.
    pub normal: Vec3,
    /// Unit normal to shade with, in the world, facing the ray.
    pub shading: Vec3,
    /// Face or triangle.
    pub face: u32,
    /// Whether a closed solid is seen from within, or the floor from below.
    pub is_inner: bool,
}

/// A scene at one moment.
#[derive(Debug)]
pub struct Stage<'a> {
    instances: Vec<Instance<'a>>,
    balls: Vec<Ball>,
    has_floor: bool,
    hierarchy: Option<Bvh>,
}

impl<'a> Stage<'a> {
    /// The scene with its objects at these poses.
    pub fn new(scene: &Scene, solids: &'a [Solid], poses: impl Iterator<Item = Pose>) -> Self {
        let (instances, balls): (Vec<_>, Vec<_>) = solids
            .iter()
            .zip(poses)
            .map(|(solid, pose)| {
                let center = pose.to_world(solid.bounds().center());
                let radius = solid.bounding_radius() * (1.0 + 1e-9);
                let instance = Instance { solid, position: pose.position, axes: pose.rotation.columns() };
                (instance, Ball { center, radius })
            })
            .unzip();
        let hierarchy = (instances.len() > MANY).then(|| {
            let around =
                |b: &Ball| Aabb { min: b.center - Vec3::splat(b.radius), max: b.center + Vec3::splat(b.radius) };
            Bvh::new(&balls.iter().map(around).collect::<Vec<_>>())
        });
        Self { instances, balls, has_floor: scene.world.floor.is_some(), hierarchy }
    }

    /// The scene at a frame, -1 to `frames`.
    pub fn at(scene: &Scene, solids: &'a [Solid], frame: i64) -> Self {
        Self::new(scene, solids, scene.states(frame).iter().map(|state| state.pose))
    }

    /// The scene between frames, for motion blur.
    pub(crate) fn between(scene: &Scene, solids: &'a [Solid], frame: f64) -> Self {
        let before = frame.floor();
        let (a, b) = (scene.states(before as i64), scene.states(before as i64 + 1));
        Self::new(scene, solids, a.iter().zip(b).map(|(a, b)| a.pose.mixed(&b.pose, frame - before)))
    }

    /// Number of objects.
    pub(super) fn len(&self) -> usize {
        self.instances.len()
    }

    /// True if an object cannot shade itself where it is seen from outside.
    pub(super) fn is_convex(&self, index: usize) -> bool {
        self.instances[index].solid.is_convex()
    }

    /// Middle and radius of a ball around an object.
    pub(crate) fn ball(&self, index: usize) -> (Vec3, f64) {
        (self.balls[index].center, self.balls[index].radius)
    }

    /// The first thing that a ray meets.
    pub fn closest(&self, ray: &Ray, near: f64) -> Option<Hit> {
        if let Some(hierarchy) = &self.hierarchy {
            let mut best = self.floor(ray, near);
            let far = best.map_or(f64::INFINITY, |hit| hit.t);
            hierarchy.cast(ray.origin, ray.direction, far, |item, far| {
                if let Some(hit) = self.object(item as usize, ray, near, far) {
                    best = Some(hit);
                    return hit.t;
                }
                far
            });
            return best;
        }
        self.closest_of(ray, near, 0..self.instances.len())
    }

    /// The first thing that a ray meets among these objects (by place in the list) and the floor.
    #[inline]
    pub(crate) fn closest_of(&self, ray: &Ray, near: f64, candidates: impl Iterator<Item = usize>) -> Option<Hit> {
        let mut best = self.floor(ray, near);
        let mut far = best.map_or(f64::INFINITY, |hit| hit.t);
        for index in candidates {
            if let Some(hit) = self.object(index, ray, near, far) {
                far = hit.t;
                best = Some(hit);
            }
        }
        best
    }

    /// True if anything lies on the ray between `near` and `far`.
    #[inline]
    pub fn is_blocked(&self, ray: &Ray, near: f64, far: f64) -> bool {
        if self.meets_floor(ray, near, far) {
            return true;
        }
        if let Some(hierarchy) = &self.hierarchy {
            let mut blocked = false;
            hierarchy.cast(ray.origin, ray.direction, far, |item, far| {
                blocked = blocked || self.is_met(item as usize, ray, near, far);
                if blocked { -1.0 } else { far }
            });
            return blocked;
        }
        (0..self.balls.len()).any(|index| self.is_met(index, ray, near, far))
    }

    /// The same for a ray of which it is known what can be in its way.
    #[inline]
    pub(crate) fn is_blocked_by(&self, suspects: Suspects, ray: &Ray, near: f64, far: f64) -> bool {
        let Suspects::Among(mut mask) = suspects else { return self.is_blocked(ray, near, far) };
        if self.meets_floor(ray, near, far) {
            return true;
        }
        while mask != 0 {
            if self.is_met(mask.trailing_zeros() as usize, ray, near, far) {
                return true;
            }
            mask &= mask - 1;
        }
        false
    }

    #[inline(always)]
    fn meets_floor(&self, ray: &Ray, near: f64, far: f64) -> bool {
        if !self.has_floor || ray.direction.z >= 0.0 {
            return false;
        }
        let t = -ray.origin.z / ray.direction.z;
        t > near && t < far
    }

    #[inline(always)]
    fn is_met(&self, index: usize, ray: &Ray, near: f64, far: f64) -> bool {
        self.balls[index].is_met(ray, near, far) && {
            let instance = &self.instances[index];
            instance.solid.is_met(&instance.local(ray), near, far)
        }
    }

    /// What a ray meets if there is nothing but this object.
    pub fn only(&self, index: usize, ray: &Ray) -> Option<Hit> {
        self.object(index, ray, 0.0, f64::INFINITY)
    }

    #[inline]
    fn floor(&self, ray: &Ray, near: f64) -> Option<Hit> {
        if !self.has_floor {
            return None;
        }
        let t = -ray.origin.z / ray.direction.z;
        if !(t > near && t < 1e9) {
            return None;
        }
        let is_inner = ray.direction.z >= 0.0;
        let normal = if is_inner { -Vec3::UP } else { Vec3::UP };
        Some(Hit { t, id: 0, local: ray.at(t), normal, shading: normal, face: 0, is_inner })
    }

    #[inline]
    fn object(&self, index: usize, ray: &Ray, near: f64, far: f64) -> Option<Hit> {
        if !self.balls[index].is_met(ray, near, far) {
            return None;
        }
        let instance = &self.instances[index];
        let local = instance.local(ray);
        let hit = instance.solid.hit(&local, near, far)?;
        let [x, y, z] = instance.axes;
        let world = |v: Vec3| x * v.x + y * v.y + z * v.z;
        let (mut normal, mut shading) = (world(hit.normal), world(hit.shading));
        // Flat pieces have two sides, and a camera may be inside of something.
        let is_inner = normal.dot(ray.direction) > 0.0;
        if is_inner {
            (normal, shading) = (-normal, -shading);
        }
        Some(Hit { t: hit.t, id: index as u16 + 1, local: local.at(hit.t), normal, shading, face: hit.face, is_inner })
    }
}
