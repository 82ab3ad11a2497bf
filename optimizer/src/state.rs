//! The numbers an optimizer keeps between steps: their layout, and their file form (safetensors).
//!
//! All state of a rule lives in one flat `[f32]`. A [`StateLayout`] names its parts; a part that holds one
//! number per parameter is saved tensor by tensor, so that the file is keyed by names and another order of
//! tensors still loads. [Accumulators](StateLayout::accumulator) may take half the room, and then do so in the file too.

use std::ops::Range;

use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use crate::array_file::ArrayFile;
use crate::bfloat16::{self, AccumulatorStorage};
use crate::{Error, ParamLayout, Schedule};

const FORMAT: &str = "velo-optimizer state 1";
const WHAT: &str = "optimizer state";

/// A contiguous part of the state, handed back by [`StateLayout`] and resolved by [`parts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    start: usize,
    len: usize,
}

impl Slot {
    /// This slot and the one laid out right after it, as one.
    ///
    /// # Panics
    /// If they are not neighbours.
    pub fn join(self, next: Self) -> Self {
        assert_eq!(self.start + self.len, next.start, "only neighbouring slots can be joined");
        Self { start: self.start, len: self.len + next.len }
    }

    /// The elements of the flat state that belong to this slot.
    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

/// Mutable views of several slots at once, in the order asked for.
///
/// # Panics
/// If two slots overlap or lie outside `state`: slots of one [`StateLayout`] never do.
pub fn parts<const N: usize>(state: &mut [f32], slots: [Slot; N]) -> [&mut [f32]; N] {
    state.get_disjoint_mut(slots.map(Slot::range)).expect("slots of one layout are disjoint and in range")
}

/// Names and shapes of everything a rule remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateLayout {
    entries: Vec<Entry>,
    len: usize,
    storage: AccumulatorStorage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    /// Elements of the flat state; two numbers in each where they are stored in half the room.
    range: Range<usize>,
    storage: AccumulatorStorage,
}

impl Entry {
    /// Numbers in the array.
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn dtype(&self) -> Dtype {
        match self.storage {
            AccumulatorStorage::F32 => Dtype::F32,
            AccumulatorStorage::Bf16 => Dtype::BF16,
        }
    }
}

impl StateLayout {
    /// For a rule whose [accumulators](Self::accumulator) are to be stored like that.
    pub fn with_accumulators(storage: AccumulatorStorage) -> Self {
        Self { storage, ..Self::default() }
    }

    /// How accumulators are to be stored.
    pub fn accumulator_storage(&self) -> AccumulatorStorage {
        self.storage
    }

    /// One number per parameter, in the order of the parameters, saved as `kind/<tensor name>`.
    pub fn per_param(&mut self, kind: &str, layout: &ParamLayout) -> Slot {
        let start = self.len;
        for tensor in layout.tensors() {
            self.tensor(&format!("{kind}/{}", tensor.name), &tensor.shape);
        }
        Slot { start, len: self.len - start }
    }

    /// An array of its own, saved under `name`.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Slot {
        self.array(name, shape, AccumulatorStorage::F32)
    }

    /// An array of averages of gradients or of their squares, stored as this layout says. In half the room, two numbers
    /// share an element of the flat state.
    pub fn accumulator(&mut self, name: &str, shape: &[usize]) -> Slot {
        self.array(name, shape, self.storage)
    }

    fn array(&mut self, name: &str, shape: &[usize], storage: AccumulatorStorage) -> Slot {
        let numbers = shape.iter().product();
        let len = match storage {
            AccumulatorStorage::F32 => numbers,
            AccumulatorStorage::Bf16 => bfloat16::words(numbers),
        };
        let slot = Slot { start: self.len, len };
        self.entries.push(Entry { name: name.to_owned(), shape: shape.to_vec(), range: slot.range(), storage });
        self.len += slot.len;
        slot
    }

    /// Total number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when the rule remembers nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Name, shape and range of every saved array, in order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[usize], Range<usize>)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.shape.as_slice(), entry.range.clone()))
    }
}

/// The part of the state that is not an array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub rule: String,
    pub steps_taken: u64,
    pub steps_skipped: u64,
    pub step_multiplier: f32,
    pub weight_decay: f32,
    pub horizon: Option<u64>,
    pub schedule: Schedule,
}

/// A state file: `header` in the metadata, one little-endian array per entry of `layout`.
pub(crate) fn write(header: &Header, layout: &StateLayout, state: &[f32]) -> ArrayFile {
    let mut file = ArrayFile::default();
    for entry in &layout.entries {
        let values = &state[entry.range.clone()];
        match entry.storage {
            AccumulatorStorage::F32 => file.insert(&entry.name, &entry.shape, values),
            AccumulatorStorage::Bf16 => {
                file.insert_halves(&entry.name, &entry.shape, bfloat16::halves(values, entry.len()));
            }
        }
    }
    let header = serde_json::to_string(header).expect("a header is plain data");
    file.metadata.extend([("format".to_owned(), FORMAT.to_owned()), ("header".to_owned(), header)]);
    file
}

/// The file that [`write`] made.
pub(crate) fn open(bytes: &[u8]) -> Result<ArrayFile, Error> {
    ArrayFile::read(bytes, WHAT)
}

/// Reads what [`write`] wrote, for a rule called `rule` whose state is described by `layout`.
pub(crate) fn read(file: &ArrayFile, rule: &str, layout: &StateLayout) -> Result<(Header, Vec<f32>), Error> {
    let malformed = |problem: String| Error::malformed(WHAT, problem);
    match file.metadata.get("format").map(String::as_str) {
        Some(FORMAT) => {}
        Some(found) => return Err(malformed(format!("format is {found:?}, expected {FORMAT:?}"))),
        None => return Err(malformed(format!("states no format, expected {FORMAT:?}"))),
    }
    let header = file.metadata.get("header").ok_or_else(|| malformed("has no header".into()))?;
    let header: Header =
        serde_json::from_str(header).map_err(|error| malformed(format!("header cannot be read: {error}")))?;
    if header.rule != rule {
        return Err(malformed(format!("was saved by the rule {:?}, expected {rule:?}", header.rule)));
    }
    let mut state = vec![0.0; layout.len()];
    for entry in &layout.entries {
        let Entry { name, shape, .. } = entry;
        let array = file.arrays.get(name).ok_or_else(|| malformed(format!("has no tensor {name:?}")))?;
        if array.dtype != entry.dtype() || array.shape != *shape {
            let (dtype, found, expected) = (array.dtype, &array.shape, entry.dtype());
            return Err(malformed(format!("tensor {name:?} is {dtype:?} {found:?}, expected {expected:?} {shape:?}")));
        }
        let values = &mut state[entry.range.clone()];
        match entry.storage {
            AccumulatorStorage::F32 => {
                for (value, &bytes) in values.iter_mut().zip(array.data.as_chunks().0) {
                    *value = f32::from_le_bytes(bytes);
                }
            }
            AccumulatorStorage::Bf16 => {
                for (half, &bytes) in bfloat16::halves_mut(values, entry.len()).iter_mut().zip(array.data.as_chunks().0)
                {
                    *half = u16::from_le_bytes(bytes);
                }
            }
        }
    }
    if let Some(extra) = file.arrays.keys().find(|name| layout.entries.iter().all(|entry| entry.name != **name)) {
        return Err(malformed(format!("has a tensor {extra:?} that this layout does not have")));
    }
    Ok((header, state))
}
