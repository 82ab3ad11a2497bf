//! Every hand-designed optimizer against the recorded run of a published implementation.

mod support;

use support::{Case, TOLERANCE};
use velo_optimizer::OptimizerConfig::{self, *};
use velo_optimizer::hand_designed::*;

/// A recorded case and how its configuration reads here.
type Row = (&'static str, fn(&Case) -> OptimizerConfig);

const CASES: &[Row] = &[
    ("optax_sgd", |case| Sgd(SgdConfig { learning_rate: case.number("learning_rate"), ..Default::default() })),
    ("optax_sgdm", |case| {
        let (learning_rate, momentum) = (case.number("learning_rate"), case.number("momentum"));
        Sgd(SgdConfig { learning_rate, momentum, ..Default::default() })
    }),
    ("optax_sgdm_nesterov", |case| {
        let (learning_rate, momentum) = (case.number("learning_rate"), case.number("momentum"));
        Sgd(SgdConfig { learning_rate, momentum, nesterov: true, ..Default::default() })
    }),
    ("optax_adam", |case| Adam(AdamConfig { learning_rate: case.number("learning_rate"), ..Default::default() })),
    ("optax_adamw", |case| {
        let (learning_rate, weight_decay) = (case.number("learning_rate"), case.number("weight_decay"));
        AdamW(AdamWConfig { learning_rate, weight_decay, ..Default::default() })
    }),
];

#[test]
fn every_rule_follows_its_published_implementation() {
    let failures: Vec<String> = CASES
        .iter()
        .filter_map(|(name, config)| {
            let case = Case::load(name);
            let mut optimizer = config(&case).build(&case.layout).unwrap();
            case.check(optimizer.as_mut(), TOLERANCE).err()
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
