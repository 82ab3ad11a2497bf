//! Images of shapes with four words about each: size, style, colour, shape.
//!
//! | tokens | words |
//! | --- | --- |
//! | 0, 1 | small, large |
//! | 2, 3 | filled, outlined |
//! | 4 to 9 | red, green, blue, yellow, magenta, cyan |
//! | 10 to 15 | disc, square, triangle, cross, bar, crescent |
//!
//! A share of the captions is wrong in one random word. The class of a row is the number of its true caption, counted
//! size, style, colour, shape, the last one fastest: what a contrastive model is asked for in retrieval.

use serde::{Deserialize, Serialize};

use super::canvas::{Canvas, MAX_SIDE};
use super::shapes::{KINDS, Shape};
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, add_pixel_noise};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, stream_number};

/// Words of each kind, in the order of a caption.
const WORDS: [usize; 4] = [2, 2, 6, KINDS];

/// Words in all.
const VOCABULARY: usize = WORDS[0] + WORDS[1] + WORDS[2] + WORDS[3];

/// Different captions.
const CAPTIONS: usize = WORDS[0] * WORDS[1] * WORDS[2] * WORDS[3];

/// Shapes with captions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionedShapesConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Side of the image in pixels, 6 to 32; three channels.
    pub side: usize,
    /// Standard deviation of the noise on pixels, 0 to 2.
    pub pixel_noise: f32,
    /// Share of captions with a wrong word, 0 to 1.
    pub caption_noise: f32,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for CaptionedShapesConfig {
    fn default() -> Self {
        Self { seed: 0, side: 12, pixel_noise: 0.1, caption_noise: 0.0, rows: RowCount::Fixed(1024) }
    }
}

impl CaptionedShapesConfig {
    /// A configuration of random difficulty, 8 to 16 pixels wide.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            side: draws.choose([8, 12, 16]),
            pixel_noise: draws.uniform(0.0, 0.4) as f32,
            caption_noise: procedural::sample_label_noise(draws, 0.2),
            rows: RowCount::sample(draws),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.side", self.side, 6..=MAX_SIDE)?;
        check_range("data.pixel_noise", self.pixel_noise, 0.0..=2.0)?;
        check_range("data.caption_noise", self.caption_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", 3 * self.side * self.side + WORDS.len())
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::ImageAndTokens {
            channels: 3,
            height: self.side,
            width: self.side,
            vocabulary: VOCABULARY,
            length: WORDS.len(),
        };
        (inputs, TargetKind::Class(CAPTIONS))
    }

    pub(crate) fn generate(&self) -> Dataset {
        let shapes = CaptionedShapes { canvas: Canvas::new(self.side), config: self.clone() };
        procedural::from_generator(shapes, self.kinds(), self.rows)
    }
}

/// Draws and describes the rows.
struct CaptionedShapes {
    config: CaptionedShapesConfig,
    canvas: Canvas,
}

impl Generator for CaptionedShapes {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let CaptionedShapesConfig { seed, pixel_noise, caption_noise, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        let shape = Shape::random(row_seed, WORDS[3], WORDS[2], 0.5);
        let (image, caption) = inputs.split_at_mut(inputs.len() - WORDS.len());
        shape.draw(&self.canvas, 3, image);
        add_pixel_noise(image, pixel_noise, row_seed);
        let mut said = [usize::from(shape.size > Shape::LARGE), usize::from(shape.outlined), shape.colour, shape.kind];
        let class = said.iter().zip(WORDS).fold(0, |class, (word, words)| class * words + word);
        let noise = Stream::new(row_seed, const { stream_number("caption noise") });
        if noise.uniform(0) < f64::from(caption_noise) {
            let wrong = noise.below(1, WORDS.len() as u64) as usize;
            // One of the others.
            let distance = 1 + noise.below(2, WORDS[wrong] as u64 - 1) as usize;
            said[wrong] = (said[wrong] + distance) % WORDS[wrong];
        }
        let mut first = 0;
        for ((token, word), words) in caption.iter_mut().zip(said).zip(WORDS) {
            *token = (first + word) as f32;
            first += words;
        }
        class as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    /// The class that a caption names.
    fn class_of(caption: &[f32]) -> u32 {
        let offsets = [0, 2, 4, 10];
        caption.iter().zip(offsets).zip(WORDS).fold(0, |class, ((&token, offset), words)| {
            let word = token as u32 - offset;
            assert!(word < words as u32);
            class * words as u32 + word
        })
    }

    #[test]
    fn a_caption_names_its_class_and_every_word_is_used() {
        let config = CaptionedShapesConfig { rows: RowCount::Fixed(4000), ..Default::default() };
        let dataset = config.generate();
        let (rows, width) = (dataset.rows(Split::Train), dataset.input_width());
        let mut used = [false; VOCABULARY];
        for (row, &label) in rows.inputs.chunks(width).zip(&rows.labels) {
            let caption = &row[width - 4..];
            assert_eq!(class_of(caption), label);
            caption.iter().for_each(|&token| used[token as usize] = true);
        }
        assert!(used.iter().all(|&used| used), "{used:?}");
    }

    #[test]
    fn the_share_of_wrong_captions_is_the_one_asked_for() {
        let config = CaptionedShapesConfig { rows: RowCount::Fixed(4000), caption_noise: 0.25, ..Default::default() };
        let dataset = config.generate();
        let (rows, width) = (dataset.rows(Split::Train), dataset.input_width());
        let captions = rows.inputs.chunks(width).map(|row| class_of(&row[width - 4..]));
        let wrong = captions.zip(&rows.labels).filter(|(said, label)| said != *label).count();
        // Five standard errors of 3000 rows are 119.
        assert!(wrong.abs_diff(750) < 119, "{wrong}");
    }
}
