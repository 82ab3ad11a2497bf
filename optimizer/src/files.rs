//! Whole files: reads that are bounded, writes of which nothing half-done is ever visible.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use crate::Error;

/// No published optimizer is larger than some ten megabytes; a file beyond this is not one.
const MAX_BYTES: u64 = 1 << 30;

/// The bytes of a file. `what` is named in the error if it is too large.
pub(crate) fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(io)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::malformed(what, format!("is larger than {MAX_BYTES} bytes")).in_file(path));
    }
    Ok(bytes)
}

/// Writes a file beside its final place, then renames it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("partial");
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| Error::Io { path: path.to_owned(), source })
}
