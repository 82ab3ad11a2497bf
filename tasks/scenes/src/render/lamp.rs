//! Lights: what arrives from them at a place, and where they are.

use crate::description::Light;
use crate::vector::Vec3;

/// A light with what does not depend on the place it shines at.
#[derive(Debug)]
pub(super) enum Lamp {
    Sun { toward: Vec3, right: Vec3, up: Vec3, irradiance: Vec3 },
    Panel { center: Vec3, right: Vec3, up: Vec3, front: Vec3, intensity: Vec3 },
}

impl Lamp {
    pub(super) fn new(light: &Light) -> Self {
        match *light {
            Light::Sun { toward, irradiance, softness } => {
                let (right, up) = toward.tangents();
                Self::Sun { toward, right: right * softness, up: up * softness, irradiance: Vec3::from(irradiance) }
            }
            Light::Panel { center, right, up, intensity } => {
                let front = right.cross(up).normalized();
                Self::Panel { center, right, up, front, intensity: Vec3::from(intensity) }
            }
        }
    }

    /// Direction to a random point of the light, its distance, and what arrives from it, unblocked, per unit of cosine.
    #[inline]
    pub(super) fn arriving(&self, place: Vec3, u: f64, v: f64) -> (Vec3, f64, Vec3) {
        let (u, v) = (2.0 * u - 1.0, 2.0 * v - 1.0);
        match self {
            Self::Sun { toward, right, up, irradiance } => {
                ((*toward + *right * u + *up * v).normalized(), f64::INFINITY, *irradiance)
            }
            Self::Panel { center, right, up, front, intensity } => {
                let d = *center + *right * u + *up * v - place;
                let square = d.dot(d);
                let distance = square.sqrt();
                let toward = d / distance;
                // Panels shine to both sides: nothing of interest is behind them.
                (toward, distance - 1e-6, *intensity * (front.dot(toward).abs() / square))
            }
        }
    }

    /// A ball that holds the whole light, or a direction and by how much others of the light differ from it.
    pub(super) fn extent(&self) -> Extent {
        match *self {
            Self::Sun { toward, right, up, .. } => Extent::Far { toward, spread: right.length() + up.length() },
            Self::Panel { center, right, up, .. } => Extent::Near { center, radius: right.length() + up.length() },
        }
    }
}

/// Where all rays to a light end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// In a ball.
    Near { center: Vec3, radius: f64 },
    /// In the directions `toward` plus anything no longer than `spread`.
    Far { toward: Vec3, spread: f64 },
}
