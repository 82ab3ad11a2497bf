//! Images of one shape each: a disc, square, triangle, cross, bar or crescent, filled or outlined, in grey or colour.
//!
//! The shape is turned, scaled and shifted at random and drawn with soft edges one pixel wide:
//!
//! ```text
//! cover(p) = clamp(½ - d(q) · size / pixel, 0, 1)      q = Rᵀ(p - centre) / size, d: how far outside the unit shape q lies
//! pixel_c = background + cover · (colour_c - background) + noise · ε
//! ```
//!
//! An outline has the distance `|d| - thickness` instead.

use serde::{Deserialize, Serialize};

use super::canvas::{Canvas, Lane, MAX_SIDE, Shader};
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, add_pixel_noise, noisy_label, on_stack, sample_label_noise};
use crate::error::{check_choice, check_range};
use crate::rng::{Draws, Stream, derive_seed, sin_cos_turns, stream_number};

/// Different shapes.
pub(super) const KINDS: usize = 6;

/// Red, green, blue, yellow, magenta, cyan.
const COLOURS: [[f32; 3]; 6] =
    [[1.0, 0.1, 0.1], [0.1, 1.0, 0.1], [0.2, 0.2, 1.0], [1.0, 1.0, 0.1], [1.0, 0.1, 1.0], [0.1, 1.0, 1.0]];

/// What there is to tell about a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShapeTarget {
    /// Which shape it is.
    Kind,
    /// Which colour it has.
    Colour,
    /// Both: class `kind · colours + colour`.
    KindAndColour,
}

/// Random shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapesConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Side of the image in pixels, 6 to 32.
    pub side: usize,
    /// 1 for grey, 3 for colours.
    pub channels: usize,
    /// Different shapes, 1 to 6.
    pub kinds: usize,
    /// Different colours, 1 to 6; with one channel they are grey levels of white.
    pub colours: usize,
    /// What is predicted.
    pub target: ShapeTarget,
    /// Share of shapes that are outlines, 0 to 1.
    pub outlined: f32,
    /// Standard deviation of the noise on pixels, 0 to 2.
    pub pixel_noise: f32,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, 0 to 1.
    pub label_noise: f32,
}

impl Default for ShapesConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            side: 12,
            channels: 3,
            kinds: 4,
            colours: 4,
            target: ShapeTarget::Kind,
            outlined: 0.3,
            pixel_noise: 0.1,
            rows: RowCount::Fixed(512),
            label_noise: 0.0,
        }
    }
}

impl ShapesConfig {
    /// A configuration of random difficulty, 8 to 16 pixels wide.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            side: draws.choose([8, 8, 12, 16]),
            channels: draws.choose([1, 3]),
            kinds: draws.log_uniform_integer(2, KINDS),
            colours: draws.log_uniform_integer(2, COLOURS.len()),
            target: draws.choose([ShapeTarget::Kind, ShapeTarget::Kind, ShapeTarget::KindAndColour]),
            outlined: draws.choose([0.0, 0.5]),
            pixel_noise: draws.uniform(0.0, 0.4) as f32,
            rows: RowCount::sample(draws),
            label_noise: sample_label_noise(draws, 0.2),
        }
    }

    fn classes(&self) -> usize {
        match self.target {
            ShapeTarget::Kind => self.kinds,
            ShapeTarget::Colour => self.colours,
            ShapeTarget::KindAndColour => self.kinds * self.colours,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.side", self.side, 6..=MAX_SIDE)?;
        check_choice("data.channels", self.channels, &[1, 3])?;
        check_range("data.kinds", self.kinds, 1..=KINDS)?;
        check_range("data.colours", self.colours, 1..=COLOURS.len())?;
        check_range(format!("classes of data.target {:?}", self.target), self.classes(), 2..=36)?;
        check_range("data.outlined", self.outlined, 0.0..=1.0)?;
        check_range("data.pixel_noise", self.pixel_noise, 0.0..=2.0)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", self.channels * self.side * self.side)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::Image { channels: self.channels, height: self.side, width: self.side };
        (inputs, TargetKind::Class(self.classes()))
    }

    pub(crate) fn generate(&self) -> Dataset {
        let shapes = Shapes { canvas: Canvas::new(self.side), config: self.clone() };
        procedural::from_generator(shapes, self.kinds(), self.rows)
    }
}

/// Everything about one shape but its pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Number of the kind.
    pub(super) kind: usize,
    /// Number of the colour.
    pub(super) colour: usize,
    /// True for an outline.
    pub(super) outlined: bool,
    /// Reach from the centre, where the image reaches from -1 to 1.
    pub(super) size: f32,
    centre: [f32; 2],
    /// Cosine and sine of its turn.
    turn: [f32; 2],
}

/// Reach of the smallest and of the largest shape.
const SIZES: [f64; 2] = [0.4, 0.85];

impl Shape {
    /// Shapes above this reach are large ones.
    pub(super) const LARGE: f32 = 0.625;

    /// A shape of one of these kinds and colours; `outlined` is the chance of an outline.
    pub(super) fn random(row_seed: u64, kinds: usize, colours: usize, outlined: f32) -> Self {
        let stream = Stream::new(row_seed, const { stream_number("shape") });
        let size = SIZES[0] + (SIZES[1] - SIZES[0]) * stream.uniform(0);
        let shift = |index: u64| ((1.0 - size) * (2.0 * stream.uniform(index) - 1.0)) as f32;
        // Turns within ±30°: further ones would turn a bar upright or a triangle over.
        let (sine, cosine) = sin_cos_turns(((stream.uniform(3) - 0.5) / 6.0).rem_euclid(1.0));
        Self {
            kind: stream.below(4, kinds as u64) as usize,
            colour: stream.below(5, colours as u64) as usize,
            outlined: stream.uniform(6) < f64::from(outlined),
            size: size as f32,
            centre: [shift(1), shift(2)],
            turn: [cosine as f32, sine as f32],
        }
    }

    /// Draws it on black.
    pub(super) fn draw(&self, canvas: &Canvas, channels: usize, pixels: &mut [f32]) {
        let shader = Cover { shape: self, sharpness: self.size / canvas.pixel, inverse_size: 1.0 / self.size };
        let colour = COLOURS[self.colour];
        if channels == 1 {
            canvas.paint(&shader, pixels);
            // Grey levels from white down to 0.375.
            let level = 1.0 - 0.125 * self.colour as f32;
            pixels.iter_mut().for_each(|pixel| *pixel *= level);
            return;
        }
        on_stack(pixels.len() / 3, |cover| {
            canvas.paint(&shader, cover);
            for (pixel, cover) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(&*cover) {
                *pixel = colour.map(|level| level * cover);
            }
        });
    }
}

/// How much of a pixel a shape covers.
struct Cover<'a> {
    shape: &'a Shape,
    /// Size in pixels.
    sharpness: f32,
    inverse_size: f32,
}

impl Cover<'_> {
    #[inline(always)]
    fn of(&self, x: &Lane, y: &Lane, outside: impl Fn(f32, f32) -> f32) -> Lane {
        let Shape { centre, turn: [cosine, sine], outlined, .. } = *self.shape;
        // Outlines are a pixel and a half wide.
        let half_thickness = 0.75 / self.sharpness;
        let mut cover = Lane::default();
        for (cover, (x, y)) in cover.iter_mut().zip(x.iter().zip(y)) {
            let (x, y) = ((x - centre[0]) * self.inverse_size, (y - centre[1]) * self.inverse_size);
            let distance = outside(cosine * x + sine * y, cosine * y - sine * x);
            let distance = if outlined { (distance + half_thickness).abs() - half_thickness } else { distance };
            *cover = (0.5 - distance * self.sharpness).clamp(0.0, 1.0);
        }
        cover
    }
}

impl Shader for Cover<'_> {
    #[inline(always)]
    fn shade(&self, x: &Lane, y: &Lane) -> Lane {
        match self.shape.kind {
            0 => self.of(x, y, |x, y| (x * x + y * y).sqrt() - 1.0),
            1 => self.of(x, y, |x, y| x.abs().max(y.abs()) - 0.85),
            // The three edges of a triangle on its base; y points down.
            2 => self.of(x, y, |x, y| (0.866 * x.abs() - 0.5 * y - 0.45).max(y - 0.55)),
            3 => self.of(x, y, |x, y| {
                let (x, y) = (x.abs(), y.abs());
                (x - 0.95).max(y - 0.3).min((x - 0.3).max(y - 0.95))
            }),
            4 => self.of(x, y, |x, y| (x.abs() - 1.0).max(y.abs() - 0.35)),
            _ => self.of(x, y, |x, y| {
                let bite = x - 0.6;
                ((x * x + y * y).sqrt() - 1.0).max(0.85 - (bite * bite + y * y).sqrt())
            }),
        }
    }
}

/// Draws the rows.
struct Shapes {
    config: ShapesConfig,
    canvas: Canvas,
}

impl Generator for Shapes {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let ShapesConfig { seed, channels, kinds, colours, target, outlined, pixel_noise, label_noise, .. } =
            self.config;
        let row_seed = derive_seed(seed, id);
        let shape = Shape::random(row_seed, kinds, colours, outlined);
        shape.draw(&self.canvas, channels, inputs);
        add_pixel_noise(inputs, pixel_noise, row_seed);
        let class = match target {
            ShapeTarget::Kind => shape.kind,
            ShapeTarget::Colour => shape.colour,
            ShapeTarget::KindAndColour => shape.kind * colours + shape.colour,
        };
        noisy_label(class as u32, self.config.classes(), label_noise, row_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share of the image that an upright shape of reach 0.8 covers.
    fn area(kind: usize, outlined: bool) -> f32 {
        let shape = Shape { kind, colour: 0, outlined, size: 0.8, centre: [0.0; 2], turn: [1.0, 0.0] };
        let mut pixels = vec![0.0; 32 * 32];
        shape.draw(&Canvas::new(32), 1, &mut pixels);
        pixels.iter().sum::<f32>() / 1024.0
    }

    #[test]
    fn filled_shapes_cover_their_area() {
        // Areas in units of the image, which is 2 × 2: unit areas times 0.8² / 4.
        let unit = 0.16;
        for (kind, expected) in [
            (0, std::f32::consts::PI),
            (1, 1.7 * 1.7),
            // Edges 0.866 |x| - 0.5 y = 0.45 and y = 0.55: height 1.45, half base 0.725 / 0.866.
            (2, 1.45 * 0.725 / 0.866),
            (3, 2.0 * 1.9 * 0.6 - 0.36),
            (4, 2.0 * 0.7),
        ] {
            assert!((area(kind, false) / (unit * expected) - 1.0).abs() < 0.02, "kind {kind}: {}", area(kind, false));
        }
    }

    #[test]
    fn outlines_cover_less_than_half_of_the_large_shapes() {
        for kind in [0, 1, 2] {
            assert!(area(kind, true) < 0.5 * area(kind, false) && area(kind, true) > 0.02, "kind {kind}");
        }
    }

    #[test]
    fn the_colour_of_the_label_is_the_colour_in_the_image() {
        let config = ShapesConfig {
            target: ShapeTarget::Colour,
            colours: 6,
            pixel_noise: 0.0,
            outlined: 0.0,
            ..Default::default()
        };
        let dataset = config.generate();
        let rows = dataset.rows(crate::task::Split::Train);
        for (image, &label) in rows.inputs.chunks(12 * 12 * 3).zip(&rows.labels) {
            let brightest = image.chunks(3).max_by(|a, b| a.iter().sum::<f32>().total_cmp(&b.iter().sum())).unwrap();
            let scale = brightest.iter().copied().fold(0.0, f32::max);
            assert!(scale > 0.5);
            let expected = COLOURS[label as usize];
            assert!((0..3).all(|c| (brightest[c] / scale - expected[c]).abs() < 1e-5), "{brightest:?} {expected:?}");
        }
    }
}
