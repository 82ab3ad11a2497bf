//! The optimizers that the conformance suites run over: every rule of the registry with its defaults, the options
//! that change what a rule keeps between steps, and every wrapper.

use velo_optimizer::OptimizerConfig::{self, *};
use velo_optimizer::hand_designed::*;
use velo_optimizer::{
    AccumulatedConfig, AveragedConfig, ClippedConfig, Group, GroupedConfig, L2RegularisedConfig, Limit,
    LookaheadConfig, ParamLayout, Selector, Unit,
};

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
    defaults.chain(variants).chain(wrapped()).map(|(label, config)| (label.to_owned(), config)).collect()
}

/// Every wrapper around some optimizer, and several around one another.
fn wrapped() -> Vec<(&'static str, OptimizerConfig)> {
    let adamw = || Box::new(AdamW(AdamWConfig::default()));
    let clipped = |by, inner| Clipped(ClippedConfig { by, inner });
    let adaptive = |unit| clipped(Limit::Adaptive { ratio: 0.2, floor: 0.1, unit }, adamw());
    let accumulated = |inner| Accumulated(AccumulatedConfig { calls: 2, inner });
    let averaged = |inner| Averaged(AveragedConfig { decay: 0.9, inner });
    let lookahead = |inner| Lookahead(LookaheadConfig { updates: 4, fraction: 0.5, inner });
    let l2 = |inner| L2Regularised(L2RegularisedConfig { coefficient: 1e-3, add_to_loss: true, inner });
    let groups = vec![
        Group { frozen: true, ..Group::new(Selector::Named("^sta.k$".into())) },
        Group { optimizer: Some(accumulated(adamw()).with_learning_rate(0.03)), ..Group::new(Selector::Vectors) },
        Group { rate: 0.5, weight_decay: Some(0.0), ..Group::new(Selector::Named("conv".into())) },
        Group::new(Selector::Embeddings),
    ];
    let grouped = |inner| Grouped(GroupedConfig { groups, inner });
    vec![
        ("adamw with clipped values", clipped(Limit::Value(0.5), adamw())),
        ("adamw with a clipped norm", clipped(Limit::Norm(0.5), adamw())),
        ("adamw clipped by column", adaptive(Unit::Column)),
        ("adamw clipped by row", adaptive(Unit::Row)),
        ("adamw clipped by tensor", adaptive(Unit::Tensor)),
        ("accumulated adamw", accumulated(adamw())),
        ("averaged adamw", averaged(adamw())),
        ("lookahead of adamw", lookahead(adamw())),
        ("adamw with decay through the gradient", l2(adamw())),
        (
            "all wrappers around adamw",
            averaged(Box::new(lookahead(Box::new(accumulated(Box::new(clipped(
                Limit::Norm(1.0),
                Box::new(l2(adamw())),
            ))))))),
        ),
        ("adamw in groups", grouped(adamw())),
    ]
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
