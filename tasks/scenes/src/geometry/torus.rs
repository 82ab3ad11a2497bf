//! Rays against a torus.
//!
//! With the ray parametrised from its point closest to the centre (`o·d = 0`), `c = |o|²` and `k = c + R² - r²`, the
//! surface `(|p|² + R² - r²)² = 4R²(x² + y²)` is `t⁴ + a₂t² + a₁t + a₀ = 0` with `a₂ = 2k - 4R²(1 - d_z²)`,
//! `a₁ = 8R² o_z d_z`, `a₀ = k² - 4R²(c - o_z²)`. Closed forms of quartics lose half of the digits; here the roots are
//! separated by those of the derivatives and polished by Newton's method inside brackets, which loses none.

use super::{Ray, SurfaceHit};
use crate::vector::{Vec3, vec3};

pub(super) fn distance(p: Vec3, major: f64, minor: f64) -> f64 {
    let q = (p.x * p.x + p.y * p.y).sqrt() - major;
    (q * q + p.z * p.z).sqrt() - minor
}

pub(super) fn hit(ray: &Ray, major: f64, minor: f64, near: f64, far: f64) -> Option<SurfaceHit> {
    let d = ray.direction;
    let shift = -ray.origin.dot(d);
    let o = ray.at(shift);
    let c = o.dot(o);
    let outer = major + minor;
    // All hits lie within the bounding ball and the slab |z| ≤ r.
    let reach = outer * outer - c;
    if reach < 0.0 {
        return None;
    }
    let (mut low, mut high) = (-reach.sqrt(), reach.sqrt());
    if d.z.abs() > 1e-12 {
        let (a, b) = ((-minor - o.z) / d.z, (minor - o.z) / d.z);
        low = low.max(a.min(b));
        high = high.min(a.max(b));
    } else if o.z.abs() > minor {
        return None;
    }
    // A hair more room, so that tangents to the bounds are kept.
    let hair = 1e-9 * outer;
    low = (low - hair).max(near - shift);
    high = (high + hair).min(far - shift);
    if low >= high {
        return None;
    }
    let r2 = 4.0 * major * major;
    let k = c + major * major - minor * minor;
    let a2 = 2.0 * k - r2 * (1.0 - d.z * d.z);
    let a1 = 2.0 * r2 * o.z * d.z;
    let a0 = k * k - r2 * (c - o.z * o.z);
    let value = |t: f64| ((t * t + a2) * t + a1) * t + a0;
    let slope = |t: f64| (4.0 * t * t + 2.0 * a2) * t + a1;
    let bend = |t: f64| 12.0 * t * t + 2.0 * a2;

    // Inflections split the range so that the slope is monotone; its roots split it so that the value is.
    let mut cuts = [low; 6];
    let mut count = 1;
    let mut slope_ends = [low, high, high, high];
    if a2 < 0.0 {
        let inflection = (-a2 / 6.0).sqrt();
        slope_ends = [low, (-inflection).clamp(low, high), inflection.clamp(low, high), high];
    }
    for pair in slope_ends.windows(2) {
        if let Some(t) = root_between(pair[0], pair[1], slope, bend) {
            cuts[count] = t;
            count += 1;
        }
    }
    cuts[count] = high;
    for pair in cuts[..=count].windows(2) {
        if let Some(root) = root_between(pair[0], pair[1], value, slope) {
            let t = root + shift;
            if t > near && t < far {
                let p = ray.at(t);
                let around = (p.x * p.x + p.y * p.y).sqrt();
                let to_circle = (around - major) / around;
                return Some(SurfaceHit::new(t, vec3(p.x * to_circle, p.y * to_circle, p.z).normalized(), 0));
            }
        }
    }
    None
}

/// The root of a function that is monotone between `low` and `high`, if it changes sign there.
fn root_between(low: f64, high: f64, f: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64) -> Option<f64> {
    if low >= high {
        return None;
    }
    let (mut a, mut b) = (low, high);
    let (fa, fb) = (f(a), f(b));
    if fa == 0.0 {
        return Some(a);
    }
    if fa * fb > 0.0 {
        return None;
    }
    let rising = fb > fa;
    let mut t = 0.5 * (a + b);
    for _ in 0..60 {
        let ft = f(t);
        if (ft > 0.0) == rising {
            b = t;
        } else {
            a = t;
        }
        let newton = t - ft / slope(t);
        // Newton's step if it stays inside the bracket, else halve it (also if the slope is zero).
        let next = if newton > a && newton < b { newton } else { 0.5 * (a + b) };
        if (next - t).abs() <= 1e-15 * (1.0 + t.abs()) {
            return Some(next);
        }
        t = next;
    }
    Some(t)
}
