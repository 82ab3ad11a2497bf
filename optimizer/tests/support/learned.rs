//! The architectures and weights of recorded runs of learned optimizers, and where their state is recorded.

use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;
use velo_optimizer::{
    Activation, AdafacMlpConfig, AdamPath, Architecture, Celo2Config, CeloAdamConfig, CeloConfig, LearnedWeights,
    VeloConfig,
};

use super::{Case, read, reference_folder};

/// Recorded runs that share their weights.
pub struct Family {
    /// The names of their files.
    pub cases: &'static [&'static str],
    /// The weights of one of them; `None` where they are published elsewhere and not at hand.
    pub weights: fn(&Case) -> Option<LearnedWeights>,
}

pub const CELO2: Family = Family {
    cases: &[
        "celo2",
        "celo2_edge",
        "celo2_noortho",
        "celo2_tanh_exp",
        "celo2_wd_adambc",
        "celo2base",
        "celo2base_edge",
        "celo2base_ortho",
    ],
    weights: |case| Some(weights(celo2(&case.config), theta("celo2.safetensors"))),
};

pub const SMALL_VELO: Family = Family {
    cases: &[
        "velo_small_n20",
        "velo_small_n1000",
        "velo_small_edge_n20",
        "velo_small_ties_n20",
        "velo_small_noscalar_n20",
        "velo_small_bugloss_n20",
        "velo_small_bugloss_buglstm_n20",
        "velo_small_celorepo_ffmult60_n20",
    ],
    weights: |case| Some(weights(velo(&case.config), theta("velo_small.safetensors"))),
};

pub const FULL_SIZE_VELO: Family =
    Family { cases: &["velo_full_n20", "velo_full_n1000"], weights: |case| Some(hashed_weights(velo(&case.config))) };

pub const CELO_WITH_A_BANK: Family = Family {
    cases: &["celo_bank8_n20"],
    weights: |case| Some(weights(celo(&case.config), theta("celo_small.safetensors"))),
};

pub const PUBLISHED_CELO: Family = Family {
    cases: &["celo_n20", "celo_n1000", "celo_edge_n20", "celo_phase1_n20"],
    weights: |case| Some(weights(celo(&case.config), published_weights()?.join("celo.safetensors"))),
};

pub const PUBLISHED_CELO_ADAM: Family = Family {
    cases: &["celo_adam_n20", "celo_adam_n1000", "celo_adam_edge_n20"],
    weights: |case| Some(weights(celo_adam(&case.config), published_weights()?.join("celo_adam.safetensors"))),
};

pub const ADAFAC_MLP: Family = Family {
    cases: &["adafac_mlp_n20", "adafac_mlp_n1000", "adafac_mlp_edge_n20", "adafac_mlp_bigstep_n20"],
    weights: |case| Some(weights(adafac_mlp(&case.config), theta("adafac_mlp.safetensors"))),
};

pub const WIDE_ADAFAC_MLP: Family = Family {
    cases: &["adafac_mlp_h32_n20"],
    weights: |case| Some(weights(adafac_mlp(&case.config), theta("adafac_mlp_h32.safetensors"))),
};

impl Family {
    /// Runs `check` over the cases whose weights are at hand, and reports all failures at once.
    pub fn for_each(&self, check: impl Fn(&Case, &LearnedWeights) -> Result<(), String>) {
        let checked = |name: &&str| {
            let case = Case::load(name);
            (self.weights)(&case).and_then(|weights| check(&case, &weights).err())
        };
        let failures: Vec<String> = self.cases.iter().filter_map(checked).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

/// A number of a recorded configuration, or the default of the reference class.
pub fn number(config: &Value, field: &str, default: f64) -> f32 {
    config[field].as_f64().unwrap_or(default) as f32
}

/// A switch of a recorded configuration, or the default of the reference class.
pub fn flag(config: &Value, field: &str, default: bool) -> bool {
    config[field].as_bool().unwrap_or(default)
}

/// A size of a recorded configuration.
fn size(config: &Value, field: &str) -> usize {
    config[field].as_u64().unwrap_or_else(|| panic!("no {field} in {config}")) as usize
}

/// The architecture of a recorded Celo2.
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

/// The architecture of a recorded VeLO.
pub fn velo(config: &Value) -> Architecture {
    Architecture::Velo(VeloConfig {
        lstm_width: size(config, "lstm_hidden_size"),
        bank: size(config, "param_inits"),
        bank_factor: number(config, "ff_mult", 100.0),
        legacy_loss_features: flag(config, "use_bugged_loss_features", true),
        legacy_lstm_state: flag(config, "use_bugged_next_lstm_state", false),
        ..VeloConfig::default()
    })
}

/// The architecture of a recorded Celo.
fn celo(config: &Value) -> Architecture {
    Architecture::Celo(CeloConfig {
        lstm_width: size(config, "lstm_hidden_size"),
        bank: size(config, "param_inits"),
        scheduled: size(config, "train_phase") > 1,
        ..CeloConfig::default()
    })
}

/// The architecture of a recorded Celo-Adam.
fn celo_adam(config: &Value) -> Architecture {
    Architecture::CeloAdam(CeloAdamConfig {
        lstm_width: size(config, "lstm_hidden_size"),
        epsilon: number(config, "initial_epsilon", 1e-8),
        ..CeloAdamConfig::default()
    })
}

/// The architecture of a recorded `adafac_mlp`.
fn adafac_mlp(config: &Value) -> Architecture {
    Architecture::AdafacMlp(AdafacMlpConfig {
        hidden: size(config, "hidden_size"),
        exp_mult: number(config, "exp_mult", 1e-3),
        step_mult: number(config, "step_mult", 1e-3),
        ..AdafacMlpConfig::default()
    })
}

/// The weights of a case, from a file of the reference folder or of the folder of published weights.
pub fn weights(architecture: Architecture, file: PathBuf) -> LearnedWeights {
    let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    LearnedWeights::from_tensors(architecture, &file).unwrap()
}

/// The weights of full-size VeLO: a hash of the index of every weight, as the recipe file describes.
fn hashed_weights(architecture: Architecture) -> LearnedWeights {
    let recipe: Value = serde_json::from_slice(&read("theta/velo_full_recipe.json")).unwrap();
    let check = read("theta/velo_full_check.safetensors");
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

/// A file of weights of the reference folder.
pub fn theta(file: &str) -> PathBuf {
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

/// The numbers of a part of an optimizer's state, called `name` there, as recorded after `step` steps: in the order
/// in which this crate keeps them. `None` if that step was not recorded.
///
/// # Panics
/// If the name means nothing.
pub fn recorded_state(case: &Case, step: usize, name: &str) -> Option<Vec<f32>> {
    let (kind, tensor) = name.split_once('/').unwrap_or((name, ""));
    let array = |name: String| case.array(&format!("state/{step}/{name}")).map(|(_, values)| values);
    match kind {
        "loss_means" => return array("loss_buffer/means".to_owned()),
        "loss_minima" => return array("loss_buffer/running_min".to_owned()),
        "lstm_hidden" | "lstm_cell" => {
            let rows = array(kind.replacen('_', "/", 1))?;
            let width = rows.len() / case.layout.tensors().len();
            // Where all tensors share one row here, all rows are equal there.
            let row = case.layout.tensors().iter().position(|other| other.name == tensor).unwrap_or(0);
            return Some(rows[row * width..][..width].to_vec());
        }
        "factored_col" if case.layout.get(tensor)?.shape.len() < 2 => return Some(Vec::new()),
        _ => {}
    }
    let (recorded, channels) = match kind {
        "momentum" => ("mom", 3),
        "mean" => ("mom", 1),
        "mean_square" => ("rms", 1),
        "factored_row" => ("v_row", 3),
        "factored_col" => ("v_col", 3),
        "unfactored" => ("v_diag", 3),
        "adam_mean" => ("adam_m", 1),
        "adam_mean_square" => ("adam_v", 1),
        _ => panic!("no recorded state is called {name}"),
    };
    let values = array(format!("{recorded}/{tensor}"))?;
    // Channels last there, one plane per channel here.
    Some((0..channels).flat_map(|channel| values.iter().skip(channel).step_by(channels).copied()).collect())
}
