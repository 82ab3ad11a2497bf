//! CSV with a header: one column is the target, all others are features.
//!
//! Features are finite numbers and standardised. A target column is either a class (any text; classes are numbered in the
//! order of the sorted texts) or a number, standardised too.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{MAX_BYTES, check_size, name, open};
use crate::Error;
use crate::data::dataset::{Dataset, InputKind};
use crate::data::table::{Column, Features, Table};

/// Classes at most.
const MAX_CLASSES: usize = 1000;

/// What the target column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CsvTarget {
    /// Names of classes.
    Class,
    /// Numbers.
    Value,
}

/// A table with a header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvConfig {
    /// The file.
    pub path: PathBuf,
    /// Name of the target column.
    pub label: String,
    /// What it holds.
    pub target: CsvTarget,
}

impl CsvConfig {
    pub(crate) fn read(&self) -> Result<Dataset, Error> {
        let file_name = name(&self.path);
        let failed = |problem: String| Error::corrupt(&*file_name, problem);
        let (file, _) = open(&self.path)?;
        let file = std::io::Read::take(file, MAX_BYTES);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let header = reader.headers().map_err(|error| failed(complaint(&error)))?.clone();
        let Some(label_at) = header.iter().position(|column| column == self.label) else {
            let columns: Vec<_> = header.iter().take(20).collect();
            return Err(failed(format!("has no column {:?}, only {}", self.label, columns.join(", "))));
        };
        if header.len() < 2 {
            return Err(failed("has no column besides the target".to_owned()));
        }

        let width = header.len() - 1;
        let (mut features, mut targets) = (Vec::new(), Vec::new());
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| failed(complaint(&error)))? {
            let line = record.position().map_or(0, csv::Position::line);
            check_size(&file_name, targets.len() + 1, width)?;
            for (column, cell) in record.iter().enumerate() {
                if cell.is_empty() {
                    return Err(failed(format!("line {line}: the cell of column {:?} is missing", &header[column])));
                }
                if column != label_at {
                    features.push(number(cell).ok_or_else(|| failed(not_a_number(line, &header[column], cell)))?);
                }
            }
            targets.push((line, record[label_at].to_owned()));
        }
        if targets.len() < 2 {
            return Err(failed(format!("{} rows, expected at least two", targets.len())));
        }
        let target = match self.target {
            CsvTarget::Class => classes(&targets).map_err(failed)?,
            CsvTarget::Value => {
                let numbers = targets
                    .iter()
                    .map(|(line, cell)| number(cell).ok_or_else(|| failed(not_a_number(*line, &self.label, cell))));
                Column::Numbers(numbers.collect::<Result<_, _>>()?)
            }
        };
        let table = Table { width, features, target };
        Ok(table.split(InputKind::Features(width), Features::Standardised))
    }
}

/// What is wrong with a line that is no record of the table.
fn complaint(error: &csv::Error) -> String {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("line {line} has {len} cells, expected {expected_len}")
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("line {line}: cell {} is not UTF-8", err.field() + 1),
        _ => error.to_string(),
    }
}

fn number(cell: &str) -> Option<f32> {
    cell.parse().ok().filter(|value: &f32| value.is_finite())
}

fn not_a_number(line: u64, column: &str, cell: &str) -> String {
    // A cell may be as large as the file.
    let start: String = cell.chars().take(40).collect();
    format!("line {line}: {start:?} in column {column:?} is not a finite number")
}

/// Numbers the classes in the order of their names.
fn classes(targets: &[(u64, String)]) -> Result<Column, String> {
    let mut numbers: BTreeMap<&str, u32> = targets.iter().map(|(_, class)| (class.as_str(), 0)).collect();
    if !(2..=MAX_CLASSES).contains(&numbers.len()) {
        return Err(format!("{} different classes, expected 2 to {MAX_CLASSES}", numbers.len()));
    }
    numbers.values_mut().zip(0..).for_each(|(number, position)| *number = position);
    let labels = targets.iter().map(|(_, class)| numbers[class.as_str()]).collect();
    Ok(Column::Labels { labels, classes: numbers.len() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::TargetKind;
    use crate::task::Split;

    fn read(bytes: &[u8], label: &str, target: CsvTarget) -> Result<Dataset, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, bytes).unwrap();
        let prefix = format!("{}/", folder.path().display());
        let config = CsvConfig { path, label: label.to_owned(), target };
        config.read().map_err(|error| error.to_string().replace(&prefix, ""))
    }

    const SOUND: &str = "length,kind,width\n1,oak,10\n2,ash,20\n3,oak,30\n4,\"elm, old\",40\n5,ash,50\n";

    #[test]
    fn the_target_column_may_stand_anywhere_and_classes_are_numbered_by_name() {
        let dataset = read(SOUND.as_bytes(), "kind", CsvTarget::Class).unwrap();
        assert_eq!((dataset.input_width(), dataset.target()), (2, TargetKind::Class(3)));
        let mut labels: Vec<_> =
            [Split::Train, Split::Validation].iter().flat_map(|&split| dataset.rows(split).labels.clone()).collect();
        labels.sort();
        // ash, elm, oak.
        assert_eq!(labels, [0, 0, 1, 2, 2]);
        // Length and width are proportional, so they are equal once standardised.
        assert!(dataset.rows(Split::Train).inputs.chunks(2).all(|row| (row[0] - row[1]).abs() < 1e-6));
        let dataset = read(b"y,x\n1,5\n2,6\n4,9\n", "y", CsvTarget::Value).unwrap();
        assert_eq!((dataset.input_width(), dataset.target()), (1, TargetKind::Values(1)));
    }

    #[test]
    fn damaged_tables_are_refused_with_line_and_column() {
        let complaint = |text: &[u8], label, target| read(text, label, target).unwrap_err();
        let class = |text: &str| complaint(text.as_bytes(), "kind", CsvTarget::Class);
        assert_eq!(class("kind,x\na,1\nb,\n"), "table.csv: line 3: the cell of column \"x\" is missing");
        assert_eq!(class("kind,x\n,1\nb,2\n"), "table.csv: line 2: the cell of column \"kind\" is missing");
        assert_eq!(class("kind,x\na,1\nb,two\n"), "table.csv: line 3: \"two\" in column \"x\" is not a finite number");
        assert_eq!(class("kind,x\na,1\nb,inf\n"), "table.csv: line 3: \"inf\" in column \"x\" is not a finite number");
        assert_eq!(class("sort,x\na,1\nb,2\n"), "table.csv: has no column \"kind\", only sort, x");
        assert_eq!(class("kind\na\nb\n"), "table.csv: has no column besides the target");
        assert_eq!(class("kind,x\na,1\na,2\n"), "table.csv: 1 different classes, expected 2 to 1000");
        assert_eq!(class("kind,x\na,1\n"), "table.csv: 1 rows, expected at least two");
        assert_eq!(class("kind,x\na,1\nb\n"), "table.csv: line 3 has 1 cells, expected 2");
        let error = complaint(b"kind,x\na,1\nb\xff,2\n", "kind", CsvTarget::Class);
        assert_eq!(error, "table.csv: line 3: cell 1 is not UTF-8");
        let error = complaint(b"y,x\n1,2\none,3\n", "y", CsvTarget::Value);
        assert_eq!(error, "table.csv: line 3: \"one\" in column \"y\" is not a finite number");
        assert!(complaint(b"", "kind", CsvTarget::Class).contains("has no column \"kind\""));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn changed_bytes_are_read_or_refused_but_never_a_panic(place in 0..SOUND.len(), value: u8, cut in 0..=SOUND.len()) {
            let mut bytes = SOUND.as_bytes().to_vec();
            bytes[place] = value;
            bytes.truncate(cut);
            for (label, target) in [("kind", CsvTarget::Class), ("length", CsvTarget::Value)] {
                if let Ok(dataset) = read(&bytes, label, target) {
                    prop_assert!(dataset.rows(Split::Train).inputs.iter().all(|x| x.is_finite()));
                }
            }
        }
    }
}
