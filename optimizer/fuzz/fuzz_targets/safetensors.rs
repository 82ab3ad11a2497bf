//! Any bytes, read as weights in any format; what is weights survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use velo_optimizer::{LearnedWeights, import};

fuzz_target!(|bytes: &[u8]| {
    let Ok(weights) = import::weights([bytes], None) else { return };
    assert_eq!(LearnedWeights::from_bytes(&weights.to_bytes()).expect("what was written is read"), weights);
});
