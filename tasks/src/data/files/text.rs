//! A text file as bytes, for language models.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{MAX_BYTES, name, open, read_up_to};
use crate::Error;
use crate::data::dataset::Dataset;
use crate::data::text;
use crate::error::check_range;

/// A text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// The file.
    pub path: PathBuf,
    /// Bytes of a window, 2 to 4096.
    pub length: usize,
    /// Takes bytes that are not UTF-8 too.
    #[serde(default)]
    pub any_bytes: bool,
}

impl TextConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.length", self.length, 2..=text::MAX_LENGTH)
    }

    pub(crate) fn read(&self) -> Result<Dataset, Error> {
        let (mut file, _) = open(&self.path)?;
        let bytes = read_up_to(&self.path, &mut file, MAX_BYTES)?;
        if let (false, Err(error)) = (self.any_bytes, std::str::from_utf8(&bytes)) {
            let (place, byte) = (error.valid_up_to(), bytes[error.valid_up_to()]);
            let problem = format!("byte {place} is {byte:#04x}, expected UTF-8 text; any_bytes: true takes all bytes");
            return Err(Error::corrupt(name(&self.path), problem));
        }
        text::windows(&name(&self.path), bytes, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn invalid_utf8_is_refused_with_its_place_unless_any_bytes_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        std::fs::write(&path, [b"abc".as_slice(), &[0xff, 0xfe].repeat(500)].concat()).unwrap();
        let error = TextConfig { path: path.clone(), length: 16, any_bytes: false }.read().unwrap_err().to_string();
        assert!(
            error.ends_with("bytes: byte 3 is 0xff, expected UTF-8 text; any_bytes: true takes all bytes"),
            "{error}"
        );
        let dataset = TextConfig { path, length: 16, any_bytes: true }.read().unwrap();
        assert!(dataset.rows(Split::Validation).inputs.iter().all(|&byte| byte >= 254.0));
    }

    #[test]
    fn missing_and_short_files_and_folders_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let short = folder.path().join("short.txt");
        std::fs::write(&short, "too short").unwrap();
        let complaint =
            |path: PathBuf| TextConfig { path, length: 16, any_bytes: false }.read().unwrap_err().to_string();
        assert!(complaint(short).ends_with("short.txt: 9 bytes, expected at least 320 for windows of 16"));
        assert!(complaint(folder.path().join("missing")).contains("missing: "));
        assert!(complaint(folder.path().to_owned()).ends_with(": not a file"));
    }
}
