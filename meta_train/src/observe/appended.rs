//! A file that only grows, by records that are whole or not there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Error;

/// Appends records; what finds no room on the disk waits in memory for the next attempt.
#[derive(Debug)]
pub(super) struct Appended {
    path: PathBuf,
    file: File,
    bytes: u64,
    waiting: Vec<u8>,
    /// Whether a part of what waits may stand in the file.
    torn: bool,
}

impl Appended {
    /// Opens `path`, cut back to `bytes`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
        file.set_len(bytes).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file, bytes, waiting: Vec::new(), torn: false })
    }

    /// Appends `record` after those that are still waiting.
    ///
    /// # Errors
    /// [`Error::Io`]; the file ends with a whole record then, and this one waits.
    pub fn append(&mut self, record: &[u8]) -> Result<(), Error> {
        self.waiting.extend_from_slice(record);
        self.write_waiting()
    }

    /// Makes everything durable and gives the length.
    ///
    /// # Errors
    /// [`Error::Io`], also when something is still waiting.
    pub fn sync(&mut self) -> Result<u64, Error> {
        self.write_waiting()?;
        self.file.sync_data().map_err(Error::io(&self.path))?;
        Ok(self.bytes)
    }

    fn write_waiting(&mut self) -> Result<(), Error> {
        let written = self.mended().and_then(|()| self.file.write_all(&self.waiting));
        if let Err(error) = written {
            self.torn = true;
            // A part of a record would spoil the file for whoever reads it. Should this fail, the next attempt begins with it.
            let _ = self.mended();
            return Err(Error::io(&self.path)(error));
        }
        self.bytes += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    fn mended(&mut self) -> std::io::Result<()> {
        if self.torn {
            self.file.set_len(self.bytes)?;
            self.torn = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_reopened_forgets_what_came_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let mut file = Appended::open(&path, 0).unwrap();
        file.append(b"one\n").unwrap();
        let bytes = file.sync().unwrap();
        file.append(b"two\n").unwrap();
        let mut file = Appended::open(&path, bytes).unwrap();
        file.append(b"three\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\nthree\n");
        assert_eq!(file.sync().unwrap(), 10);
    }

    #[test]
    fn what_cannot_be_written_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let mut file = Appended::open(&path, 0).unwrap();
        file.append(b"one\n").unwrap();
        let writable = std::mem::replace(&mut file.file, File::open(&path).unwrap());
        assert!(file.append(b"two\n").unwrap_err().to_string().contains("records"));
        assert!(file.sync().is_err(), "something is still waiting");
        file.file = writable;
        file.append(b"three\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
    }
}
