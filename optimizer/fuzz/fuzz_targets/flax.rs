//! Any bytes, read as a flax state: arrays or an error, and arrays that are weights survive being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use velo_optimizer::import::flax;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tensors) = flax::read(bytes) else { return };
    let Ok(architecture) = tensors.architecture() else { return };
    let Ok(weights) = tensors.into_weights(architecture.clone()) else { return };
    let again = flax::read(&flax::write(&weights)).and_then(|tensors| tensors.into_weights(architecture));
    assert_eq!(again.expect("what was written is read"), weights);
});
