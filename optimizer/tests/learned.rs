//! Learned optimizers against recorded runs of their published implementations: parameters after every step,
//! and the state after steps 1, 2 and 20.

mod support;

use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;
use support::{Case, TOLERANCE, reference_folder};
use velo_optimizer::hand_designed::AdamWConfig;
use velo_optimizer::{
    Activation, AdafacMlpConfig, AdamPath, Architecture, Celo2Config, CeloAdamConfig, CeloConfig, Error, Group,
    Grouped, L2Regularised, LearnedOptimizer, LearnedWeights, Optimizer, OptimizerConfig, ParamLayout, Penalty,
    Selector, VeloConfig,
};

/// A number of a recorded configuration, or the default of the reference class.
fn number(config: &Value, field: &str, default: f64) -> f32 {
    config[field].as_f64().unwrap_or(default) as f32
}

fn flag(config: &Value, field: &str, default: bool) -> bool {
    config[field].as_bool().unwrap_or(default)
}

fn size(config: &Value, field: &str) -> usize {
    config[field].as_u64().unwrap_or_else(|| panic!("no {field} in {config}")) as usize
}

fn celo2(config: &Value) -> Architecture {
    Architecture::Celo2(Celo2Config {
        step_size: number(config, "step_mult", 1e-3),
        weight_decay: number(config, "weight_decay", 0.0),
        activation: if config["mlp_activation"] == "tanh" { Activation::Tanh } else { Activation::Relu },
        exp_mult: number(config, "exp_mult", 0.0),
        normalize_output: flag(config, "normalize_output", true),
        param_scale_mult: flag(config, "param_scale_mult", false),
        orthogonalize: flag(config, "orthogonalize", false),
        bias_correction: flag(config, "bias_correction", false),
        adam_pattern: config["regex_1d"].as_str().unwrap_or_default().to_owned(),
        adam: AdamPath {
            rate_mult: number(config, "mult_1d", 20.0),
            beta2: number(config, "adam_b2", 0.999),
            bias_correction: flag(config, "adam_bias_correction", false),
        },
        ..Celo2Config::default()
    })
}

fn velo(config: &Value) -> Architecture {
    Architecture::Velo(VeloConfig {
        lstm_width: size(config, "lstm_hidden_size"),
        bank: size(config, "param_inits"),
        bank_factor: number(config, "ff_mult", 100.0),
        legacy_loss_features: flag(config, "use_bugged_loss_features", true),
        legacy_lstm_state: flag(config, "use_bugged_next_lstm_state", false),
        ..VeloConfig::default()
    })
}

fn celo(config: &Value) -> Architecture {
    Architecture::Celo(CeloConfig {
        lstm_width: size(config, "lstm_hidden_size"),
        bank: size(config, "param_inits"),
        scheduled: size(config, "train_phase") > 1,
        ..CeloConfig::default()
    })
}

fn celo_adam(config: &Value) -> Architecture {
    Architecture::CeloAdam(CeloAdamConfig {
        lstm_width: size(config, "lstm_hidden_size"),
        epsilon: number(config, "initial_epsilon", 1e-8),
        ..CeloAdamConfig::default()
    })
}

fn adafac_mlp(config: &Value) -> Architecture {
    Architecture::AdafacMlp(AdafacMlpConfig {
        hidden: size(config, "hidden_size"),
        exp_mult: number(config, "exp_mult", 1e-3),
        step_mult: number(config, "step_mult", 1e-3),
        ..AdafacMlpConfig::default()
    })
}

/// The weights of a case, from a file of the reference folder or of the folder of published weights.
fn weights(architecture: Architecture, file: PathBuf) -> LearnedWeights {
    let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    LearnedWeights::from_tensors(architecture, &file).unwrap()
}

/// The weights of full-size VeLO: a hash of the index of every weight, as the recipe file describes.
fn hashed_weights(architecture: Architecture) -> LearnedWeights {
    let recipe: Value = serde_json::from_slice(&support::read("theta/velo_full_recipe.json")).unwrap();
    let check = support::read("theta/velo_full_check.safetensors");
    let check = SafeTensors::deserialize(&check).unwrap();
    let layout = architecture.theta_layout();
    let mut theta = vec![0.0f32; layout.len()];
    for tensor in layout.tensors() {
        let entry = &recipe["tensors"][&tensor.name];
        let seed = entry["seed"].as_u64().unwrap() as u32;
        let (scale, offset) = (entry["scale"].as_f64().unwrap() as f32, entry["offset"].as_f64().unwrap() as f32);
        for (index, value) in theta[tensor.range.clone()].iter_mut().enumerate() {
            let mut x = (index as u32).wrapping_add(seed.wrapping_mul(0x9E37_79B9));
            x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
            x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
            x ^= x >> 16;
            *value = ((x >> 8) as f32 * 2f32.powi(-23) - 1.0) * scale + offset;
        }
        let first = check.tensor(&tensor.name).unwrap();
        for (bytes, value) in first.data().chunks_exact(4).zip(&theta[tensor.range.clone()]) {
            assert_eq!(bytes, value.to_le_bytes(), "{} is hashed differently", tensor.name);
        }
    }
    LearnedWeights::new(architecture, theta).unwrap()
}

/// Runs the cases and compares parameters and state.
fn check(cases: &[&str], weights: impl Fn(&Case) -> LearnedWeights) {
    let mut failures = Vec::new();
    for name in cases {
        let case = Case::load(name);
        let optimizer = || LearnedOptimizer::new(&case.layout, weights(&case)).unwrap();
        failures.extend(case.check(&mut optimizer(), TOLERANCE).err());
        failures.extend(check_state(&case, &mut optimizer()).err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Compares the state after every step with the recorded one, where there is one, to `1e-4` of the largest
/// magnitude of an array.
fn check_state(case: &Case, optimizer: &mut LearnedOptimizer) -> Result<(), String> {
    let bytes = support::read(&format!("cases/{}.safetensors", case.name));
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    case.replay(optimizer, |optimizer, step, _| {
        let (layout, state) = optimizer.state();
        for (name, _, range) in layout.entries() {
            let Some((recorded, channels)) = recorded_state(name) else { continue };
            let Ok(tensor) = file.tensor(&format!("state/{step}/{recorded}")) else { continue };
            let recorded: Vec<f32> =
                tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            let largest = recorded.iter().fold(0.0f32, |max, x| max.max(x.abs()));
            // Planes here, channels last there.
            let per_plane = range.len() / channels;
            for (index, want) in recorded.iter().enumerate() {
                let got = state[range.start + index % channels * per_plane + index / channels];
                if got.is_nan() || (got - want).abs() > 1e-4 * largest {
                    return Err(format!("{}: {name}[{index}] after step {step}: {got}, not {want}", case.name));
                }
            }
        }
        Ok(())
    })
}

/// How the reference names a part of the state, and its number of channels.
fn recorded_state(name: &str) -> Option<(String, usize)> {
    let (kind, tensor) = name.split_once('/').unwrap_or((name, ""));
    let (recorded, channels) = match kind {
        "momentum" => ("mom", 3),
        "mean_square" => ("rms", 1),
        "factored_row" => ("v_row", 3),
        "factored_col" if !tensor.is_empty() => ("v_col", 3),
        "unfactored" => ("v_diag", 3),
        "adam_mean" => ("adam_m", 1),
        "adam_mean_square" => ("adam_v", 1),
        "loss_means" => return Some(("loss_buffer/means".to_owned(), 1)),
        "loss_minima" => return Some(("loss_buffer/running_min".to_owned(), 1)),
        _ => return None,
    };
    Some((format!("{recorded}/{tensor}"), channels))
}

fn theta(file: &str) -> PathBuf {
    reference_folder().join("theta").join(file)
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
fn celo2_follows_its_published_implementation() {
    let cases = [
        "celo2",
        "celo2_edge",
        "celo2_noortho",
        "celo2_tanh_exp",
        "celo2_wd_adambc",
        "celo2base",
        "celo2base_edge",
        "celo2base_ortho",
    ];
    check(&cases, |case| weights(celo2(&case.config), theta("celo2.safetensors")));
}

#[test]
fn small_velo_follows_its_published_implementation() {
    let cases = [
        "velo_small_n20",
        "velo_small_n1000",
        "velo_small_edge_n20",
        "velo_small_ties_n20",
        "velo_small_noscalar_n20",
        "velo_small_bugloss_n20",
        "velo_small_bugloss_buglstm_n20",
        "velo_small_celorepo_ffmult60_n20",
    ];
    check(&cases, |case| weights(velo(&case.config), theta("velo_small.safetensors")));
}

#[test]
fn full_size_velo_follows_its_published_implementation() {
    check(&["velo_full_n20", "velo_full_n1000"], |case| hashed_weights(velo(&case.config)));
}

#[test]
fn celo_with_a_bank_follows_its_published_implementation() {
    check(&["celo_bank8_n20"], |case| weights(celo(&case.config), theta("celo_small.safetensors")));
}

#[test]
fn published_celo_follows_its_published_implementation() {
    let Some(folder) = published_weights() else { return };
    let cases = ["celo_n20", "celo_n1000", "celo_edge_n20", "celo_phase1_n20"];
    check(&cases, |case| weights(celo(&case.config), folder.join("celo.safetensors")));
}

#[test]
fn published_celo_adam_follows_its_published_implementation() {
    let Some(folder) = published_weights() else { return };
    let cases = ["celo_adam_n20", "celo_adam_n1000", "celo_adam_edge_n20"];
    check(&cases, |case| weights(celo_adam(&case.config), folder.join("celo_adam.safetensors")));
}

#[test]
fn adafac_mlp_follows_its_published_implementation() {
    let cases = ["adafac_mlp_n20", "adafac_mlp_n1000", "adafac_mlp_edge_n20", "adafac_mlp_bigstep_n20"];
    check(&cases, |case| weights(adafac_mlp(&case.config), theta("adafac_mlp.safetensors")));
    check(&["adafac_mlp_h32_n20"], |case| weights(adafac_mlp(&case.config), theta("adafac_mlp_h32.safetensors")));
}

#[test]
fn velo_with_decay_through_the_gradient_follows_its_published_implementation() {
    let case = Case::load("velo_small_wd_n20");
    let weights = weights(velo(&case.config), theta("velo_small.safetensors"));
    let inner = LearnedOptimizer::new(&case.layout, weights).unwrap();
    let coefficient = number(&case.config, "weight_decay", 0.0);
    let penalty = Penalty { coefficient, add_to_loss: flag(&case.config, "add_to_loss", true) };
    case.check(&mut L2Regularised::new(Box::new(inner), penalty).unwrap(), TOLERANCE).unwrap();
}

#[test]
fn celo2_with_adamw_for_vectors_follows_its_published_port_to_pytorch() {
    for (name, orthogonalize) in [("pylo_celo2", true), ("pylo_celo2_noortho", false)] {
        let case = Case::load(name);
        let architecture = Celo2Config { step_size: 0.01, orthogonalize, ..Celo2Config::default() };
        let weights = weights(Architecture::Celo2(architecture), theta("celo2.safetensors"));
        let inner = |layout: &ParamLayout| -> Result<Box<dyn Optimizer>, Error> {
            Ok(Box::new(LearnedOptimizer::new(layout, weights.clone())?))
        };
        let adamw = AdamWConfig { learning_rate: 0.2, beta2: 0.95, weight_decay: 0.0, ..Default::default() };
        let vectors = Group { optimizer: Some(OptimizerConfig::AdamW(adamw)), ..Group::new(Selector::Vectors) };
        case.check(&mut Grouped::new(&case.layout, &[vectors], inner).unwrap(), TOLERANCE).unwrap();
    }
}

#[test]
fn adafac_mlp_follows_its_published_port_to_pytorch_except_for_scalars() {
    let case = Case::load_without("pylo_adafac_h32", &["a_scalar"]);
    let config = AdafacMlpConfig { hidden: 32, ..AdafacMlpConfig::default() };
    let weights = weights(Architecture::AdafacMlp(config), theta("adafac_mlp_h32.safetensors"));
    case.check(&mut LearnedOptimizer::new(&case.layout, weights).unwrap(), TOLERANCE).unwrap();
}

#[test]
fn a_learned_optimizer_resumes_from_its_state_bit_for_bit() {
    let shapes = [("scalar", vec![]), ("bias", vec![5]), ("matrix", vec![7, 5]), ("conv", vec![3, 3, 2, 4])];
    let layout = ParamLayout::new(shapes).unwrap();
    for architecture in [
        Architecture::Celo2(Celo2Config::orthogonalized()),
        Architecture::Velo(VeloConfig { lstm_width: 16, bank: 8, ..VeloConfig::default() }),
        Architecture::Celo(CeloConfig::default()),
        Architecture::CeloAdam(CeloAdamConfig::default()),
        Architecture::AdafacMlp(AdafacMlpConfig::default()),
    ] {
        let mut wave = 0.0f32;
        let theta = architecture.meta_init(&mut || {
            wave += 1.0;
            (wave * 1.7).sin()
        });
        let weights = LearnedWeights::new(architecture.clone(), theta).unwrap();
        let fresh = || LearnedOptimizer::new(&layout, weights.clone()).unwrap();
        let train = |optimizer: &mut LearnedOptimizer, params: &mut [f32], steps: std::ops::Range<usize>| {
            for step in steps {
                let grads: Vec<f32> = (0..params.len()).map(|i| ((i + 7 * step) as f32 * 0.61).sin()).collect();
                optimizer.step(params, &grads, 1.0 / (step + 1) as f32).unwrap();
            }
        };
        let (mut whole, mut params) = (vec![0.5; layout.len()], vec![0.5; layout.len()]);
        train(&mut fresh(), &mut whole, 0..20);
        let mut first = fresh();
        train(&mut first, &mut params, 0..10);
        let mut second = fresh();
        second.load_state(&first.save_state()).unwrap();
        train(&mut second, &mut params, 10..20);
        assert_eq!(params, whole, "{architecture:?}");
    }
}
