//! Rows of inputs and targets, split into training and held-out ones, and the batches drawn from them.
//!
//! Batch position `j` of batch (seed, split, index) is value `index · 2²⁰ + j` of the stream of that seed and split. Over fixed
//! rows it picks a row, with replacement; over a generator it *is* the row, so that no row ever comes twice.

use super::procedural::noisy_label;
use crate::Error;
use crate::rng::{Stream, derive_seed, stream_number};
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
pub(crate) trait Generator: Send + Sync {
    /// Writes the inputs and the real targets (none for a classification); gives the class (zero for a regression).
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32;
}

/// Training rows, held-out rows and what they are about.
pub struct Dataset {
    input_kind: InputKind,
    target: TargetKind,
    train: Rows,
    validation: Rows,
    generator: Option<Box<dyn Generator>>,
    label_noise: Option<LabelNoise>,
}

/// Replaces labels of training rows.
#[derive(Debug, Clone, Copy)]
struct LabelNoise {
    share: f32,
    seed: u64,
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset")
            .field("input_kind", &self.input_kind)
            .field("target", &self.target)
            .field("train_rows", &self.train.len())
            .field("validation_rows", &self.validation.len())
            .field("fresh", &self.is_fresh())
            .finish()
    }
}

impl Dataset {
    /// Fixed rows. Both splits must hold a row.
    pub(crate) fn from_rows(input_kind: InputKind, target: TargetKind, train: Rows, validation: Rows) -> Self {
        debug_assert!(!train.is_empty() && !validation.is_empty());
        Self { input_kind, target, train, validation, generator: None, label_noise: None }
    }

    /// Endless rows; `train` and `validation` are samples of it to evaluate on.
    pub(crate) fn fresh(self, generator: Box<dyn Generator>) -> Self {
        Self { generator: Some(generator), ..self }
    }

    /// The same rows, with a share of the training labels drawn at random: a function of `seed` and the row.
    pub(super) fn with_label_noise(mut self, share: f32, seed: u64) -> Result<Self, Error> {
        let TargetKind::Class(classes) = self.target else {
            return Err(Error::invalid("data", format!("data for {:?}", self.target), "data with classes"));
        };
        for (row, label) in self.train.labels.iter_mut().enumerate() {
            *label = noisy_label(*label, classes, share, derive_seed(seed, row as u64));
        }
        Ok(Self { label_noise: Some(LabelNoise { share, seed }), ..self })
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
        self.generator.is_some()
    }

    /// The rows that [`Task::evaluate`](crate::Task::evaluate) runs over: all of a split, or a fixed sample of a generator.
    pub fn rows(&self, split: Split) -> &Rows {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
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
        match &self.generator {
            Some(generator) => {
                let (input_width, value_width) = (self.input_width(), self.target.value_width());
                for j in 0..rows.len() {
                    let inputs = &mut rows.inputs[j * input_width..][..input_width];
                    let values = &mut rows.values[j * value_width..][..value_width];
                    let id = stream.bits(first.wrapping_add(j as u64));
                    let label = generator.row(id, inputs, values);
                    rows.labels[j] = match (self.label_noise, self.target) {
                        (Some(LabelNoise { share, seed }), TargetKind::Class(classes))
                            if batch.split == Split::Train =>
                        {
                            noisy_label(label, classes, share, derive_seed(seed, id))
                        }
                        _ => label,
                    };
                }
            }
            None => {
                let source = self.rows(batch.split);
                for j in 0..rows.len() {
                    let row = stream.below(first.wrapping_add(j as u64), source.len() as u64);
                    rows.copy_row(j, source, row as usize);
                }
            }
        }
    }

    /// Bytes of the rows in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let bytes = |rows: &Rows| 4 * (rows.inputs.len() + rows.labels.len() + rows.values.len());
        bytes(&self.train) + bytes(&self.validation)
    }
}

fn batch_stream(split: Split) -> u64 {
    match split {
        Split::Train => const { stream_number("training batch") },
        Split::Validation => const { stream_number("validation batch") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four training rows `[10 r, 10 r + 1]` of class `r`, and one held-out row.
    fn four_rows() -> Dataset {
        let inputs = (0..4).flat_map(|row| [10.0 * row as f32, 10.0 * row as f32 + 1.0]).collect();
        let train = Rows { inputs, labels: vec![0, 1, 2, 3], values: vec![] };
        let validation = Rows { inputs: vec![-1.0, -2.0], labels: vec![3], values: vec![] };
        Dataset::from_rows(InputKind::Features(2), TargetKind::Class(4), train, validation)
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
    }
}
