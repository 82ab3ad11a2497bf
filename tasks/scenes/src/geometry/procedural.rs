//! Meshes from formulas: gears, knots, rocks and L-shaped brackets.
//!
//! They stand in for scanned objects: a few parameters, drawn per object, make many different closed surfaces.

use std::f64::consts::{PI, TAU};

use super::TriangleMesh;
use crate::Error;
use crate::random::{Stream, range};
use crate::vector::{Vec3, vec3};

/// A prism over a closed outline in the plane; the outline is seen from every point of `center`'s surroundings
/// (star-shaped), counter-clockwise.
fn prism(outline: &[[f64; 2]], center: [f64; 2], half_height: f64) -> (Vec<Vec3>, Vec<[u32; 3]>) {
    let count = outline.len() as u32;
    let ring = |z: f64| outline.iter().map(move |&[x, y]| vec3(x, y, z));
    let mut vertices: Vec<Vec3> = ring(-half_height).chain(ring(half_height)).collect();
    vertices.push(vec3(center[0], center[1], -half_height));
    vertices.push(vec3(center[0], center[1], half_height));
    let (bottom, top) = (2 * count, 2 * count + 1);
    let mut triangles = Vec::new();
    for i in 0..count {
        let next = (i + 1) % count;
        triangles.push([i, next, count + next]);
        triangles.push([i, count + next, count + i]);
        triangles.push([bottom, next, i]);
        triangles.push([top, count + i, count + next]);
    }
    (vertices, triangles)
}

/// A gear with `teeth` teeth that are `depth` of the radius deep, `thickness` of the radius thick.
///
/// # Errors
/// As [`TriangleMesh::new`].
pub fn gear(teeth: u32, depth: f64, thickness: f64) -> Result<TriangleMesh, Error> {
    let outline: Vec<_> = (0..teeth * 4)
        .map(|i| {
            let angle = TAU * (f64::from(i) + 0.5) / f64::from(teeth * 4);
            let radius = if i % 4 < 2 { 1.0 } else { 1.0 - depth };
            let (sine, cosine) = libm::sincos(angle);
            [radius * cosine, radius * sine]
        })
        .collect();
    let (vertices, triangles) = prism(&outline, [0.0, 0.0], thickness);
    TriangleMesh::new("gear", vertices, triangles, false)
}

/// An L whose arms are `arm` of its edge wide, `thickness` of half its edge thick.
///
/// # Errors
/// As [`TriangleMesh::new`].
pub fn bracket(arm: f64, thickness: f64) -> Result<TriangleMesh, Error> {
    let inner = 2.0 * arm - 1.0;
    let outline = [[-1.0, -1.0], [1.0, -1.0], [1.0, inner], [inner, inner], [inner, 1.0], [-1.0, 1.0]];
    // Every corner is seen from the middle of the corner square.
    let (vertices, triangles) = prism(&outline, [arm - 1.0, arm - 1.0], thickness);
    TriangleMesh::new("bracket", vertices, triangles, false)
}

/// Points of the curve of a torus knot that winds `p` times around the axis and `q` times around the tube.
pub(crate) fn knot_point(p: u32, q: u32, turn: f64) -> Vec3 {
    let (sq, cq) = libm::sincos(f64::from(q) * turn);
    let (sp, cp) = libm::sincos(f64::from(p) * turn);
    let around = 1.0 + 0.45 * cq;
    vec3(around * cp, around * sp, 0.45 * sq)
}

/// A torus knot with a tube of this radius (the knot itself has radius 1).
///
/// # Errors
/// As [`TriangleMesh::new`].
pub fn knot(p: u32, q: u32, tube: f64) -> Result<TriangleMesh, Error> {
    let (along, around) = (96u32, 10u32);
    let mut vertices = Vec::new();
    for i in 0..along {
        let turn = TAU * f64::from(i) / f64::from(along);
        let here = knot_point(p, q, turn);
        let tangent = (knot_point(p, q, turn + 1e-4) - knot_point(p, q, turn - 1e-4)).normalized();
        // The tube's frame leans away from the axis of the torus, so that it closes after one turn.
        let (sp, cp) = libm::sincos(f64::from(p) * turn);
        let outward = here - vec3(cp, sp, 0.0);
        let outward = (outward - tangent * outward.dot(tangent)).normalized();
        let side = tangent.cross(outward);
        for j in 0..around {
            let (sine, cosine) = libm::sincos(TAU * f64::from(j) / f64::from(around));
            vertices.push(here + outward * (tube * cosine) + side * (tube * sine));
        }
    }
    let at = |i: u32, j: u32| (i % along) * around + j % around;
    let mut triangles = Vec::new();
    for i in 0..along {
        for j in 0..around {
            triangles.push([at(i, j), at(i + 1, j), at(i + 1, j + 1)]);
            triangles.push([at(i, j), at(i + 1, j + 1), at(i, j + 1)]);
        }
    }
    // The curve runs against the orientation above: turn the triangles so that they face outward.
    triangles.iter_mut().for_each(|t| t.swap(1, 2));
    TriangleMesh::new("knot", vertices, triangles, true)
}

/// A ball with random waves of relative height `roughness` on it.
///
/// # Errors
/// As [`TriangleMesh::new`].
pub fn rock(seed: u64, roughness: f64) -> Result<TriangleMesh, Error> {
    let mut stream = Stream::new(seed, "rock", 0);
    let waves: Vec<_> = (0..7)
        .map(|i| {
            let direction = stream.rotation().rotate(Vec3::UP);
            let frequency = range(1.5, 2.5 + 0.5 * f64::from(i)).draw(&mut stream);
            (direction * frequency, stream.between(0.0, TAU), 1.0 / frequency)
        })
        .collect();
    let stretch = vec3(1.0, stream.between(0.7, 1.0), stream.between(0.6, 1.0));
    let (rings, sectors) = (24u32, 36u32);
    let place = |direction: Vec3| {
        let height: f64 = waves.iter().map(|(k, phase, size)| size * libm::sin(k.dot(direction) * 2.0 + phase)).sum();
        (direction * (1.0 + roughness * 0.35 * height)).times(stretch)
    };
    let mut vertices = vec![place(-Vec3::UP)];
    for i in 1..rings {
        let (sine, cosine) = libm::sincos(PI * f64::from(i) / f64::from(rings));
        for j in 0..sectors {
            let (sj, cj) = libm::sincos(TAU * f64::from(j) / f64::from(sectors));
            vertices.push(place(vec3(sine * cj, sine * sj, -cosine)));
        }
    }
    vertices.push(place(Vec3::UP));
    let last = vertices.len() as u32 - 1;
    let at = |i: u32, j: u32| 1 + (i - 1) * sectors + j % sectors;
    let mut triangles = Vec::new();
    for j in 0..sectors {
        triangles.push([0, at(1, j + 1), at(1, j)]);
        triangles.push([last, at(rings - 1, j), at(rings - 1, j + 1)]);
        for i in 1..rings - 1 {
            triangles.push([at(i, j), at(i, j + 1), at(i + 1, j + 1)]);
            triangles.push([at(i, j), at(i + 1, j + 1), at(i + 1, j)]);
        }
    }
    TriangleMesh::new("rock", vertices, triangles, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_closed_and_face_outward() {
        let meshes = [
            ("gear", gear(8, 0.25, 0.3).unwrap()),
            ("bracket", bracket(0.4, 0.5).unwrap()),
            ("knot", knot(2, 3, 0.2).unwrap()),
            ("rock", rock(0, 0.4).unwrap()),
        ];
        for (name, mesh) in meshes {
            let mut edges = std::collections::BTreeMap::new();
            for t in mesh.triangles() {
                for (a, b) in [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])] {
                    *edges.entry((a, b)).or_insert(0) += 1;
                }
            }
            // Closed and oriented: every directed edge once, with its opposite.
            assert!(edges.iter().all(|(&(a, b), &n)| n == 1 && edges.contains_key(&(b, a))), "{name}");
            let signed: f64 = mesh
                .triangles()
                .iter()
                .map(|t| {
                    let [a, b, c] = t.map(|v| mesh.vertices()[v as usize]);
                    a.dot(b.cross(c)) / 6.0
                })
                .sum();
            assert!(signed > 0.0, "{name} is inside out: {signed}");
        }
    }

    #[test]
    fn a_bracket_has_the_volume_of_its_arms() {
        // An L of edge 2 and arm width 0.8: 4 - 1.2² of area, 1 high.
        let mesh = bracket(0.4, 0.5).unwrap();
        assert!((mesh.volume() - (4.0 - 1.44)).abs() < 1e-12, "{}", mesh.volume());
    }
}
