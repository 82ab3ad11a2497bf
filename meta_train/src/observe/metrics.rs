//! `metrics.jsonl`: one [`Record`] per outer step.
//!
//! The file is flushed to the disk before each checkpoint, which remembers its length; resuming cuts it back
//! to that length, so that every outer step appears once.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
    /// Mean meta-loss of the windows.
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
    path: PathBuf,
    writer: BufWriter<File>,
    bytes: u64,
}

impl MetricsFile {
    /// Opens `path`, cut back to `bytes`.
    ///
    /// # Errors
    /// [`Error::RunFolder`] when the file is shorter than that, [`Error::Io`] when it cannot be opened.
    pub fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
        let found = file.metadata().map_err(Error::io(path))?.len();
        if found < bytes {
            let problem = format!("has {found} bytes, the checkpoint expects at least {bytes}");
            return Err(Error::run_folder(path, problem));
        }
        file.set_len(bytes).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), writer: BufWriter::new(file), bytes })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let mut line = serde_json::to_string(record).expect("a record is plain data");
        line.push('\n');
        self.writer.write_all(line.as_bytes()).map_err(Error::io(&self.path))?;
        self.writer.flush().map_err(Error::io(&self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Makes everything durable and gives the length.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&mut self) -> Result<u64, Error> {
        self.writer.get_ref().sync_data().map_err(Error::io(&self.path))?;
        Ok(self.bytes)
    }
}

/// All records of a run, in order.
///
/// # Errors
/// [`Error::Io`], or [`Error::RunFolder`] naming the line that cannot be read.
pub fn read(path: &Path) -> Result<Vec<Record>, Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut records = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(Error::io(path))?;
        let record = serde_json::from_str(&line)
            .map_err(|error| Error::run_folder(path, format!("line {}: {error}", number + 1)))?;
        records.push(record);
    }
    Ok(records)
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
    let parsed = |(number, line)| {
        serde_json::from_str(line).map_err(|error| Error::run_folder(path, format!("line {}: {error}", number + 1)))
    };
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
    fn reopening_forgets_what_came_after_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut file = MetricsFile::open(&path, 0).unwrap();
        file.append(&record(1)).unwrap();
        let bytes = file.sync().unwrap();
        file.append(&record(2)).unwrap();
        drop(file);
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
