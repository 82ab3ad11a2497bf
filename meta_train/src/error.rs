//! What can go wrong in a run, each with the offending value and the expected one.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration outside its domain.
    #[error("{field} is {found}, expected {expected}")]
    Config {
        /// Path of the field.
        field: String,
        /// Its value.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// The configuration file that the command names cannot be read.
    #[error("{}: {source}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The run folder cannot be used.
    #[error("{}: {problem}", path.display())]
    RunFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A run that cannot go on.
    #[error("{}: {problem}", path.display())]
    RunFailed {
        /// The run folder.
        path: PathBuf,
        /// What happened and what to do.
        problem: String,
    },
    /// A file of a run whose contents are not what was written.
    #[error("{}: {problem}", path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A checkpoint of a run that was configured in another way.
    #[error(
        "{}: was written under another configuration; differing: {}; put that back in config.ron, or start another run from an \
         export of this one",
        path.display(),
        differing.join(", ")
    )]
    OtherConfiguration {
        /// The checkpoint.
        path: PathBuf,
        /// The differing fields with both values.
        differing: Vec<String>,
    },
    /// A checkpoint that cannot be continued from.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A checkpoint whose contents are not what was written.
    #[error("{}: the checkpoint is damaged: {problem}", path.display())]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// From the optimizer crate.
    #[error(transparent)]
    Optimizer(#[from] velo_optimizer::Error),
    /// From the tasks crate.
    #[error(transparent)]
    Tasks(#[from] velo_tasks::Error),
    /// From the comparison crate.
    #[error(transparent)]
    Comparison(#[from] velo_comparison::Error),
}

impl Error {
    /// True when the command or the configuration has to change, as opposed to the machine or the files.
    pub fn is_usage(&self) -> bool {
        use velo_comparison::Error as Comparison;
        matches!(
            self,
            Self::Config { .. }
                | Self::RunFolder { .. }
                | Self::OtherConfiguration { .. }
                | Self::Tasks(velo_tasks::Error::UnknownName { .. } | velo_tasks::Error::InvalidField { .. })
                | Self::ConfigFile { .. }
                | Self::Optimizer(
                    velo_optimizer::Error::InvalidHyperParameter { .. } | velo_optimizer::Error::InPart { .. }
                )
                | Self::Comparison(
                    Comparison::Config { .. }
                        | Comparison::Override { .. }
                        | Comparison::InvalidField { .. }
                        | Comparison::FolderNotEmpty { .. }
                )
        )
    }

    /// What went wrong with the configuration file of a command: a file that is missing is the caller's to change.
    pub fn of_config_file(error: velo_comparison::Error) -> Self {
        match error {
            velo_comparison::Error::Io { path, source } => Self::ConfigFile { path, source },
            other => Self::Comparison(other),
        }
    }

    pub(crate) fn config(field: impl Into<String>, found: impl Display, expected: impl Into<String>) -> Self {
        Self::Config { field: field.into(), found: found.to_string(), expected: expected.into() }
    }

    /// Shorthand for [`Error::RunFolder`].
    pub fn run_folder(path: &Path, problem: impl Into<String>) -> Self {
        Self::RunFolder { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn run_failed(path: &Path, problem: impl Into<String>) -> Self {
        Self::RunFailed { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn damaged_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::DamagedFile { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn checkpoint(path: &Path, problem: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::DamagedCheckpoint { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}
