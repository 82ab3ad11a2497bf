//! Any bytes, read as the state of optimizers that keep it in different ways: taken in whole or refused without a
//! change.
#![no_main]

use libfuzzer_sys::fuzz_target;
use velo_optimizer::{OptimizerConfig, ParamLayout};

/// A rule, a rule with factored state, wrappers inside one another, and groups.
const CONFIGURATIONS: [&str; 4] = [
    r#"{"adamw": {}}"#,
    r#"{"adafactor": {"min_dim_size_to_factor": 2}}"#,
    r#"{"averaged": {"inner": {"accumulated": {"calls": 2, "inner": {"sgd": {"momentum": 0.9}}}}}}"#,
    r#"{"grouped": {"groups": [{"tensors": "Vectors", "rate": 0.5}], "inner": {"lion": {}}}}"#,
];

fuzz_target!(|bytes: &[u8]| {
    let layout = ParamLayout::new([("w", vec![2, 3]), ("b", vec![3])]).expect("two names");
    for configuration in CONFIGURATIONS {
        let config: OptimizerConfig = serde_json::from_str(configuration).expect("a configuration");
        let mut optimizer = config.build(&layout).expect("defaults are right");
        let before = optimizer.save_state();
        if optimizer.load_state(bytes).is_err() {
            assert_eq!(optimizer.save_state(), before, "a refused state changed something");
            continue;
        }
        let saved = optimizer.save_state();
        let mut again = config.build(&layout).expect("defaults are right");
        again.load_state(&saved).expect("what was written is read");
        assert_eq!(again.save_state(), saved, "a state changed on its way through a file");
        let _ = optimizer.step(&mut [0.5; 9], &[0.25; 9], 1.0);
    }
});
