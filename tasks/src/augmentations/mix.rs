//! Random disguises, as data: how often each kind occurs and how strong it is.

use serde::{Deserialize, Serialize};

use super::{Augmentation, Scope};
use crate::Error;
use crate::config::TaskConfig;
use crate::data::{DataConfig, TargetKind};
use crate::error::check_range;
use crate::rng::Draws;

/// How often something is drawn, and from what range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strength<T> {
    /// Probability, 0 to 1.
    pub chance: f64,
    /// Smallest and largest strength.
    pub range: (T, T),
}

impl<T: Copy + PartialOrd + std::fmt::Display> Strength<T> {
    const fn never(range: (T, T)) -> Self {
        Self { chance: 0.0, range }
    }

    fn check(&self, field: &str, bounds: (T, T)) -> Result<(), Error> {
        check_range(format!("augmentations.{field}.chance"), self.chance, 0.0..=1.0)?;
        let (low, high) = self.range;
        check_range(format!("augmentations.{field}.range.0"), low, bounds.0..=bounds.1)?;
        check_range(format!("augmentations.{field}.range.1"), high, low..=bounds.1)
    }
}

/// One way to re-parametrise, or not to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reparametrisation {
    /// Share, relative to the others.
    pub weight: f64,
    /// What shares one scale; left out for none.
    #[serde(default)]
    pub scope: Option<Scope>,
    /// Scales lie within ten to the power of plus and minus one of these, 0 to 6, each equally often.
    #[serde(default)]
    pub decades: Vec<f32>,
}

/// A distribution over lists of augmentations; what is left out never occurs.
///
/// Strengths are drawn log-uniformly, shares of rows and labels and the exponent of an imbalance uniformly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentationMix {
    /// Re-parametrisations by weight; none when empty.
    pub reparametrise: Vec<Reparametrisation>,
    /// Share of the rows of a batch that is kept; at least two rows are.
    pub reduced_batch: Strength<f64>,
    /// Share of random labels, where there are classes.
    pub label_noise: Strength<f64>,
    /// Exponent of the imbalance, where there are classes.
    pub class_imbalance: Strength<f64>,
    /// Factor on the loss.
    pub rescale_loss: Strength<f64>,
    /// Deviation of the perturbations of gradients estimated from one pair of losses.
    pub evolution: Strength<f64>,
    /// Directions that gradients are projected on.
    pub projected: Strength<usize>,
    /// Noise relative to the gradient.
    pub gradient_noise: Strength<f64>,
    /// Probability of normalised gradients.
    pub normalised: f64,
    /// Probability of gradients in bfloat16.
    pub bfloat16: f64,
    /// Steps between a gradient and its use. A task remembers them, so it cannot be continued from parameters alone.
    pub delayed: Strength<usize>,
}

impl Default for AugmentationMix {
    fn default() -> Self {
        Self {
            reparametrise: Vec::new(),
            reduced_batch: Strength::never((0.01, 1.0)),
            label_noise: Strength::never((0.0, 0.2)),
            class_imbalance: Strength::never((0.5, 2.0)),
            rescale_loss: Strength::never((1e-3, 1e3)),
            evolution: Strength::never((0.001, 0.1)),
            projected: Strength::never((1, 64)),
            gradient_noise: Strength::never((0.1, 3.0)),
            normalised: 0.0,
            bfloat16: 0.0,
            delayed: Strength::never((1, 4)),
        }
    }
}

impl AugmentationMix {
    /// Refuses probabilities outside 0 to 1 and strengths that no augmentation has.
    ///
    /// # Errors
    /// [`Error::InvalidField`] naming the field and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        for (number, option) in self.reparametrise.iter().enumerate() {
            let field = |name: &str| format!("augmentations.reparametrise[{number}].{name}");
            if !(option.weight.is_finite() && option.weight > 0.0) {
                return Err(Error::invalid(field("weight"), option.weight, "a positive number"));
            }
            if option.scope.is_some() == option.decades.is_empty() {
                let expected = "some with a scope and none without one";
                return Err(Error::invalid(field("decades"), format!("{:?}", option.decades), expected));
            }
            option.decades.iter().try_for_each(|&decades| check_range(field("decades"), decades, 0.0..=6.0))?;
        }
        self.reduced_batch.check("reduced_batch", (1e-4, 1.0))?;
        self.label_noise.check("label_noise", (0.0, 1.0))?;
        self.class_imbalance.check("class_imbalance", (0.0, 4.0))?;
        self.rescale_loss.check("rescale_loss", (1e-6, 1e6))?;
        self.evolution.check("evolution", (1e-6, 10.0))?;
        self.projected.check("projected", (1, 1024))?;
        self.gradient_noise.check("gradient_noise", (1e-6, 100.0))?;
        check_range("augmentations.normalised", self.normalised, 0.0..=1.0)?;
        check_range("augmentations.bfloat16", self.bfloat16, 0.0..=1.0)?;
        self.delayed.check("delayed", (1, 64))
    }

    /// Puts a random disguise on `config`, after those that it has.
    pub fn disguise(&self, config: &mut TaskConfig, draws: &mut Draws) {
        // Every draw takes its values from the stream whether it is used or not, so that one change of the
        // distribution does not change everything after it.
        let scope = self.draw_scope(draws);
        let seed = draws.bits();
        if let Some((scope, decades)) = scope {
            config.augmentations.push(Augmentation::Reparametrise { scope, decades, seed });
        }
        let uniform = |draws: &mut Draws, strength: &Strength<f64>| {
            let (drawn, (low, high)) = (draws.chance(strength.chance), strength.range);
            (drawn, draws.uniform(low, high), draws.bits())
        };
        let has_classes = matches!(config.data.kinds(), Some((_, TargetKind::Class(_))));
        let (drawn, share, _) = uniform(draws, &self.reduced_batch);
        if drawn && config.batch_size > 2 {
            let share = share.max(2.0 / config.batch_size as f64) as f32;
            config.augmentations.push(Augmentation::ReducedBatch { share });
        }
        let (drawn, share, seed) = uniform(draws, &self.label_noise);
        if drawn && has_classes {
            config.augmentations.push(Augmentation::LabelNoise { share: share as f32, seed });
        }
        let (drawn, exponent, seed) = uniform(draws, &self.class_imbalance);
        if drawn && has_classes {
            let data = Box::new(std::mem::take(&mut config.data));
            config.data = DataConfig::Imbalanced { data, exponent: exponent as f32, seed };
        }
        let logarithmic = |draws: &mut Draws, strength: &Strength<f64>| {
            let (drawn, (low, high)) = (draws.chance(strength.chance), strength.range);
            (drawn, draws.log_uniform(low, high) as f32, draws.bits())
        };
        let whole = |draws: &mut Draws, strength: &Strength<usize>| {
            let (drawn, (low, high)) = (draws.chance(strength.chance), strength.range);
            (drawn, draws.log_uniform_integer(low, high), draws.bits())
        };
        let (drawn, deviation, seed) = logarithmic(draws, &self.evolution);
        if drawn {
            config.augmentations.push(Augmentation::EvolutionGradients { deviation, pairs: 1, seed });
        }
        let (drawn, factor, _) = logarithmic(draws, &self.rescale_loss);
        if drawn {
            config.augmentations.push(Augmentation::RescaleLoss { factor });
        }
        let (drawn, directions, seed) = whole(draws, &self.projected);
        if drawn {
            config.augmentations.push(Augmentation::ProjectedGradients { directions, seed });
        }
        let (drawn, relative, seed) = logarithmic(draws, &self.gradient_noise);
        if drawn {
            config.augmentations.push(Augmentation::GradientNoise { relative, seed });
        }
        if draws.chance(self.normalised) {
            config.augmentations.push(Augmentation::NormalisedGradients);
        }
        if draws.chance(self.bfloat16) {
            config.augmentations.push(Augmentation::Bfloat16Gradients);
        }
        let (drawn, steps, _) = whole(draws, &self.delayed);
        if drawn {
            config.augmentations.push(Augmentation::DelayedGradients { steps });
        }
    }

    fn draw_scope(&self, draws: &mut Draws) -> Option<(Scope, f32)> {
        let chosen = draws.weighted(self.reparametrise.iter().map(|option| option.weight));
        let place = draws.uniform(0.0, 1.0);
        let option = self.reparametrise.get(chosen)?;
        let decades = option.decades.get((place * option.decades.len() as f64) as usize)?;
        option.scope.map(|scope| (scope, *decades))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::MixtureConfig;
    use crate::registry::named;
    use crate::rng::stream_number;

    const COUNT: u32 = 7000;

    fn lists(mix: &AugmentationMix) -> Vec<Vec<Augmentation>> {
        let mut draws = Draws::new(1, const { stream_number("augmentation test") });
        let disguised = (0..COUNT).map(|_| {
            let mut config = named("digits_mlp").unwrap();
            mix.disguise(&mut config, &mut draws);
            config.augmentations
        });
        disguised.collect()
    }

    fn expect(lists: &[Vec<Augmentation>], kind: fn(&Augmentation) -> bool, expected: f64) {
        let found = lists.iter().filter(|list| list.iter().any(kind)).count() as f64 / f64::from(COUNT);
        let five_errors = 5.0 * (expected * (1.0 - expected) / f64::from(COUNT)).sqrt();
        assert!((found - expected).abs() <= five_errors, "{found} against {expected}");
    }

    #[test]
    fn the_published_mixture_has_the_frequencies_of_the_method() {
        let lists = lists(&MixtureConfig::named("published").unwrap().augmentations);
        lists.iter().flatten().for_each(|augmentation| augmentation.check().unwrap());
        expect(&lists, |a| matches!(a, Augmentation::Reparametrise { .. }), 5.0 / 7.0);
        expect(&lists, |a| matches!(a, Augmentation::Reparametrise { scope: Scope::PerParameter, .. }), 1.0 / 7.0);
        expect(&lists, |a| matches!(a, Augmentation::ReducedBatch { .. }), 0.2);
        expect(&lists, |a| matches!(a, Augmentation::EvolutionGradients { .. }), 0.08);
        expect(&lists, |a| matches!(a, Augmentation::Bfloat16Gradients), 0.2);
        expect(&lists, |a| matches!(a, Augmentation::ProjectedGradients { .. }), 0.08);
        expect(&lists, |a| matches!(a, Augmentation::NormalisedGradients), 0.05);
        expect(&lists, |a| matches!(a, Augmentation::DelayedGradients { .. }), 0.0);
    }

    #[test]
    fn the_broad_mixture_changes_all_rates_in_a_quarter_of_its_draws() {
        let lists = lists(&MixtureConfig::named("broad").unwrap().augmentations);
        expect(&lists, |a| matches!(a, Augmentation::Reparametrise { scope: Scope::Global, .. }), 0.25);
        expect(&lists, |a| matches!(a, Augmentation::Reparametrise { .. }), 0.5);
        expect(&lists, |a| matches!(a, Augmentation::RescaleLoss { .. }), 0.2);
        expect(&lists, |a| matches!(a, Augmentation::GradientNoise { .. }), 0.1);
        expect(&lists, |a| matches!(a, Augmentation::Bfloat16Gradients), 0.1);
    }

    #[test]
    fn labels_are_disguised_only_where_there_are_classes_and_two_rows_are_left() {
        let certain = |range| Strength { chance: 1.0, range };
        let mix = AugmentationMix {
            label_noise: certain((0.1, 0.1)),
            class_imbalance: certain((1.0, 1.0)),
            reduced_batch: certain((0.001, 0.001)),
            ..AugmentationMix::default()
        };
        let disguised = |name: &str| {
            let mut config = named(name).unwrap();
            mix.disguise(&mut config, &mut Draws::new(1, 1));
            config.check().unwrap();
            config
        };
        let digits = disguised("digits_mlp");
        assert!(matches!(digits.data, DataConfig::Imbalanced { exponent: 1.0, .. }));
        let kinds = digits.augmentations;
        assert!(matches!(kinds[..], [Augmentation::ReducedBatch { share: 0.03125 }, Augmentation::LabelNoise { .. }]));
        let diabetes = disguised("diabetes_mlp");
        assert!(diabetes.data == DataConfig::Diabetes && diabetes.augmentations.len() == 1);
    }

    #[test]
    fn an_empty_mix_changes_nothing() {
        let mut config = named("digits_mlp").unwrap();
        AugmentationMix::default().disguise(&mut config, &mut Draws::new(1, 1));
        assert_eq!(config, named("digits_mlp").unwrap());
    }

    #[test]
    fn senseless_strengths_are_refused_by_name() {
        let complaint = |change: fn(&mut AugmentationMix)| {
            let mut mix = AugmentationMix::default();
            change(&mut mix);
            mix.check().unwrap_err().to_string()
        };
        let message = complaint(|mix| mix.evolution.chance = 1.5);
        assert_eq!(message, "augmentations.evolution.chance is 1.5, expected 0 to 1");
        let message = complaint(|mix| mix.projected.range = (8, 4));
        assert_eq!(message, "augmentations.projected.range.1 is 4, expected 8 to 1024");
        let message = complaint(|mix| {
            mix.reparametrise = vec![Reparametrisation { weight: 1.0, scope: Some(Scope::Global), decades: vec![] }];
        });
        assert!(message.starts_with("augmentations.reparametrise[0].decades is []"), "{message}");
    }
}
