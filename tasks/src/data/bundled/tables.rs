//! The real data sets that are bundled: parsed, checked and split.
//!
//! Columns are standardised; pixels of digits are divided by 16 instead. The origin and the licence of each file stand in `tasks/data/README.md`.

use std::str::FromStr;

use crate::Error;
use crate::data::dataset::{Dataset, InputKind};
use crate::data::table::{Column, Features, Table};

/// Pixels of the digits run from 0 to 16.
const DIGIT_INK: f32 = 16.0;

pub(in crate::data) fn digits() -> Result<Dataset, Error> {
    let file = "digits.csv.gz";
    let text = decompress(file, include_bytes!("../../../data/digits.csv.gz"))?;
    let mut table = parse_labelled(file, text.lines(), 0, Shape { rows: 1797, width: 64, classes: 10 })?;
    table.features.iter_mut().for_each(|ink| *ink /= DIGIT_INK);
    Ok(table.split(InputKind::grey(8), Features::AsTheyAre))
}

pub(in crate::data) fn breast_cancer() -> Result<Dataset, Error> {
    let shape = Shape { rows: 569, width: 30, classes: 2 };
    let table = parse_with_header("breast_cancer.csv", include_str!("../../../data/breast_cancer.csv"), shape)?;
    let inputs = InputKind::Features(table.width);
    Ok(table.split(inputs, Features::Standardised))
}

pub(in crate::data) fn wine() -> Result<Dataset, Error> {
    let shape = Shape { rows: 178, width: 13, classes: 3 };
    let table = parse_with_header("wine_data.csv", include_str!("../../../data/wine_data.csv"), shape)?;
    let inputs = InputKind::Features(table.width);
    Ok(table.split(inputs, Features::Standardised))
}

pub(in crate::data) fn diabetes() -> Result<Dataset, Error> {
    let (file, target_file) = ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz");
    let text = decompress(file, include_bytes!("../../../data/diabetes_data_raw.csv.gz"))?;
    let target_text = decompress(target_file, include_bytes!("../../../data/diabetes_target.csv.gz"))?;
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

/// The text in a gzip archive.
fn decompress(file: &str, archive: &[u8]) -> Result<String, Error> {
    let bytes = super::decompress(file, archive)?;
    String::from_utf8(bytes).map_err(|error| Error::corrupt(file, format!("not text: {error}")))
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
        for (dataset, rows, width, outputs) in [
            (digits().unwrap(), [1437, 180, 180], 64, 10),
            (breast_cancer().unwrap(), [455, 57, 57], 30, 2),
            (wine().unwrap(), [142, 18, 18], 13, 3),
            (diabetes().unwrap(), [353, 45, 44], 10, 1),
        ] {
            assert_eq!([Split::Train, Split::Validation, Split::Test].map(|split| dataset.rows(split).len()), rows);
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
}
