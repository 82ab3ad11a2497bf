//! Arrays by name, as every kind of file is read into before they become weights.
//!
//! Names are those of the published implementations, joined by `/`. From them and the shapes, the architecture and its
//! sizes can be told ([`NamedTensors::architecture`]); what is not in the shapes (factors, options) has its default.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use crate::{
    AdafacMlpConfig, Architecture, Celo2Config, CeloAdamConfig, CeloConfig, Error, LearnedWeights, VeloConfig,
};

const WHAT: &str = "learned weights";

/// One array, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Axis lengths.
    pub shape: Vec<usize>,
    /// As many values as the shape has elements.
    pub values: Vec<f32>,
}

/// Arrays by name, in the order of the names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NamedTensors {
    tensors: BTreeMap<String, NamedTensor>,
}

impl NamedTensors {
    /// The arrays of a safetensors file, under the names that they have there.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming the first array that is not of type F32.
    pub fn from_safetensors(file: &SafeTensors<'_>) -> Result<Self, Error> {
        let mut tensors = Self::default();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                let dtype = view.dtype();
                return Err(Error::malformed(WHAT, format!("tensor {name:?} is {dtype:?}, expected F32")));
            }
            tensors.insert(name.to_owned(), view.shape().to_vec(), floats(view.data()))?;
        }
        Ok(tensors)
    }

    /// Adds an array whose values fit its shape.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`] when the name is taken.
    pub(super) fn insert(&mut self, name: String, shape: Vec<usize>, values: Vec<f32>) -> Result<(), Error> {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len(), "values fit the shape of {name}");
        match self.tensors.entry(name) {
            Entry::Vacant(place) => {
                place.insert(NamedTensor { shape, values });
                Ok(())
            }
            Entry::Occupied(place) => Err(Error::DuplicateTensor { name: place.key().clone() }),
        }
    }

    /// Adds all arrays of another file.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`] when both have an array of the same name.
    pub fn merge(&mut self, other: Self) -> Result<(), Error> {
        other.tensors.into_iter().try_for_each(|(name, tensor)| self.insert(name, tensor.shape, tensor.values))
    }

    /// The array of that name.
    pub fn get(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.get(name)
    }

    /// Names and arrays, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &NamedTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Number of arrays.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// True when there is no array.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Takes the array of that name out.
    pub(super) fn take(&mut self, name: &str) -> Option<NamedTensor> {
        self.tensors.remove(name)
    }

    /// The architecture that has arrays of these names and shapes, with the sizes found and defaults for the rest.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is none.
    pub fn architecture(&self) -> Result<Architecture, Error> {
        let axis = |name: &str, axis: usize| self.get(name).and_then(|tensor| tensor.shape.get(axis).copied());
        let bank_bias = self.get("ff_mod_stack/~/b0").map(|bias| bias.shape.as_slice());
        let width = axis("lstm_init_state/hidden", 1);
        let inputs = axis("rnn_params/linear_1/w", 0);
        if let Some(hidden) = axis("nn/~/w0", 1) {
            return Ok(Architecture::AdafacMlp(AdafacMlpConfig { hidden, ..Default::default() }));
        }
        match (bank_bias, width, inputs) {
            (Some([_]), None, None) => Ok(Architecture::Celo2(Celo2Config::default())),
            (None, Some(lstm_width), Some(18)) => {
                Ok(Architecture::CeloAdam(CeloAdamConfig { lstm_width, ..Default::default() }))
            }
            (Some(&[bank, _]), Some(lstm_width), Some(18)) => {
                Ok(Architecture::Celo(CeloConfig { lstm_width, bank, ..Default::default() }))
            }
            (Some(&[bank, _]), Some(lstm_width), Some(30)) => {
                Ok(Architecture::Velo(VeloConfig { lstm_width, bank, ..Default::default() }))
            }
            _ => {
                let found = match self.tensors.keys().next() {
                    Some(first) => format!("these {} tensors (the first is {first:?})", self.len()),
                    None => "no tensors".to_owned(),
                };
                let known = "expected those of velo, celo, celo_adam, celo2 or adafac_mlp";
                let problem = format!("no known architecture has {found}; {known}");
                Err(Error::malformed(WHAT, problem))
            }
        }
    }

    /// The weights of `architecture`: every one of its arrays, and no other.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming the first array that is missing, of another shape, not finite or left over;
    /// [`Error::InvalidHyperParameter`] for an impossible configuration.
    pub fn into_weights(mut self, architecture: Architecture) -> Result<LearnedWeights, Error> {
        architecture.check()?;
        let malformed = |problem: String| Error::malformed(WHAT, problem);
        let layout = architecture.theta_layout();
        let mut theta = Vec::new();
        for tensor in layout.tensors() {
            let (name, expected) = (&tensor.name, &tensor.shape);
            let found = self.take(name).ok_or_else(|| malformed(format!("has no tensor {name:?}")))?;
            if found.shape != *expected {
                return Err(malformed(format!("tensor {name:?} has shape {:?}, expected {expected:?}", found.shape)));
            }
            if found.values.iter().any(|value| !value.is_finite()) {
                return Err(malformed(format!("tensor {name:?} is not finite everywhere")));
            }
            theta.extend(found.values);
        }
        if let Some(extra) = self.tensors.keys().next() {
            return Err(malformed(format!("has a tensor {extra:?} that {} does not have", architecture.name())));
        }
        LearnedWeights::new(architecture, theta)
    }
}

/// Little-endian numbers.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
