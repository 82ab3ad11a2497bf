//! What can go wrong, each with the offending value and the expected one.

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a configuration outside its domain.
    #[error("{field} is {found}, expected {expected}")]
    InvalidField {
        /// The field, with the path to it.
        field: String,
        /// Its value.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// A name that no task or family has.
    #[error("there is no {what} {name:?}; did you mean {nearest:?}? {listing}")]
    UnknownName {
        /// `task` or `task family`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The closest existing name.
        nearest: String,
        /// All names.
        listing: String,
    },
    /// Bundled or loaded data that is not what it claims to be.
    #[error("{file}: {problem}")]
    CorruptData {
        /// The file.
        file: String,
        /// Where and what is wrong, and what was expected.
        problem: String,
    },
    /// A file that cannot be opened or read.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The optimizer refused a step.
    #[error(transparent)]
    Optimizer(#[from] velo_optimizer::Error),
    /// A training run took longer than it was given.
    #[error("stopped after {seconds:.1} s at step {step} of {steps}: the limit of a run is {limit:.1} s")]
    OutOfTime {
        /// Seconds so far.
        seconds: f64,
        /// Seconds that were given.
        limit: f64,
        /// Steps done.
        step: u64,
        /// Steps planned.
        steps: u64,
    },
    /// No thread could be started for a worker.
    #[error("cannot start a worker thread: {0}")]
    Worker(#[from] rayon::ThreadPoolBuildError),
}

impl Error {
    /// Shorthand for [`Error::InvalidField`].
    pub(crate) fn invalid(
        field: impl Into<String>,
        found: impl std::fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::InvalidField { field: field.into(), found: found.to_string(), expected: expected.into() }
    }

    /// Shorthand for [`Error::CorruptData`].
    pub(crate) fn corrupt(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::CorruptData { file: file.into(), problem: problem.into() }
    }

    /// [`Error::UnknownName`] for a name that is none of `names`, with the closest of them.
    pub fn unknown(what: &'static str, name: &str, names: &[&str]) -> Self {
        let nearest = names.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name)).copied();
        Self::UnknownName {
            what,
            name: name.to_owned(),
            nearest: nearest.unwrap_or_default().to_owned(),
            listing: format!("known: {}", names.join(", ")),
        }
    }
}

/// `Ok` when `value` lies in `range`, an error naming the field and the bounds otherwise.
pub(crate) fn check_range<T: PartialOrd + std::fmt::Display + Copy>(
    field: impl Into<String>,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), Error> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(field, value, format!("{} to {}", range.start(), range.end())))
}

/// `Ok` when `value` is one of `choices`, an error naming the field and all of them otherwise.
pub(crate) fn check_choice<T: PartialEq + std::fmt::Display>(
    field: &str,
    value: T,
    choices: &[T],
) -> Result<(), Error> {
    if choices.contains(&value) {
        return Ok(());
    }
    let listing: Vec<_> = choices.iter().map(T::to_string).collect();
    Err(Error::invalid(field, value, listing.join(" or ")))
}
