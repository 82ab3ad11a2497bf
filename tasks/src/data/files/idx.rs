//! IDX files, in which MNIST and its relatives come (Fashion-, K-, EMNIST), plain or gzip.
//!
//! ```text
//! 0 0 8 d     d big-endian 32-bit sizes     the bytes, row-major      (8: unsigned bytes)
//! ```
//!
//! Images have three sizes (count, height, width), labels one. Both files must agree in the count.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::pixels::{Images, Shape};
use super::{MAX_BYTES, name, open, read_up_to};
use crate::Error;
use crate::data::dataset::Dataset;
use crate::error::check_range;

/// A pair of IDX files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdxConfig {
    /// The file with the images.
    pub images: PathBuf,
    /// The file with their labels.
    pub labels: PathBuf,
    /// Classes, 2 to 256; labels are below it.
    #[serde(default = "ten")]
    pub classes: usize,
    /// Side that the images are resized to, 1 to 256; as they are without it.
    #[serde(default)]
    pub side: Option<usize>,
}

fn ten() -> usize {
    10
}

impl IdxConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.classes", self.classes, 2..=256)?;
        self.side.map_or(Ok(()), |side| check_range("data.side", side, 1..=256))
    }

    pub(crate) fn read(&self) -> Result<Dataset, Error> {
        let ([count, height, width], pixels) = read_array::<3>(&self.images)?;
        let ([labels_count], labels) = read_array::<1>(&self.labels)?;
        if labels_count != count {
            let problem = format!("{labels_count} labels, expected {count} as in {}", name(&self.images));
            return Err(Error::corrupt(name(&self.labels), problem));
        }
        if count < 2 || height * width == 0 {
            let problem = format!("{count} images of {height}x{width} pixels, expected at least two with pixels");
            return Err(Error::corrupt(name(&self.images), problem));
        }
        let from = Shape { height, width, channels: 1 };
        let to = self.side.map_or(from, |side| Shape { height: side, width: side, channels: 1 });
        let mut images = Images::new(&name(&self.images), to, count)?;
        for (row, (bytes, &label)) in pixels.chunks_exact(from.len()).zip(&labels).enumerate() {
            if usize::from(label) >= self.classes {
                let problem = format!("label {row} is {label}, expected 0 to {}", self.classes - 1);
                return Err(Error::corrupt(name(&self.labels), problem));
            }
            images.push(bytes, from, label.into());
        }
        Ok(images.into_dataset(self.classes))
    }
}

/// The sizes and the bytes of an IDX file of `D` dimensions.
fn read_array<const D: usize>(path: &Path) -> Result<([usize; D], Vec<u8>), Error> {
    let (mut file, length) = open(path)?;
    let failed = |problem: String| Error::corrupt(name(path), problem);
    let start = read_up_to(path, &mut file, 2)?;
    let is_gzip = start == [0x1f, 0x8b];
    let whole = start.as_slice().chain(file);
    let mut source: Box<dyn Read> =
        if is_gzip { Box::new(flate2::read::GzDecoder::new(whole)) } else { Box::new(whole) };

    let header_len = 4 + 4 * D;
    let header = read_up_to(path, &mut source, header_len as u64)?;
    let expected = [0, 0, 8, D as u8];
    if header.len() >= 4 && header[..4] != expected {
        return Err(failed(format!("begins with the bytes {:?}, expected {expected:?} of an IDX file", &header[..4])));
    }
    if header.len() < header_len {
        return Err(failed(format!("ends after {} bytes, within its header of {header_len}", header.len())));
    }
    let mut sizes = [0; D];
    for (size, bytes) in sizes.iter_mut().zip(header[4..].as_chunks::<4>().0) {
        *size = u32::from_be_bytes(*bytes) as usize;
    }
    let product = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let Some(data_len) = product.map(|bytes| bytes as u64).filter(|&bytes| bytes <= MAX_BYTES) else {
        return Err(failed(format!("its header promises sizes of {sizes:?}, expected at most {MAX_BYTES} bytes")));
    };
    if !is_gzip && length != header_len as u64 + data_len {
        let expected = header_len as u64 + data_len;
        return Err(failed(format!("{length} bytes, expected {expected} for the sizes {sizes:?}")));
    }
    let data = read_up_to(path, &mut source, data_len + 1)?;
    if data.len() as u64 != data_len {
        let found =
            if (data.len() as u64) < data_len { data.len().to_string() } else { format!("more than {data_len}") };
        return Err(failed(format!(
            "holds {found} bytes after its header, expected {data_len} for the sizes {sizes:?}"
        )));
    }
    Ok((sizes, data))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::data::{InputKind, TargetKind};
    use crate::task::Split;

    fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let header = [0, 0, 8, sizes.len() as u8];
        header.into_iter().chain(sizes.iter().flat_map(|size| size.to_be_bytes())).chain(data.iter().copied()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Ten images of 2×3 pixels; all pixels of image `i` are `i`, its label is `i mod 5`.
    fn sound() -> (Vec<u8>, Vec<u8>) {
        let pixels: Vec<_> = (0..10).flat_map(|image| [image; 6]).collect();
        let labels: Vec<_> = (0..10).map(|image| image % 5).collect();
        (idx(&[10, 2, 3], &pixels), idx(&[10], &labels))
    }

    fn read(images: &[u8], labels: &[u8], side: Option<usize>) -> Result<Dataset, String> {
        let folder = tempfile::tempdir().unwrap();
        let (images_path, labels_path) = (folder.path().join("images"), folder.path().join("labels"));
        std::fs::write(&images_path, images).unwrap();
        std::fs::write(&labels_path, labels).unwrap();
        let config = IdxConfig { images: images_path, labels: labels_path, classes: 5, side };
        let prefix = format!("{}/", folder.path().display());
        config.read().map_err(|error| error.to_string().replace(&prefix, ""))
    }

    #[test]
    fn plain_and_gzip_files_give_the_same_images_with_their_labels() {
        let (images, labels) = sound();
        for (images, labels) in [(images.clone(), labels.clone()), (gzip(&images), gzip(&labels))] {
            let dataset = read(&images, &labels, None).unwrap();
            assert_eq!(dataset.input_kind(), InputKind::Image { channels: 1, height: 2, width: 3 });
            assert_eq!(dataset.target(), TargetKind::Class(5));
            let splits = [Split::Train, Split::Validation, Split::Test];
            assert_eq!(splits.map(|split| dataset.rows(split).len()), [8, 1, 1]);
            for split in splits {
                let rows = dataset.rows(split);
                for (image, &label) in rows.inputs.chunks(6).zip(&rows.labels) {
                    let level = (image[0] * 255.0).round() as u32;
                    assert_eq!(level % 5, label);
                    assert!(image.iter().all(|&pixel| pixel == image[0]));
                }
            }
        }
        let dataset = read(&images, &labels, Some(4)).unwrap();
        assert_eq!(dataset.input_kind(), InputKind::grey(4));
    }

    #[test]
    fn damaged_files_are_refused_with_file_and_place() {
        let (images, labels) = sound();
        let complaint = |images: &[u8], labels: &[u8]| read(images, labels, None).unwrap_err();
        let expected = "images: 75 bytes, expected 76 for the sizes [10, 2, 3]";
        assert_eq!(complaint(&images[..75], &labels), expected);
        let truncated = gzip(&images[..75]);
        let expected = "images: holds 59 bytes after its header, expected 60 for the sizes [10, 2, 3]";
        assert_eq!(complaint(&truncated, &labels), expected);
        let longer: Vec<_> = images.iter().copied().chain([0]).collect();
        let expected = "images: holds more than 60 bytes after its header, expected 60 for the sizes [10, 2, 3]";
        assert_eq!(complaint(&gzip(&longer), &labels), expected);
        assert_eq!(complaint(&images[..9], &labels), "images: ends after 9 bytes, within its header of 16");
        assert_eq!(complaint(&[], &labels), "images: ends after 0 bytes, within its header of 16");
        let expected = "images: begins with the bytes [0, 0, 8, 1], expected [0, 0, 8, 3] of an IDX file";
        assert_eq!(complaint(&labels, &labels), expected);
        let nine = idx(&[9], &[0; 9]);
        assert_eq!(complaint(&images, &nine), "labels: 9 labels, expected 10 as in images");
        let wrong_label = idx(&[10], &[0, 1, 2, 3, 4, 0, 1, 5, 3, 4]);
        assert_eq!(complaint(&images, &wrong_label), "labels: label 7 is 5, expected 0 to 4");
        let none = (idx(&[0, 2, 3], &[]), idx(&[0], &[]));
        assert!(complaint(&none.0, &none.1).contains("0 images of 2x3 pixels, expected at least two"));
        let cut = &gzip(&images)[..20];
        assert!(complaint(cut, &labels).starts_with("images: "), "{}", complaint(cut, &labels));
    }

    #[test]
    fn lying_sizes_cost_no_memory() {
        let (_, labels) = sound();
        let promise = idx(&[u32::MAX, u32::MAX, u32::MAX], &[1; 100]);
        for bytes in [promise.clone(), gzip(&promise)] {
            let error = read(&bytes, &labels, None).unwrap_err();
            assert!(error.contains("expected at most 1073741824 bytes"), "{error}");
        }
        let promise = idx(&[1000, 1000, 1000], &[1; 100]);
        let error = read(&promise, &labels, None).unwrap_err();
        assert_eq!(error, "images: 116 bytes, expected 1000000016 for the sizes [1000, 1000, 1000]");
        let error = read(&gzip(&promise), &labels, None).unwrap_err();
        assert!(error.starts_with("images: holds 100 bytes after its header"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let config =
            IdxConfig { images: "no/such/images".into(), labels: "no/such/labels".into(), classes: 10, side: None };
        assert!(config.read().unwrap_err().to_string().starts_with("no/such/images: "));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn changed_bytes_are_read_or_refused_but_never_a_panic(
            place in 0usize..76, value: u8, cut in 0usize..=76, zipped: bool,
        ) {
            let (mut images, labels) = sound();
            images[place] = value;
            images.truncate(cut);
            let images = if zipped { gzip(&images) } else { images };
            let outcome = read(&images, &labels, Some(2));
            prop_assert!(cut == 76 || outcome.is_err() || place < 16);
        }
    }
}
