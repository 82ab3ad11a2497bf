//! How scenes were made: one line of JSON per scene, in `jobs-I-of-N.jsonl` beside the data.
//!
//! Times differ from run to run, so the log is no part of the data: nothing hashes it and nothing depends on it. Lines are
//! appended whole; a process that is killed leaves at most one torn line, behind which the next one begins a new line, and
//! which reading passes over. A scene that was made again has more than one line.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::contents::{Seconds, json};
use crate::Error;
use crate::random::mix;

/// How one scene was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Number of the scene in its split.
    pub index: u64,
    /// Its seed.
    pub seed: u64,
    /// What the keys of all its streams of random numbers are mixed from, as hexadecimal digits.
    pub key: String,
    /// Times that its objects were placed anew.
    pub retries: u32,
    /// Seconds by stage.
    pub seconds: Seconds,
    /// Why it was not made.
    pub error: Option<String>,
}

impl LogLine {
    pub(super) fn new(index: u64, seed: u64, retries: u32, seconds: Seconds, error: Option<String>) -> Self {
        Self { index, seed, key: format!("{:016x}", mix(seed)), retries, seconds, error }
    }
}

/// The log of one process.
#[derive(Debug)]
pub(super) struct JobLog {
    path: PathBuf,
    file: Mutex<File>,
}

impl JobLog {
    /// Opens the log of part `.0` of `.1` of a job, to be continued.
    pub(super) fn open(folder: &Path, (part, parts): (u64, u64)) -> Result<Self, Error> {
        let path = folder.join(format!("jobs-{part}-of-{parts}.jsonl"));
        let opened = (|| {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            if file.seek(SeekFrom::End(0))? > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                }
            }
            Ok(file)
        })();
        let file = Mutex::new(opened.map_err(|error| Error::file(&path, error))?);
        Ok(Self { path, file })
    }

    /// Adds a line.
    pub(super) fn append(&self, line: &LogLine) -> Result<(), Error> {
        let mut bytes = json(line);
        bytes.push(b'\n');
        let mut file = self.file.lock().expect("no thread panics while it holds this");
        file.write_all(&bytes).map_err(|error| Error::file(&self.path, error))
    }
}

/// The lines of all logs of a data set, those of one process in order, and the number of torn ones.
///
/// # Errors
/// [`Error::File`].
pub fn read(folder: &Path) -> Result<(Vec<LogLine>, usize), Error> {
    let io = |error| Error::file(folder, error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("jobs-") && name.ends_with(".jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut lines, mut torn) = (Vec::new(), 0);
    for path in paths {
        let bytes = std::fs::read(&path).map_err(|error| Error::file(&path, error))?;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(line) => lines.push(line),
                Err(_) => torn += 1,
            }
        }
    }
    Ok((lines, torn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_passed_over_and_the_next_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let line = |index| LogLine::new(index, 7 + index, 0, Seconds { render: 0.25, ..Seconds::default() }, None);
        JobLog::open(folder.path(), (1, 3)).unwrap().append(&line(0)).unwrap();
        let path = folder.path().join("jobs-1-of-3.jsonl");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &whole[..20]].concat()).unwrap();
        let log = JobLog::open(folder.path(), (1, 3)).unwrap();
        log.append(&line(1)).unwrap();
        assert_eq!(read(folder.path()).unwrap(), (vec![line(0), line(1)], 1));
    }
}
