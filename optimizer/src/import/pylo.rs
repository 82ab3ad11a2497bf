//! Safetensors of PyLO (a PyTorch library of learned optimizers): other names, and another layout for two of three.
//!
//! | PyLO module | architecture | layout |
//! | --- | --- | --- |
//! | `MetaMLP` | `adafac_mlp` | matrices are (out, in); decay offsets are not in the file |
//! | `VeLORNN` and `VeLOMLP` (two files) | `velo` | (out, in); the fourteen groups of the first layer are one matrix |
//! | `CELO2MLP` | `celo2` | (in, out), as published |
//!
//! PyLO's VeLO also keeps the mixed network of the last tensor in its file; it is working memory and is left out here.
//! PyLO takes the two factored axes of square matrices the other way round, so on those its VeLO and this one differ.

use super::named_tensors::{NamedTensor, NamedTensors};
use crate::param_network::mlp::GROUPS;
use crate::{AdafacMlpConfig, Architecture, Error};

const WHAT: &str = "PyLO weights";

/// The decay offsets that PyLO's optimizer uses with the `MetaMLP` that it downloads: momentum, mean square, factored.
const DECAY_OFFSETS: [(&str, &[f32]); 3] = [
    ("momentum_decays", &[0.152_163_92, 0.142_452_12, 0.068_129_63]),
    ("rms_decays", &[0.010_797_06]),
    ("adafactor_decays", &[0.186_218_96, -0.108_646_15, -0.061_855_47]),
];

/// The step multiplier that PyLO's optimizer uses with them.
const STEP_MULT: f32 = 0.01;

/// Working memory in `VeLOMLP` files.
const MIXED_NETWORK: [&str; 6] =
    ["input_weights", "input_bias", "hidden_weights.0", "hidden_bias.0", "output_weights", "output_bias"];

/// What becomes of an array: its new name, and whether its last two axes change places.
struct Renamed {
    from: &'static str,
    to: &'static str,
    transposed: bool,
}

const fn kept(from: &'static str, to: &'static str) -> Renamed {
    Renamed { from, to, transposed: false }
}

const fn transposed(from: &'static str, to: &'static str) -> Renamed {
    Renamed { from, to, transposed: true }
}

const META_MLP: [Renamed; 6] = [
    transposed("network.input.weight", "nn/~/w0"),
    kept("network.input.bias", "nn/~/b0"),
    transposed("network.linear_0.weight", "nn/~/w1"),
    kept("network.linear_0.bias", "nn/~/b1"),
    transposed("network.output.weight", "nn/~/w2"),
    kept("network.output.bias", "nn/~/b2"),
];

const VELO_RNN: [Renamed; 14] = [
    kept("lstm_init_state.0", "lstm_init_state/hidden"),
    kept("lstm_init_state.1", "lstm_init_state/cell"),
    transposed("mix_layer1.weight", "rnn_params/linear/w"),
    kept("mix_layer1.bias", "rnn_params/linear/b"),
    transposed("mix_layer2.weight", "rnn_params/linear_1/w"),
    kept("mix_layer2.bias", "rnn_params/linear_1/b"),
    transposed("final_mix_layer.weight", "rnn_params/linear_2/w"),
    kept("final_mix_layer.bias", "rnn_params/linear_2/b"),
    transposed("lstm.linear.weight", "rnn_params/rnn/linear/w"),
    kept("lstm.linear.bias", "rnn_params/rnn/linear/b"),
    transposed("rnn_to_controls.weight", "rnn_params/rnn_to_controls/w"),
    kept("rnn_to_controls.bias", "rnn_params/rnn_to_controls/b"),
    transposed("step_size.weight", "rnn_params/step_size/w"),
    kept("step_size.bias", "rnn_params/step_size/b"),
];

/// The joined first layer. It is cut into its groups afterwards.
const JOINED: &str = "ff_mod_stack/~/w0";

const VELO_MLP: [Renamed; 6] = [
    transposed("input_weights_", JOINED),
    kept("input_bias_", "ff_mod_stack/~/b0"),
    transposed("hidden_weights_.0", "ff_mod_stack/~/w1"),
    kept("hidden_bias_.0", "ff_mod_stack/~/b1"),
    transposed("output_weights_", "ff_mod_stack/~/w2"),
    kept("output_bias_", "ff_mod_stack/~/b2"),
];

const CELO2_DENSE: [Renamed; 5] = [
    kept("b0", "ff_mod_stack/~/b0"),
    kept("dense_w.0", "ff_mod_stack/~/w1"),
    kept("dense_b.0", "ff_mod_stack/~/b1"),
    kept("dense_w.1", "ff_mod_stack/~/w2"),
    kept("dense_b.1", "ff_mod_stack/~/b2"),
];

/// Whether one of the names is one that only PyLO uses.
pub(super) fn is_pylo<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    const MARKS: [&str; 4] = ["network.input.weight", "mix_layer1.weight", "input_weights_", "dense_w.0"];
    names.into_iter().any(|name| MARKS.contains(&name))
}

/// The arrays under their published names and in the published layout, and the architecture that they belong to.
/// A VeLO needs the arrays of both of its files, [merged](NamedTensors::merge).
///
/// # Errors
/// [`Error::Malformed`] when an array has too few axes, or the arrays are of no architecture.
pub fn published(mut tensors: NamedTensors) -> Result<(NamedTensors, Architecture), Error> {
    for name in MIXED_NETWORK {
        tensors.take(name);
    }
    for renamed in META_MLP.iter().chain(&VELO_RNN).chain(&VELO_MLP).chain(&CELO2_DENSE) {
        let Some(tensor) = tensors.take(renamed.from) else { continue };
        let tensor = if renamed.transposed { transpose(renamed.from, &tensor)? } else { tensor };
        tensors.insert(renamed.to.to_owned(), tensor.shape, tensor.values)?;
    }
    for group in 0..GROUPS.len() {
        if let Some(tensor) = tensors.take(&format!("w0.{group}")) {
            tensors.insert(group_name(group), tensor.shape, tensor.values)?;
        }
    }
    if let Some(joined) = tensors.take(JOINED) {
        cut_groups(&mut tensors, &joined)?;
    }
    let mut architecture = tensors.architecture()?;
    if let Architecture::AdafacMlp(AdafacMlpConfig { step_mult, .. }) = &mut architecture {
        *step_mult = STEP_MULT;
        for (name, offsets) in DECAY_OFFSETS {
            tensors.insert(name.to_owned(), vec![offsets.len()], offsets.to_vec())?;
        }
    }
    Ok((tensors, architecture))
}

fn group_name(group: usize) -> String {
    format!("ff_mod_stack/~/w0__{group}")
}

/// Exchanges the last two axes.
fn transpose(name: &str, tensor: &NamedTensor) -> Result<NamedTensor, Error> {
    let [batch @ .., rows, columns] = tensor.shape.as_slice() else {
        let problem = format!("tensor {name:?} has shape {:?}, expected at least two axes", tensor.shape);
        return Err(Error::malformed(WHAT, problem));
    };
    let shape = batch.iter().chain([columns, rows]).copied().collect();
    let mut values = Vec::with_capacity(tensor.values.len());
    for matrix in tensor.values.chunks_exact((rows * columns).max(1)) {
        values.extend((0..*columns).flat_map(|column| matrix.iter().skip(column).step_by(*columns)));
    }
    Ok(NamedTensor { shape, values })
}

/// Cuts the first layer of a bank, `[networks, channels, hidden]`, into its groups of channels.
fn cut_groups(tensors: &mut NamedTensors, joined: &NamedTensor) -> Result<(), Error> {
    let channels: usize = GROUPS.iter().sum();
    let &[networks, found, hidden] = joined.shape.as_slice() else {
        let problem = format!("tensor \"input_weights_\" has {} axes, expected 3", joined.shape.len());
        return Err(Error::malformed(WHAT, problem));
    };
    if found != channels {
        let problem = format!("tensor \"input_weights_\" has {found} input channels, expected {channels}");
        return Err(Error::malformed(WHAT, problem));
    }
    let mut first = 0;
    for (group, width) in GROUPS.into_iter().enumerate() {
        let (start, len) = (first * hidden, width * hidden);
        let of_network = |network: &[f32]| network[start..start + len].to_vec();
        let values = joined.values.chunks_exact((channels * hidden).max(1)).flat_map(of_network).collect();
        tensors.insert(group_name(group), vec![networks, width, hidden], values)?;
        first += width;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_axes_change_places_matrix_by_matrix() {
        let values = (0..12).map(|i| i as f32).collect();
        let tensor = transpose("w", &NamedTensor { shape: vec![2, 2, 3], values }).unwrap();
        assert_eq!(tensor.shape, [2, 3, 2]);
        assert_eq!(tensor.values, [0., 3., 1., 4., 2., 5., 6., 9., 7., 10., 8., 11.]);
    }

    #[test]
    fn a_vector_in_place_of_a_matrix_is_an_error_that_names_it() {
        let mut tensors = NamedTensors::default();
        tensors.insert("network.input.weight".to_owned(), vec![2], vec![0.0; 2]).unwrap();
        let error = published(tensors).unwrap_err().to_string();
        assert_eq!(error, "PyLO weights: tensor \"network.input.weight\" has shape [2], expected at least two axes");
    }

    #[test]
    fn groups_are_cut_network_by_network() {
        let mut tensors = NamedTensors::default();
        let values = (0..60).map(|i| i as f32).collect();
        cut_groups(&mut tensors, &NamedTensor { shape: vec![2, 30, 1], values }).unwrap();
        assert_eq!(tensors.get("ff_mod_stack/~/w0__3").unwrap().values, [3., 4., 5., 33., 34., 35.]);
        assert_eq!(tensors.get("ff_mod_stack/~/w0__13").unwrap().values, [27., 28., 29., 57., 58., 59.]);
    }
}
