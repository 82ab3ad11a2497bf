//! The weights of a learned optimizer: architecture, meta-parameters, provenance; and their file form.
//!
//! The file is safetensors: one array per weight under the names of the published implementations, and in the
//! metadata the architecture with its configuration (JSON), where the weights come from, their licence, and a
//! checksum of the arrays.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;

use crate::array_file::ArrayFile;
use crate::import::NamedTensors;
use crate::{Architecture, Error, files};

const FORMAT: &str = "velo-optimizer weights 1";
const WHAT: &str = "learned weights";

/// The meta-parameters `theta` of one architecture, with their provenance.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedWeights {
    architecture: Architecture,
    theta: Vec<f32>,
    provenance: BTreeMap<String, String>,
}

impl LearnedWeights {
    /// Weights of an architecture, in the order of [`Architecture::theta_layout`].
    ///
    /// # Errors
    /// [`Error::InvalidHyperParameter`] for an impossible configuration, [`Error::LengthMismatch`] when
    /// `theta` has another length than it asks for.
    pub fn new(architecture: Architecture, theta: Vec<f32>) -> Result<Self, Error> {
        architecture.check()?;
        let expected = architecture.theta_layout().len();
        if theta.len() != expected {
            return Err(Error::LengthMismatch { what: "theta", found: theta.len(), expected });
        }
        Ok(Self { architecture, theta, provenance: BTreeMap::new() })
    }

    /// The architecture and its configuration.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Sets the size of a step at multiplier 1.
    pub fn set_step_size(&mut self, step_size: f32) {
        self.architecture.set_step_size(step_size);
    }

    /// Sets the decoupled weight decay that the optimizer starts with.
    pub fn set_weight_decay(&mut self, coefficient: f32) {
        self.architecture.set_weight_decay(coefficient);
    }

    /// All weights, flat.
    pub fn theta(&self) -> &[f32] {
        &self.theta
    }

    /// Free-form facts about the origin: by convention `provenance`, `licence`, `training_run`.
    pub fn provenance(&self) -> &BTreeMap<String, String> {
        &self.provenance
    }

    /// The same weights with one more fact about their origin.
    #[must_use]
    pub fn with_provenance(mut self, key: &str, value: impl Into<String>) -> Self {
        self.provenance.insert(key.to_owned(), value.into());
        self
    }

    /// A checksum of the weights (64-bit FNV-1a over their little-endian bytes, in hexadecimal). It guards
    /// against damage, not against intent.
    pub fn checksum(&self) -> String {
        let bytes = self.theta.iter().flat_map(|value| value.to_le_bytes());
        let hash = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// The file form: equal weights with equal provenance are equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = ArrayFile::default();
        for tensor in self.architecture.theta_layout().tensors() {
            file.insert(&tensor.name, &tensor.shape, &self.theta[tensor.range.clone()]);
        }
        let architecture = serde_json::to_string(&self.architecture).expect("a configuration is plain data");
        let facts = [("format", FORMAT.to_owned()), ("architecture", architecture), ("checksum", self.checksum())];
        file.metadata.extend(facts.map(|(key, value)| (key.to_owned(), value)));
        let provenance = self.provenance.iter();
        file.metadata.extend(provenance.map(|(key, value)| (format!("provenance.{key}"), value.clone())));
        file.to_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`] saying what is missing or different.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = |problem: String| Error::malformed(WHAT, problem);
        let file =
            SafeTensors::deserialize(bytes).map_err(|error| malformed(format!("not a safetensors file: {error}")))?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| malformed(error.to_string()))?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        match metadata.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(found) => return Err(malformed(format!("format is {found:?}, expected {FORMAT:?}"))),
            None => return Err(malformed(format!("states no format, expected {FORMAT:?}"))),
        }
        let architecture = metadata.get("architecture").ok_or_else(|| malformed("names no architecture".into()))?;
        let architecture: Architecture = serde_json::from_str(architecture)
            .map_err(|error| malformed(format!("architecture cannot be read: {error}")))?;
        architecture.check()?;
        let mut weights = Self::from_tensors(architecture, &file)?;
        let expected = metadata.get("checksum").ok_or_else(|| malformed("states no checksum".into()))?;
        let found = weights.checksum();
        if *expected != found {
            return Err(malformed(format!("checksum is {found}, the file says {expected}: the file is damaged")));
        }
        let facts = metadata.into_iter();
        weights.provenance =
            facts.filter_map(|(key, value)| Some((key.strip_prefix("provenance.")?.to_owned(), value))).collect();
        Ok(weights)
    }

    /// Collects the weights of `architecture` from the arrays of a file, every one of them and no other.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming the first array that is missing, of another shape, or left over.
    pub fn from_tensors(architecture: Architecture, file: &SafeTensors<'_>) -> Result<Self, Error> {
        NamedTensors::from_safetensors(file)?.into_weights(architecture)
    }

    /// Reads a weights file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::InFile`] when it is not what it should be.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::from_bytes(&files::read(path, WHAT)?).map_err(|error| error.in_file(path))
    }

    /// Writes a weights file. Nothing half-written is ever visible under `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        files::write(path.as_ref(), &self.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Celo2Config;

    fn weights() -> LearnedWeights {
        let architecture = Architecture::Celo2(Celo2Config { step_size: 0.004, ..Celo2Config::default() });
        let theta = (0..architecture.theta_layout().len()).map(|i| (i as f32).sin()).collect();
        LearnedWeights::new(architecture, theta).unwrap().with_provenance("licence", "MIT OR Apache-2.0")
    }

    #[test]
    fn a_file_holds_everything() {
        let weights = weights();
        assert_eq!(LearnedWeights::from_bytes(&weights.to_bytes()).unwrap(), weights);
    }

    #[test]
    fn equal_weights_are_equal_bytes() {
        let with_facts = || (0..20).fold(weights(), |weights, i| weights.with_provenance(&format!("fact {i}"), "true"));
        assert_eq!(with_facts().to_bytes(), with_facts().to_bytes());
        let read = LearnedWeights::from_bytes(&with_facts().to_bytes()).unwrap();
        assert_eq!(read.to_bytes(), with_facts().to_bytes());
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut bytes = weights().to_bytes();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        let error = LearnedWeights::from_bytes(&bytes).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = weights().to_bytes();
        for len in (0..bytes.len()).step_by(97) {
            assert!(LearnedWeights::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = LearnedWeights::load("no/such/file.safetensors").unwrap_err();
        assert!(error.to_string().starts_with("no/such/file.safetensors: "), "{error}");
    }

    #[test]
    fn theta_of_another_length_is_refused() {
        let error = LearnedWeights::new(Architecture::Celo2(Celo2Config::default()), vec![0.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "theta has 3 elements, the layout has 347");
    }
}
