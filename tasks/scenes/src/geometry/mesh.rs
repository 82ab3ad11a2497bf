//! Triangle meshes: checked once, then cast against.
//!
//! They come from files ([`super::mesh_file`]) or from formulas ([`super::procedural`]). What is not finite, out of
//! range or too large is refused with the number of the offending vertex or triangle; triangles without area are
//! dropped.

use super::bvh::Bvh;
use super::{Ray, SurfaceHit};
use crate::Error;
use crate::vector::{Aabb, Vec3};

/// Triangles of a mesh at most: about 600 MB of memory.
pub const MAX_TRIANGLES: usize = 4_000_000;

/// Triangles with a hierarchy of boxes over them.
#[derive(Debug, Clone)]
pub struct TriangleMesh {
    vertices: Vec<Vec3>,
    triangles: Vec<[u32; 3]>,
    /// Unit normals at the vertices, if it is shaded smoothly.
    smooth: Option<Vec<Vec3>>,
    bvh: Bvh,
}

impl TriangleMesh {
    /// A mesh of these triangles; `name` is for errors. Smooth meshes are shaded with normals averaged at vertices.
    ///
    /// # Errors
    /// [`Error::Mesh`] for vertices that are not finite or beyond ±10⁶, indices out of range, too many triangles, and
    /// meshes without any area.
    pub fn new(name: &str, vertices: Vec<Vec3>, triangles: Vec<[u32; 3]>, smooth: bool) -> Result<Self, Error> {
        let refuse = |problem: String| Err(Error::Mesh { mesh: name.to_owned(), problem });
        if triangles.len() > MAX_TRIANGLES {
            return refuse(format!("has {} triangles, at most {MAX_TRIANGLES} are read; decimate it", triangles.len()));
        }
        if let Some(i) = vertices.iter().position(|v| !v.is_finite() || v.abs().x.max(v.abs().y).max(v.abs().z) > 1e6) {
            return refuse(format!("vertex {i} is {:?}, expected finite coordinates within ±1e6", vertices[i]));
        }
        if let Some(i) = triangles.iter().position(|t| t.iter().any(|&v| v as usize >= vertices.len())) {
            return refuse(format!("triangle {i} is {:?}, but there are {} vertices", triangles[i], vertices.len()));
        }
        let area = |t: &[u32; 3]| {
            let [a, b, c] = t.map(|v| vertices[v as usize]);
            (b - a).cross(c - a).length()
        };
        let triangles: Vec<_> = triangles.into_iter().filter(|t| area(t) > 0.0).collect();
        if triangles.is_empty() {
            return refuse("has no triangle with an area".to_owned());
        }
        Ok(Self::built(vertices, triangles, smooth))
    }

    fn built(vertices: Vec<Vec3>, triangles: Vec<[u32; 3]>, smooth: bool) -> Self {
        let boxes: Vec<_> =
            triangles.iter().map(|t| t.iter().fold(Aabb::EMPTY, |all, &v| all.with(vertices[v as usize]))).collect();
        let smooth = smooth.then(|| {
            let mut normals = vec![Vec3::ZERO; vertices.len()];
            for t in &triangles {
                let [a, b, c] = t.map(|v| vertices[v as usize]);
                // Longer for larger triangles: a mean weighted by area.
                let normal = (b - a).cross(c - a);
                t.iter().for_each(|&v| normals[v as usize] = normals[v as usize] + normal);
            }
            normals.into_iter().map(Vec3::normalized).collect()
        });
        let bvh = Bvh::new(&boxes);
        Self { vertices, triangles, smooth, bvh }
    }

    /// The same mesh with the middle of its bounding box at the origin and `half_extent` as half of its longest edge.
    pub fn fitted(&self, half_extent: f64) -> Self {
        let bounds = self.bounds();
        let (center, half) = (bounds.center(), bounds.half());
        let scale = half_extent / half.x.max(half.y).max(half.z);
        let vertices = self.vertices.iter().map(|&v| (v - center) * scale).collect();
        Self::built(vertices, self.triangles.clone(), self.smooth.is_some())
    }

    /// Corners, in the order of the source.
    pub fn vertices(&self) -> &[Vec3] {
        &self.vertices
    }

    /// Three corners each, counter-clockwise from outside.
    pub fn triangles(&self) -> &[[u32; 3]] {
        &self.triangles
    }

    /// The box around it.
    pub fn bounds(&self) -> Aabb {
        self.bvh.bounds()
    }

    /// Volume inside, if it is closed: the sum of signed tetrahedra; at least a thousandth of the box for open ones.
    pub fn volume(&self) -> f64 {
        let sum: f64 = self
            .triangles
            .iter()
            .map(|t| {
                let [a, b, c] = t.map(|v| self.vertices[v as usize]);
                a.dot(b.cross(c)) / 6.0
            })
            .sum();
        let half = self.bounds().half();
        sum.abs().max(8e-3 * half.x * half.y * half.z).max(1e-9)
    }

    /// Distance and barycentric coordinates of a hit, after Möller and Trumbore: t, u, v from Cramer's rule.
    #[inline(always)]
    fn triangle_hit(&self, item: u32, ray: &Ray, near: f64, far: f64) -> Option<(f64, f64, f64)> {
        let [a, b, c] = self.triangles[item as usize].map(|v| self.vertices[v as usize]);
        let (e1, e2) = (b - a, c - a);
        let p = ray.direction.cross(e2);
        let inverse = 1.0 / e1.dot(p);
        let s = ray.origin - a;
        let u = s.dot(p) * inverse;
        let q = s.cross(e1);
        let v = ray.direction.dot(q) * inverse;
        let t = e2.dot(q) * inverse;
        // A hair over the edge counts as a hit, so that no ray slips between neighbours; NaN does not.
        const HAIR: f64 = -1e-12;
        (u >= HAIR && v >= HAIR && u + v <= 1.0 - HAIR && t > near && t < far).then_some((t, u, v))
    }

    /// True if the ray meets any triangle: the first one found ends the search.
    #[inline]
    pub(super) fn is_met(&self, ray: &Ray, near: f64, far: f64) -> bool {
        let mut is_met = false;
        self.bvh.cast(ray.origin, ray.direction, far, |item, far| {
            is_met = is_met || self.triangle_hit(item, ray, near, far).is_some();
            // No box is nearer than nothing.
            if is_met { -1.0 } else { far }
        });
        is_met
    }

    #[inline]
    pub(super) fn hit(&self, ray: &Ray, near: f64, far: f64) -> Option<SurfaceHit> {
        let mut best: Option<(f64, f64, f64, u32)> = None;
        self.bvh.cast(ray.origin, ray.direction, far, |item, far| {
            let met = self.triangle_hit(item, ray, near, far);
            if let Some((t, u, v)) = met {
                best = Some((t, u, v, item));
                return t;
            }
            far
        });
        let (t, u, v, item) = best?;
        let corners = self.triangles[item as usize];
        let [a, b, c] = corners.map(|v| self.vertices[v as usize]);
        let normal = (b - a).cross(c - a).normalized();
        let mut hit = SurfaceHit::new(t, normal, item);
        if normal.dot(ray.direction) > 0.0 {
            // Seen from behind: open meshes have two sides.
            hit.normal = -normal;
            hit.shading = -normal;
        }
        if let Some(normals) = &self.smooth {
            let [na, nb, nc] = corners.map(|v| normals[v as usize]);
            let mixed = (na * (1.0 - u - v) + nb * u + nc * v).normalized();
            let mixed = if mixed.dot(hit.normal) < 0.0 { -mixed } else { mixed };
            if mixed.dot(ray.direction) < 0.0 {
                hit.shading = mixed;
            }
        }
        Some(hit)
    }

    pub(super) fn distance(&self, p: Vec3) -> f64 {
        self.bvh.nearest(p, |item| {
            let [a, b, c] = self.triangles[item as usize].map(|v| self.vertices[v as usize]);
            to_triangle(p, a, b, c)
        })
    }
}

/// Distance of a point from a triangle: to its plane if the foot lies inside, else to the nearest edge.
fn to_triangle(p: Vec3, a: Vec3, b: Vec3, c: Vec3) -> f64 {
    let normal = (b - a).cross(c - a).normalized();
    let inside = [(a, b), (b, c), (c, a)].iter().all(|&(s, e)| normal.dot((e - s).cross(p - s)) >= 0.0);
    if inside {
        return normal.dot(p - a).abs();
    }
    let to_edge = |s: Vec3, e: Vec3| {
        let along = ((p - s).dot(e - s) / (e - s).dot(e - s)).clamp(0.0, 1.0);
        (p - s - (e - s) * along).length()
    };
    to_edge(a, b).min(to_edge(b, c)).min(to_edge(c, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::vec3;

    fn corner() -> (Vec<Vec3>, Vec<[u32; 3]>) {
        (vec![Vec3::ZERO, vec3(1.0, 0.0, 0.0), vec3(0.0, 1.0, 0.0)], vec![[0, 1, 2]])
    }

    #[test]
    fn bad_meshes_are_refused_by_the_number_of_what_is_bad() {
        let (mut vertices, triangles) = corner();
        vertices[1].y = f64::NAN;
        let error = TriangleMesh::new("m.obj", vertices, triangles, false).unwrap_err().to_string();
        assert!(error.starts_with("mesh m.obj: vertex 1 is"), "{error}");
        let (vertices, _) = corner();
        let error = TriangleMesh::new("m.obj", vertices.clone(), vec![[0, 1, 3]], false).unwrap_err().to_string();
        assert!(error.contains("triangle 0") && error.contains("3 vertices"), "{error}");
        let error = TriangleMesh::new("m.obj", vertices.clone(), vec![[0, 1, 1]], false).unwrap_err().to_string();
        assert!(error.contains("no triangle with an area"), "{error}");
        let error = TriangleMesh::new("m.obj", vertices, vec![[0, 1, 2]; MAX_TRIANGLES + 1], false).unwrap_err();
        assert!(error.to_string().contains("at most 4000000"), "{error}");
    }

    #[test]
    fn an_open_mesh_faces_the_ray_from_both_sides() {
        let (vertices, triangles) = corner();
        let mesh = TriangleMesh::new("corner", vertices, triangles, true).unwrap();
        for z in [1.0, -1.0] {
            let ray = Ray { origin: vec3(0.2, 0.3, z), direction: vec3(0.0, 0.0, -z) };
            let hit = mesh.hit(&ray, 0.0, 10.0).unwrap();
            assert_eq!(hit.t, 1.0);
            assert_eq!(hit.normal.z, z);
        }
    }
}
