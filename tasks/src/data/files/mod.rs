//! What users have on disk, read with suspicion: sizes are bounded before anything is allocated for them, and every error
//! names the file and the place.
//!
//! | file | module |
//! | --- | --- |
//! | MNIST-family IDX, plain or gzip | `idx` |
//! | CIFAR-10 and CIFAR-100 binary batches | `cifar` |
//! | a directory of PNG and JPEG images by class | `image_folder` |
//! | CSV with a header | `csv_table` |
//! | any text | `text` |
//!
//! Pixels become numbers from 0 to 1. A fifth of the rows is held out by a fixed permutation (of a text, the last tenth). What
//! has been read stays as it was until the program ends, whatever happens to the file.

mod cifar;
mod csv_table;
mod idx;
mod image_folder;
mod pixels;
mod text;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;
pub use cifar::{CifarConfig, CifarKind};
pub use csv_table::{CsvConfig, CsvTarget};
pub use idx::IdxConfig;
pub use image_folder::ImageFolderConfig;
pub use text::TextConfig;

/// Bytes that are read of any one file at most.
const MAX_BYTES: u64 = 1 << 30;

/// Numbers that a data set from files may hold: 1 GiB of them.
const MAX_NUMBERS: usize = 1 << 28;

/// The file for messages.
fn name(path: &Path) -> String {
    path.display().to_string()
}

/// Opens a file that is no larger than allowed; gives its length too.
fn open(path: &Path) -> Result<(File, u64), Error> {
    let failed = |source| Error::File { file: name(path), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::corrupt(name(path), "not a file"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(Error::corrupt(name(path), format!("{} bytes, expected at most {MAX_BYTES}", metadata.len())));
    }
    Ok((file, metadata.len()))
}

/// Up to `limit` bytes: no more memory than there is data, whatever a header promises.
fn read_up_to(path: &Path, source: &mut dyn Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    source.take(limit).read_to_end(&mut bytes).map_err(|source| Error::File { file: name(path), source })?;
    Ok(bytes)
}

/// All bytes of a file that has at most `limit` of them.
pub(crate) fn read_small_file(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let (mut file, length) = open(path)?;
    if length > limit {
        return Err(Error::corrupt(name(path), format!("{length} bytes, expected at most {limit}")));
    }
    read_up_to(path, &mut file, limit)
}

/// Refuses more rows of `width` numbers than fit.
fn check_size(file: &str, rows: usize, width: usize) -> Result<(), Error> {
    if rows.saturating_mul(width) > MAX_NUMBERS {
        let most = MAX_NUMBERS / width;
        return Err(Error::corrupt(file, format!("{rows} rows of {width} numbers, expected at most {most} rows")));
    }
    Ok(())
}
