//! Celo2 against recorded runs of its published implementation.

mod support;

use safetensors::SafeTensors;
use support::{Case, TOLERANCE, reference_folder};
use velo_optimizer::{Activation, AdamPath, Architecture, Celo2Config, LearnedOptimizer, LearnedWeights};

const CASES: [&str; 8] = [
    "celo2",
    "celo2_edge",
    "celo2_noortho",
    "celo2_tanh_exp",
    "celo2_wd_adambc",
    "celo2base",
    "celo2base_edge",
    "celo2base_ortho",
];

/// The configuration recorded with a case; what it leaves out has the defaults of the reference class.
fn config(case: &Case) -> Celo2Config {
    let flag = |field: &str, default: bool| case.config[field].as_bool().unwrap_or(default);
    let number = |field: &str, default: f64| case.config[field].as_f64().unwrap_or(default) as f32;
    Celo2Config {
        step_size: case.number("step_mult"),
        weight_decay: number("weight_decay", 0.0),
        activation: if case.config["mlp_activation"] == "tanh" { Activation::Tanh } else { Activation::Relu },
        exp_mult: number("exp_mult", 0.0),
        normalize_output: flag("normalize_output", true),
        param_scale_mult: flag("param_scale_mult", false),
        orthogonalize: flag("orthogonalize", false),
        bias_correction: flag("bias_correction", false),
        adam_pattern: case.config["regex_1d"].as_str().unwrap_or_default().to_owned(),
        adam: AdamPath {
            rate_mult: number("mult_1d", 20.0),
            beta2: number("adam_b2", 0.999),
            bias_correction: flag("adam_bias_correction", false),
        },
        ..Celo2Config::default()
    }
}

fn optimizer(case: &Case) -> LearnedOptimizer {
    let bytes = std::fs::read(reference_folder().join("theta/celo2.safetensors")).unwrap();
    let theta = SafeTensors::deserialize(&bytes).unwrap();
    let weights = LearnedWeights::from_tensors(Architecture::Celo2(config(case)), &theta).unwrap();
    LearnedOptimizer::new(&case.layout, weights).unwrap()
}

#[test]
fn every_variant_follows_the_published_implementation() {
    let failures: Vec<String> = CASES
        .iter()
        .filter_map(|name| {
            let case = Case::load(name);
            case.check(&mut optimizer(&case), TOLERANCE).err()
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
