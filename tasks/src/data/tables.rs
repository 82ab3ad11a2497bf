//! The real data sets that are bundled: parsed, checked, split and standardised.
//!
//! Four fifths of the rows are trained on; a fixed permutation decides which. Columns are standardised with the mean
//! and deviation of the training rows; pixels of digits are divided by 16 instead, and a real target is standardised like
//! a column. The origin and the licence of each file stand in `tasks/data/README.md`.

use std::io::Read;
use std::str::FromStr;

use super::dataset::{Dataset, InputKind, Rows, TargetKind};
use crate::Error;
use crate::rng::{Stream, stream_number};

/// Bytes of text in a bundled file at most: a damaged archive cannot fill the memory.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Pixels of the digits run from 0 to 16.
const DIGIT_INK: f32 = 16.0;

/// A table as it is read: `rows × width` features, and a class or a number for each row.
#[derive(Debug, PartialEq)]
struct Table {
    width: usize,
    features: Vec<f32>,
    target: Column,
}

#[derive(Debug, PartialEq)]
enum Column {
    Labels { labels: Vec<u32>, classes: usize },
    Numbers(Vec<f32>),
}

pub(super) fn digits() -> Result<Dataset, Error> {
    let file = "digits.csv.gz";
    let text = decompress(file, include_bytes!("../../data/digits.csv.gz"))?;
    let mut table = parse_labelled(file, text.lines(), 0, Shape { rows: 1797, width: 64, classes: 10 })?;
    table.features.iter_mut().for_each(|ink| *ink /= DIGIT_INK);
    Ok(table.split(InputKind::grey(8), Features::AsTheyAre))
}

pub(super) fn breast_cancer() -> Result<Dataset, Error> {
    let shape = Shape { rows: 569, width: 30, classes: 2 };
    let table = parse_with_header("breast_cancer.csv", include_str!("../../data/breast_cancer.csv"), shape)?;
    let inputs = InputKind::Features(table.width);
    Ok(table.split(inputs, Features::Standardised))
}

pub(super) fn wine() -> Result<Dataset, Error> {
    let shape = Shape { rows: 178, width: 13, classes: 3 };
    let table = parse_with_header("wine_data.csv", include_str!("../../data/wine_data.csv"), shape)?;
    let inputs = InputKind::Features(table.width);
    Ok(table.split(inputs, Features::Standardised))
}

pub(super) fn diabetes() -> Result<Dataset, Error> {
    let (file, target_file) = ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz");
    let text = decompress(file, include_bytes!("../../data/diabetes_data_raw.csv.gz"))?;
    let target_text = decompress(target_file, include_bytes!("../../data/diabetes_target.csv.gz"))?;
    let (rows, width) = (442, 10);
    let features = parse_numbers(file, text.lines(), 0, ' ', rows, width)?;
    let target = parse_numbers(target_file, target_text.lines(), 0, ' ', rows, 1)?;
    let table = Table { width, features, target: Column::Numbers(target) };
    let inputs = InputKind::Features(table.width);
    Ok(table.split(inputs, Features::Standardised))
}

/// What a file must hold.
#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: usize,
    width: usize,
    classes: usize,
}

fn decompress(file: &str, bytes: &[u8]) -> Result<String, Error> {
    let mut text = String::new();
    let mut limited = flate2::read::GzDecoder::new(bytes).take(MAX_TEXT_BYTES);
    limited.read_to_string(&mut text).map_err(|error| Error::corrupt(file, format!("not gzipped text: {error}")))?;
    Ok(text)
}

/// First line: `rows,width,class,class,…`; then rows.
fn parse_with_header(file: &str, text: &str, shape: Shape) -> Result<Table, Error> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let fields: Vec<_> = header.split(',').collect();
    let expected = [shape.rows.to_string(), shape.width.to_string()];
    if fields.len() != 2 + shape.classes || fields[..2] != expected {
        let problem =
            format!("line 1 is {header:?}, expected {:?} and {} class names", expected.join(","), shape.classes);
        return Err(Error::corrupt(file, problem));
    }
    parse_labelled(file, lines, 1, shape)
}

/// Rows of comma-separated numbers, the last one a class.
fn parse_labelled<'a>(
    file: &str,
    lines: impl Iterator<Item = &'a str>,
    skipped_lines: usize,
    Shape { rows, width, classes }: Shape,
) -> Result<Table, Error> {
    let cells = parse_numbers(file, lines, skipped_lines, ',', rows, width + 1)?;
    let mut features = Vec::with_capacity(rows * width);
    let mut labels = Vec::with_capacity(rows);
    for (row, cells) in cells.chunks(width + 1).enumerate() {
        let label = cells[width];
        if label.fract() != 0.0 || !(0.0..classes as f32).contains(&label) {
            let line = row + 1 + skipped_lines;
            let problem = format!("line {line}: class {label}, expected a whole number from 0 to {}", classes - 1);
            return Err(Error::corrupt(file, problem));
        }
        features.extend_from_slice(&cells[..width]);
        labels.push(label as u32);
    }
    Ok(Table { width, features, target: Column::Labels { labels, classes } })
}

/// Exactly `rows` lines of exactly `width` finite numbers.
fn parse_numbers<'a>(
    file: &str,
    lines: impl Iterator<Item = &'a str>,
    skipped_lines: usize,
    separator: char,
    rows: usize,
    width: usize,
) -> Result<Vec<f32>, Error> {
    let mut numbers = Vec::with_capacity(rows * width);
    let mut count = 0;
    for line in lines {
        count += 1;
        let number = count + skipped_lines;
        let before = numbers.len();
        for cell in line.split(separator) {
            match f32::from_str(cell) {
                Ok(value) if value.is_finite() => numbers.push(value),
                _ => return Err(Error::corrupt(file, format!("line {number}: {cell:?} is not a finite number"))),
            }
        }
        let found = numbers.len() - before;
        if found != width {
            return Err(Error::corrupt(file, format!("line {number} has {found} numbers, expected {width}")));
        }
    }
    if count != rows {
        return Err(Error::corrupt(file, format!("{count} rows, expected {rows}")));
    }
    Ok(numbers)
}

/// What happens to the feature columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Features {
    AsTheyAre,
    Standardised,
}

impl Table {
    /// Splits 80/20 and standardises with the statistics of the larger part.
    fn split(mut self, inputs: InputKind, features: Features) -> Dataset {
        let rows = self.features.len() / self.width;
        let order = permutation(rows);
        let (train, validation) = order.split_at(rows * 4 / 5);
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
        Dataset::from_rows(inputs, kind, collect(train), collect(validation))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    const TWO_ROWS: Shape = Shape { rows: 2, width: 2, classes: 3 };

    fn problem(text: &str) -> String {
        parse_with_header("wine.csv", text, TWO_ROWS).unwrap_err().to_string()
    }

    #[test]
    fn the_bundled_tables_have_their_published_sizes() {
        for (dataset, train, validation, width, outputs) in [
            (digits().unwrap(), 1437, 360, 64, 10),
            (breast_cancer().unwrap(), 455, 114, 30, 2),
            (wine().unwrap(), 142, 36, 13, 3),
            (diabetes().unwrap(), 353, 89, 10, 1),
        ] {
            assert_eq!(dataset.rows(Split::Train).len(), train);
            assert_eq!(dataset.rows(Split::Validation).len(), validation);
            assert_eq!((dataset.input_width(), dataset.outputs()), (width, outputs));
        }
    }

    #[test]
    fn training_columns_are_standardised_and_held_out_ones_follow() {
        let dataset = diabetes().unwrap();
        let column_moments = |values: &[f32], width: usize, column: usize| {
            let column: Vec<f64> = values.iter().skip(column).step_by(width).map(|&x| f64::from(x)).collect();
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            (mean, column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / column.len() as f64)
        };
        let train = dataset.rows(Split::Train);
        for column in 0..10 {
            let (mean, variance) = column_moments(&train.inputs, 10, column);
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4);
        }
        let (mean, variance) = column_moments(&train.values, 1, 0);
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4);
        let (mean, variance) = column_moments(&dataset.rows(Split::Validation).values, 1, 0);
        assert!(mean.abs() > 1e-5 && (0.3..3.0).contains(&variance), "{mean} {variance}");
    }

    #[test]
    fn digits_are_grey_levels_between_zero_and_one() {
        let dataset = digits().unwrap();
        let ink = &dataset.rows(Split::Train).inputs;
        assert_eq!(ink.iter().copied().fold(f32::INFINITY, f32::min), 0.0);
        assert_eq!(ink.iter().copied().fold(0.0, f32::max), 1.0);
    }

    #[test]
    fn corrupt_tables_are_refused_with_line_and_expectation() {
        assert_eq!(problem("3,2,a,b,c\n"), "wine.csv: line 1 is \"3,2,a,b,c\", expected \"2,2\" and 3 class names");
        assert_eq!(problem("2,2,a,b,c\n1,2,0\n"), "wine.csv: 1 rows, expected 2");
        assert_eq!(problem("2,2,a,b,c\n1,2,0\n1,2\n"), "wine.csv: line 3 has 2 numbers, expected 3");
        assert_eq!(problem("2,2,a,b,c\n1,,0\n1,2,1\n"), "wine.csv: line 2: \"\" is not a finite number");
        assert_eq!(problem("2,2,a,b,c\n1,inf,0\n"), "wine.csv: line 2: \"inf\" is not a finite number");
        let expected = "wine.csv: line 2: class 3, expected a whole number from 0 to 2";
        assert_eq!(problem("2,2,a,b,c\n1,2,3\n1,2,1\n"), expected);
        assert_eq!(problem(""), "wine.csv: line 1 is \"\", expected \"2,2\" and 3 class names");
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let whole = include_bytes!("../../data/digits.csv.gz");
        let error = decompress("digits.csv.gz", &whole[..whole.len() / 2]).unwrap_err();
        assert!(error.to_string().starts_with("digits.csv.gz: not gzipped text: "), "{error}");
    }
}
