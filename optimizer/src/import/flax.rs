//! Flax `theta.state` files, as `flax.serialization.to_bytes` writes them.
//!
//! The file is one MessagePack value: nested maps with text keys, and at the leaves extensions of code 1 whose payload
//! is MessagePack again, `[shape, dtype, bytes]` with little-endian row-major data:
//!
//! ```text
//! {"lstm_init_state": {"hidden": ext(1, [[1, 64], "float32", …]), "cell": …}, "rnn_params": {"rnn/linear": {…}, …}, …}
//! ```
//!
//! Keys are joined by `/` into the names of [`NamedTensors`]. The full checkpoints of VeLO wrap this tree once more,
//! `{"params": …, "gen_id": …, "step": …}`; the wrapping is taken off.

use std::path::Path;

use super::msgpack::{self, Value};
use super::named_tensors::{NamedTensors, floats};
use crate::{Error, LearnedWeights, files};

const WHAT: &str = "flax state";

/// Extension code of an array.
const ARRAY: i8 = 1;

const DTYPE: &str = "float32";

/// Axes of one array. Published files have at most three.
const MAX_RANK: usize = 8;

/// Bytes of one key. It bounds the joined names, which are written once for each array below a key.
const MAX_KEY_BYTES: usize = 256;

/// The one key of published trees that contains a slash itself.
const MODULE_PATH: &str = "rnn/linear";

/// Reads the arrays of a file.
///
/// # Errors
/// [`Error::Malformed`] saying what is wrong and where; [`Error::DuplicateTensor`] when two paths give one name.
pub fn read(bytes: &[u8]) -> Result<NamedTensors, Error> {
    let tree = msgpack::decode(bytes).map_err(|problem| Error::malformed(WHAT, problem))?;
    let mut tensors = NamedTensors::default();
    let root = match (tree.get("params"), tree.get("gen_id")) {
        (Some(params), Some(_)) => params,
        _ => &tree,
    };
    collect(&mut tensors, root, "")?;
    Ok(tensors)
}

fn collect(tensors: &mut NamedTensors, node: &Value<'_>, name: &str) -> Result<(), Error> {
    match node {
        Value::Map(entries) => entries.iter().try_for_each(|(key, child)| {
            if key.len() > MAX_KEY_BYTES {
                let problem = format!("has a key of {} bytes, expected at most {MAX_KEY_BYTES}", key.len());
                return Err(Error::malformed(WHAT, problem));
            }
            collect(tensors, child, &if name.is_empty() { (*key).to_owned() } else { format!("{name}/{key}") })
        }),
        Value::Extension(ARRAY, payload) => {
            let (shape, values) =
                array(payload).map_err(|problem| Error::malformed(WHAT, format!("array {name:?} {problem}")))?;
            tensors.insert(name.to_owned(), shape, values)
        }
        _ => Err(Error::malformed(WHAT, format!("has something at {name:?} that is neither a map nor an array"))),
    }
}

/// Decodes `[shape, dtype, bytes]`.
fn array(payload: &[u8]) -> Result<(Vec<usize>, Vec<f32>), String> {
    let Value::Array(parts) = msgpack::decode(payload)? else {
        return Err("is not a triple of shape, type and data".to_owned());
    };
    let [Value::Array(axes), Value::Text(dtype), Value::Binary(data)] = parts.as_slice() else {
        return Err("is not a triple of shape, type and data".to_owned());
    };
    if *dtype != DTYPE {
        return Err(format!("is of type {dtype:?}, expected {DTYPE:?}"));
    }
    if axes.len() > MAX_RANK {
        return Err(format!("has {} axes, expected at most {MAX_RANK}", axes.len()));
    }
    let axis = |value: &Value<'_>| match value {
        Value::Unsigned(length) => usize::try_from(*length).ok(),
        _ => None,
    };
    let shape: Vec<usize> = axes.iter().map(axis).collect::<Option<_>>().ok_or("has an axis that is not a length")?;
    let bytes = shape.iter().try_fold(size_of::<f32>(), |product, &length| product.checked_mul(length));
    if bytes != Some(data.len()) {
        return Err(format!("has {} bytes of data for shape {shape:?} of {DTYPE}", data.len()));
    }
    Ok((shape, floats(data)))
}

/// Writes weights so that the published implementations can read them. Configuration and provenance have no place in
/// such a file.
pub fn write(weights: &LearnedWeights) -> Vec<u8> {
    let layout = weights.architecture().theta_layout();
    let mut root = Branch::default();
    for tensor in layout.tensors() {
        root.insert(&tensor.name, Leaf { shape: &tensor.shape, values: &weights.theta()[tensor.range.clone()] });
    }
    let mut out = Vec::with_capacity(4 * layout.len() + 64 * layout.tensors().len());
    root.put(&mut out);
    out
}

/// Writes a file in the form of [`write()`]. Nothing half-written is ever visible under `path`.
///
/// # Errors
/// [`Error::Io`].
pub fn save(weights: &LearnedWeights, path: impl AsRef<Path>) -> Result<(), Error> {
    files::write(path.as_ref(), &write(weights))
}

struct Leaf<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

/// A map of the file, being built.
#[derive(Default)]
struct Branch<'a> {
    children: Vec<(&'a str, Node<'a>)>,
}

enum Node<'a> {
    Branch(Branch<'a>),
    Leaf(Leaf<'a>),
}

impl<'a> Branch<'a> {
    fn insert(&mut self, name: &'a str, leaf: Leaf<'a>) {
        let Some((key, rest)) = split_key(name) else {
            self.children.push((name, Node::Leaf(leaf)));
            return;
        };
        let index = self.children.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.children.push((key, Node::Branch(Branch::default())));
            self.children.len() - 1
        });
        match &mut self.children[index].1 {
            Node::Branch(branch) => branch.insert(rest, leaf),
            Node::Leaf(_) => unreachable!("no weight of an architecture lies below another"),
        }
    }

    fn put(mut self, out: &mut Vec<u8>) {
        // Keys are sorted, but the LSTM state is a named tuple whose fields keep their order.
        if !self.children.iter().any(|(key, _)| *key == "hidden") {
            self.children.sort_by_key(|(key, _)| *key);
        }
        msgpack::put_map(out, self.children.len());
        for (key, node) in self.children {
            msgpack::put_text(out, key);
            match node {
                Node::Branch(branch) => branch.put(out),
                Node::Leaf(leaf) => put_array(out, &leaf),
            }
        }
    }
}

/// The first key of a joined name, and the rest.
fn split_key(name: &str) -> Option<(&str, &str)> {
    match name.strip_prefix(MODULE_PATH).and_then(|rest| rest.strip_prefix('/')) {
        Some(rest) => Some((MODULE_PATH, rest)),
        None => name.split_once('/'),
    }
}

fn put_array(out: &mut Vec<u8>, leaf: &Leaf<'_>) {
    let data: Vec<u8> = leaf.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut payload = Vec::with_capacity(data.len() + 32);
    msgpack::put_array(&mut payload, 3);
    msgpack::put_array(&mut payload, leaf.shape.len());
    for &length in leaf.shape {
        msgpack::put_unsigned(&mut payload, length);
    }
    msgpack::put_text(&mut payload, DTYPE);
    msgpack::put_binary(&mut payload, &data);
    msgpack::put_extension(out, ARRAY, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"w": ext(1, [shape, dtype, data])}`.
    fn file(shape: &[u8], dtype: &str, data: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        msgpack::put_array(&mut payload, 3);
        msgpack::put_array(&mut payload, shape.len());
        payload.extend_from_slice(shape);
        msgpack::put_text(&mut payload, dtype);
        msgpack::put_binary(&mut payload, data);
        let mut bytes = Vec::new();
        msgpack::put_map(&mut bytes, 1);
        msgpack::put_text(&mut bytes, "w");
        msgpack::put_extension(&mut bytes, ARRAY, &payload);
        bytes
    }

    fn problem(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn an_array_has_its_shape_and_little_endian_values() {
        let tensors = read(&file(&[1, 2], "float32", &[0, 0, 128, 63, 0, 0, 0, 192])).unwrap();
        let array = tensors.get("w").unwrap();
        assert_eq!((array.shape.as_slice(), array.values.as_slice()), ([1, 2].as_slice(), [1.0, -2.0].as_slice()));
    }

    #[test]
    fn an_array_without_axes_has_one_value() {
        let tensors = read(&file(&[], "float32", &[0, 0, 128, 63])).unwrap();
        assert_eq!(tensors.get("w").unwrap().values, [1.0]);
    }

    #[test]
    fn data_that_does_not_fit_its_shape_is_an_error_that_names_the_array() {
        let found = problem(&file(&[3], "float32", &[0; 8]));
        assert_eq!(found, "flax state: array \"w\" has 8 bytes of data for shape [3] of float32");
    }

    #[test]
    fn a_shape_that_overflows_is_an_error() {
        let axis = [0xce, 0xff, 0xff, 0xff, 0xff];
        let mut payload = vec![0x93, 0x93];
        payload.extend([axis; 3].concat());
        msgpack::put_text(&mut payload, DTYPE);
        msgpack::put_binary(&mut payload, &[]);
        let mut bytes = vec![0x81, 0xa1, b'w'];
        msgpack::put_extension(&mut bytes, ARRAY, &payload);
        assert!(problem(&bytes).contains("has 0 bytes of data for shape [4294967295, "));
    }

    #[test]
    fn another_type_is_an_error_that_says_which_is_expected() {
        let found = problem(&file(&[1], "bfloat16", &[0; 2]));
        assert_eq!(found, "flax state: array \"w\" is of type \"bfloat16\", expected \"float32\"");
    }

    #[test]
    fn a_wrapped_checkpoint_gives_its_parameters() {
        let mut bytes = vec![0x83];
        msgpack::put_text(&mut bytes, "params");
        bytes.extend(file(&[1], "float32", &[0; 4]));
        msgpack::put_text(&mut bytes, "gen_id");
        msgpack::put_text(&mut bytes, "4b2f");
        msgpack::put_text(&mut bytes, "step");
        msgpack::put_unsigned(&mut bytes, 7);
        assert_eq!(read(&bytes).unwrap(), read(&file(&[1], "float32", &[0; 4])).unwrap());
    }

    #[test]
    fn two_paths_to_one_name_are_an_error() {
        let leaf = &file(&[1], "float32", &[0; 4])[1..];
        let bytes = [&[0x82], leaf, leaf].concat();
        assert_eq!(problem(&bytes), "tensor name \"w\" is used twice; names must be unique");
    }

    #[test]
    fn a_long_key_is_an_error() {
        let mut bytes = vec![0x81];
        msgpack::put_text(&mut bytes, &"k".repeat(257));
        msgpack::put_map(&mut bytes, 0);
        assert!(problem(&bytes).contains("a key of 257 bytes"));
    }
}
