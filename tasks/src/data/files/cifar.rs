//! CIFAR-10 and CIFAR-100 in their binary form: records of a label (or two) and 32×32 pixels, one colour after the other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::pixels::{Images, Shape};
use super::{name, open, read_up_to};
use crate::Error;
use crate::data::dataset::Dataset;
use crate::error::check_range;

/// Side of an image as it is stored.
const SIDE: usize = 32;

/// Bytes of one colour.
const PLANE: usize = SIDE * SIDE;

/// Which of the two, and which labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CifarKind {
    /// CIFAR-10.
    Ten,
    /// CIFAR-100, its hundred classes.
    Hundred,
    /// CIFAR-100, its twenty groups of classes.
    HundredCoarse,
}

impl CifarKind {
    /// Bytes of labels in a record, and the one that counts.
    fn labels(self) -> (usize, usize) {
        match self {
            Self::Ten => (1, 0),
            Self::Hundred => (2, 1),
            Self::HundredCoarse => (2, 0),
        }
    }

    fn classes(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
            Self::HundredCoarse => 20,
        }
    }
}

/// Binary batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CifarConfig {
    /// The files, for example `data_batch_1.bin` to `data_batch_5.bin`.
    pub files: Vec<PathBuf>,
    /// Which of the two, and which labels.
    pub kind: CifarKind,
    /// Side that the images are resized to, 1 to 32.
    #[serde(default = "whole_side")]
    pub side: usize,
    /// Grey instead of colours.
    #[serde(default)]
    pub grey: bool,
}

fn whole_side() -> usize {
    SIDE
}

impl CifarConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.files: number of files", self.files.len(), 1..=64)?;
        check_range("data.side", self.side, 1..=SIDE)
    }

    pub(crate) fn read(&self) -> Result<Dataset, Error> {
        let (label_bytes, label_at) = self.kind.labels();
        let (record, classes) = (label_bytes + 3 * PLANE, self.kind.classes());
        let opened = self.files.iter().map(|path| {
            let (file, length) = open(path)?;
            if length == 0 || !length.is_multiple_of(record as u64) {
                let problem = format!("{length} bytes, expected a multiple of {record} for {:?}", self.kind);
                return Err(Error::corrupt(name(path), problem));
            }
            Ok((path, file, length))
        });
        let opened = opened.collect::<Result<Vec<_>, Error>>()?;
        let count = opened.iter().map(|(_, _, length)| *length as usize / record).sum();
        if count < 2 {
            return Err(Error::corrupt(name(&self.files[0]), "a single image, expected at least two"));
        }
        let from = Shape { height: SIDE, width: SIDE, channels: 3 };
        let channels = if self.grey { 1 } else { 3 };
        let mut images =
            Images::new(&name(&self.files[0]), Shape { height: self.side, width: self.side, channels }, count)?;
        let mut interleaved = [0; 3 * PLANE];
        for (path, mut file, length) in opened {
            // The file may have changed since it was measured; no more than that is read.
            let bytes = read_up_to(path, &mut file, length)?;
            for (row, record) in bytes.chunks_exact(record).enumerate() {
                let label = record[label_at];
                if usize::from(label) >= classes {
                    let problem = format!("label of image {row} is {label}, expected 0 to {}", classes - 1);
                    return Err(Error::corrupt(name(path), problem));
                }
                let planes = &record[label_bytes..];
                for (i, pixel) in interleaved.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    *pixel = [planes[i], planes[PLANE + i], planes[2 * PLANE + i]];
                }
                images.push(&interleaved, from, label.into());
            }
        }
        Ok(images.into_dataset(classes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::InputKind;
    use crate::task::Split;

    /// A file of images with these labels, whose colours are `10 · number`, 100 and 200.
    fn file(labels: &[&[u8]]) -> Vec<u8> {
        let record = |(number, label): (usize, &&[u8])| {
            let planes = [10 * number as u8, 100, 200].into_iter().flat_map(|level| [level; PLANE]);
            label.iter().copied().chain(planes).collect::<Vec<_>>()
        };
        labels.iter().enumerate().flat_map(record).collect()
    }

    fn read(bytes: &[u8], kind: CifarKind, grey: bool) -> Result<Dataset, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("batch.bin");
        std::fs::write(&path, bytes).unwrap();
        let prefix = format!("{}/", folder.path().display());
        let config = CifarConfig { files: vec![path], kind, side: 8, grey };
        config.read().map_err(|error| error.to_string().replace(&prefix, ""))
    }

    #[test]
    fn colours_end_up_beside_each_other_and_labels_with_their_image() {
        let dataset = read(&file(&[&[3], &[1], &[4], &[1], &[5]]), CifarKind::Ten, false).unwrap();
        assert_eq!(dataset.input_kind(), InputKind::Image { channels: 3, height: 8, width: 8 });
        for split in [Split::Train, Split::Validation] {
            let rows = dataset.rows(split);
            for (image, &label) in rows.inputs.chunks(192).zip(&rows.labels) {
                let number = (image[0] * 25.5).round() as usize;
                assert_eq!(label, [3, 1, 4, 1, 5][number]);
                for pixel in image.chunks(3) {
                    assert_eq!([1, 2].map(|channel: usize| (pixel[channel] * 255.0).round()), [100.0, 200.0]);
                }
            }
        }
        let grey = read(&file(&[&[3], &[1]]), CifarKind::Ten, true).unwrap();
        assert_eq!(grey.input_kind(), InputKind::grey(8));
    }

    #[test]
    fn a_hundred_classes_have_their_fine_and_coarse_labels() {
        let bytes = file(&[&[19, 99], &[7, 42]]);
        let labels = |kind| {
            let dataset = read(&bytes, kind, false).unwrap();
            let mut labels = [Split::Train, Split::Validation].map(|split| dataset.rows(split).labels[0]);
            labels.sort();
            labels
        };
        assert_eq!(labels(CifarKind::Hundred), [42, 99]);
        assert_eq!(labels(CifarKind::HundredCoarse), [7, 19]);
    }

    #[test]
    fn damaged_files_are_refused_with_file_and_place() {
        let sound = file(&[&[3], &[1]]);
        let complaint = |bytes: &[u8], kind| read(bytes, kind, false).unwrap_err();
        let expected = "batch.bin: 6145 bytes, expected a multiple of 3073 for Ten";
        assert_eq!(complaint(&sound[..6145], CifarKind::Ten), expected);
        assert_eq!(complaint(&[], CifarKind::Ten), "batch.bin: 0 bytes, expected a multiple of 3073 for Ten");
        let expected = "batch.bin: 6146 bytes, expected a multiple of 3074 for Hundred";
        assert_eq!(complaint(&sound, CifarKind::Hundred), expected);
        let wrong = file(&[&[3], &[10]]);
        assert_eq!(complaint(&wrong, CifarKind::Ten), "batch.bin: label of image 1 is 10, expected 0 to 9");
        assert_eq!(complaint(&sound[..3073], CifarKind::Ten), "batch.bin: a single image, expected at least two");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_or_refused_but_never_a_panic(label: u8, second: u8, cut in 0usize..6148) {
            let mut bytes = file(&[&[label, second], &[second, label]]);
            bytes.truncate(cut);
            for (kind, classes) in [(CifarKind::Ten, 10), (CifarKind::Hundred, 100), (CifarKind::HundredCoarse, 20)] {
                if let Ok(dataset) = read(&bytes, kind, true) {
                    let labels = [Split::Train, Split::Validation].map(|split| dataset.rows(split).labels[0]);
                    prop_assert!(labels.iter().all(|&label| label < classes));
                }
            }
        }
    }
}
