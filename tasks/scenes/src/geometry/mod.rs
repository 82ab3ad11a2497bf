//! Surfaces in their own frames: where a ray meets them, which way they face, how far a point is from them.
//!
//! Shapes come from a scene's description, rays from the renderer and the annotations. Everything is in double
//! precision, solids have closed forms (iterative ray casts of physics libraries are off by up to 0.06 units), and no
//! solid is ever scaled after it is built: world distances are local distances.

pub(crate) mod bvh;
pub mod mesh;
pub mod mesh_file;
pub mod outline;
pub mod procedural;
mod solids;
mod torus;

use std::sync::Arc;

pub use mesh::TriangleMesh;
pub use outline::Outline;

use crate::vector::{Aabb, Vec3, vec3};

/// A half-line; `direction` has length one.
#[derive(Debug, Clone, Copy)]
pub struct Ray {
    /// Where it starts.
    pub origin: Vec3,
    /// Where it goes.
    pub direction: Vec3,
}

impl Ray {
    /// The point at distance `t`.
    #[inline]
    pub fn at(&self, t: f64) -> Vec3 {
        self.origin + self.direction * t
    }
}

/// The first meeting of a ray and a surface, in the frame of the surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SurfaceHit {
    /// Distance along the ray.
    pub t: f64,
    /// Unit normal of the true surface, outward.
    pub normal: Vec3,
    /// Unit normal to shade with: smoothed over the triangles of a mesh, else `normal`.
    pub shading: Vec3,
    /// Which face of a box, cap of a cylinder or triangle of a mesh.
    pub face: u32,
}

impl SurfaceHit {
    fn new(t: f64, normal: Vec3, face: u32) -> Self {
        Self { t, normal, shading: normal, face }
    }
}

/// A shape that rays can meet; axes of symmetry are z.
#[derive(Debug, Clone)]
pub enum Solid {
    /// A ball around the origin.
    Sphere {
        /// Its radius.
        radius: f64,
    },
    /// A box around the origin.
    Box {
        /// Half of its edges.
        half: Vec3,
    },
    /// A cylinder with both caps.
    Cylinder {
        /// Its radius.
        radius: f64,
        /// Half of its height.
        half_height: f64,
    },
    /// A cone with its base at `-half_height` and its apex at `half_height`.
    Cone {
        /// Radius of the base.
        radius: f64,
        /// Half of its height.
        half_height: f64,
    },
    /// All points near a segment.
    Capsule {
        /// Its radius.
        radius: f64,
        /// Half of the segment.
        half_height: f64,
    },
    /// A ring.
    Torus {
        /// Radius of the circle inside the tube.
        major: f64,
        /// Radius of the tube.
        minor: f64,
    },
    /// A flat piece of the plane z = 0, seen from both sides.
    Flat {
        /// Its shape.
        outline: Outline,
        /// Half of its width and height.
        half: [f64; 2],
    },
    /// Triangles.
    Mesh(Arc<TriangleMesh>),
}

impl Solid {
    /// True if the ray meets the surface at a distance between `near` and `far`: what shadows ask, without a normal.
    #[inline]
    pub fn is_met(&self, ray: &Ray, near: f64, far: f64) -> bool {
        match self {
            Self::Mesh(mesh) => mesh.is_met(ray, near, far),
            solid => solid.hit(ray, near, far).is_some(),
        }
    }

    /// True if every line meets it in one piece: seen from outside it casts no shadow on itself.
    pub(crate) fn is_convex(&self) -> bool {
        match self {
            Self::Sphere { .. } | Self::Box { .. } | Self::Cylinder { .. } => true,
            Self::Cone { .. } | Self::Capsule { .. } => true,
            Self::Torus { .. } | Self::Flat { .. } | Self::Mesh(_) => false,
        }
    }

    /// Where the ray first meets the surface at a distance between `near` and `far`.
    #[inline(always)]
    pub fn hit(&self, ray: &Ray, near: f64, far: f64) -> Option<SurfaceHit> {
        match self {
            Self::Sphere { radius } => solids::sphere(ray, *radius, near, far),
            Self::Box { half } => solids::cuboid(ray, *half, near, far),
            Self::Cylinder { radius, half_height } => solids::cylinder(ray, *radius, *half_height, near, far),
            Self::Cone { radius, half_height } => solids::cone(ray, *radius, *half_height, near, far),
            Self::Capsule { radius, half_height } => solids::capsule(ray, *radius, *half_height, near, far),
            Self::Torus { major, minor } => torus::hit(ray, *major, *minor, near, far),
            Self::Flat { outline, half } => {
                let t = -ray.origin.z / ray.direction.z;
                if !(t > near && t < far) {
                    return None;
                }
                let p = ray.at(t);
                outline.contains(p.x / half[0], p.y / half[1]).then(|| SurfaceHit::new(t, Vec3::UP, 0))
            }
            Self::Mesh(mesh) => mesh.hit(ray, near, far),
        }
    }

    /// The smallest box around it.
    pub fn bounds(&self) -> Aabb {
        let half = match self {
            Self::Sphere { radius } => Vec3::splat(*radius),
            Self::Box { half } => *half,
            Self::Cylinder { radius, half_height } | Self::Cone { radius, half_height } => {
                vec3(*radius, *radius, *half_height)
            }
            Self::Capsule { radius, half_height } => vec3(*radius, *radius, half_height + radius),
            Self::Torus { major, minor } => vec3(major + minor, major + minor, *minor),
            Self::Flat { half, .. } => vec3(half[0], half[1], 0.0),
            Self::Mesh(mesh) => return mesh.bounds(),
        };
        Aabb { min: -half, max: half }
    }

    /// Radius of a ball around the middle of [`Solid::bounds`] that holds all of it.
    pub fn bounding_radius(&self) -> f64 {
        match self {
            Self::Sphere { radius } => *radius,
            Self::Capsule { radius, half_height } => radius + half_height,
            Self::Cylinder { radius, half_height } | Self::Cone { radius, half_height } => {
                (radius * radius + half_height * half_height).sqrt()
            }
            Self::Torus { major, minor } => major + minor,
            Self::Box { .. } | Self::Flat { .. } | Self::Mesh(_) => self.bounds().half().length(),
        }
    }

    /// Distance of a point from the surface, negative inside of closed solids. Found another way than [`Solid::hit`]
    /// on purpose: tests and `scenes verify` hold one against the other.
    pub fn distance(&self, p: Vec3) -> f64 {
        match self {
            Self::Sphere { radius } => p.length() - radius,
            Self::Box { half } => solids::cuboid_distance(p, *half),
            Self::Cylinder { radius, half_height } => {
                let around = (p.x * p.x + p.y * p.y).sqrt() - radius;
                let along = p.z.abs() - half_height;
                let outside = (around.max(0.0) * around.max(0.0) + along.max(0.0) * along.max(0.0)).sqrt();
                outside + around.max(along).min(0.0)
            }
            Self::Cone { radius, half_height } => solids::cone_distance(p, *radius, *half_height),
            Self::Capsule { radius, half_height } => {
                vec3(p.x, p.y, p.z - p.z.clamp(-half_height, *half_height)).length() - radius
            }
            Self::Torus { major, minor } => torus::distance(p, *major, *minor),
            // Beside the outline the distance to the plane is a lower bound; hits lie inside, where it is exact.
            Self::Flat { .. } => p.z.abs(),
            Self::Mesh(mesh) => mesh.distance(p),
        }
    }

    /// Volume, from which the mass follows; flat pieces count as a thickness of a tenth of their width.
    pub fn volume(&self) -> f64 {
        use std::f64::consts::PI;
        match self {
            Self::Sphere { radius } => 4.0 / 3.0 * PI * radius * radius * radius,
            Self::Box { half } => 8.0 * half.x * half.y * half.z,
            Self::Cylinder { radius, half_height } => 2.0 * PI * radius * radius * half_height,
            Self::Cone { radius, half_height } => 2.0 / 3.0 * PI * radius * radius * half_height,
            Self::Capsule { radius, half_height } => PI * radius * radius * (2.0 * half_height + 4.0 / 3.0 * radius),
            Self::Torus { major, minor } => 2.0 * PI * PI * major * minor * minor,
            Self::Flat { half, .. } => 0.8 * half[0] * half[1] * half[0],
            Self::Mesh(mesh) => mesh.volume(),
        }
    }

    /// Texture coordinates of a point of the surface, 0 to 1: `u` goes around the axis from -x over -y, `v` from the bottom
    /// to the top (of spheres, capsules and meshes by the angle seen from the middle, of cylinders and cones by height, of
    /// rings around the tube). Faces of boxes, caps and flat pieces are squares of their own.
    pub fn uv(&self, p: Vec3) -> [f64; 2] {
        use std::f64::consts::{FRAC_1_PI, TAU};
        let around = |y: f64, x: f64| 0.5 + libm::atan2(y, x) / TAU;
        let across = |a: f64, half: f64| 0.5 + 0.5 * (a / half).clamp(-1.0, 1.0);
        let seen_from_middle = |p: Vec3| {
            let radius = (p.x * p.x + p.y * p.y).sqrt();
            [around(p.y, p.x), 0.5 + libm::atan2(p.z, radius) * FRAC_1_PI]
        };
        match self {
            Self::Sphere { .. } | Self::Capsule { .. } => seen_from_middle(p),
            Self::Mesh(mesh) => seen_from_middle(p - mesh.bounds().center()),
            Self::Box { half } => {
                let share = vec3(p.x / half.x, p.y / half.y, p.z / half.z).abs();
                if share.x >= share.y && share.x >= share.z {
                    [across(p.y, half.y), across(p.z, half.z)]
                } else if share.y >= share.z {
                    [across(p.x, half.x), across(p.z, half.z)]
                } else {
                    [across(p.x, half.x), across(p.y, half.y)]
                }
            }
            Self::Cylinder { radius, half_height } | Self::Cone { radius, half_height } => {
                let is_cap = p.z <= -half_height * (1.0 - 1e-9)
                    || (p.z >= half_height * (1.0 - 1e-9) && matches!(self, Self::Cylinder { .. }));
                if is_cap {
                    [across(p.x, *radius), across(p.y, *radius)]
                } else {
                    [around(p.y, p.x), across(p.z, *half_height)]
                }
            }
            Self::Torus { major, .. } => {
                let outward = (p.x * p.x + p.y * p.y).sqrt() - major;
                [around(p.y, p.x), around(p.z, outward)]
            }
            Self::Flat { half, .. } => [across(p.x, half[0]), across(p.y, half[1])],
        }
    }

    /// Object coordinates of a local point: 0 to 1 along each axis of the bounding box; ½ along an axis without extent.
    pub fn object_coordinates(&self, p: Vec3) -> Vec3 {
        let Aabb { min, max } = self.bounds();
        let along = |p: f64, low: f64, high: f64| if high > low { (p - low) / (high - low) } else { 0.5 };
        vec3(along(p.x, min.x, max.x), along(p.y, min.y, max.y), along(p.z, min.z, max.z))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn solids() -> Vec<(&'static str, Solid)> {
        vec![
            ("sphere", Solid::Sphere { radius: 0.9 }),
            ("box", Solid::Box { half: vec3(0.5, 0.8, 0.3) }),
            ("cylinder", Solid::Cylinder { radius: 0.6, half_height: 0.7 }),
            ("cone", Solid::Cone { radius: 0.6, half_height: 0.7 }),
            ("capsule", Solid::Capsule { radius: 0.4, half_height: 0.5 }),
            ("torus", Solid::Torus { major: 0.7, minor: 0.25 }),
            ("gear", Solid::Mesh(Arc::new(procedural::gear(9, 0.3, 0.4).unwrap().fitted(1.0)))),
            ("knot", Solid::Mesh(Arc::new(procedural::knot(2, 3, 0.3).unwrap().fitted(1.0)))),
            ("rock", Solid::Mesh(Arc::new(procedural::rock(7, 0.3).unwrap().fitted(1.0)))),
        ]
    }

    /// Random rays from a sphere of radius 3 through points near the middle.
    fn rays(count: usize) -> impl Iterator<Item = Ray> {
        let mut stream = Stream::new(11, "rays", 0);
        (0..count).map(move |_| {
            let origin = stream.rotation().rotate(vec3(0.0, 0.0, 3.0));
            let target = stream.in_box(Vec3::splat(-0.9), Vec3::splat(0.9));
            Ray { origin, direction: (target - origin).normalized() }
        })
    }

    #[test]
    fn every_hit_lies_on_the_surface_and_its_normal_is_the_gradient_of_the_distance() {
        for (name, solid) in solids() {
            let mut hits = 0;
            for ray in rays(3000) {
                let hit = solid.hit(&ray, 0.0, 100.0);
                assert_eq!(hit.is_some(), solid.is_met(&ray, 0.0, 100.0), "{name}");
                let Some(hit) = hit else { continue };
                assert!(!solid.is_met(&ray, 0.0, hit.t - 1e-9), "{name}: nothing is met before the first hit");
                hits += 1;
                let p = ray.at(hit.t);
                assert!(solid.distance(p).abs() < 1e-9, "{name}: {} at {p:?}", solid.distance(p));
                assert!((hit.normal.length() - 1.0).abs() < 1e-12, "{name}");
                assert!(hit.normal.dot(ray.direction) < 1e-9, "{name}: the first hit faces the ray");
                // Central differences; not within a step of an edge, where the gradient jumps.
                let step = 1e-5;
                let along =
                    |axis: Vec3| (solid.distance(p + axis * step) - solid.distance(p - axis * step)) / (2.0 * step);
                let gradient = vec3(along(vec3(1.0, 0.0, 0.0)), along(vec3(0.0, 1.0, 0.0)), along(Vec3::UP));
                if !matches!(solid, Solid::Mesh(_)) && (gradient.length() - 1.0).abs() < 1e-6 {
                    assert!((gradient - hit.normal).length() < 1e-6, "{name}: {gradient:?} {:?}", hit.normal);
                }
            }
            assert!(hits > 300, "{name}: {hits}");
        }
    }

    #[test]
    fn no_hit_is_missed_that_marching_along_the_distance_finds() {
        for (name, solid) in solids() {
            for ray in rays(400) {
                // Sphere tracing with the distance, which bounds a safe step (for meshes from outside).
                let mut t = 0.0;
                let found = (0..4000).any(|_| {
                    let distance = solid.distance(ray.at(t));
                    t += distance;
                    distance < 1e-10
                });
                let found = found.then_some(t).filter(|t| *t < 6.0);
                let hit = solid.hit(&ray, 0.0, 100.0).map(|hit| hit.t);
                match (found, hit) {
                    (None, None) => {}
                    (Some(a), Some(b)) => assert!((a - b).abs() < 1e-4, "{name}: {a} {b}"),
                    // Marching may stop just short of a surface that it only grazes.
                    (Some(t), None) => {
                        let closest = solid.distance(ray.at(t));
                        assert!(closest.abs() < 1e-9 && grazes(&solid, &ray, t), "{name}: missed at {t}");
                    }
                    (None, Some(t)) => assert!(grazes(&solid, &ray, t), "{name}: marching missed {t}"),
                }
            }
        }
    }

    /// True if the surface at `t` is nearly parallel to the ray.
    fn grazes(solid: &Solid, ray: &Ray, t: f64) -> bool {
        let step = 1e-6;
        ((solid.distance(ray.at(t + step)) - solid.distance(ray.at(t - step))) / (2.0 * step)).abs() < 1e-2
    }

    #[test]
    fn bounds_and_bounding_radius_hold_every_hit() {
        for (name, solid) in solids() {
            let bounds = solid.bounds();
            for ray in rays(500) {
                if let Some(hit) = solid.hit(&ray, 0.0, 100.0) {
                    let p = ray.at(hit.t);
                    let inside = (p - bounds.center()).abs() - bounds.half();
                    assert!(inside.x.max(inside.y).max(inside.z) < 1e-9, "{name}: {p:?}");
                    assert!((p - bounds.center()).length() < solid.bounding_radius() + 1e-9, "{name}");
                    let coordinates = solid.object_coordinates(p);
                    assert!((coordinates - Vec3::splat(0.5)).abs().max(Vec3::ZERO).length() <= 0.9, "{name}");
                }
            }
        }
    }

    #[test]
    fn texture_coordinates_lead_back_to_the_point() {
        use std::f64::consts::{PI, TAU};
        for (name, solid) in solids() {
            for ray in rays(500) {
                let Some(hit) = solid.hit(&ray, 0.0, 100.0) else { continue };
                let p = ray.at(hit.t);
                let [u, v] = solid.uv(p);
                assert!((0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v), "{name}: {u} {v}");
                let (sine, cosine) = libm::sincos((u - 0.5) * TAU);
                let again = match solid {
                    Solid::Sphere { radius } => {
                        let (z, r) = libm::sincos((v - 0.5) * PI);
                        vec3(r * cosine, r * sine, z) * radius
                    }
                    Solid::Cylinder { radius, half_height } if hit.face == 0 => {
                        vec3(radius * cosine, radius * sine, (2.0 * v - 1.0) * half_height)
                    }
                    Solid::Torus { major, minor } => {
                        let (z, outward) = libm::sincos((v - 0.5) * TAU);
                        let r = major + minor * outward;
                        vec3(r * cosine, r * sine, minor * z)
                    }
                    Solid::Box { half } if hit.face >= 4 => {
                        vec3((2.0 * u - 1.0) * half.x, (2.0 * v - 1.0) * half.y, p.z)
                    }
                    _ => continue,
                };
                assert!((again - p).length() < 1e-9, "{name}: {p:?} {again:?}");
            }
        }
    }

    #[test]
    fn volumes_agree_with_counting_points_inside() {
        for (name, solid) in solids() {
            if matches!(solid, Solid::Mesh(_)) {
                continue;
            }
            let mut stream = Stream::new(5, "volume", 0);
            let count = 40_000;
            let inside =
                (0..count).filter(|_| solid.distance(stream.in_box(Vec3::splat(-1.0), Vec3::splat(1.0))) < 0.0);
            let measured = inside.count() as f64 / f64::from(count) * 8.0;
            assert!((measured / solid.volume() - 1.0).abs() < 0.05, "{name}: {measured} {}", solid.volume());
        }
    }
}
