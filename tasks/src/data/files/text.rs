//! Any file as bytes, for language models.

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
}

impl TextConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.length", self.length, 2..=text::MAX_LENGTH)
    }

    pub(crate) fn read(&self) -> Result<Dataset, Error> {
        let (mut file, _) = open(&self.path)?;
        let bytes = read_up_to(&self.path, &mut file, MAX_BYTES)?;
        text::windows(&name(&self.path), bytes, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn invalid_utf8_is_as_good_as_any_other_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        std::fs::write(&path, [0xff, 0xfe].repeat(500)).unwrap();
        let dataset = TextConfig { path, length: 16 }.read().unwrap();
        assert!(dataset.rows(Split::Validation).inputs.iter().all(|&byte| byte >= 254.0));
    }

    #[test]
    fn missing_and_short_files_and_folders_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let short = folder.path().join("short.txt");
        std::fs::write(&short, "too short").unwrap();
        let complaint = |path: PathBuf| TextConfig { path, length: 16 }.read().unwrap_err().to_string();
        assert!(complaint(short).ends_with("short.txt: 9 bytes, expected at least 160 for windows of 16"));
        assert!(complaint(folder.path().join("missing")).contains("missing: "));
        assert!(complaint(folder.path().to_owned()).ends_with(": not a file"));
    }
}
