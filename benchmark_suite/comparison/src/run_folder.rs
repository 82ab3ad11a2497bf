//! The folder that one run writes into: new or empty, never somebody's results.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::{Error, atomic_file};

/// Creates `path` with its parents, or accepts it when it is an empty folder, and makes sure that it can be
/// written to before any work is done.
///
/// # Errors
/// [`Error::FolderNotEmpty`] when it holds something; [`Error::Io`] when it cannot be created, listed or written.
pub fn create(path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    match fs::read_dir(path) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Error::FolderNotEmpty { path: path.to_owned() });
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(path).map_err(|source| Error::CannotCreate { path: path.to_owned(), source })?;
        }
        Err(source) => return Err(Error::CannotCreate { path: path.to_owned(), source }),
    }
    let probe = path.join("write-test");
    atomic_file::write(&probe, b"")?;
    fs::remove_file(&probe).map_err(|source| Error::io(&probe, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_and_an_empty_folder_are_accepted_a_filled_one_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("runs/first");
        create(&folder).unwrap();
        create(&folder).unwrap();
        fs::write(folder.join("trials.csv"), "kept").unwrap();
        let error = create(&folder).unwrap_err();
        assert!(matches!(error, Error::FolderNotEmpty { .. }), "{error}");
        assert_eq!(fs::read_to_string(folder.join("trials.csv")).unwrap(), "kept");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("occupied");
        fs::write(&file, "kept").unwrap();
        assert!(create(file.join("run")).unwrap_err().to_string().contains("occupied"));
        assert!(create(&file).unwrap_err().to_string().contains("occupied"));
    }
}
