//! Real data that is part of the program, so that everything runs offline.

mod tables;

use std::io::Read;

use super::dataset::Dataset;
use super::text;
use crate::Error;
pub(super) use tables::{breast_cancer, diabetes, digits, wine};

/// Bytes in a bundled file at most: a damaged archive cannot fill the memory.
const MAX_BYTES: u64 = 16 << 20;

/// The five books of Moses in the words of 1611, one verse a line: 0.8 MB of ASCII, in windows of `length` bytes.
pub(super) fn king_james(length: usize) -> Result<Dataset, Error> {
    let file = "pentateuch_kjv.txt.gz";
    let bytes = decompress(file, include_bytes!("../../../data/pentateuch_kjv.txt.gz"))?;
    text::windows(file, bytes, length)
}

fn decompress(file: &str, archive: &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut limited = flate2::read::GzDecoder::new(archive).take(MAX_BYTES);
    limited.read_to_end(&mut bytes).map_err(|error| Error::corrupt(file, format!("not a gzip archive: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{InputKind, TargetKind};
    use crate::task::Split;

    #[test]
    fn the_text_is_the_one_its_table_describes() {
        let dataset = king_james(64).unwrap();
        assert_eq!(dataset.input_kind(), InputKind::Tokens { vocabulary: 256, length: 64 });
        assert_eq!(dataset.target(), TargetKind::NextToken);
        assert!(dataset.rows(Split::Train).inputs.iter().all(|&byte| byte < 128.0), "ASCII");
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let whole = include_bytes!("../../../data/digits.csv.gz");
        let error = decompress("digits.csv.gz", &whole[..whole.len() / 2]).unwrap_err();
        assert!(error.to_string().starts_with("digits.csv.gz: not a gzip archive: "), "{error}");
    }
}
