//! What can go wrong around a comparison, each with the offending value and the expected one.

use std::path::{Path, PathBuf};

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A run folder that cannot be made.
    #[error("the run folder {} cannot be created; name another with --out", path.display())]
    CannotCreate {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A configuration file that does not say what it should.
    #[error("{}:{line}:{column}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Line of the problem, counted from one.
        line: usize,
        /// Column of the problem, counted from one.
        column: usize,
        /// Field, what is wrong with it and what was expected.
        problem: String,
    },
    /// An override (`--set a.b=c`) that cannot be applied.
    #[error("--set {argument}: {problem}")]
    Override {
        /// The argument as given.
        argument: String,
        /// What is wrong with it and what was expected.
        problem: String,
    },
    /// A field whose value is outside its domain.
    #[error("{field}: {problem}")]
    InvalidField {
        /// The field, as a path.
        field: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A table of trials that cannot be read back.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line and column of the table, and what was expected there.
        problem: String,
    },
    /// An output folder that already holds something.
    #[error("{} already exists and is not empty; nothing was changed, choose another output folder", path.display())]
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A figure that cannot be drawn.
    #[error("figure {title:?}: {problem}")]
    Figure {
        /// Its title.
        title: String,
        /// What is wrong with its data.
        problem: String,
    },
    /// An optimizer that cannot be built from its configuration.
    #[error(transparent)]
    Optimizer(#[from] velo_optimizer::Error),
    /// A task that cannot be built from its configuration.
    #[error(transparent)]
    Task(#[from] velo_tasks::Error),
}

impl Error {
    /// Names the file or folder on which `source` happened.
    pub(crate) fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }
}

/// An error with its causes on one line, each told once: causes that the text before already ends with are left out.
pub fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        next = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_message_already_tells_is_not_told_again() {
        let error = Error::io("some/file", std::io::Error::other("the disk is on fire"));
        assert_eq!(one_line(&error), "some/file: the disk is on fire");
    }
}
