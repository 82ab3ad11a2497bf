//! Small grey images of warped stroke figures, one figure for each class.
//!
//! The figure of a class is a few random strokes, quadratic curves of three control points in `[-0.8, 0.8]²`, broken
//! into straight pieces. A row warps it by a random affine map (turn, scale, shear, shift, all growing with `warp`),
//! draws it with a soft pen and adds noise:
//!
//! ```text
//! pixel(p) = 1 / (1 + (d(p) / w)⁴) + noise · ε      d: distance from p to the nearest stroke, w: width of the pen
//! ```

use serde::{Deserialize, Serialize};

use super::canvas::{Canvas, LANES, Lane, MAX_SIDE, Shader};
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, add_pixel_noise, noisy_label, sample_label_noise};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, sin_cos_turns, stream_number};

/// Straight pieces of one stroke.
const PIECES: usize = 4;

/// Strokes of a figure at most.
const MAX_STROKES: usize = 8;

/// Warped figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GlyphsConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Side of the image in pixels, 2 to 32.
    pub side: usize,
    /// Classes, 2 to 1000.
    pub classes: usize,
    /// Strokes of a figure, 1 to 8.
    pub strokes: usize,
    /// Strength of the affine warp, 0 to 2.
    pub warp: f32,
    /// Standard deviation of the noise on pixels, 0 to 2.
    pub pixel_noise: f32,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, 0 to 1.
    pub label_noise: f32,
}

impl Default for GlyphsConfig {
    fn default() -> Self {
        let rows = RowCount::Fixed(512);
        Self { seed: 0, side: 8, classes: 10, strokes: 3, warp: 0.5, pixel_noise: 0.1, rows, label_noise: 0.0 }
    }
}

impl GlyphsConfig {
    /// A configuration of random difficulty, with one of these sides.
    pub fn sample<const N: usize>(draws: &mut Draws, sides: [usize; N]) -> Self {
        Self {
            seed: draws.bits(),
            side: draws.choose(sides),
            classes: draws.log_uniform_integer(2, 10),
            strokes: draws.choose([1, 2, 3]),
            warp: draws.uniform(0.1, 1.0) as f32,
            pixel_noise: draws.uniform(0.0, 0.4) as f32,
            rows: RowCount::sample(draws),
            label_noise: sample_label_noise(draws, 0.2),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.side", self.side, 2..=MAX_SIDE)?;
        check_range("data.classes", self.classes, 2..=1000)?;
        check_range("data.strokes", self.strokes, 1..=MAX_STROKES)?;
        check_range("data.warp", self.warp, 0.0..=2.0)?;
        check_range("data.pixel_noise", self.pixel_noise, 0.0..=2.0)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", self.side * self.side)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::grey(self.side), TargetKind::Class(self.classes))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Figures::new(self), self.kinds(), self.rows)
    }
}

type Point = [f32; 2];

/// The drawn figures.
struct Figures {
    config: GlyphsConfig,
    /// `class × stroke`, each a polyline.
    polylines: Vec<[Point; PIECES + 1]>,
    canvas: Canvas,
}

impl Figures {
    fn new(config: &GlyphsConfig) -> Self {
        let mut draws = Draws::new(config.seed, const { stream_number("glyph strokes") });
        let mut point = || [draws.uniform(-0.8, 0.8) as f32, draws.uniform(-0.8, 0.8) as f32];
        let polylines = (0..config.classes * config.strokes).map(|_| {
            let control = [point(), point(), point()];
            std::array::from_fn(|i| curve(&control, i as f32 / PIECES as f32))
        });
        Self { polylines: polylines.collect(), canvas: Canvas::new(config.side), config: config.clone() }
    }
}

/// The quadratic curve through the ends of `control`, pulled towards its middle.
fn curve(control: &[Point; 3], t: f32) -> Point {
    let weights = [(1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t];
    std::array::from_fn(|axis| (0..3).map(|i| weights[i] * control[i][axis]).sum())
}

/// `x ↦ A x + b`.
struct Affine {
    matrix: [[f32; 2]; 2],
    shift: Point,
}

impl Affine {
    /// At strength 1: turns within ±45°, scales of ×/÷ 1.5, shears and shifts within ±0.3.
    fn random(strength: f32, row_seed: u64) -> Self {
        let strength = f64::from(strength);
        let mut draws = Draws::new(row_seed, const { stream_number("glyph warp") });
        let mut within = |bound: f64| draws.uniform(-bound * strength, bound * strength);
        let turn = within(0.125);
        let (sine, cosine) = sin_cos_turns(turn.rem_euclid(1.0));
        let stretch = |x: f64| if x < 0.0 { 1.0 / (1.0 - x) } else { 1.0 + x };
        let (scale_x, scale_y, shear) = (stretch(within(0.5)), stretch(within(0.5)), within(0.3));
        let matrix = [
            [(cosine * scale_x) as f32, ((cosine * shear - sine) * scale_y) as f32],
            [(sine * scale_x) as f32, ((sine * shear + cosine) * scale_y) as f32],
        ];
        Self { matrix, shift: [within(0.3) as f32, within(0.3) as f32] }
    }

    fn apply(&self, [x, y]: Point) -> Point {
        std::array::from_fn(|axis| self.matrix[axis][0] * x + self.matrix[axis][1] * y + self.shift[axis])
    }
}

/// A straight piece from `start` to `start + along`.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    start: Point,
    along: Point,
    /// `along / |along|²`, zero for a piece without length.
    along_per_square: Point,
}

impl Piece {
    fn new(a: Point, b: Point) -> Self {
        let along = [b[0] - a[0], b[1] - a[1]];
        let inverse = 1.0 / (along[0] * along[0] + along[1] * along[1]).max(1e-12);
        Self { start: a, along, along_per_square: along.map(|axis| axis * inverse) }
    }

    /// Squared distance to the nearest point of the piece.
    #[inline(always)]
    fn squared_distance(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x - self.start[0], y - self.start[1]);
        let t = (x * self.along_per_square[0] + y * self.along_per_square[1]).clamp(0.0, 1.0);
        let (gap_x, gap_y) = (x - t * self.along[0], y - t * self.along[1]);
        gap_x * gap_x + gap_y * gap_y
    }
}

/// The ink of a pen along pieces.
struct Strokes<'a> {
    pieces: &'a [Piece],
    /// `1 / w²`.
    inverse_pen_square: f32,
}

impl Shader for Strokes<'_> {
    #[inline(always)]
    fn shade(&self, x: &Lane, y: &Lane) -> Lane {
        let mut nearest = [f32::INFINITY; LANES];
        for piece in self.pieces {
            for lane in 0..LANES {
                nearest[lane] = nearest[lane].min(piece.squared_distance(x[lane], y[lane]));
            }
        }
        for value in &mut nearest {
            let ratio = *value * self.inverse_pen_square;
            *value = 1.0 / (1.0 + ratio * ratio);
        }
        nearest
    }
}

impl Generator for Figures {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let GlyphsConfig { seed, classes, strokes, warp, pixel_noise, label_noise, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        let class = Stream::new(row_seed, const { stream_number("glyph class") }).below(0, classes as u64) as usize;
        let affine = Affine::random(warp, row_seed);
        let mut pieces = [Piece::default(); MAX_STROKES * PIECES];
        let polylines = &self.polylines[class * strokes..][..strokes];
        for (pieces, polyline) in pieces.chunks_exact_mut(PIECES).zip(polylines) {
            let warped = polyline.map(|point| affine.apply(point));
            for (piece, ends) in pieces.iter_mut().zip(warped.windows(2)) {
                *piece = Piece::new(ends[0], ends[1]);
            }
        }
        // A pen of 0.6 pixels, but never thinner than that of an image of 16 pixels.
        let pen = (0.6 * self.canvas.pixel).max(0.075);
        let pieces = &pieces[..strokes * PIECES];
        self.canvas.paint(&Strokes { pieces, inverse_pen_square: 1.0 / (pen * pen) }, inputs);
        add_pixel_noise(inputs, pixel_noise, row_seed);
        noisy_label(class as u32, classes, label_noise, row_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn without_warp_and_noise_a_class_has_one_image_and_classes_differ() {
        let config = GlyphsConfig { warp: 0.0, pixel_noise: 0.0, ..Default::default() };
        let dataset = config.generate();
        let rows = dataset.rows(Split::Train);
        for (a, label_a) in rows.inputs.chunks(64).zip(&rows.labels).take(40) {
            for (b, label_b) in rows.inputs.chunks(64).zip(&rows.labels).take(40) {
                assert_eq!(a == b, label_a == label_b);
            }
        }
    }

    #[test]
    fn images_have_ink_and_paper() {
        let dataset = GlyphsConfig { pixel_noise: 0.0, ..Default::default() }.generate();
        let rows = dataset.rows(Split::Train);
        let inked = rows.inputs.chunks(64).filter(|image| image.iter().any(|&ink| ink > 0.7)).count();
        assert!(inked * 100 >= 97 * rows.len(), "{inked} of {} images show a stroke", rows.len());
        let mean = rows.inputs.iter().sum::<f32>() / rows.inputs.len() as f32;
        assert!((0.05..0.6).contains(&mean), "{mean}");
    }

    #[test]
    fn the_distance_to_a_piece_is_measured_to_its_ends_too() {
        let distance = |p: Point, a, b| Piece::new(a, b).squared_distance(p[0], p[1]);
        assert_eq!(distance([0.0, 2.0], [-1.0, 0.0], [1.0, 0.0]), 4.0);
        assert_eq!(distance([3.0, 0.0], [-1.0, 0.0], [1.0, 0.0]), 4.0);
        assert_eq!(distance([3.0, 4.0], [0.0, 0.0], [0.0, 0.0]), 25.0);
    }
}
