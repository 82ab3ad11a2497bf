//! The optimizers that the conformance suites run over: every rule of the registry with its defaults, and the
//! options that change what a rule keeps between steps.

use velo_optimizer::OptimizerConfig::{self, *};
use velo_optimizer::ParamLayout;
use velo_optimizer::hand_designed::*;

/// A label for messages, and a configuration.
pub fn configurations() -> Vec<(String, OptimizerConfig)> {
    let defaults = OptimizerConfig::NAMES.iter().map(|name| (*name, OptimizerConfig::from_name(name).unwrap()));
    let variants = [
        ("sgd with nesterov momentum", Sgd(SgdConfig { momentum: 0.9, nesterov: true, ..Default::default() })),
        (
            "centred rmsprop with momentum",
            RmsProp(RmsPropConfig { momentum: 0.9, centred: true, ..Default::default() }),
        ),
        (
            "factored adafactor with momentum",
            Adafactor(AdafactorConfig { min_dim_size_to_factor: 2, momentum: 0.9, ..Default::default() }),
        ),
        ("adaptive muon", Muon(MuonConfig { adaptive: true, nesterov: false, ..Default::default() })),
    ];
    defaults.chain(variants).map(|(label, config)| (label.to_owned(), config)).collect()
}

/// Tensors of every rank from zero to four, and an empty one.
pub fn mixed_layout() -> ParamLayout {
    ParamLayout::new(mixed_tensors()).unwrap()
}

/// The names and shapes of [`mixed_layout`].
pub fn mixed_tensors() -> Vec<(&'static str, Vec<usize>)> {
    vec![
        ("scalar", vec![]),
        ("bias", vec![5]),
        ("dense/kernel", vec![7, 4]),
        ("empty", vec![0, 3]),
        ("stack", vec![2, 3, 4]),
        ("conv/kernel", vec![3, 2, 2, 4]),
    ]
}
