//! Tables of real data: rows of features with a class or a number each, split and standardised.
//!
//! Four fifths of the rows are trained on; a permutation that depends on nothing but their number decides which. Columns
//! are standardised with the mean and deviation of the training rows, and so is a target that is a number.

use super::dataset::{Dataset, InputKind, Rows, TargetKind};
use crate::rng::{Stream, stream_number};

/// A table as it is read: `rows × width` features, and a class or a number for each row.
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    /// Features of a row.
    pub(super) width: usize,
    /// Row-major.
    pub(super) features: Vec<f32>,
    /// What is predicted.
    pub(super) target: Column,
}

/// The target column.
#[derive(Debug, PartialEq)]
pub(super) enum Column {
    /// Classes below a number.
    Labels { labels: Vec<u32>, classes: usize },
    /// Real numbers.
    Numbers(Vec<f32>),
}

/// What happens to the feature columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Features {
    /// Nothing.
    AsTheyAre,
    /// Mean 0 and deviation 1 over the training rows.
    Standardised,
}

impl Table {
    /// Splits 80/10/10 (the last two the same row if there is only one) and standardises with the statistics of the
    /// largest part.
    pub(super) fn split(mut self, inputs: InputKind, features: Features) -> Dataset {
        let rows = self.features.len() / self.width;
        let order = permutation(rows);
        let (train, held_out) = order.split_at(rows * 4 / 5);
        let half = held_out.len().div_ceil(2);
        let (validation, test) = (&held_out[..half], &held_out[held_out.len() - held_out.len().max(2) / 2..]);
        if features == Features::Standardised {
            standardise(&mut self.features, self.width, train);
        }
        let kind = match &mut self.target {
            Column::Labels { classes, .. } => TargetKind::Class(*classes),
            Column::Numbers(numbers) => {
                standardise(numbers, 1, train);
                TargetKind::Values(1)
            }
        };
        let collect = |chosen: &[usize]| Rows {
            inputs: chosen.iter().flat_map(|&row| &self.features[row * self.width..][..self.width]).copied().collect(),
            labels: match &self.target {
                Column::Labels { labels, .. } => chosen.iter().map(|&row| labels[row]).collect(),
                Column::Numbers(_) => vec![0; chosen.len()],
            },
            values: match &self.target {
                Column::Labels { .. } => Vec::new(),
                Column::Numbers(numbers) => chosen.iter().map(|&row| numbers[row]).collect(),
            },
        };
        Dataset::from_rows(inputs, kind, collect(train), collect(validation), collect(test)).with_shared_batches()
    }
}

/// The rows in the order of their random values: fixed for each number of rows.
fn permutation(rows: usize) -> Vec<usize> {
    let stream = Stream::new(0, const { stream_number("held-out split") });
    let mut order: Vec<_> = (0..rows).collect();
    order.sort_by_key(|&row| (stream.bits(row as u64), row));
    order
}

/// Every column of all rows gets mean 0 and deviation 1 over the rows of `train`; a constant column becomes 0.
fn standardise(values: &mut [f32], width: usize, train: &[usize]) {
    for column in 0..width {
        let over_train = |f: &dyn Fn(f64) -> f64| {
            train.iter().map(|&row| f(f64::from(values[row * width + column]))).sum::<f64>() / train.len() as f64
        };
        let mean = over_train(&|x| x);
        let deviation = over_train(&|x| (x - mean) * (x - mean)).sqrt();
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        for value in values.iter_mut().skip(column).step_by(width) {
            *value = ((f64::from(*value) - mean) * scale) as f32;
        }
    }
}
