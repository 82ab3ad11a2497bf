//! Text as bytes, for language models: windows that begin anywhere.
//!
//! The first nine tenths of a text are trained on; the first half of the last tenth is held out to choose by, its second
//! half to report. Batches of the validation split come from all of the last tenth, as they were published. No window of an
//! evaluation crosses a border. Windows overlap, so every batch is new though the text is not. Any bytes are a text: nothing is decoded.

use std::sync::Arc;

use super::dataset::{Dataset, Generator, Generators, InputKind, Rows, TargetKind};
use crate::Error;
use crate::rng::{Stream, stream_number};

/// Bytes of a window at most.
pub(super) const MAX_LENGTH: usize = 4096;

/// Windows of each part that are evaluated on.
const EVALUATION_ROWS: u64 = 512;

/// Different bytes.
const VOCABULARY: usize = 256;

/// What a window of `length` bytes holds.
pub(super) const fn kinds(length: usize) -> (InputKind, TargetKind) {
    (InputKind::Tokens { vocabulary: VOCABULARY, length }, TargetKind::NextToken)
}

/// The data set of all windows of `length` bytes in the text.
pub(super) fn windows(file: &str, text: Vec<u8>, length: usize) -> Result<Dataset, Error> {
    let boundary = text.len() / 10 * 9;
    let middle = boundary + (text.len() - boundary) / 2;
    if middle - boundary < length {
        let problem = format!("{} bytes, expected at least {} for windows of {length}", text.len(), 20 * length);
        return Err(Error::corrupt(file, problem));
    }
    let part = |bytes: &[u8]| {
        let stream = Stream::new(0, const { stream_number("text window") });
        let windows = Windows { bytes: bytes.into(), starts: (bytes.len() - length + 1) as u64, stream };
        let mut rows = Rows::zeros(EVALUATION_ROWS as usize, length, TargetKind::NextToken);
        rows.generate(&windows, 0..EVALUATION_ROWS, length, 0);
        (rows, Arc::new(windows))
    };
    let (train_rows, train) = part(&text[..boundary]);
    let (_, validation) = part(&text[boundary..]);
    let (validation_rows, _) = part(&text[boundary..middle]);
    let (test_rows, test) = part(&text[middle..]);
    let (inputs, target) = kinds(length);
    let dataset = Dataset::from_rows(inputs, target, train_rows, validation_rows, test_rows);
    Ok(dataset.fresh(Generators { train, validation, test }))
}

/// Windows of one part of a text.
struct Windows {
    bytes: Box<[u8]>,
    /// Places where a window can begin.
    starts: u64,
    stream: Stream,
}

impl Generator for Windows {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let start = self.stream.below(id, self.starts) as usize;
        inputs.iter_mut().zip(&self.bytes[start..]).for_each(|(token, &byte)| *token = f32::from(byte));
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Batch, Split};

    #[test]
    fn windows_are_pieces_of_their_part_and_never_cross_the_border() {
        // Training bytes rise from 0 to 179; those held out from 200 to 219, of which the first half is to choose by.
        let text = (0..180).chain(200..220).collect();
        let dataset = windows("text", text, 5).unwrap();
        let mut rows = dataset.batch_buffer(500);
        for (split, range, evaluated) in
            [(Split::Train, 0..180, 0..180), (Split::Validation, 200..220, 200..210), (Split::Test, 210..220, 210..220)]
        {
            dataset.fill(Batch { seed: 1, split, index: 0 }, &mut rows);
            for window in dataset.rows(split).inputs.chunks(5) {
                assert!(window.iter().all(|&byte| evaluated.contains(&(byte as i32))), "{window:?}");
            }
            let mut starts = std::collections::BTreeSet::new();
            for window in rows.inputs.chunks(5).chain(dataset.rows(split).inputs.chunks(5)) {
                let first = window[0] as i32;
                assert!(range.contains(&first) && range.contains(&(first + 4)), "{window:?}");
                assert!(window.iter().zip(first..).all(|(&byte, expected)| byte == expected as f32));
                starts.insert(first);
            }
            let places = range.len() - 4;
            assert!(starts.len() * 10 > places * 8, "{} of {places} places", starts.len());
        }
    }

    #[test]
    fn any_bytes_are_a_text_but_a_short_one_is_refused() {
        assert!(windows("noise", vec![0xff; 160], 8).is_ok());
        let error = windows("short.txt", vec![b'a'; 70], 8).unwrap_err();
        assert_eq!(error.to_string(), "short.txt: 70 bytes, expected at least 160 for windows of 8");
        assert!(windows("empty", Vec::new(), 1).is_err());
    }
}
