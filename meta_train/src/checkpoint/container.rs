//! A file of arrays with a manifest, sealed by a checksum.
//!
//! The arrays are a safetensors file; its metadata holds the manifest, as JSON, and a checksum of the manifest and all arrays, so
//! that a flipped bit anywhere but in the lengths of the format itself, which it checks, is found before anything is
//! believed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::learner::{GapScale, LearnerState};

/// One array of a file.
pub(super) struct Array {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    pub(super) fn floats(name: impl Into<String>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F32, shape: vec![values.len()], bytes }
    }

    pub(super) fn bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), dtype: Dtype::U8, shape: vec![bytes.len()], bytes }
    }

    /// The arrays of a learner's state, their names behind `prefix`.
    pub(super) fn learner(prefix: &str, state: LearnerState) -> [Self; 4] {
        let scales: Vec<f32> = state.scales.iter().flat_map(|scale| [scale.mean_square, scale.weight]).collect();
        [
            Self::floats(format!("{prefix}theta"), &state.theta),
            Self::floats(format!("{prefix}average"), &state.average),
            Self::floats(format!("{prefix}scales"), &scales),
            Self::bytes(format!("{prefix}outer"), state.outer),
        ]
    }
}

/// What [`Array::learner`] was made of.
pub(super) fn learner_state(file: &SafeTensors<'_>, prefix: &str) -> Result<LearnerState, String> {
    let array =
        |name: &str| file.tensor(&format!("{prefix}{name}")).map(|view| view.data()).map_err(|error| error.to_string());
    let scales = to_floats(array("scales")?);
    Ok(LearnerState {
        theta: to_floats(array("theta")?),
        average: to_floats(array("average")?),
        scales: scales.chunks_exact(2).map(|pair| GapScale { mean_square: pair[0], weight: pair[1] }).collect(),
        outer: array("outer")?.to_vec(),
    })
}

/// Keys of the metadata.
const FORMAT: &str = "format";
const MANIFEST: &str = "manifest";
const CHECKSUM: &str = "checksum";

/// Checkpoints of the largest populations stay far below this.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// The bytes of a file with these arrays and this manifest.
pub(super) fn pack(format: &str, mut arrays: Vec<Array>, manifest: &impl Serialize) -> Vec<u8> {
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = serde_json::to_string(manifest).expect("a manifest is plain data");
    let views: Vec<_> = arrays
        .iter()
        .map(|array| {
            let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes).expect("data fits its shape");
            (array.name.as_str(), view)
        })
        .collect();
    let checksum = checksum(format, &manifest, views.iter().map(|(name, view)| (*name, view)));
    let metadata = [(FORMAT, format.to_owned()), (MANIFEST, manifest), (CHECKSUM, checksum)];
    let metadata: HashMap<_, _> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    safetensors::serialize(views, Some(metadata)).expect("names are unique and shapes match")
}

/// The arrays in `bytes`, which were read from `path`, and its manifest.
///
/// # Errors
/// [`Error::DamagedCheckpoint`] when the checksum is not that of the contents, then [`Error::Checkpoint`] when the contents are of
/// another format.
pub(super) fn unpack<'a, M: DeserializeOwned>(
    path: &Path,
    bytes: &'a [u8],
    format: &str,
) -> Result<(SafeTensors<'a>, M), Error> {
    let damaged = |problem: String| Error::damaged(path, problem);
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
    let field = |key: &str| {
        let found = metadata.metadata().as_ref().and_then(|metadata| metadata.get(key));
        found.ok_or_else(|| damaged(format!("it has no {key}")))
    };
    if let (Err(_), Ok(manifest)) = (field(FORMAT), field(MANIFEST)) {
        // Earlier versions had it inside, beside a checksum of the arrays alone.
        let older = serde_json::from_str::<serde_json::Value>(manifest).ok().and_then(|manifest| {
            let written = manifest["format"].as_str()?;
            Some(other_format(path, written, format))
        });
        return Err(older.unwrap_or_else(|| damaged(format!("it has no {FORMAT}"))));
    }
    let (written, manifest, expected) = (field(FORMAT)?, field(MANIFEST)?, field(CHECKSUM)?);
    let mut views: Vec<(&str, TensorView<'_>)> = file.iter().collect();
    views.sort_by_key(|(name, _)| *name);
    let found = checksum(written, manifest, views.iter().map(|(name, view)| (*name, view)));
    if *expected != found {
        return Err(damaged(format!("checksum is {found:?}, expected {expected:?}")));
    }
    if written != format {
        return Err(other_format(path, written, format));
    }
    let manifest = serde_json::from_str(manifest).map_err(|error| damaged(error.to_string()))?;
    Ok((file, manifest))
}

fn other_format(path: &Path, found: &str, expected: &str) -> Error {
    let problem = format!("format is {found:?}, expected {expected:?}; go on with the program that wrote it");
    Error::checkpoint(path, problem)
}

/// 64-bit FNV-1a over everything in a file, in hexadecimal. It guards against damage, not against intent.
fn checksum<'a>(format: &str, manifest: &str, arrays: impl Iterator<Item = (&'a str, &'a TensorView<'a>)>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    add(format.as_bytes());
    add(manifest.as_bytes());
    for (name, view) in arrays {
        add(name.as_bytes());
        add(format!("{:?}{:?}", view.dtype(), view.shape()).as_bytes());
        add(view.data());
    }
    format!("{hash:016x}")
}

/// The bytes of a file that is not absurdly long.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] for a longer one.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, Error> {
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MAX_FILE_BYTES {
        return Err(Error::checkpoint(path, format!("is {size} bytes long, expected at most {MAX_FILE_BYTES}")));
    }
    fs::read(path).map_err(Error::io(path))
}

pub(super) fn to_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> Vec<u8> {
        let arrays = vec![Array::floats("theta", &[1.0, -2.5]), Array::bytes("outer", vec![7, 8, 9])];
        pack("test 1", arrays, &("clock", 17))
    }

    fn unpacked(bytes: &[u8], format: &str) -> Result<(String, u64), Error> {
        unpack::<(String, u64)>(Path::new("some.safetensors"), bytes, format).map(|(_, manifest)| manifest)
    }

    #[test]
    fn every_flipped_bit_of_a_file_is_damage() {
        let whole = packed();
        assert_eq!(unpacked(&whole, "test 1").unwrap(), ("clock".to_owned(), 17));
        // Spaces behind the header mean nothing.
        let header = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
        let padding = whole[..header].trim_ascii_end().len()..header;
        for bit in (0..8 * whole.len()).filter(|bit| !padding.contains(&(bit / 8))) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let damaged = matches!(unpacked(&bytes, "test 1"), Err(Error::DamagedCheckpoint { .. }));
            assert!(damaged, "bit {bit}: {}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let error = unpacked(&packed(), "test 2").unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        assert!(error.to_string().contains("format is \"test 1\", expected \"test 2\""), "{error}");
    }

    #[test]
    fn a_file_from_before_the_checksum_covered_all_is_told_from_damage() {
        let values = [0u8; 8];
        let view = TensorView::new(Dtype::F32, vec![2], &values).unwrap();
        let manifest = "{\"format\":\"velo-meta-train light checkpoint 1\",\"checksum\":\"5835e801c6f70d85\"}";
        let metadata = HashMap::from([("manifest".to_owned(), manifest.to_owned())]);
        let bytes = safetensors::serialize([("theta", view)], Some(metadata)).unwrap();
        let error = unpacked(&bytes, "velo-meta-train light checkpoint 2").unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        assert!(error.to_string().contains("light checkpoint 1\", expected"), "{error}");
    }
}
