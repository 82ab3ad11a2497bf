//! Texts and hashes by which a finished trial is known again.

use serde_json::Value;
use velo_optimizer::OptimizerConfig;

use crate::{Error, ron_file};

/// Hash of the sources that decide what a trial computes, from the build script; the version where they are not at hand.
pub const CODE: &str = env!("VELO_CODE_FINGERPRINT");

/// 128 bits of FNV-1a over the parts, each ended by a byte that no UTF-8 text contains.
pub fn key(parts: &[&str]) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    format!("{:032x}", bytes.fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME)))
}

/// The configuration of an optimizer with what stands in the files of weights that it names, wherever in it they are named.
pub(crate) fn of_optimizer(config: &OptimizerConfig) -> Result<String, Error> {
    let mut text = ron_file::to_string(config);
    let value = serde_json::to_value(config).expect("a configuration is plain data");
    append_weights(&value, &mut text)?;
    Ok(text)
}

fn append_weights(value: &Value, text: &mut String) -> Result<(), Error> {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(path) if name == "weights" => {
                        let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
                        let printed: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                        text.push_str(&key(&[&printed]));
                    }
                    other => append_weights(other, text)?,
                }
            }
            Ok(())
        }
        Value::Array(values) => values.iter().try_for_each(|value| append_weights(value, text)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use velo_optimizer::{LearnedConfig, LearnedWeights};

    use super::*;

    #[test]
    fn a_key_depends_on_where_parts_end() {
        assert_eq!(key(&["a", "bc"]).len(), 32);
        assert_ne!(key(&["a", "bc"]), key(&["ab", "c"]));
        assert_eq!(key(&["a"]), key(&["a"]));
    }

    #[test]
    fn other_weights_under_the_same_path_are_another_optimizer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("learned.safetensors");
        let weights = LearnedWeights::pretrained();
        weights.save(&path).unwrap();
        let config = OptimizerConfig::Learned(LearnedConfig::new(&path));
        let first = of_optimizer(&config).unwrap();
        let mut theta = weights.theta().to_vec();
        theta[0] += 1.0;
        LearnedWeights::new(weights.architecture().clone(), theta).unwrap().save(&path).unwrap();
        assert_ne!(of_optimizer(&config).unwrap(), first);
        std::fs::remove_file(&path).unwrap();
        assert!(of_optimizer(&config).unwrap_err().to_string().contains("learned.safetensors"));
    }
}
