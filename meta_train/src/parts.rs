//! Which weights are learned, and how far each is perturbed.
//!
//! Weights are named as in [`velo_optimizer::Architecture::theta_layout`], for example `head/hidden/kernel`. A
//! pattern is such a name in which `*` stands for any characters: `head/*` is everything of the head.

use serde::{Deserialize, Serialize};
use velo_optimizer::{Architecture, TensorLayout};

use crate::Error;

/// A standard deviation of perturbations for some of the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartSigma {
    /// Pattern over names of weights.
    pub part: String,
    /// Standard deviation of their perturbations.
    pub sigma: f32,
}

/// Whether `name` is of the form `pattern`, in which every `*` stands for any characters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(tail) = name.strip_prefix(prefix) else { return false };
    tail.char_indices().map(|(index, _)| index).chain([tail.len()]).any(|index| matches(rest, &tail[index..]))
}

/// Entries of theta that are learned: influential ones of the tensors that some pattern names; all influential
/// ones if there is no pattern.
///
/// # Errors
/// [`Error::Config`] naming the `field` for a pattern that fits no weight.
pub fn learned(field: &str, architecture: &Architecture, patterns: &[String]) -> Result<Vec<bool>, Error> {
    let mut learned = architecture.influential();
    if patterns.is_empty() {
        return Ok(learned);
    }
    let layout = architecture.theta_layout();
    for pattern in patterns {
        check_pattern(field, pattern, layout.tensors())?;
    }
    for tensor in layout.tensors() {
        if !patterns.iter().any(|pattern| matches(pattern, &tensor.name)) {
            learned[tensor.range.clone()].fill(false);
        }
    }
    if learned.iter().any(|&learned| learned) {
        return Ok(learned);
    }
    Err(Error::config(field, format!("{patterns:?}"), "a pattern that fits a weight which can change an update"))
}

/// The standard deviation of each entry: that of the last part that fits its name, else `sigma`; zero where
/// nothing is learned.
///
/// # Errors
/// [`Error::Config`] for a part that fits no weight, or whose standard deviation is not above zero.
pub fn sigmas(
    architecture: &Architecture,
    learned: &[bool],
    sigma: f32,
    parts: &[PartSigma],
) -> Result<Vec<f32>, Error> {
    let layout = architecture.theta_layout();
    let mut sigmas = vec![sigma; layout.len()];
    for PartSigma { part, sigma } in parts {
        check_pattern("estimator.part_sigmas", part, layout.tensors())?;
        if !(*sigma > 0.0 && sigma.is_finite()) {
            return Err(Error::config(format!("estimator.part_sigmas of {part:?}"), sigma, "a finite number above 0"));
        }
        for tensor in layout.tensors().iter().filter(|tensor| matches(part, &tensor.name)) {
            sigmas[tensor.range.clone()].fill(*sigma);
        }
    }
    sigmas.iter_mut().zip(learned).filter(|(_, learned)| !**learned).for_each(|(sigma, _)| *sigma = 0.0);
    Ok(sigmas)
}

fn check_pattern(field: &str, pattern: &str, tensors: &[TensorLayout]) -> Result<(), Error> {
    if tensors.iter().any(|tensor| matches(pattern, &tensor.name)) {
        return Ok(());
    }
    let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    Err(Error::config(field, format!("{pattern:?}"), format!("a pattern that fits one of: {}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use velo_optimizer::Celo2Config;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, fits) in [
            ("head/*", "head/hidden/kernel", true),
            ("head/*", "rule/hidden/kernel", false),
            ("*/kernel", "head/hidden/kernel", true),
            ("*hid*el", "head/hidden/kernel", true),
            ("head", "head/hidden", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn only_the_named_part_is_learned_and_each_part_has_its_sigma() {
        let architecture = Architecture::Celo2(Celo2Config::default());
        let layout = architecture.theta_layout();
        let (first, last) = (&layout.tensors()[0], layout.tensors().last().unwrap());
        let mask = learned("learn", &architecture, std::slice::from_ref(&first.name)).unwrap();
        assert!(mask[first.range.clone()].iter().any(|&learned| learned));
        assert!(!mask[last.range.clone()].iter().any(|&learned| learned));
        let parts = [PartSigma { part: "*".into(), sigma: 0.5 }, PartSigma { part: first.name.clone(), sigma: 0.25 }];
        let all = learned("learn", &architecture, &[]).unwrap();
        let sigmas = sigmas(&architecture, &all, 0.1, &parts).unwrap();
        for (index, (&sigma, &learned)) in sigmas.iter().zip(&all).enumerate() {
            let expected = if first.range.contains(&index) { 0.25 } else { 0.5 };
            assert_eq!(sigma, if learned { expected } else { 0.0 });
        }
    }

    #[test]
    fn a_pattern_that_fits_nothing_is_refused_with_the_names() {
        let architecture = Architecture::Celo2(Celo2Config::default());
        let error = learned("learn", &architecture, &["haed/*".into()]).unwrap_err().to_string();
        assert!(error.starts_with("learn is \"haed/*\", expected a pattern that fits one of: "), "{error}");
    }
}
