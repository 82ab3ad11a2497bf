//! From a generator to a data set: how many rows, and which are held out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dataset::{Dataset, Generator, Generators, InputKind, Rows, TargetKind};
use crate::Error;
use crate::error::check_range;
use crate::rng::{Draws, Stream, stream_number};

/// Share of fixed rows that is never trained on.
const HELD_OUT_SHARE: f64 = 0.25;

/// Rows per split that a fresh data set is evaluated on.
const EVALUATION_ROWS: usize = 1024;

/// Numbers that a fixed data set may hold.
const MAX_ELEMENTS: usize = 1 << 26;

/// Values of noise made at once.
const NOISE_CHUNK: usize = 64;

/// How many different rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowCount {
    /// That many, a quarter of them held out: models can learn them by heart.
    Fixed(usize),
    /// Every batch is new.
    Fresh,
}

impl RowCount {
    /// Every fifth draw fresh, the others log-uniform from 100 to 4096.
    pub fn sample(draws: &mut Draws) -> Self {
        if draws.chance(0.2) { Self::Fresh } else { Self::Fixed(draws.log_uniform_integer(100, 4096)) }
    }

    /// Refuses counts outside 100 to 1,000,000, and more than 2²⁶ numbers in all.
    pub(crate) fn check(self, field: &str, input_width: usize) -> Result<(), Error> {
        let Self::Fixed(rows) = self else { return Ok(()) };
        check_range(field, rows, 100..=1_000_000)?;
        if rows.saturating_mul(input_width) > MAX_ELEMENTS {
            let expected = format!("at most {} rows of {input_width} numbers", MAX_ELEMENTS / input_width);
            return Err(Error::invalid(field, rows, expected));
        }
        Ok(())
    }
}

/// `label`, or a class drawn evenly with a chance of `label_noise`: a pure function of the row's seed.
pub(crate) fn noisy_label(label: u32, classes: usize, label_noise: f32, row_seed: u64) -> u32 {
    let noise = Stream::new(row_seed, const { stream_number("label noise") });
    if noise.uniform(0) < f64::from(label_noise) { noise.below(1, classes as u64) as u32 } else { label }
}

/// `work` on `len` zeros that are not allocated, at most 1024: few rows need so many, and clearing them takes longer than most rows.
#[inline(always)]
pub(crate) fn on_stack<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    if len <= 64 {
        work(&mut [0.0; 64][..len])
    } else if len <= 256 {
        work(&mut [0.0; 256][..len])
    } else {
        work(&mut [0.0; 1024][..len])
    }
}

/// Adds bell-shaped noise of this standard deviation: a pure function of the row's seed.
pub(crate) fn add_pixel_noise(pixels: &mut [f32], deviation: f32, row_seed: u64) {
    if deviation == 0.0 {
        return;
    }
    let stream = Stream::new(row_seed, const { stream_number("pixel noise") });
    let mut noise = [0.0; NOISE_CHUNK];
    for (chunk, first) in pixels.chunks_mut(NOISE_CHUNK).zip((0..).step_by(NOISE_CHUNK)) {
        stream.bell_noise(first, &mut noise[..chunk.len()]);
        chunk.iter_mut().zip(&noise).for_each(|(pixel, noise)| *pixel += deviation * noise);
    }
}

/// None in half of the draws, uniform up to `largest` in the others.
pub(crate) fn sample_label_noise(draws: &mut Draws, largest: f64) -> f32 {
    if draws.chance(0.5) { 0.0 } else { draws.uniform(0.0, largest) as f32 }
}

/// The data set of `count` rows from `generator`. Fixed rows have the ids `0..count`, the last quarter held out to choose
/// by; the rows to report come after them, as many as those.
pub(crate) fn from_generator<G: Generator + 'static>(
    generator: G,
    (input_kind, target): (InputKind, TargetKind),
    count: RowCount,
) -> Dataset {
    let collect = |ids: std::ops::Range<u64>| {
        let mut rows = Rows::zeros((ids.end - ids.start) as usize, input_kind.len(), target);
        rows.generate(&generator, ids, input_kind.len(), target.value_width());
        rows
    };
    let (rows, held_out) = match count {
        RowCount::Fixed(rows) => (rows, (rows as f64 * HELD_OUT_SHARE) as usize),
        RowCount::Fresh => (2 * EVALUATION_ROWS, EVALUATION_ROWS),
    };
    let boundary = (rows - held_out) as u64;
    let (train, validation) = (collect(0..boundary), collect(boundary..rows as u64));
    let test = collect(rows as u64..(rows + held_out) as u64);
    let dataset = Dataset::from_rows(input_kind, target, train, validation, test);
    match count {
        RowCount::Fixed(_) => dataset,
        RowCount::Fresh => {
            let train: Arc<dyn Generator> = Arc::new(generator);
            dataset.fresh(Generators { validation: Arc::clone(&train), test: Arc::clone(&train), train })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::GaussianMixtureConfig;
    use crate::task::{Batch, Split};

    #[test]
    fn a_quarter_of_fixed_rows_is_held_out() {
        let dataset = GaussianMixtureConfig { rows: RowCount::Fixed(400), ..Default::default() }.generate();
        let rows = [Split::Train, Split::Validation, Split::Test].map(|split| dataset.rows(split));
        assert_eq!(rows.map(|rows| rows.len()), [300, 100, 100]);
        assert_ne!(rows[1], rows[2], "what is chosen by is not what is reported");
    }

    #[test]
    fn fresh_batches_never_repeat_a_row() {
        let dataset = GaussianMixtureConfig { rows: RowCount::Fresh, ..Default::default() }.generate();
        let mut seen = std::collections::BTreeSet::new();
        let mut rows = dataset.batch_buffer(32);
        for index in 0..50 {
            dataset.fill(Batch { seed: 4, split: Split::Train, index }, &mut rows);
            seen.extend(rows.inputs.chunks(16).map(|inputs| inputs[0].to_bits()));
        }
        assert!(seen.len() > 1590, "1600 rows, {} different first inputs", seen.len());
    }

    #[test]
    fn the_share_of_random_labels_is_the_one_asked_for() {
        let changed = (0..10_000).filter(|&row| noisy_label(0, 4, 0.2, row) != 0).count();
        // One in four random labels is right by chance: 15 % change, five standard errors are 1.8 %.
        assert!((1320..1680).contains(&changed), "{changed}");
        assert!((0..1000).all(|row| noisy_label(3, 4, 0.0, row) == 3));
    }

    #[test]
    fn too_many_numbers_are_refused_with_the_bound() {
        let error = RowCount::Fixed(1_000_000).check("data.rows", 1024).unwrap_err();
        assert_eq!(error.to_string(), "data.rows is 1000000, expected at most 65536 rows of 1024 numbers");
        assert!(RowCount::Fixed(99).check("data.rows", 1).is_err());
    }
}
