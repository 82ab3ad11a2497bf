//! Learned optimizers against recorded runs of their published implementations: parameters after every step, and
//! one step from every recorded state. What happens inside the steps is compared in `src/stages.rs`.

mod support;

use std::collections::BTreeSet;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use support::learned::{
    ADAFAC_MLP, CELO_WITH_A_BANK, CELO2, FULL_SIZE_VELO, PUBLISHED_CELO, PUBLISHED_CELO_ADAM, SMALL_VELO,
    WIDE_ADAFAC_MLP, flag, number, recorded_state, theta, velo, weights,
};
use support::{Case, TOLERANCE, reference_folder};
use velo_optimizer::hand_designed::AdamWConfig;
use velo_optimizer::{
    AdafacMlpConfig, Architecture, Celo2Config, Error, Group, Grouped, L2Regularised, LearnedOptimizer, LearnedWeights,
    Optimizer, OptimizerConfig, ParamLayout, Penalty, Selector, VeloConfig,
};

/// Compares parameters over the whole run, and one step from every recorded state.
fn follows(case: &Case, weights: &LearnedWeights) -> Result<(), String> {
    let optimizer = || LearnedOptimizer::new(&case.layout, weights.clone()).unwrap();
    case.check(&mut optimizer(), TOLERANCE)?;
    check_single_steps(case, &mut optimizer())
}

/// Puts the optimizer into the states that were recorded after steps 1 and 2, and compares the parameters after one
/// step from there: the sharpest comparison, as no error is carried along.
fn check_single_steps(case: &Case, optimizer: &mut LearnedOptimizer) -> Result<(), String> {
    optimizer.set_horizon(case.horizon);
    for step in 1..=2 {
        optimizer.step(&mut case.params[step - 1].clone(), &case.grads[step - 1], case.losses[step - 1]).unwrap();
        optimizer.load_state(&with_recorded_arrays(case, step, &optimizer.save_state())).unwrap();
        let mut params = case.params[step].clone();
        let before = optimizer.save_state();
        optimizer.step(&mut params, &case.grads[step], case.losses[step]).unwrap();
        case.compare_params(&params, step + 1, TOLERANCE).map_err(|error| format!("from the state before: {error}"))?;
        optimizer.load_state(&before).unwrap();
    }
    Ok(())
}

/// A saved state whose arrays are replaced by the recorded ones.
fn with_recorded_arrays(case: &Case, step: usize, saved: &[u8]) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(saved).unwrap();
    let file = SafeTensors::deserialize(saved).unwrap();
    let replaced: Vec<_> = file
        .iter()
        .map(|(name, view)| {
            let values = recorded_state(case, step, name).unwrap_or_else(|| panic!("{}: no {name}", case.name));
            assert_eq!(4 * values.len(), view.data().len(), "{}: {name}", case.name);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.to_owned(), view.shape().to_vec(), bytes)
        })
        .collect();
    let views =
        replaced.iter().map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize(views, metadata.metadata().clone()).unwrap()
}

/// Every case that there is appears among the families, in this file, or in that of the hand-designed rules.
#[test]
fn no_recorded_case_is_left_out() {
    let sources = [include_str!("support/learned.rs"), include_str!("learned.rs"), include_str!("hand_designed.rs")];
    let sources = sources.concat();
    let cases: BTreeSet<String> = std::fs::read_dir(reference_folder().join("cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let unused: Vec<_> = cases.iter().filter(|case| !sources.contains(&format!("\"{case}\""))).collect();
    assert!(cases.len() > 70 && unused.is_empty(), "{} cases, without a test: {unused:?}", cases.len());
}

#[test]
fn celo2_follows_its_published_implementation() {
    CELO2.for_each(follows);
}

#[test]
fn small_velo_follows_its_published_implementation() {
    SMALL_VELO.for_each(follows);
}

#[test]
fn full_size_velo_follows_its_published_implementation() {
    FULL_SIZE_VELO.for_each(follows);
}

#[test]
fn celo_follows_its_published_implementation() {
    CELO_WITH_A_BANK.for_each(follows);
    PUBLISHED_CELO.for_each(follows);
}

#[test]
fn celo_adam_follows_its_published_implementation() {
    PUBLISHED_CELO_ADAM.for_each(follows);
}

#[test]
fn adafac_mlp_follows_its_published_implementation() {
    ADAFAC_MLP.for_each(follows);
    WIDE_ADAFAC_MLP.for_each(follows);
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

/// The port breaks ties between the two longest axes the other way round, which makes a square matrix what its
/// transpose is here.
#[test]
fn velo_follows_its_published_port_to_pytorch_on_transposed_squares() {
    let mut case = Case::load("pylo_velo_small_lr1");
    let config = VeloConfig { lstm_width: 16, bank: 8, ..VeloConfig::default() };
    let weights = weights(Architecture::Velo(config), theta("velo_small.safetensors"));
    let optimizer = || LearnedOptimizer::new(&case.layout, weights.clone()).unwrap();
    let straight = case.check(&mut optimizer(), TOLERANCE).unwrap_err();
    assert!(straight.contains("d_sq4x4"), "{straight}");
    let mut optimizer = optimizer();
    case.transpose("d_sq4x4");
    case.check(&mut optimizer, TOLERANCE).unwrap();
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
