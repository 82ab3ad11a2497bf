//! Weights written by others: flax `theta.state` files, and PyLO's safetensors.
//!
//! Bytes of a file → [`NamedTensors`] under the names of the published implementations → [`LearnedWeights`], checked
//! against an [`Architecture`]:
//!
//! ```no_run
//! use velo_optimizer::import;
//!
//! let weights = import::load(&["theta.state"], None)?.with_provenance("licence", "MIT");
//! weights.save("celo.safetensors")?;
//! # Ok::<(), velo_optimizer::Error>(())
//! ```
//!
//! Files are not trusted: every length is checked before memory is reserved for it, so reading costs a small multiple
//! of the file, and whatever the bytes are, the outcome is weights or an [`Error`].

pub mod flax;
mod msgpack;
mod named_tensors;
pub mod pylo;

pub use named_tensors::{NamedTensor, NamedTensors};

use std::path::Path;

use safetensors::SafeTensors;

use crate::{Architecture, Error, LearnedWeights, files};

const WHAT: &str = "learned weights";

/// The kinds of files that hold weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// This crate's own: safetensors that say their architecture. See [`LearnedWeights::from_bytes`].
    Own,
    /// Flax's MessagePack.
    Flax,
    /// Safetensors of a PyLO module.
    Pylo,
    /// Any other safetensors, taken to have the published names.
    Safetensors,
}

impl Format {
    /// The format of a file, from its first bytes and the names in it.
    pub fn of(bytes: &[u8]) -> Self {
        // A safetensors file begins with the length of its JSON header, eight bytes.
        if bytes.get(8) != Some(&b'{') {
            return Self::Flax;
        }
        let Ok(file) = SafeTensors::deserialize(bytes) else { return Self::Safetensors };
        if pylo::is_pylo(file.names()) {
            return Self::Pylo;
        }
        let metadata = SafeTensors::read_metadata(bytes).ok().and_then(|(_, header)| header.metadata().clone());
        match metadata.is_some_and(|metadata| metadata.contains_key("architecture")) {
            true => Self::Own,
            false => Self::Safetensors,
        }
    }

    /// The name of the format in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "velo-optimizer weights",
            Self::Flax => "flax state",
            Self::Pylo => "PyLO safetensors",
            Self::Safetensors => "safetensors",
        }
    }
}

/// Weights from the files that hold them: one, except for PyLO's VeLO, which has its network and its bank in two.
///
/// Without an `architecture` it is told from names and shapes ([`NamedTensors::architecture`]), or read from the file
/// if it is one of this crate.
///
/// # Errors
/// [`Error::Malformed`], [`Error::DuplicateTensor`] or [`Error::InvalidHyperParameter`], saying what does not fit.
pub fn weights<'a>(
    files: impl IntoIterator<Item = &'a [u8]>,
    architecture: Option<Architecture>,
) -> Result<LearnedWeights, Error> {
    let files: Vec<&[u8]> = files.into_iter().collect();
    if let ([file], None) = (files.as_slice(), &architecture)
        && Format::of(file) == Format::Own
    {
        return LearnedWeights::from_bytes(file);
    }
    let mut tensors = NamedTensors::default();
    let mut is_pylo = false;
    for file in files {
        tensors.merge(match Format::of(file) {
            Format::Flax => flax::read(file)?,
            format => {
                is_pylo |= format == Format::Pylo;
                let file = SafeTensors::deserialize(file)
                    .map_err(|error| Error::malformed(WHAT, format!("not a safetensors file: {error}")))?;
                NamedTensors::from_safetensors(&file)?
            }
        })?;
    }
    if is_pylo {
        let (tensors, recognised) = pylo::published(tensors)?;
        return tensors.into_weights(architecture.unwrap_or(recognised));
    }
    let architecture = match architecture {
        Some(architecture) => architecture,
        None => tensors.architecture()?,
    };
    tensors.into_weights(architecture)
}

/// [`weights`] from files by path.
///
/// # Errors
/// Those of [`weights`], naming the first file; [`Error::Io`] when one cannot be read.
pub fn load(paths: &[impl AsRef<Path>], architecture: Option<Architecture>) -> Result<LearnedWeights, Error> {
    let contents = paths.iter().map(|path| files::read(path.as_ref(), WHAT)).collect::<Result<Vec<_>, _>>()?;
    let loaded = weights(contents.iter().map(Vec::as_slice), architecture);
    loaded.map_err(|error| match paths.first() {
        Some(path) => error.in_file(path.as_ref()),
        None => error,
    })
}
