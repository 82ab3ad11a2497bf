//! What can go wrong, each with what it concerns, where it is and what to do about it.

use std::path::{Path, PathBuf};

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a configuration or of a scene outside its domain.
    #[error("{field} is {found}, expected {expected}")]
    InvalidField {
        /// The field, with the path to it.
        field: String,
        /// Its value.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// A name that nothing has.
    #[error("there is no {what} {name:?}; did you mean {nearest:?}? there are {listing}")]
    UnknownName {
        /// What kind of thing was asked for.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The closest existing name.
        nearest: String,
        /// All names.
        listing: String,
    },
    /// An object for which no free place was found.
    #[error(
        "scene seed {seed}: object {object} found no free place in {attempts} attempts; \
         widen the group's `spawn`, or lower its `count` or `size`"
    )]
    Placement {
        /// The seed of the scene.
        seed: u64,
        /// Which object, counted from 1.
        object: usize,
        /// Places tried.
        attempts: u32,
    },
    /// No composition of shape, colour and material is left to draw from.
    #[error("scene seed {seed}: every combination of shape, colour and material drawn is held out; shorten `hold_out`")]
    AllHeldOut {
        /// The seed of the scene.
        seed: u64,
    },
    /// A simulation that left the numbers it can be rendered with.
    #[error(
        "scene seed {seed}: object {object} left the scene at frame {frame}; lower `velocity` or the density of objects"
    )]
    Diverged {
        /// The seed of the scene.
        seed: u64,
        /// Which object, counted from 1.
        object: usize,
        /// Frame of its first impossible state.
        frame: i64,
    },
    /// A mesh that cannot be rendered.
    #[error("mesh {mesh}: {problem}")]
    Mesh {
        /// The file, or the name of the procedural mesh.
        mesh: String,
        /// What is wrong, where, and what is expected.
        problem: String,
    },
    /// Text that is not a valid configuration or scene.
    #[error("{file}: {problem}")]
    Syntax {
        /// The file.
        file: String,
        /// Where and what is wrong.
        problem: String,
    },
    /// A file of a data set that is not what it claims to be.
    #[error("{}: {problem}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A data set or scene of another version of the format.
    #[error("{}: schema version {found}, this program reads {expected}; generate the data again or use the matching release", file.display())]
    SchemaVersion {
        /// The file.
        file: PathBuf,
        /// The version it has.
        found: u32,
        /// The version that is read.
        expected: u32,
    },
    /// A folder that holds a data set of another configuration.
    #[error("{}: holds scenes of the configuration {found}, not of {expected}; choose another folder", folder.display())]
    OtherConfig {
        /// The folder.
        folder: PathBuf,
        /// Hash of the configuration that is there.
        found: String,
        /// Hash of the configuration asked for.
        expected: String,
    },
    /// The operating system refused to read or write.
    #[error("{}: {source}", file.display())]
    File {
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The caller asked to stop; what is finished is on disk.
    #[error("stopped; run the same command again to continue")]
    Interrupted,
    /// No thread could be started.
    #[error("cannot start a worker thread: {0}")]
    Worker(#[from] rayon::ThreadPoolBuildError),
}

impl Error {
    /// True if one scene cannot be drawn, while others of the same configuration may.
    pub(crate) fn is_of_one_scene(&self) -> bool {
        matches!(self, Self::Placement { .. } | Self::AllHeldOut { .. } | Self::Diverged { .. })
    }

    /// Shorthand for [`Error::InvalidField`].
    pub(crate) fn invalid(
        field: impl Into<String>,
        found: impl std::fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::InvalidField { field: field.into(), found: found.to_string(), expected: expected.into() }
    }

    /// Shorthand for [`Error::File`].
    pub(crate) fn file(file: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::File { file: file.as_ref().to_path_buf(), source }
    }

    /// Shorthand for [`Error::Corrupt`].
    pub(crate) fn corrupt(file: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::Corrupt { file: file.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// [`Error::UnknownName`] with the nearest of `names`.
    pub(crate) fn unknown_name(what: &'static str, name: &str, names: &[&str]) -> Self {
        let nearest = names.iter().min_by_key(|known| strsim::levenshtein(known, name)).unwrap_or(&"").to_string();
        Self::UnknownName { what, name: name.to_owned(), nearest, listing: names.join(", ") }
    }
}
