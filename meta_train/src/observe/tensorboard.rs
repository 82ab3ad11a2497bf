//! A TensorBoard event file: the numbers of `metrics.jsonl` and the standings of snapshots as scalars over outer steps.
//!
//! The file is a sequence of records, each
//!
//! ```text
//! length: u64 | masked crc32c of length: u32 | event | masked crc32c of event: u32        little-endian
//! masked(c) = rotate_right(c, 15) + 0xa282ead8
//! ```
//!
//! and an event is a protobuf message: wall time (field 1), step (2), and either the file's version (3) or a summary
//! (5) of tagged values. Everything in it follows from `metrics.jsonl` and `validation/standings.jsonl`, so resuming
//! writes it anew from there.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::appended::Appended;
use super::metrics::Record;
use crate::Error;
use crate::validation::Standing;

/// Appends events.
#[derive(Debug)]
pub struct EventFile {
    file: Appended,
    /// Seconds since the epoch at which training would have begun without interruptions.
    began: f64,
    /// The newest snapshot whose standing is in the file.
    newest: Option<u64>,
}

impl EventFile {
    /// Writes `path` anew with `records` and `standings`, both oldest first, of a run that has trained for `seconds`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, seconds: f64, records: &[Record], standings: &[Standing]) -> Result<Self, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut events = Self { file: Appended::open(path, 0)?, began: now - seconds, newest: None };
        let mut first = Vec::new();
        double(&mut first, 1, events.began);
        bytes(&mut first, 3, b"brain.Event:2");
        let mut all = framed(&first);
        records.iter().for_each(|record| all.extend(framed(&of_record(events.began, record))));
        events.file.append(&all)?;
        for standing in standings {
            // When it became known is not kept: it gets the time of its snapshot.
            let before = records.partition_point(|record| record.generation <= standing.generation);
            let seconds = before.checked_sub(1).map_or(0.0, |newest| records[newest].seconds);
            events.append_standing(standing, seconds)?;
        }
        Ok(events)
    }

    /// Appends the scalars of one outer step.
    ///
    /// # Errors
    /// [`Error::Io`]; the event is kept and written before the next one.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        self.file.append(&framed(&of_record(self.began, record)))
    }

    /// Appends how a snapshot stands, known when training had taken `seconds`; one that is in the file already, or is
    /// older than one that is, is left out, as viewers take a step back for a restart and drop what came after it.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_standing(&mut self, standing: &Standing, seconds: f64) -> Result<(), Error> {
        if self.newest.is_some_and(|newest| standing.generation <= newest) {
            return Ok(());
        }
        self.newest = Some(standing.generation);
        let scalars = [
            ("validation/training_ratio", standing.train.value as f32),
            ("validation/validation_ratio", standing.validation.value as f32),
        ];
        self.file.append(&framed(&event(self.began + seconds, standing.generation, &scalars)))
    }
}

/// The event of one outer step.
fn of_record(began: f64, record: &Record) -> Vec<u8> {
    let scalars = [
        ("training/meta_loss", record.meta_loss),
        ("training/gradient_norm", record.gradient_norm),
        ("training/signal_to_noise", record.signal_to_noise),
        ("runs/diverged_share", record.diverged as f32 / record.ended.max(1) as f32),
        ("runs/dropped", record.dropped as f32),
        ("runs/lost", record.lost as f32),
        ("runs/stale_share", record.stale_share),
        ("runs/rolled_back", f32::from(u8::from(record.rolled_back))),
        ("speed/inner_steps_per_second", record.inner_steps_per_second as f32),
        ("speed/inner_steps", record.inner_steps as f32),
    ];
    event(began + record.seconds, record.generation, &scalars)
}

/// An event at `time`, in seconds since the epoch, with tagged numbers of an outer step.
fn event(time: f64, step: u64, scalars: &[(&str, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, scalar) in scalars {
        let mut value = Vec::new();
        bytes(&mut value, 1, tag.as_bytes());
        value.push(field(2, 5));
        value.extend(scalar.to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    let mut event = Vec::new();
    double(&mut event, 1, time);
    event.push(field(2, 0));
    varint(&mut event, step);
    bytes(&mut event, 5, &summary);
    event
}

/// The key of protobuf field `number` (up to 15) with a wire type.
fn field(number: u8, wire_type: u8) -> u8 {
    number << 3 | wire_type
}

fn double(message: &mut Vec<u8>, number: u8, value: f64) {
    message.push(field(number, 1));
    message.extend(value.to_le_bytes());
}

fn bytes(message: &mut Vec<u8>, number: u8, value: &[u8]) {
    message.push(field(number, 2));
    varint(message, value.len() as u64);
    message.extend(value);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn framed(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(event.len() + 16);
    record.extend(length);
    record.extend(masked_crc32c(&length).to_le_bytes());
    record.extend(event);
    record.extend(masked_crc32c(event).to_le_bytes());
    record
}

fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The Castagnoli checksum, bit by bit: events are a few hundred bytes.
fn crc32c(data: &[u8]) -> u32 {
    let shifted = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| shifted(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::tests::record;
    use crate::validation::standing::tests::standing;

    #[test]
    fn the_checksum_of_nine_digits_is_the_published_one() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn varints_carry_seven_bits_per_byte() {
        let mut message = Vec::new();
        varint(&mut message, 300);
        assert_eq!(message, [0xac, 0x02]);
    }

    #[test]
    fn writing_anew_from_the_metrics_gives_the_file_that_appending_gave() {
        let folder = tempfile::tempdir().unwrap();
        let (appended, anew) = (folder.path().join("appended"), folder.path().join("anew"));
        let (records, standings) = ([record(1), record(200)], [standing(0, 0.5, 0.75), standing(200, 1.0, 1.25)]);
        let mut file = EventFile::create(&appended, 0.0, &[], &[]).unwrap();
        file.append_standing(&standings[0], 0.0).unwrap();
        records.iter().for_each(|record| file.append(record).unwrap());
        file.append_standing(&standings[1], 0.1).unwrap();
        EventFile::create(&anew, 0.0, &records, &standings).unwrap();
        let (appended, anew) = (std::fs::read(appended).unwrap(), std::fs::read(anew).unwrap());
        assert_eq!(appended.len(), anew.len());
        let count = |tag: &[u8]| anew.windows(tag.len()).filter(|window| *window == tag).count();
        assert_eq!(count(b"training/meta_loss"), 2);
        assert_eq!(count(b"validation/training_ratio"), 2);
        let value = [&b"validation/validation_ratio"[..], &[field(2, 5)], &1.25f32.to_le_bytes()].concat();
        assert_eq!(count(&value), 1, "the number follows its tag");
    }

    #[test]
    fn a_snapshot_is_told_once_and_never_after_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let mut file = EventFile::create(&path, 0.0, &[], &[standing(500, 1.0, 1.25)]).unwrap();
        let length = || std::fs::metadata(&path).unwrap().len();
        let before = length();
        file.append_standing(&standing(500, 1.0, 1.25), 1.0).unwrap();
        file.append_standing(&standing(0, 1.0, 1.25), 1.0).unwrap();
        assert_eq!(length(), before);
        file.append_standing(&standing(1000, 1.0, 1.25), 1.0).unwrap();
        assert!(length() > before);
    }
}
