//! Families drawn with weights.

use serde::{Deserialize, Serialize};

use super::{TaskFamily, family_named};
use crate::Error;
use crate::config::TaskConfig;
use crate::rng::{Draws, stream_number};

/// A family and how often it is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Name of the family.
    pub family: String,
    /// Share, relative to the other components.
    pub weight: f64,
}

/// Families drawn with weights; a family itself.
pub struct Mixture {
    components: Vec<(&'static dyn TaskFamily, f64)>,
}

impl std::fmt::Debug for Mixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.components.iter().map(|(family, weight)| (family.name(), weight))).finish()
    }
}

impl Mixture {
    /// Looks the families up.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a family that does not exist, [`Error::InvalidField`] for an empty mixture or a weight that is not positive and finite.
    pub fn new(components: &[Component]) -> Result<Self, Error> {
        if components.is_empty() {
            return Err(Error::invalid("families", "empty", "at least one family"));
        }
        let checked = components.iter().map(|Component { family, weight }| {
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(Error::invalid(format!("weight of family {family:?}"), weight, "a positive number"));
            }
            Ok((family_named(family)?, *weight))
        });
        Ok(Self { components: checked.collect::<Result<_, Error>>()? })
    }
}

impl TaskFamily for Mixture {
    fn name(&self) -> &str {
        "mixture"
    }

    fn summary(&self) -> &str {
        "several families, drawn with weights"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("mixture") });
        let total = self.components.iter().map(|(_, weight)| weight).sum();
        let mut left = draws.uniform(0.0, total);
        let (last, others) = self.components.split_last().expect("a mixture has components");
        let chosen = others.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        chosen.unwrap_or(last).0.sample(draws.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighted(components: &[(&str, f64)]) -> Result<Mixture, Error> {
        let components: Vec<_> =
            components.iter().map(|&(family, weight)| Component { family: family.to_owned(), weight }).collect();
        Mixture::new(&components)
    }

    #[test]
    fn a_mixture_draws_by_weight() {
        let mixture = weighted(&[("mlp_teacher", 3.0), ("mlp_glyphs", 1.0)]).unwrap();
        let glyphs = (0..4000).filter(|&seed| mixture.sample(seed).name == "mlp_glyphs").count();
        assert!((860..1140).contains(&glyphs), "{glyphs}");
    }

    #[test]
    fn unknown_families_and_senseless_weights_are_refused_by_name() {
        let message = weighted(&[("mlp_teecher", 1.0)]).unwrap_err().to_string();
        assert!(message.contains("\"mlp_teecher\"; did you mean \"mlp_teacher\"?"), "{message}");
        let message = weighted(&[("mlp_teacher", -1.0)]).unwrap_err().to_string();
        assert_eq!(message, "weight of family \"mlp_teacher\" is -1, expected a positive number");
        assert!(weighted(&[("mlp_teacher", f64::NAN)]).is_err());
        assert_eq!(weighted(&[]).unwrap_err().to_string(), "families is empty, expected at least one family");
    }
}
