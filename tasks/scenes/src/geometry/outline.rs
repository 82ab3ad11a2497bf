//! Outlines of flat pieces: sprites, and the plates that text is written on.

use serde::{Deserialize, Serialize};

/// The shape of a flat piece, inscribed in the square from -1 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outline {
    /// The whole square.
    Square,
    /// A disc.
    Disc,
    /// An isosceles triangle with its apex up.
    Triangle,
    /// A star with five points, one of them up.
    Star,
    /// A cross with arms of a third of the width.
    Cross,
}

impl Outline {
    /// True if the point belongs to it.
    #[inline]
    pub fn contains(self, x: f64, y: f64) -> bool {
        if !(x.abs() <= 1.0 && y.abs() <= 1.0) {
            return false;
        }
        match self {
            Self::Square => true,
            Self::Disc => x * x + y * y <= 1.0,
            Self::Triangle => x.abs() <= 0.5 * (1.0 - y),
            Self::Cross => x.abs() <= 1.0 / 3.0 || y.abs() <= 1.0 / 3.0,
            // Inside a pentagram if on the inner side of at least four of its five lines.
            Self::Star => STAR_LINES.iter().filter(|[nx, ny]| nx * x + ny * y <= INNER).count() >= 4,
        }
    }
}

/// Cosine of 72°: how far the lines of a pentagram in the unit circle are from its centre.
const INNER: f64 = 0.309_016_994_374_947_45;

/// Outward normals of the five lines, which are the directions of the points: at angles of 90° + 72°·i.
const STAR_LINES: [[f64; 2]; 5] = [
    [0.0, 1.0],
    [0.951_056_516_295_153_5, INNER],
    [0.587_785_252_292_473_1, -0.809_016_994_374_947_5],
    [-0.587_785_252_292_473_1, -0.809_016_994_374_947_5],
    [-0.951_056_516_295_153_5, INNER],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_the_figures() {
        let area = |outline: Outline| {
            let side = 400;
            let at = |i: usize| (i as f64 + 0.5) / side as f64 * 2.0 - 1.0;
            let inside = (0..side * side).filter(|i| outline.contains(at(i % side), at(i / side))).count();
            inside as f64 * 4.0 / (side * side) as f64
        };
        // Pentagram in the unit circle: 1.12257; cross: 1 - 4 · (1/3)² of 4.
        let expected = [
            (Outline::Square, 4.0),
            (Outline::Disc, std::f64::consts::PI),
            (Outline::Triangle, 2.0),
            (Outline::Cross, 4.0 * (1.0 - 4.0 / 9.0)),
            (Outline::Star, 1.122_57),
        ];
        for (outline, area_expected) in expected {
            assert!((area(outline) - area_expected).abs() < 0.02, "{outline:?} {}", area(outline));
        }
    }

    #[test]
    fn the_star_points_up() {
        assert!(Outline::Star.contains(0.0, 0.99) && !Outline::Star.contains(0.0, -0.5));
    }
}
