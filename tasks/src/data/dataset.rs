//! Rows of inputs and targets, split into training and held-out ones, and the batches drawn from them.
//!
//! Batch position `j` of batch (seed, split, index) is value `index · 2²⁰ + j` of the stream of that seed and split. Over fixed
//! rows it picks a row, with replacement; over a generator it *is* the row, so that no row ever comes twice. A generator
//! may be another one for each split, as for a text of which the end is held out.

use std::sync::Arc;

use crate::rng::{Stream, stream_number};
use crate::task::{Batch, Split};

/// Rows of one batch at most, so that batches never share stream values.
pub(crate) const MAX_BATCH_SIZE: usize = 1 << 20;

/// What the numbers of an input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// This many numbers without order.
    Features(usize),
    /// An image, row-major `[height, width, channels]`.
    Image {
        /// 1 for grey, 3 for red, green and blue.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Pixels of a row.
        width: usize,
    },
    /// `length` whole numbers below `vocabulary`, each stored as an `f32` (exact: a vocabulary is far below 2²⁴).
    Tokens {
        /// Different tokens.
        vocabulary: usize,
        /// Tokens of a row.
        length: usize,
    },
    /// An image, then the tokens of a text about it.
    ImageAndTokens {
        /// 1 for grey, 3 for red, green and blue.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Pixels of a row.
        width: usize,
        /// Different tokens.
        vocabulary: usize,
        /// Tokens of a row.
        length: usize,
    },
}

impl InputKind {
    /// A grey square image.
    pub const fn grey(side: usize) -> Self {
        Self::Image { channels: 1, height: side, width: side }
    }

    /// Numbers stored for each row.
    pub const fn len(self) -> usize {
        match self {
            Self::Features(count) => count,
            Self::Image { channels, height, width } => channels * height * width,
            Self::Tokens { length, .. } => length,
            Self::ImageAndTokens { channels, height, width, length, .. } => channels * height * width + length,
        }
    }

    /// True when a row holds nothing.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Different tokens, where there are tokens.
    pub const fn vocabulary(self) -> Option<usize> {
        match self {
            Self::Tokens { vocabulary, .. } | Self::ImageAndTokens { vocabulary, .. } => Some(vocabulary),
            Self::Features(_) | Self::Image { .. } => None,
        }
    }
}

/// What there is to predict in each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// One of this many classes.
    Class(usize),
    /// This many real numbers.
    Values(usize),
    /// Token `t + 1` of the input from tokens `0..=t`, for every `t`: nothing is stored besides the input.
    NextToken,
}

impl TargetKind {
    /// Real numbers stored for each row.
    pub fn value_width(self) -> usize {
        match self {
            Self::Class(_) | Self::NextToken => 0,
            Self::Values(width) => width,
        }
    }
}

/// Rows in memory, row-major.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// `rows × input width`.
    pub inputs: Vec<f32>,
    /// One class for each row; zero where the target is not a class.
    pub labels: Vec<u32>,
    /// `rows × value width`; empty where the target is a class.
    pub values: Vec<f32>,
}

impl Rows {
    pub(crate) fn zeros(rows: usize, input_width: usize, target: TargetKind) -> Self {
        Self {
            inputs: vec![0.0; rows * input_width],
            labels: vec![0; rows],
            values: vec![0.0; rows * target.value_width()],
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Fills every row with the one that `generator` makes of the next id.
    pub(crate) fn generate(
        &mut self,
        generator: &dyn Generator,
        ids: impl Iterator<Item = u64>,
        input_width: usize,
        value_width: usize,
    ) {
        for (j, (label, id)) in self.labels.iter_mut().zip(ids).enumerate() {
            let inputs = &mut self.inputs[j * input_width..][..input_width];
            let values = &mut self.values[j * value_width..][..value_width];
            *label = generator.row(id, inputs, values);
        }
    }

    /// Leaves only the rows that `keep` keeps, by their number and label.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize, u32) -> bool) {
        let rows = self.len();
        let kept: Vec<_> = (0..rows).filter(|&row| keep(row, self.labels[row])).collect();
        let (input_width, value_width) = (self.inputs.len() / rows.max(1), self.values.len() / rows.max(1));
        for (to, &from) in kept.iter().enumerate() {
            self.inputs.copy_within(from * input_width..(from + 1) * input_width, to * input_width);
            self.values.copy_within(from * value_width..(from + 1) * value_width, to * value_width);
            self.labels[to] = self.labels[from];
        }
        self.inputs.truncate(kept.len() * input_width);
        self.values.truncate(kept.len() * value_width);
        self.labels.truncate(kept.len());
    }

    fn copy_row(&mut self, to: usize, source: &Self, from: usize) {
        let copy = |to_slice: &mut [f32], from_slice: &[f32], to_rows: usize, from_rows: usize| {
            let width = from_slice.len() / from_rows;
            debug_assert_eq!(to_slice.len(), width * to_rows);
            to_slice[to * width..][..width].copy_from_slice(&from_slice[from * width..][..width]);
        };
        let (to_rows, from_rows) = (self.len(), source.len());
        copy(&mut self.inputs, &source.inputs, to_rows, from_rows);
        copy(&mut self.values, &source.values, to_rows, from_rows);
        self.labels[to] = source.labels[from];
    }
}

/// The rows of one batch: a buffer that a task owns and fills again and again.
pub type BatchRows = Rows;

/// Makes row `id` out of nothing but `id`: every `u64` is a row, all independent and of one distribution.
///
/// A row costs no allocation: it is made in every inner step of meta-training.
pub(crate) trait Generator: Send + Sync {
    /// Writes the inputs and the real targets (none for a classification); gives the class (zero for a regression).
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32;
}

/// Training rows, held-out rows in two parts, and what they are about.
pub struct Dataset {
    input_kind: InputKind,
    target: TargetKind,
    train: Rows,
    validation: Rows,
    test: Rows,
    /// Batches of the validation split are drawn from the test rows, too.
    shared_batches: bool,
    generators: Option<Generators>,
}

/// What a data set consists of, apart from its kinds.
pub(super) struct Parts<'a> {
    /// Rows that are trained on.
    pub(super) train: &'a mut Rows,
    /// Held-out rows to choose by.
    pub(super) validation: &'a mut Rows,
    /// Held-out rows to report.
    pub(super) test: &'a mut Rows,
    /// What makes the rows of batches, where they are fresh.
    pub(super) generators: Option<&'a mut Generators>,
}

/// What makes the rows of batches, for each split.
pub(crate) struct Generators {
    /// Of rows that are trained on.
    pub(crate) train: Arc<dyn Generator>,
    /// Of held-out rows to choose by.
    pub(crate) validation: Arc<dyn Generator>,
    /// Of held-out rows to report.
    pub(crate) test: Arc<dyn Generator>,
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset")
            .field("input_kind", &self.input_kind)
            .field("target", &self.target)
            .field("train_rows", &self.train.len())
            .field("validation_rows", &self.validation.len())
            .field("test_rows", &self.test.len())
            .field("fresh", &self.is_fresh())
            .finish()
    }
}

impl Dataset {
    /// Fixed rows. Every split must hold a row.
    pub(crate) fn from_rows(
        input_kind: InputKind,
        target: TargetKind,
        train: Rows,
        validation: Rows,
        test: Rows,
    ) -> Self {
        debug_assert!(!train.is_empty() && !validation.is_empty() && !test.is_empty());
        Self { input_kind, target, train, validation, test, shared_batches: false, generators: None }
    }

    /// Draws batches of the validation split from all held-out rows: fixed tasks on real data were published with these
    /// batches, before the rows to report were split off. Evaluation, by which one chooses, keeps the two apart.
    pub(crate) fn with_shared_batches(self) -> Self {
        Self { shared_batches: true, ..self }
    }

    /// Endless rows; those of the splits are samples of it to evaluate on.
    pub(crate) fn fresh(self, generators: Generators) -> Self {
        Self { generators: Some(generators), ..self }
    }

    /// The parts, to make another data set of.
    pub(super) fn parts_mut(&mut self) -> Parts<'_> {
        Parts {
            train: &mut self.train,
            validation: &mut self.validation,
            test: &mut self.test,
            generators: self.generators.as_mut(),
        }
    }

    /// What the numbers of an input are.
    pub fn input_kind(&self) -> InputKind {
        self.input_kind
    }

    /// Numbers in the input of one row.
    pub fn input_width(&self) -> usize {
        self.input_kind.len()
    }

    /// What there is to predict.
    pub fn target(&self) -> TargetKind {
        self.target
    }

    /// Outputs of a model that predicts the target: classes, values, or tokens to choose from.
    pub fn outputs(&self) -> usize {
        match self.target {
            TargetKind::Class(classes) => classes,
            TargetKind::Values(width) => width,
            TargetKind::NextToken => self.input_kind.vocabulary().unwrap_or(0),
        }
    }

    /// True when every batch consists of new rows.
    pub fn is_fresh(&self) -> bool {
        self.generators.is_some()
    }

    /// The rows that [`Task::evaluate`](crate::Task::evaluate) runs over: all of a split, or a fixed sample of a generator.
    pub fn rows(&self, split: Split) -> &Rows {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    /// A buffer for batches of `rows` rows.
    pub fn batch_buffer(&self, rows: usize) -> BatchRows {
        Rows::zeros(rows, self.input_width(), self.target)
    }

    /// Fills `rows`, which comes from [`batch_buffer`](Self::batch_buffer), with the rows of `batch`.
    pub fn fill(&self, batch: Batch, rows: &mut BatchRows) {
        let stream = Stream::new(batch.seed, batch_stream(batch.split));
        let first = batch.index.wrapping_mul(MAX_BATCH_SIZE as u64);
        match &self.generators {
            Some(generators) => {
                let generator = match batch.split {
                    Split::Train => &generators.train,
                    Split::Validation => &generators.validation,
                    Split::Test => &generators.test,
                };
                let ids = (0..).map(|j| stream.bits(first.wrapping_add(j)));
                rows.generate(generator.as_ref(), ids, self.input_width(), self.target.value_width());
            }
            None => {
                let source = self.rows(batch.split);
                let more = if self.shared_batches && batch.split == Split::Validation { self.test.len() } else { 0 };
                for j in 0..rows.len() {
                    let row = stream.below(first.wrapping_add(j as u64), (source.len() + more) as u64) as usize;
                    match row.checked_sub(source.len()) {
                        Some(beyond) => rows.copy_row(j, &self.test, beyond),
                        None => rows.copy_row(j, source, row),
                    }
                }
            }
        }
    }

    /// Bytes of the rows in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let bytes = |rows: &Rows| 4 * (rows.inputs.len() + rows.labels.len() + rows.values.len());
        bytes(&self.train) + bytes(&self.validation) + bytes(&self.test)
    }
}

fn batch_stream(split: Split) -> u64 {
    match split {
        Split::Train => const { stream_number("training batch") },
        Split::Validation => const { stream_number("validation batch") },
        Split::Test => const { stream_number("test batch") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four training rows `[10 r, 10 r + 1]` of class `r`, and one row of class 3 and 2 to choose by and to report.
    fn four_rows() -> Dataset {
        let inputs = (0..4).flat_map(|row| [10.0 * row as f32, 10.0 * row as f32 + 1.0]).collect();
        let train = Rows { inputs, labels: vec![0, 1, 2, 3], values: vec![] };
        let held_out = |class| Rows { inputs: vec![-1.0, -2.0], labels: vec![class], values: vec![] };
        Dataset::from_rows(InputKind::Features(2), TargetKind::Class(4), train, held_out(3), held_out(2))
    }

    #[test]
    fn a_batch_keeps_inputs_and_labels_together() {
        let dataset = four_rows();
        let mut rows = dataset.batch_buffer(64);
        dataset.fill(Batch { seed: 1, split: Split::Train, index: 3 }, &mut rows);
        for (inputs, &label) in rows.inputs.chunks(2).zip(&rows.labels) {
            assert_eq!(inputs, [10.0 * label as f32, 10.0 * label as f32 + 1.0]);
        }
        let drawn: std::collections::BTreeSet<_> = rows.labels.iter().collect();
        assert_eq!(drawn.len(), 4, "every row turns up among 64 draws of 4");
    }

    #[test]
    fn batches_differ_by_seed_split_and_index_only() {
        let dataset = four_rows();
        let labels = |seed, split, index| {
            let mut rows = dataset.batch_buffer(32);
            dataset.fill(Batch { seed, split, index }, &mut rows);
            rows.labels
        };
        assert_eq!(labels(1, Split::Train, 7), labels(1, Split::Train, 7));
        assert_ne!(labels(1, Split::Train, 7), labels(2, Split::Train, 7));
        assert_ne!(labels(1, Split::Train, 7), labels(1, Split::Train, 8));
        assert_eq!(labels(1, Split::Validation, 7), [3; 32]);
        assert_eq!(labels(1, Split::Test, 7), [2; 32]);
        let shared = four_rows().with_shared_batches();
        let mut rows = shared.batch_buffer(32);
        shared.fill(Batch { seed: 1, split: Split::Validation, index: 7 }, &mut rows);
        assert!(rows.labels.contains(&2) && rows.labels.contains(&3), "{:?}", rows.labels);
        assert_eq!(shared.rows(Split::Validation).labels, [3]);
    }
}
