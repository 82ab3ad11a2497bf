//! From a generator to a data set: how many rows, and which are held out.

use serde::{Deserialize, Serialize};

use super::dataset::{Dataset, Generator, InputKind, Rows, TargetKind};
use crate::Error;
use crate::error::check_range;
use crate::rng::{Stream, stream_number};

/// Share of fixed rows that is never trained on.
const HELD_OUT_SHARE: f64 = 0.25;

/// Rows per split that a fresh data set is evaluated on.
const EVALUATION_ROWS: usize = 1024;

/// Numbers that a fixed data set may hold.
const MAX_ELEMENTS: usize = 1 << 26;

/// How many different rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowCount {
    /// That many, a quarter of them held out: models can learn them by heart.
    Fixed(usize),
    /// Every batch is new.
    Fresh,
}

impl RowCount {
    /// Refuses counts outside 100 to 1,000,000, and more than 2²⁶ numbers in all.
    pub(super) fn check(self, field: &str, input_width: usize) -> Result<(), Error> {
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
pub(super) fn noisy_label(label: u32, classes: usize, label_noise: f32, row_seed: u64) -> u32 {
    let noise = Stream::new(row_seed, const { stream_number("label noise") });
    if noise.uniform(0) < f64::from(label_noise) { noise.below(1, classes as u64) as u32 } else { label }
}

/// The data set of `count` rows from `generator`. Fixed rows have the ids `0..count`, the last quarter held out.
pub(super) fn from_generator<G: Generator + 'static>(
    generator: G,
    input_kind: InputKind,
    target: TargetKind,
    count: RowCount,
) -> Dataset {
    let input_width = input_kind.len();
    let collect = |ids: std::ops::Range<u64>| {
        let mut rows = Rows::zeros((ids.end - ids.start) as usize, input_width, target);
        let value_width = target.value_width();
        for (j, id) in ids.enumerate() {
            let inputs = &mut rows.inputs[j * input_width..][..input_width];
            let values = &mut rows.values[j * value_width..][..value_width];
            rows.labels[j] = generator.row(id, inputs, values);
        }
        rows
    };
    let (rows, held_out) = match count {
        RowCount::Fixed(rows) => (rows, (rows as f64 * HELD_OUT_SHARE) as usize),
        RowCount::Fresh => (2 * EVALUATION_ROWS, EVALUATION_ROWS),
    };
    let boundary = (rows - held_out) as u64;
    let (train, validation) = (collect(0..boundary), collect(boundary..rows as u64));
    let dataset = Dataset::from_rows(input_kind, target, train, validation);
    match count {
        RowCount::Fixed(_) => dataset,
        RowCount::Fresh => dataset.fresh(Box::new(generator)),
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
        assert_eq!((dataset.rows(Split::Train).len(), dataset.rows(Split::Validation).len()), (300, 100));
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
