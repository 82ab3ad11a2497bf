//! Rays against quadrics and boxes.
//!
//! A point of the ray is `o + t·d` with `|d| = 1`; each surface turns into a quadratic in `t`. Quadratics are solved
//! around the point of the ray closest to the centre, where the coefficients are small and nothing cancels.

use super::{Ray, SurfaceHit};
use crate::vector::{Vec3, vec3};

/// The first of two ordered roots inside (near, far).
#[inline]
fn first(entry: f64, exit: f64, near: f64, far: f64) -> Option<f64> {
    if entry > near { (entry < far).then_some(entry) } else { (exit > near && exit < far).then_some(exit) }
}

#[inline]
pub(super) fn sphere(ray: &Ray, radius: f64, near: f64, far: f64) -> Option<SurfaceHit> {
    let middle = -ray.origin.dot(ray.direction);
    let closest = ray.at(middle);
    let square = radius * radius - closest.dot(closest);
    if square < 0.0 {
        return None;
    }
    let half = square.sqrt();
    let t = first(middle - half, middle + half, near, far)?;
    Some(SurfaceHit::new(t, ray.at(t).normalized(), 0))
}

/// The interval inside a slab `|z| ≤ half` and whether it is entered through its upper face.
#[inline]
fn slab(o: f64, d: f64, half: f64) -> (f64, f64) {
    let (a, b) = ((-half - o) / d, (half - o) / d);
    (a.min(b), a.max(b))
}

#[inline]
pub(super) fn cuboid(ray: &Ray, half: Vec3, near: f64, far: f64) -> Option<SurfaceHit> {
    let (o, d) = (ray.origin, ray.direction);
    let intervals = [slab(o.x, d.x, half.x), slab(o.y, d.y, half.y), slab(o.z, d.z, half.z)];
    let outside = [o.x.abs() > half.x, o.y.abs() > half.y, o.z.abs() > half.z];
    let (mut entry, mut exit, mut entry_axis, mut exit_axis) = (f64::NEG_INFINITY, f64::INFINITY, 0, 0);
    for axis in 0..3 {
        let (low, high) = intervals[axis];
        if low.is_nan() || high.is_nan() || low == f64::INFINITY || high == f64::NEG_INFINITY {
            // Parallel to the slab: inside of it always or never.
            if outside[axis] {
                return None;
            }
            continue;
        }
        if low > entry {
            (entry, entry_axis) = (low, axis);
        }
        if high < exit {
            (exit, exit_axis) = (high, axis);
        }
    }
    if entry > exit {
        return None;
    }
    let t = first(entry, exit, near, far)?;
    let axis = if t == entry { entry_axis } else { exit_axis };
    let p = ray.at(t);
    let (normal, at) = match axis {
        0 => (vec3(1.0, 0.0, 0.0), p.x),
        1 => (vec3(0.0, 1.0, 0.0), p.y),
        _ => (Vec3::UP, p.z),
    };
    let up = at > 0.0;
    Some(SurfaceHit::new(t, if up { normal } else { -normal }, 2 * axis as u32 + u32::from(up)))
}

pub(super) fn cuboid_distance(p: Vec3, half: Vec3) -> f64 {
    let q = p.abs() - half;
    q.max(Vec3::ZERO).length() + q.x.max(q.y).max(q.z).min(0.0)
}

#[inline]
pub(super) fn cylinder(ray: &Ray, radius: f64, half_height: f64, near: f64, far: f64) -> Option<SurfaceHit> {
    let (o, d) = (ray.origin, ray.direction);
    let a = d.x * d.x + d.y * d.y;
    // The interval inside the infinite cylinder.
    let (side_in, side_out) = if a < 1e-24 {
        if o.x * o.x + o.y * o.y > radius * radius {
            return None;
        }
        (f64::NEG_INFINITY, f64::INFINITY)
    } else {
        let middle = -(o.x * d.x + o.y * d.y) / a;
        let (x, y) = (o.x + d.x * middle, o.y + d.y * middle);
        let square = (radius * radius - x * x - y * y) / a;
        if square < 0.0 {
            return None;
        }
        (middle - square.sqrt(), middle + square.sqrt())
    };
    let (cap_in, cap_out) = if d.z.abs() < 1e-12 {
        if o.z.abs() > half_height {
            return None;
        }
        (f64::NEG_INFINITY, f64::INFINITY)
    } else {
        slab(o.z, d.z, half_height)
    };
    let (entry, exit) = (side_in.max(cap_in), side_out.min(cap_out));
    if entry > exit {
        return None;
    }
    let t = first(entry, exit, near, far)?;
    let p = ray.at(t);
    let on_cap = if t == entry { cap_in > side_in } else { cap_out < side_out };
    Some(if on_cap {
        SurfaceHit::new(t, vec3(0.0, 0.0, 1f64.copysign(p.z)), if p.z > 0.0 { 2 } else { 1 })
    } else {
        SurfaceHit::new(t, vec3(p.x, p.y, 0.0).normalized(), 0)
    })
}

/// With `k = radius / height` and `s` the distance below the apex: the side is `x² + y² = k² s²`, `s` in 0..height.
#[inline]
pub(super) fn cone(ray: &Ray, radius: f64, half_height: f64, near: f64, far: f64) -> Option<SurfaceHit> {
    let (o, d) = (ray.origin, ray.direction);
    let height = 2.0 * half_height;
    let k2 = (radius / height) * (radius / height);
    let mut best: Option<SurfaceHit> = None;
    let mut far = far;
    // The base.
    if d.z.abs() > 1e-15 {
        let t = (-half_height - o.z) / d.z;
        let p = ray.at(t);
        if t > near && t < far && p.x * p.x + p.y * p.y <= radius * radius {
            far = t;
            best = Some(SurfaceHit::new(t, vec3(0.0, 0.0, -1.0), 1));
        }
    }
    // The side, around the middle of the ray's stretch near the cone.
    let shift = -o.dot(d);
    let p = ray.at(shift);
    let s = half_height - p.z;
    let a = d.x * d.x + d.y * d.y - k2 * d.z * d.z;
    let b = p.x * d.x + p.y * d.y + k2 * s * d.z;
    let c = p.x * p.x + p.y * p.y - k2 * s * s;
    let roots = if a.abs() < 1e-14 {
        [-0.5 * c / b, f64::NAN]
    } else {
        let square = b * b - a * c;
        if square < 0.0 {
            return best;
        }
        // The stable pair: no subtraction of equal terms.
        let q = -(b + square.sqrt().copysign(b));
        if q == 0.0 { [0.0, f64::NAN] } else { [q / a, c / q] }
    };
    for root in roots {
        let t = root + shift;
        if t > near && t < far {
            let p = ray.at(t);
            let s = half_height - p.z;
            if (0.0..=height).contains(&s) {
                far = t;
                // At the apex itself the normal is the axis.
                let gradient = vec3(p.x, p.y, k2 * s);
                let normal = if gradient.length() > 1e-12 { gradient.normalized() } else { Vec3::UP };
                best = Some(SurfaceHit::new(t, normal, 0));
            }
        }
    }
    best
}

pub(super) fn cone_distance(p: Vec3, radius: f64, half_height: f64) -> f64 {
    // In the half-plane (distance from the axis, height): a triangle.
    let (q, z) = ((p.x * p.x + p.y * p.y).sqrt(), p.z);
    let to_segment = |ax: f64, az: f64, bx: f64, bz: f64| {
        let (ex, ez) = (bx - ax, bz - az);
        let t = (((q - ax) * ex + (z - az) * ez) / (ex * ex + ez * ez)).clamp(0.0, 1.0);
        let (dx, dz) = (q - ax - ex * t, z - az - ez * t);
        (dx * dx + dz * dz).sqrt()
    };
    let side = to_segment(radius, -half_height, 0.0, half_height);
    let base = to_segment(0.0, -half_height, radius, -half_height);
    let inside = z > -half_height && q < radius * (half_height - z) / (2.0 * half_height);
    side.min(base) * if inside { -1.0 } else { 1.0 }
}

#[inline]
pub(super) fn capsule(ray: &Ray, radius: f64, half_height: f64, near: f64, far: f64) -> Option<SurfaceHit> {
    let (o, d) = (ray.origin, ray.direction);
    let mut best: Option<f64> = None;
    let mut far = far;
    let a = d.x * d.x + d.y * d.y;
    if a > 1e-24 {
        let middle = -(o.x * d.x + o.y * d.y) / a;
        let (x, y) = (o.x + d.x * middle, o.y + d.y * middle);
        let square = (radius * radius - x * x - y * y) / a;
        if square < 0.0 {
            return None;
        }
        for t in [middle - square.sqrt(), middle + square.sqrt()] {
            if t > near && t < far && (o.z + d.z * t).abs() <= half_height {
                far = t;
                best = Some(t);
            }
        }
    }
    for end in [-half_height, half_height] {
        let shifted = Ray { origin: o - vec3(0.0, 0.0, end), direction: d };
        let middle = -shifted.origin.dot(d);
        let closest = shifted.at(middle);
        let square = radius * radius - closest.dot(closest);
        if square < 0.0 {
            continue;
        }
        for t in [middle - square.sqrt(), middle + square.sqrt()] {
            // Only the hemisphere beyond the segment belongs to the surface.
            if t > near && t < far && (o.z + d.z * t) * end.signum() >= half_height {
                far = t;
                best = Some(t);
            }
        }
    }
    let t = best?;
    let p = ray.at(t);
    let axis = vec3(0.0, 0.0, p.z.clamp(-half_height, half_height));
    Some(SurfaceHit::new(t, (p - axis).normalized(), 0))
}
