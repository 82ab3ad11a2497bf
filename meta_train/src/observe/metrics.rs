//! `metrics.jsonl`: one [`Record`] per outer step.
//!
//! The file is flushed to the disk before each checkpoint, which remembers its length; resuming cuts it back
//! to that length, so that every outer step appears once.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::appended::Appended;
use crate::Error;
use crate::population::Work;

/// What one worker did in an outer step.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Inner steps, both sides.
    pub inner_steps: u64,
    /// Seconds inside windows.
    pub busy_seconds: f64,
}

impl From<&Work> for WorkerRecord {
    fn from(work: &Work) -> Self {
        Self { inner_steps: work.inner_steps, busy_seconds: work.busy.as_secs_f64() }
    }
}

/// What one outer step looked like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Outer steps taken, this one included.
    pub generation: u64,
    /// Inner steps trained so far, both sides of all pairs.
    pub inner_steps: u64,
    /// Mean meta-loss of the windows; where no run said anything, as between the ends of full-length runs, the usual one so far, and
    /// 0 before there is one.
    pub meta_loss: f32,
    /// Norm of the mean gradient before clipping.
    pub gradient_norm: f32,
    /// Signal-to-noise of the mean gradient; zero for pure noise.
    pub signal_to_noise: f32,
    /// Sides that had diverged among those of episodes that ended in this step.
    pub diverged: u32,
    /// Sides of episodes that ended in this step.
    pub ended: u32,
    /// Contributions dropped because they were not finite.
    pub dropped: u32,
    /// Particles lost to a failure.
    pub lost: u32,
    /// Whether theta had blown up and was rolled back.
    #[serde(default)]
    pub rolled_back: bool,
    /// Reports discarded because their theta was too old.
    #[serde(default)]
    pub stale: u32,
    /// Their share among the reports that came in.
    #[serde(default)]
    pub stale_share: f32,
    /// Outer steps between the theta of the reports and the one that they moved, on average.
    #[serde(default)]
    pub mean_staleness: f32,
    /// Workers that were replaced.
    #[serde(default)]
    pub replaced: u32,
    /// Families whose newest runs all diverged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hopeless: Vec<String>,
    /// What each worker did.
    #[serde(default)]
    pub workers: Vec<WorkerRecord>,
    /// Throughput of this step.
    pub inner_steps_per_second: f64,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsFile {
    file: Appended,
}

impl MetricsFile {
    /// Opens `path`, cut back to `bytes`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened.
    pub fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        Ok(Self { file: Appended::open(path, bytes)? })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// [`Error::Io`]; the line is kept and written before the next one.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let mut line = serde_json::to_string(record).expect("a record is plain data");
        line.push('\n');
        self.file.append(line.as_bytes())
    }

    /// Makes everything durable and gives the length.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&mut self) -> Result<u64, Error> {
        self.file.sync()
    }
}

/// Length of the whole lines within the first `bytes` of `path`: less than that when some were lost.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; one that is missing has no lines.
pub fn whole_lines(path: &Path, bytes: u64) -> Result<u64, Error> {
    let mut found = match std::fs::read(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io(path)(error)),
    };
    found.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(found.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1))
}

/// All records of a run, in order.
///
/// # Errors
/// [`Error::Io`], or [`Error::DamagedFile`] naming the line that cannot be read.
pub fn read(path: &Path) -> Result<Vec<Record>, Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut records = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(Error::io(path))?;
        let record = serde_json::from_str(&line).map_err(|error| unreadable(path, number, &error))?;
        records.push(record);
    }
    Ok(records)
}

fn unreadable(path: &Path, number: usize, error: &serde_json::Error) -> Error {
    let problem = format!("line {}: {error}; to go on without the curves so far, move the file away", number + 1);
    Error::damaged_file(path, problem)
}

/// The whole lines of a file that may be written to at this moment, or not exist yet.
///
/// # Errors
/// As [`read`].
pub fn read_so_far(path: &Path) -> Result<Vec<Record>, Error> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parsed = |(number, line)| serde_json::from_str(line).map_err(|error| unreadable(path, number, &error));
    whole.lines().enumerate().map(parsed).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(generation: u64) -> Record {
        Record {
            generation,
            inner_steps: 10,
            meta_loss: 0.5,
            gradient_norm: 1.0,
            signal_to_noise: 0.0,
            diverged: 0,
            ended: 2,
            dropped: 0,
            lost: 0,
            rolled_back: false,
            stale: 0,
            stale_share: 0.0,
            mean_staleness: 0.0,
            replaced: 0,
            hopeless: Vec::new(),
            workers: Vec::new(),
            inner_steps_per_second: 1e5,
            seconds: 0.1,
        }
    }

    #[test]
    fn only_whole_lines_of_what_a_checkpoint_knows_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert_eq!(whole_lines(&path, 50).unwrap(), 0);
        let mut file = MetricsFile::open(&path, 0).unwrap();
        file.append(&record(1)).unwrap();
        let bytes = file.sync().unwrap();
        file.append(&record(2)).unwrap();
        for known in [bytes, bytes + 1, 2 * bytes - 1] {
            assert_eq!(whole_lines(&path, known).unwrap(), bytes, "{known}");
        }
        assert_eq!(whole_lines(&path, 10 * bytes).unwrap(), 2 * bytes);
        let mut file = MetricsFile::open(&path, bytes).unwrap();
        file.append(&record(3)).unwrap();
        let generations: Vec<u64> = read(&path).unwrap().iter().map(|record| record.generation).collect();
        assert_eq!(generations, [1, 3]);
    }

    #[test]
    fn a_line_that_is_still_being_written_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert_eq!(read_so_far(&path).unwrap(), []);
        let line = serde_json::to_string(&record(1)).unwrap();
        std::fs::write(&path, format!("{line}\n{}", &line[..9])).unwrap();
        assert_eq!(read_so_far(&path).unwrap(), [record(1)]);
    }

    #[test]
    fn a_line_that_is_not_a_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, "{}\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("metrics.jsonl: line 1: missing field"));
    }
}
