//! Files that are either complete or not there.
//!
//! The bytes go to a temporary file in the same folder, are flushed to the disk and then renamed into place, so
//! that a reader (or a crash) never sees half a file, and an older version survives until the new one is whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// Writes `contents` to `path`, replacing what is there in one step.
///
/// # Errors
/// [`Error::Io`] naming the path; whatever was at `path` before is still there then.
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<(), Error> {
    /// Tells apart the temporary files of threads that write at the same time.
    static WRITES: AtomicU64 = AtomicU64::new(0);

    let path = path.as_ref();
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(path.file_name().unwrap_or_default());
    temporary_name.push(format!(".{}-{number}.partial", std::process::id()));
    let temporary = path.with_file_name(temporary_name);

    let written = write_through(&temporary, contents.as_ref()).and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = written {
        // The temporary file may not even exist; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(Error::io(path, source));
    }
    sync_folder_of(path);
    Ok(())
}

fn write_through(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Makes the rename itself durable where folders can be opened and flushed (not on Windows); the file is whole
/// either way, so a failure here is not an error.
fn sync_folder_of(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_file_and_leaves_nothing_else_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theta.bin");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_path_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = folder.path().join("occupied");
        fs::create_dir(&occupied).unwrap();
        fs::write(occupied.join("inside"), b"kept").unwrap();
        let error = write(&occupied, b"new").unwrap_err();
        assert!(error.to_string().contains("occupied"), "{error}");
        assert_eq!(fs::read(occupied.join("inside")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
