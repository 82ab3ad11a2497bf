//! Weights written by others: what is read is what was written, and whatever the bytes are, the outcome is a value.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use velo_optimizer::import::{self, Format, NamedTensors, flax, pylo};
use velo_optimizer::{
    AdafacMlpConfig, Architecture, Celo2Config, CeloAdamConfig, CeloConfig, LearnedWeights, VeloConfig,
};

fn architectures() -> [Architecture; 6] {
    [
        Architecture::Velo(VeloConfig { lstm_width: 16, bank: 8, ..Default::default() }),
        Architecture::Celo(CeloConfig { lstm_width: 12, bank: 3, ..Default::default() }),
        Architecture::CeloAdam(CeloAdamConfig { lstm_width: 5, ..Default::default() }),
        Architecture::Celo2(Celo2Config::default()),
        Architecture::AdafacMlp(AdafacMlpConfig::default()),
        Architecture::AdafacMlp(AdafacMlpConfig { hidden: 32, ..Default::default() }),
    ]
}

/// Weights in which every number is another one.
fn weights(architecture: Architecture) -> LearnedWeights {
    let theta = (0..architecture.theta_layout().len()).map(|i| i as f32 - 100.5).collect();
    LearnedWeights::new(architecture, theta).unwrap()
}

/// The arrays of weights under their published names.
fn published_tensors(weights: &LearnedWeights) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let layout = weights.architecture().theta_layout();
    let tensors = layout.tensors().iter();
    tensors.map(|t| (t.name.clone(), t.shape.clone(), weights.theta()[t.range.clone()].to_vec())).collect()
}

fn safetensors_file(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<Vec<u8>> = tensors.iter().map(|(.., values)| bytes(values)).collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape, _), data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The folder of published weights, which are not part of this repository.
fn published_weights() -> Option<PathBuf> {
    let folder = std::env::var_os("VELO_REFERENCE_WEIGHTS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: VELO_REFERENCE_WEIGHTS does not name the folder of published weights");
    }
    folder
}

#[test]
fn flax_files_give_back_the_weights_of_every_architecture() {
    for architecture in architectures() {
        let weights = weights(architecture);
        let bytes = flax::write(&weights);
        assert_eq!(Format::of(&bytes), Format::Flax);
        assert_eq!(import::weights([bytes.as_slice()], None).unwrap(), weights);
    }
}

#[test]
fn safetensors_with_published_names_give_back_the_weights_of_every_architecture() {
    for architecture in architectures() {
        let weights = weights(architecture);
        let bytes = safetensors_file(&published_tensors(&weights));
        assert_eq!(Format::of(&bytes), Format::Safetensors);
        assert_eq!(import::weights([bytes.as_slice()], None).unwrap(), weights);
    }
}

#[test]
fn files_of_this_crate_keep_configuration_and_provenance() {
    let architecture = Architecture::Celo2(Celo2Config { step_size: 0.25, ..Default::default() });
    let weights = weights(architecture).with_provenance("licence", "MIT");
    let bytes = weights.to_bytes();
    assert_eq!(Format::of(&bytes), Format::Own);
    assert_eq!(import::weights([bytes.as_slice()], None).unwrap(), weights);
}

#[test]
fn an_architecture_that_is_given_overrides_the_defaults() {
    let architecture = Architecture::Celo2(Celo2Config { step_size: 0.25, ..Celo2Config::orthogonalized() });
    let weights = weights(architecture.clone());
    let bytes = flax::write(&weights);
    assert_eq!(import::weights([bytes.as_slice()], Some(architecture)).unwrap(), weights);
}

#[test]
fn full_size_velo_serialises_to_the_published_number_of_bytes() {
    let weights = weights(Architecture::Velo(VeloConfig::default()));
    assert_eq!((weights.theta().len(), flax::write(&weights).len()), (2_320_385, 9_282_507));
}

#[test]
fn published_files_are_read_and_written_byte_for_byte() {
    let Some(folder) = published_weights() else { return };
    for name in ["celo", "celo_adam"] {
        let read = |extension: &str| std::fs::read(folder.join(format!("{name}.{extension}"))).unwrap();
        let (state, same_values) = (read("theta.state"), read("safetensors"));
        let weights = import::weights([state.as_slice()], None).unwrap();
        assert_eq!(weights.architecture().name(), name);
        assert_eq!(weights, import::weights([same_values.as_slice()], None).unwrap());
        assert!(flax::write(&weights) == state, "{name} is written differently");
    }
}

/// Exchanges the last two axes, as PyTorch stores them.
fn out_in((name, shape, values): (String, Vec<usize>, Vec<f32>)) -> (String, Vec<usize>, Vec<f32>) {
    let (rows, columns) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let batches = values.len() / (rows * columns);
    let mut turned = vec![0.0; values.len()];
    for batch in 0..batches {
        for row in 0..rows {
            for column in 0..columns {
                turned[(batch * columns + column) * rows + row] = values[(batch * rows + row) * columns + column];
            }
        }
    }
    let mut shape = shape;
    let axes = shape.len();
    shape.swap(axes - 2, axes - 1);
    (name, shape, turned)
}

/// The same weights as PyLO's modules store them, in one file or two.
fn pylo_files(weights: &LearnedWeights) -> Vec<Vec<u8>> {
    let tensors = published_tensors(weights);
    let find = |name: &str| tensors.iter().find(|(known, ..)| known == name).unwrap().clone();
    let kept = |from: &str, to: &str| {
        let (_, shape, values) = find(from);
        (to.to_owned(), shape, values)
    };
    let turned = |from: &str, to: &str| out_in(kept(from, to));
    match weights.architecture().name() {
        "adafac_mlp" => vec![safetensors_file(&[
            turned("nn/~/w0", "network.input.weight"),
            kept("nn/~/b0", "network.input.bias"),
            turned("nn/~/w1", "network.linear_0.weight"),
            kept("nn/~/b1", "network.linear_0.bias"),
            turned("nn/~/w2", "network.output.weight"),
            kept("nn/~/b2", "network.output.bias"),
        ])],
        "celo2" => {
            let group = |i: usize| kept(&format!("ff_mod_stack/~/w0__{i}"), &format!("w0.{i}"));
            let rest =
                [("b0", "b0"), ("w1", "dense_w.0"), ("b1", "dense_b.0"), ("w2", "dense_w.1"), ("b2", "dense_b.1")];
            let rest = rest.map(|(from, to)| kept(&format!("ff_mod_stack/~/{from}"), to));
            vec![safetensors_file(&(0..14).map(group).chain(rest).collect::<Vec<_>>())]
        }
        _ => {
            let linear = |from: &str, to: &str| {
                [
                    turned(&format!("rnn_params/{from}/w"), &format!("{to}.weight")),
                    kept(&format!("rnn_params/{from}/b"), &format!("{to}.bias")),
                ]
            };
            let mut network = [
                linear("linear", "mix_layer1"),
                linear("linear_1", "mix_layer2"),
                linear("linear_2", "final_mix_layer"),
                linear("rnn/linear", "lstm.linear"),
                linear("rnn_to_controls", "rnn_to_controls"),
                linear("step_size", "step_size"),
            ]
            .concat();
            network.push(kept("lstm_init_state/hidden", "lstm_init_state.0"));
            network.push(kept("lstm_init_state/cell", "lstm_init_state.1"));
            let groups: Vec<_> = (0..14).map(|i| find(&format!("ff_mod_stack/~/w0__{i}"))).collect();
            let bank = groups[0].1[0];
            let joined: Vec<f32> = (0..bank)
                .flat_map(|b| {
                    groups.iter().flat_map(move |(_, shape, values)| {
                        let len = shape[1] * shape[2];
                        values[b * len..(b + 1) * len].to_vec()
                    })
                })
                .collect();
            let stack = [
                out_in(("input_weights_".to_owned(), vec![bank, 30, 4], joined)),
                kept("ff_mod_stack/~/b0", "input_bias_"),
                turned("ff_mod_stack/~/w1", "hidden_weights_.0"),
                kept("ff_mod_stack/~/b1", "hidden_bias_.0"),
                turned("ff_mod_stack/~/w2", "output_weights_"),
                kept("ff_mod_stack/~/b2", "output_bias_"),
                ("input_weights".to_owned(), vec![4, 30], vec![0.0; 120]),
                ("hidden_bias.0".to_owned(), vec![4], vec![0.0; 4]),
            ];
            vec![safetensors_file(&network), safetensors_file(&stack)]
        }
    }
}

#[test]
fn pylo_files_give_the_published_weights() {
    for architecture in architectures() {
        if matches!(architecture, Architecture::Celo(_) | Architecture::CeloAdam(_)) {
            continue;
        }
        let weights = weights(architecture.clone());
        let files = pylo_files(&weights);
        assert!(files.iter().all(|file| Format::of(file) == Format::Pylo));
        let mut tensors = NamedTensors::default();
        for file in &files {
            tensors.merge(NamedTensors::from_safetensors(&SafeTensors::deserialize(file).unwrap()).unwrap()).unwrap();
        }
        let (tensors, recognised) = pylo::published(tensors).unwrap();
        assert_eq!(recognised.name(), architecture.name());
        for (name, shape, values) in published_tensors(&weights) {
            let found = tensors.get(&name).unwrap_or_else(|| panic!("no {name}"));
            if !name.ends_with("_decays") {
                assert_eq!((&found.shape, &found.values), (&shape, &values), "{name}");
            }
        }
        let imported = import::weights(files.iter().map(Vec::as_slice), None).unwrap();
        assert_eq!(imported.theta().len(), weights.theta().len());
    }
}

#[test]
fn pylo_weights_of_adafac_mlp_come_with_the_decays_and_the_step_of_pylo() {
    let files = pylo_files(&weights(Architecture::AdafacMlp(AdafacMlpConfig { hidden: 32, ..Default::default() })));
    let imported = import::weights([files[0].as_slice()], None).unwrap();
    assert_eq!(imported.theta()[..4], [0.152_163_92, 0.142_452_12, 0.068_129_63, 0.010_797_06]);
    assert_eq!(imported.architecture().step_size(), 0.01);
}

#[test]
fn half_of_a_pylo_velo_is_an_error() {
    let files = pylo_files(&weights(Architecture::Velo(VeloConfig { lstm_width: 4, bank: 2, ..Default::default() })));
    for file in &files {
        let error = import::weights([file.as_slice()], None).unwrap_err().to_string();
        assert!(error.starts_with("learned weights: no known architecture has these"), "{error}");
    }
}

#[test]
fn an_array_of_another_shape_is_an_error_that_names_it() {
    let bytes = flax::write(&weights(Architecture::Celo(CeloConfig { lstm_width: 12, ..Default::default() })));
    let wider = Architecture::Celo(CeloConfig { lstm_width: 13, ..Default::default() });
    let error = import::weights([bytes.as_slice()], Some(wider)).unwrap_err().to_string();
    assert_eq!(error, "learned weights: tensor \"lstm_init_state/hidden\" has shape [1, 12], expected [1, 13]");
}

#[test]
fn weights_of_another_architecture_are_an_error() {
    let bytes = flax::write(&weights(Architecture::CeloAdam(CeloAdamConfig { lstm_width: 5, ..Default::default() })));
    let celo = Architecture::Celo(CeloConfig { lstm_width: 5, ..Default::default() });
    let error = import::weights([bytes.as_slice()], Some(celo)).unwrap_err().to_string();
    assert!(error.contains("has no tensor \"rnn_params/rnn_to_controls/w\""), "{error}");
    let celo2 = Architecture::Celo2(Celo2Config::default());
    assert!(import::weights([bytes.as_slice()], Some(celo2)).is_err());
}

#[test]
fn a_size_that_no_architecture_allows_is_an_error() {
    let file = safetensors_file(&[("nn/~/w0".to_owned(), vec![39, 5], vec![0.0; 195])]);
    let error = import::weights([file.as_slice()], None).unwrap_err().to_string();
    assert_eq!(error, "adafac_mlp.hidden is 5, expected 4 or 32");
}

#[test]
fn no_file_at_all_is_an_error() {
    assert!(import::weights([], None).is_err());
    assert!(import::weights([[].as_slice()], None).is_err());
}

/// The seeds of the fuzz targets: small files that are right, and some that are not.
#[test]
fn the_seeds_of_the_fuzz_targets_are_read_as_far_as_they_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut read = 0;
    for target in ["flax", "safetensors"] {
        for entry in std::fs::read_dir(folder.join(target)).unwrap() {
            let path = entry.unwrap().path();
            let is_right = path.file_name().unwrap().to_string_lossy().starts_with("right");
            let outcome = import::weights([std::fs::read(&path).unwrap().as_slice()], None);
            assert_eq!(outcome.is_ok(), is_right, "{}: {outcome:?}", path.display());
            read += 1;
        }
    }
    assert!(read >= 6, "only {read} seeds");
}

proptest! {
    #[test]
    fn any_bytes_give_weights_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = import::weights([bytes.as_slice()], None);
    }

    #[test]
    fn a_damaged_flax_file_gives_weights_or_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = flax::write(&weights(Architecture::Celo2(Celo2Config::default())));
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = import::weights([bytes.as_slice()], None);
    }

    #[test]
    fn a_damaged_pylo_file_gives_weights_or_an_error(
        changes in prop::collection::vec((0usize..700, any::<u8>()), 1..8),
    ) {
        let mut bytes = pylo_files(&weights(Architecture::AdafacMlp(AdafacMlpConfig::default()))).remove(0);
        for (place, byte) in changes {
            bytes[place] = byte;
        }
        let _ = import::weights([bytes.as_slice()], None);
    }
}
