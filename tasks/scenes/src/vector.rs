//! Points, directions, rotations and rigid poses in double precision.
//!
//! Only additions, multiplications, divisions and square roots are used, which IEEE 754 rounds exactly, so that the
//! geometry of a scene has the same bits on every platform; angles go through `libm`.

use std::ops::{Add, Div, Mul, Neg, Sub};

use serde::{Deserialize, Serialize};

/// A point or a direction.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "[f64; 3]", into = "[f64; 3]")]
pub struct Vec3 {
    /// To the right in a camera, east in the world.
    pub x: f64,
    /// Up in a camera, north in the world.
    pub y: f64,
    /// Towards the viewer in a camera, up in the world.
    pub z: f64,
}

/// Shorthand for a [`Vec3`].
pub const fn vec3(x: f64, y: f64, z: f64) -> Vec3 {
    Vec3 { x, y, z }
}

impl From<[f64; 3]> for Vec3 {
    fn from([x, y, z]: [f64; 3]) -> Self {
        vec3(x, y, z)
    }
}

impl From<Vec3> for [f64; 3] {
    fn from(v: Vec3) -> Self {
        [v.x, v.y, v.z]
    }
}

impl Vec3 {
    /// The origin.
    pub const ZERO: Self = vec3(0.0, 0.0, 0.0);
    /// Straight up in the world.
    pub const UP: Self = vec3(0.0, 0.0, 1.0);

    /// All three components the same.
    pub const fn splat(value: f64) -> Self {
        vec3(value, value, value)
    }

    /// Inner product.
    #[inline]
    pub fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    /// Vector product.
    #[inline]
    pub fn cross(self, other: Self) -> Self {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    /// Euclidean length.
    #[inline]
    pub fn length(self) -> f64 {
        self.dot(self).sqrt()
    }

    /// The same direction with length one; the zero vector stays itself.
    #[inline]
    pub fn normalized(self) -> Self {
        let length = self.length();
        if length > 0.0 { self / length } else { self }
    }

    /// Component-wise product.
    #[inline]
    pub fn times(self, other: Self) -> Self {
        vec3(self.x * other.x, self.y * other.y, self.z * other.z)
    }

    /// Component-wise minimum.
    #[inline]
    pub fn min(self, other: Self) -> Self {
        vec3(self.x.min(other.x), self.y.min(other.y), self.z.min(other.z))
    }

    /// Component-wise maximum.
    #[inline]
    pub fn max(self, other: Self) -> Self {
        vec3(self.x.max(other.x), self.y.max(other.y), self.z.max(other.z))
    }

    /// Component-wise absolute value.
    #[inline]
    pub fn abs(self) -> Self {
        vec3(self.x.abs(), self.y.abs(), self.z.abs())
    }

    /// True if no component is infinite or not a number.
    pub fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite() && self.z.is_finite()
    }

    /// Two unit vectors that form a right-handed frame with this unit vector (Duff and others, 2017).
    #[inline]
    pub fn tangents(self) -> (Self, Self) {
        let sign = 1f64.copysign(self.z);
        let a = -1.0 / (sign + self.z);
        let b = self.x * self.y * a;
        (vec3(1.0 + sign * self.x * self.x * a, sign * b, -sign * self.x), vec3(b, sign + self.y * self.y * a, -self.y))
    }
}

impl Add for Vec3 {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vec3 {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f64> for Vec3 {
    type Output = Self;
    #[inline]
    fn mul(self, factor: f64) -> Self {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

impl Div<f64> for Vec3 {
    type Output = Self;
    #[inline]
    fn div(self, divisor: f64) -> Self {
        vec3(self.x / divisor, self.y / divisor, self.z / divisor)
    }
}

impl Neg for Vec3 {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        vec3(-self.x, -self.y, -self.z)
    }
}

/// A rotation as a unit quaternion, written (w, x, y, z).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 4]", into = "[f64; 4]")]
pub struct Rotation {
    /// Cosine of half the angle.
    pub w: f64,
    /// Axis times the sine of half the angle.
    pub v: Vec3,
}

impl From<[f64; 4]> for Rotation {
    fn from([w, x, y, z]: [f64; 4]) -> Self {
        Self { w, v: vec3(x, y, z) }
    }
}

impl From<Rotation> for [f64; 4] {
    fn from(r: Rotation) -> Self {
        [r.w, r.v.x, r.v.y, r.v.z]
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self::IDENTITY
    }
}

impl Rotation {
    /// No rotation.
    pub const IDENTITY: Self = Self { w: 1.0, v: Vec3::ZERO };

    /// Turns by `angle` radians about a unit axis.
    pub fn about(axis: Vec3, angle: f64) -> Self {
        let (sine, cosine) = libm::sincos(0.5 * angle);
        Self { w: cosine, v: axis * sine }
    }

    /// The rotation whose matrix has these columns, which form a right-handed orthonormal frame.
    pub fn from_columns(x: Vec3, y: Vec3, z: Vec3) -> Self {
        // Of the four equivalent formulas, the one with the largest divisor is exact to rounding.
        let trace = x.x + y.y + z.z;
        let quaternion = if trace > 0.0 {
            let s = (trace + 1.0).sqrt() * 2.0;
            Self { w: 0.25 * s, v: vec3((y.z - z.y) / s, (z.x - x.z) / s, (x.y - y.x) / s) }
        } else if x.x > y.y && x.x > z.z {
            let s = (1.0 + x.x - y.y - z.z).sqrt() * 2.0;
            Self { w: (y.z - z.y) / s, v: vec3(0.25 * s, (y.x + x.y) / s, (z.x + x.z) / s) }
        } else if y.y > z.z {
            let s = (1.0 + y.y - x.x - z.z).sqrt() * 2.0;
            Self { w: (z.x - x.z) / s, v: vec3((y.x + x.y) / s, 0.25 * s, (z.y + y.z) / s) }
        } else {
            let s = (1.0 + z.z - x.x - y.y).sqrt() * 2.0;
            Self { w: (x.y - y.x) / s, v: vec3((z.x + x.z) / s, (z.y + y.z) / s, 0.25 * s) }
        };
        quaternion.normalized()
    }

    /// Scaled to unit length.
    pub fn normalized(self) -> Self {
        let length = (self.w * self.w + self.v.dot(self.v)).sqrt();
        Self { w: self.w / length, v: self.v / length }
    }

    /// The opposite rotation.
    #[inline]
    pub fn inverse(self) -> Self {
        Self { w: self.w, v: -self.v }
    }

    /// This rotation after `first`.
    pub fn after(self, first: Self) -> Self {
        Self {
            w: self.w * first.w - self.v.dot(first.v),
            v: first.v * self.w + self.v * first.w + self.v.cross(first.v),
        }
    }

    /// The rotated vector.
    #[inline]
    pub fn rotate(self, vector: Vec3) -> Vec3 {
        let t = self.v.cross(vector) * 2.0;
        vector + t * self.w + self.v.cross(t)
    }

    /// The columns of its matrix: where the three axes go.
    pub fn columns(self) -> [Vec3; 3] {
        [self.rotate(vec3(1.0, 0.0, 0.0)), self.rotate(vec3(0.0, 1.0, 0.0)), self.rotate(vec3(0.0, 0.0, 1.0))]
    }

    /// Between this rotation (`t` = 0) and `other` (`t` = 1), along the shorter arc, renormalised.
    pub fn mixed(self, other: Self, t: f64) -> Self {
        let sign = if self.w * other.w + self.v.dot(other.v) < 0.0 { -1.0 } else { 1.0 };
        Self { w: self.w * (1.0 - t) + other.w * (t * sign), v: self.v * (1.0 - t) + other.v * (t * sign) }.normalized()
    }
}

/// Where a body or a camera is: `world = rotation · local + position`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pose {
    /// The origin of the local frame in the world.
    pub position: Vec3,
    /// Turns local directions into world directions; (w, x, y, z).
    pub rotation: Rotation,
}

impl Pose {
    /// At the origin, not turned.
    pub const IDENTITY: Self = Self { position: Vec3::ZERO, rotation: Rotation::IDENTITY };

    /// A camera at `position` that looks at `target` along its -z with its +y as far up as possible.
    pub fn looking_at(position: Vec3, target: Vec3) -> Self {
        let back = (position - target).normalized();
        // Looking straight up or down, any direction may be "up"; north is.
        let hint = if back.x.abs() + back.y.abs() < 1e-9 { vec3(0.0, 1.0, 0.0) } else { Vec3::UP };
        let right = hint.cross(back).normalized();
        Self { position, rotation: Rotation::from_columns(right, back.cross(right), back) }
    }

    /// A local point in the world.
    #[inline]
    pub fn to_world(&self, local: Vec3) -> Vec3 {
        self.rotation.rotate(local) + self.position
    }

    /// A world point in the local frame.
    #[inline]
    pub fn to_local(&self, world: Vec3) -> Vec3 {
        self.rotation.inverse().rotate(world - self.position)
    }

    /// Between this pose (`t` = 0) and `other` (`t` = 1).
    pub fn mixed(&self, other: &Self, t: f64) -> Self {
        Self {
            position: self.position * (1.0 - t) + other.position * t,
            rotation: self.rotation.mixed(other.rotation, t),
        }
    }

    /// The 4×4 matrix from local to world, row-major.
    pub fn matrix(&self) -> [[f64; 4]; 4] {
        let [x, y, z] = self.rotation.columns();
        let p = self.position;
        [[x.x, y.x, z.x, p.x], [x.y, y.y, z.y, p.y], [x.z, y.z, z.z, p.z], [0.0, 0.0, 0.0, 1.0]]
    }
}

/// An axis-aligned box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aabb {
    /// The corner with the smallest coordinates.
    pub min: Vec3,
    /// The corner with the largest coordinates.
    pub max: Vec3,
}

impl Aabb {
    /// Holds nothing; grows from here.
    pub const EMPTY: Self = Self { min: Vec3::splat(f64::INFINITY), max: Vec3::splat(f64::NEG_INFINITY) };

    /// The smallest box around this one and a point.
    pub fn with(self, point: Vec3) -> Self {
        Self { min: self.min.min(point), max: self.max.max(point) }
    }

    /// The smallest box around both.
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Its middle.
    pub fn center(&self) -> Vec3 {
        (self.min + self.max) * 0.5
    }

    /// Half of its edges.
    pub fn half(&self) -> Vec3 {
        (self.max - self.min) * 0.5
    }

    /// Its eight corners; bit 0 of the index chooses x, bit 1 y, bit 2 z.
    pub fn corners(&self) -> [Vec3; 8] {
        std::array::from_fn(|i| {
            vec3(
                if i & 1 == 0 { self.min.x } else { self.max.x },
                if i & 2 == 0 { self.min.y } else { self.max.y },
                if i & 4 == 0 { self.min.z } else { self.max.z },
            )
        })
    }

    /// True if the ray `origin + t · direction` meets the box for some `t` in `0..limit`; `inverse` is one over the
    /// direction, with infinities where a component is zero.
    #[inline]
    pub fn is_hit(&self, origin: Vec3, inverse: Vec3, limit: f64) -> bool {
        let (x0, x1) = ((self.min.x - origin.x) * inverse.x, (self.max.x - origin.x) * inverse.x);
        let (y0, y1) = ((self.min.y - origin.y) * inverse.y, (self.max.y - origin.y) * inverse.y);
        let (z0, z1) = ((self.min.z - origin.z) * inverse.z, (self.max.z - origin.z) * inverse.z);
        // `f64::min` and `max` ignore NaN (0 · ∞ on a face), which counts as inside.
        let near = x0.min(x1).max(y0.min(y1)).max(z0.min(z1)).max(0.0);
        let far = x0.max(x1).min(y0.max(y1)).min(z0.max(z1)).min(limit);
        near <= far
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_looks_along_minus_z_at_its_target() {
        let pose = Pose::looking_at(vec3(3.0, -4.0, 5.0), vec3(1.0, 2.0, 0.5));
        let local = pose.to_local(vec3(1.0, 2.0, 0.5));
        assert!(local.x.abs() < 1e-12 && local.y.abs() < 1e-12 && local.z < 0.0, "{local:?}");
        assert!(pose.rotation.rotate(vec3(1.0, 0.0, 0.0)).z.abs() < 1e-12, "the horizon is level");
    }

    #[test]
    fn straight_down_is_a_direction_like_any_other() {
        let pose = Pose::looking_at(vec3(0.0, 0.0, 9.0), Vec3::ZERO);
        assert!((pose.to_local(Vec3::ZERO) - vec3(0.0, 0.0, -9.0)).length() < 1e-12);
    }

    #[test]
    fn local_and_world_are_inverse_and_columns_are_the_matrix() {
        let rotation = Rotation::about(vec3(1.0, 2.0, -0.5).normalized(), 2.1);
        let pose = Pose { position: vec3(1.0, -2.0, 3.0), rotation };
        let point = vec3(0.3, 0.7, -1.1);
        assert!((pose.to_local(pose.to_world(point)) - point).length() < 1e-14);
        let [x, y, z] = rotation.columns();
        let again = Rotation::from_columns(x, y, z);
        assert!((again.rotate(point) - rotation.rotate(point)).length() < 1e-14);
        let m = pose.matrix();
        let row = m[1][0] * point.x + m[1][1] * point.y + m[1][2] * point.z + m[1][3];
        assert!((row - pose.to_world(point).y).abs() < 1e-14);
    }

    #[test]
    fn tangents_complete_a_right_handed_frame() {
        for direction in [vec3(0.0, 0.0, 1.0), vec3(0.0, 0.0, -1.0), vec3(0.6, -0.48, 0.64)] {
            let (u, v) = direction.tangents();
            assert!((u.cross(v) - direction).length() < 1e-12, "{direction:?}");
        }
    }
}
