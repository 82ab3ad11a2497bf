//! What can go wrong, each with the offending value and the expected one.

use std::path::PathBuf;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two tensors of one layout share a name.
    #[error("tensor name {name:?} is used twice; names must be unique")]
    DuplicateTensor {
        /// The repeated name.
        name: String,
    },
    /// A shape whose number of elements cannot be addressed.
    #[error("tensor {name:?} of shape {shape:?} does not fit in memory")]
    TensorTooLarge {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A slice handed to `step` has another length than the layout.
    #[error("{what} has {found} elements, the layout has {expected}")]
    LengthMismatch {
        /// `params` or `grads`.
        what: &'static str,
        /// Elements found.
        found: usize,
        /// Elements of the layout.
        expected: usize,
    },
    /// Non-finite gradients under [`crate::NonFinitePolicy::Error`].
    #[error("gradient of tensor {tensor:?} is not finite at step {step}")]
    NonFiniteGradient {
        /// First tensor with a NaN or an infinity.
        tensor: String,
        /// Update number, counted from zero.
        step: u64,
    },
    /// A hyper-parameter outside its domain.
    #[error("{field} is {found}, expected {expected}")]
    InvalidHyperParameter {
        /// The field of the configuration.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A hyper-parameter outside its domain, in a part of a larger configuration.
    #[error("{part}.{source}")]
    InPart {
        /// The field that holds the part, such as `inner`, or the name of an architecture.
        part: String,
        /// What is wrong inside.
        source: Box<Error>,
    },
    /// A name that no optimizer has.
    #[error("unknown optimizer {name:?}; did you mean {nearest:?}?")]
    UnknownOptimizer {
        /// The name asked for.
        name: String,
        /// The most similar name there is.
        nearest: &'static str,
    },
    /// A file or buffer of weights or state that cannot be read as what it claims to be.
    #[error("{what}: {problem}")]
    Malformed {
        /// What was being read, for example `optimizer state` or `learned weights`.
        what: &'static str,
        /// What is wrong with it and what was expected.
        problem: String,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A problem with the contents of one file.
    #[error("{path}: {source}")]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its contents.
        source: Box<Error>,
    },
}

impl Error {
    /// Shorthand for [`Error::Malformed`].
    pub(crate) fn malformed(what: &'static str, problem: impl Into<String>) -> Self {
        Self::Malformed { what, problem: problem.into() }
    }

    /// Names the part of a configuration in which a hyper-parameter was refused. Other errors name their place themselves.
    pub(crate) fn in_part(self, part: impl Into<String>) -> Self {
        match self {
            Self::InvalidHyperParameter { .. } | Self::InPart { .. } => {
                Self::InPart { part: part.into(), source: Box::new(self) }
            }
            other => other,
        }
    }

    /// Names the file in which `self` was found.
    pub(crate) fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::InFile { path: path.into(), source: Box::new(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyper_parameter_is_named_with_its_path() {
        let refused = || Error::InvalidHyperParameter { field: "beta1", found: "2".into(), expected: "less" };
        let error = refused().in_part("optimizer").in_part("groups[1]");
        assert_eq!(error.to_string(), "groups[1].optimizer.beta1 is 2, expected less");
        let elsewhere = Error::malformed("learned weights", "are not there").in_part("inner");
        assert_eq!(elsewhere.to_string(), "learned weights: are not there");
    }
}
