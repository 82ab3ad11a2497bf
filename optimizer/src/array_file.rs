//! Files of named arrays in the safetensors format, with equal contents in equal bytes.
//!
//! ```text
//! length of the header (u64, little endian) | header (JSON, padded with spaces to 8 bytes) | data
//! ```
//!
//! The header maps every name to a type, a shape and a range of the data, and `__metadata__` to a map of strings.
//! The `safetensors` crate reads such files but writes their metadata in the order of a hash map, which differs
//! from run to run; here names and keys are written in their own order. The state of one optimizer can be
//! [nested](ArrayFile::nest) in that of another: its names and keys get a prefix.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::Serialize;

use crate::Error;

/// The contents of a file: metadata and named arrays.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ArrayFile {
    /// Free-form text by key.
    pub metadata: BTreeMap<String, String>,
    /// Arrays by name.
    pub arrays: BTreeMap<String, Array>,
}

/// One array as it lies in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    /// Type of its elements.
    pub dtype: Dtype,
    /// Axis lengths, row-major.
    pub shape: Vec<usize>,
    /// Elements, little endian.
    pub data: Vec<u8>,
}

/// What the header says under one name.
#[derive(Serialize)]
#[serde(untagged)]
enum HeaderEntry<'a> {
    Metadata(&'a BTreeMap<String, String>),
    Array { dtype: Dtype, shape: &'a [usize], data_offsets: [usize; 2] },
}

impl ArrayFile {
    /// Adds an array of 32-bit floats.
    pub fn insert(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.arrays.insert(name.to_owned(), Array { dtype: Dtype::F32, shape: shape.to_vec(), data });
    }

    /// Adds an array of bfloat16, given as its bits.
    pub fn insert_halves(&mut self, name: &str, shape: &[usize], values: &[u16]) {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.arrays.insert(name.to_owned(), Array { dtype: Dtype::BF16, shape: shape.to_vec(), data });
    }

    /// Adds everything in `file` with `prefix/` before every name and key.
    pub fn nest(&mut self, prefix: &str, file: Self) {
        self.arrays.extend(file.arrays.into_iter().map(|(name, array)| (format!("{prefix}/{name}"), array)));
        self.metadata.extend(file.metadata.into_iter().map(|(key, value)| (format!("{prefix}/{key}"), value)));
    }

    /// Takes out again what [`nest`](Self::nest) added under `prefix`.
    pub fn take_nested(&mut self, prefix: &str) -> Self {
        Self { arrays: take(&mut self.arrays, prefix), metadata: take(&mut self.metadata, prefix) }
    }

    /// The file form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = BTreeMap::from([("__metadata__", HeaderEntry::Metadata(&self.metadata))]);
        let mut end = 0;
        for (name, Array { dtype, shape, data }) in &self.arrays {
            let data_offsets = [end, end + data.len()];
            end = data_offsets[1];
            header.insert(name, HeaderEntry::Array { dtype: *dtype, shape, data_offsets });
        }
        let mut header = serde_json::to_vec(&header).expect("maps of text and numbers have a JSON form");
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = Vec::with_capacity(8 + header.len() + end);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        self.arrays.values().for_each(|array| bytes.extend(&array.data));
        bytes
    }

    /// Reads any safetensors file. `what` is named in the error.
    pub fn read(bytes: &[u8], what: &'static str) -> Result<Self, Error> {
        let broken = |error| Error::malformed(what, format!("not a safetensors file: {error}"));
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        let array = |view: safetensors::tensor::TensorView<'_>| Array {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            data: view.data().to_vec(),
        };
        let arrays = file.iter().map(|(name, view)| (name.to_owned(), array(view))).collect();
        Ok(Self { metadata, arrays })
    }
}

/// Moves what lies under `prefix/` into a map of its own, without the prefix.
fn take<T>(map: &mut BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
    let (inside, outside): (Vec<_>, Vec<_>) = std::mem::take(map)
        .into_iter()
        .map(|(key, value)| match key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) => (Some(rest.to_owned()), key, value),
            None => (None, key, value),
        })
        .partition(|(inside, ..)| inside.is_some());
    map.extend(outside.into_iter().map(|(_, key, value)| (key, value)));
    inside.into_iter().filter_map(|(rest, _, value)| Some((rest?, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ArrayFile {
        let mut file = ArrayFile::default();
        file.insert("w", &[2, 1], &[1.5, -2.0]);
        file.insert("Empty", &[0, 3], &[]);
        file.metadata.extend(["b", "a", "\"quoted\""].map(|key| (key.to_owned(), key.repeat(2))));
        file
    }

    #[test]
    fn what_is_written_can_be_read_by_the_safetensors_crate() {
        let bytes = file().to_bytes();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("w").unwrap().shape(), [2, 1]);
        assert_eq!(read.tensor("w").unwrap().data(), [1.5f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat());
        assert_eq!(read.tensor("Empty").unwrap().shape(), [0, 3]);
        assert_eq!(ArrayFile::read(&bytes, "file").unwrap(), file());
    }

    #[test]
    fn equal_contents_are_equal_bytes_whatever_the_order_of_insertion() {
        let mut reversed = ArrayFile::default();
        reversed.metadata.extend(file().metadata.into_iter().rev());
        reversed.arrays.extend(file().arrays.into_iter().rev());
        assert_eq!(reversed.to_bytes(), file().to_bytes());
        let again = ArrayFile::read(&file().to_bytes(), "file").unwrap();
        assert_eq!(again.to_bytes(), file().to_bytes());
    }

    #[test]
    fn a_nested_file_comes_out_as_it_went_in() {
        let mut twice = file();
        twice.nest("inner", file());
        let mut outer = file();
        outer.nest("inner", twice.clone());
        outer.insert("innermost", &[], &[1.0]);
        assert_eq!(outer.arrays.len(), 7);
        assert_eq!(outer.take_nested("inner"), twice);
        assert!(outer.arrays.contains_key("innermost"));
        assert_eq!((outer.arrays.len(), outer.metadata), (3, file().metadata));
    }

    #[test]
    fn a_broken_file_is_refused_by_its_purpose() {
        let error = ArrayFile::read(&file().to_bytes()[..40], "optimizer state").unwrap_err();
        assert!(error.to_string().starts_with("optimizer state: not a safetensors file: "), "{error}");
    }
}
