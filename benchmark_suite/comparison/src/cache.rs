//! Finished trials, one file each, under a hash of everything that they depend on.
//!
//! A trial is written in one step when it has ended, so a kill costs at most the trials that were running, and nothing is
//! done twice. Folders may be shared by runs, by processes at the same time and, copied together, by machines. What
//! other code has computed has other hashes; it is never mixed in.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::trial::Measurement;
use crate::{Error, atomic_file, fingerprint};

/// A folder of finished trials.
#[derive(Debug, Clone)]
pub struct TrialCache {
    folder: PathBuf,
}

/// What one file says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The parts of the key, against collisions and for whoever looks.
    of: Vec<String>,
    outcome: Result<Measurement, String>,
}

impl TrialCache {
    /// The cache in that folder, which is made when something is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The outcome of the trial that these parts identify, if it is there. A file that is damaged counts as none.
    pub fn find(&self, parts: &[&str]) -> Option<Result<Measurement, String>> {
        let text = fs::read(self.path(parts)).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (entry.of == parts).then_some(entry.outcome)
    }

    /// Keeps an outcome.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; what was there before is still there then.
    pub fn keep(&self, parts: &[&str], outcome: &Result<Measurement, String>) -> Result<(), Error> {
        let path = self.path(parts);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let entry = Entry { of: parts.iter().map(|part| (*part).to_owned()).collect(), outcome: outcome.clone() };
        atomic_file::write(&path, serde_json::to_vec(&entry).expect("an entry is plain data"))
    }

    /// 256 folders, so that none gets too large.
    fn path(&self, parts: &[&str]) -> PathBuf {
        let key = fingerprint::key(parts);
        self.folder.join(&key[..2]).join(format!("{key}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::trial;

    #[test]
    fn outcomes_come_back_to_the_bit_and_only_under_their_parts() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TrialCache::new(folder.path().join("trials"));
        let measured = trial("wine", "adam", 1, 1.0 / 3.0, f32::MIN_POSITIVE).outcome;
        cache.keep(&["wine", "adam"], &measured).unwrap();
        cache.keep(&["wine", "sgd"], &Err("panicked".to_owned())).unwrap();
        assert_eq!(cache.find(&["wine", "adam"]), Some(measured));
        assert_eq!(cache.find(&["wine", "sgd"]), Some(Err("panicked".to_owned())));
        assert_eq!(cache.find(&["wine", "lion"]), None);
    }

    #[test]
    fn a_damaged_or_foreign_file_counts_as_none_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TrialCache::new(folder.path());
        let outcome = trial("wine", "adam", 1, 0.5, 0.5).outcome;
        cache.keep(&["a"], &outcome).unwrap();
        let path = cache.path(&["a"]);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(cache.find(&["a"]), None);
        fs::create_dir_all(cache.path(&["b"]).parent().unwrap()).unwrap();
        fs::write(cache.path(&["b"]), &whole).unwrap();
        assert_eq!(cache.find(&["b"]), None, "under the name of another trial");
        cache.keep(&["a"], &outcome).unwrap();
        assert_eq!(cache.find(&["a"]), Some(outcome));
    }
}
