//! Families drawn with weights, within a time budget, in disguise.
//!
//! ```text
//! seed ─▶ budget ─▶ family by weight ─▶ draw, disguised ─▶ affordable? take it : draw again, at last another family
//! ```
//!
//! A budget is the seconds that an inner step may take, by the mixture's own timing table (as in VeLO, arXiv 2211.09760). It is
//! drawn first, so small tasks, which are what many steps can be made of, come often, and large ones now and then. Families that
//! have nothing affordable are passed over: with a small budget large architectures never occur. A family may have budgets of its own.
//!
//! The partition of the seed is that of every seed drawn from it: draws for training, validation and testing never coincide.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{TaskFamily, families, family_named};
use crate::augmentations::AugmentationMix;
use crate::config::TaskConfig;
use crate::cost::{TimingTable, Workload};
use crate::error::check_range;
use crate::partition::Partition;
use crate::rng::{Draws, stream_number};
use crate::{Error, ron_text};

/// Families that are tried before the cheapest draw of all is taken.
const FAMILIES_TRIED: usize = 16;

/// A family and how often it is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Name of the family.
    pub family: String,
    /// Share, relative to the other components.
    #[serde(default = "one")]
    pub weight: f64,
    /// What an inner step of this family may cost, in place of the mixture's budgets: for families whose small draws do not
    /// show what makes their large ones hard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
}

impl Component {
    /// A family under the budgets of its mixture.
    pub fn new(family: &str, weight: f64) -> Self {
        Self { family: family.to_owned(), weight, budgets: Vec::new() }
    }
}

fn one() -> f64 {
    1.0
}

/// Seconds of an inner step, and how often they are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Most seconds.
    pub seconds: f64,
    /// Share, relative to the other budgets.
    #[serde(default = "one")]
    pub weight: f64,
}

/// A mixture, as its RON file spells it. Every field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureConfig {
    /// Families with weights; empty stands for all of them, equally.
    pub families: Vec<Component>,
    /// What an inner step may cost; empty for no limit.
    pub budgets: Vec<Budget>,
    /// Seconds that the optimizer takes for each parameter, a part of an inner step.
    pub optimizer_seconds_per_parameter: f64,
    /// Draws of a family before it is passed over as too dear, 1 to 1000.
    pub attempts: usize,
    /// Disguises.
    pub augmentations: AugmentationMix,
    /// What costs are estimated from; left out for the bundled table.
    pub timing: Option<TimingTable>,
}

impl Default for MixtureConfig {
    fn default() -> Self {
        Self {
            families: Vec::new(),
            budgets: Vec::new(),
            optimizer_seconds_per_parameter: 5e-9,
            attempts: 24,
            augmentations: AugmentationMix::default(),
            timing: None,
        }
    }
}

/// The mixtures that come with this crate: name and text.
const BUNDLED: [(&str, &str); 3] = [
    ("broad", include_str!("../../configs/broad.ron")),
    ("small", include_str!("../../configs/small.ron")),
    ("published", include_str!("../../configs/published.ron")),
];

impl MixtureConfig {
    /// The names of the mixtures in `tasks/configs`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUNDLED.iter().map(|(name, _)| *name)
    }

    /// A mixture of `tasks/configs` by its name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the nearest name and all of them.
    pub fn named(name: &str) -> Result<Self, Error> {
        match BUNDLED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => ron_text::parse(&format!("{name}.ron"), text),
            None => Err(Error::unknown("mixture", name, &Self::names().collect::<Vec<_>>())),
        }
    }

    /// Reads a RON file.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read, [`Error::CorruptData`] for one that is no mixture.
    pub fn read(path: &Path) -> Result<Self, Error> {
        ron_text::read(path)
    }

    /// The checked form, which draws.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a family that does not exist, [`Error::InvalidField`] for weights and seconds that are not positive
    /// and finite, and for strengths out of bounds.
    pub fn check(&self) -> Result<Mixture, Error> {
        let positive = |field: String, value: f64| {
            let sound = value.is_finite() && value > 0.0;
            if sound { Ok(value) } else { Err(Error::invalid(field, value, "a positive number")) }
        };
        let check_budgets = |budgets: &[Budget], of: &str| -> Result<(), Error> {
            for (number, budget) in budgets.iter().enumerate() {
                positive(format!("budgets[{number}].seconds{of}"), budget.seconds)?;
                positive(format!("budgets[{number}].weight{of}"), budget.weight)?;
            }
            Ok(())
        };
        let mut members = Vec::new();
        for Component { family, weight, budgets } in &self.families {
            let weight = positive(format!("weight of family {family:?}"), *weight)?;
            check_budgets(budgets, &format!(" of family {family:?}"))?;
            members.push(Member { family: family_named(family)?, weight, budgets: budgets.clone() });
        }
        if members.is_empty() {
            members.extend(families().iter().map(|&family| Member { family, weight: 1.0, budgets: Vec::new() }));
        }
        check_budgets(&self.budgets, "")?;
        check_range("optimizer_seconds_per_parameter", self.optimizer_seconds_per_parameter, 0.0..=1.0)?;
        check_range("attempts", self.attempts, 1..=1000)?;
        self.augmentations.check()?;
        let timing = match &self.timing {
            Some(table) => table.check().map(|()| table.clone())?,
            None => TimingTable::bundled(),
        };
        Ok(Mixture {
            members,
            budgets: self.budgets.clone(),
            optimizer_seconds_per_parameter: self.optimizer_seconds_per_parameter,
            attempts: self.attempts,
            augmentations: self.augmentations.clone(),
            timing,
        })
    }
}

/// A component that was checked.
struct Member {
    family: &'static dyn TaskFamily,
    weight: f64,
    budgets: Vec<Budget>,
}

/// Families drawn with weights; a family itself.
pub struct Mixture {
    members: Vec<Member>,
    budgets: Vec<Budget>,
    optimizer_seconds_per_parameter: f64,
    attempts: usize,
    augmentations: AugmentationMix,
    timing: TimingTable,
}

impl std::fmt::Debug for Mixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.members.iter().map(|member| (member.family.name(), member.weight))).finish()
    }
}

/// A draw and what was known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The draw; its name is that of its family.
    pub config: TaskConfig,
    /// Parameters of its model.
    pub parameters: usize,
    /// Seconds of an inner step, by the table of the mixture.
    pub seconds: f64,
    /// The budget it was drawn within, if there was one.
    pub budget: Option<f64>,
}

impl Mixture {
    /// Families with weights, no budget, no disguise.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a family that does not exist, [`Error::InvalidField`] for an empty mixture or a weight that is not positive and finite.
    pub fn new(components: &[Component]) -> Result<Self, Error> {
        if components.is_empty() {
            return Err(Error::invalid("families", "empty", "at least one family"));
        }
        MixtureConfig { families: components.to_vec(), ..MixtureConfig::default() }.check()
    }

    /// The names of its families, in the order of the configuration.
    pub fn family_names(&self) -> impl Iterator<Item = &'static str> {
        self.members.iter().map(|member| member.family.name())
    }

    /// Draw `number` for a purpose: no draw for another purpose has its seeds.
    pub fn draw(&self, partition: Partition, number: u64) -> TaskConfig {
        self.sample(partition.seed(number))
    }

    /// The draw of `seed` with its cost.
    ///
    /// # Errors
    /// [`Error::InvalidField`] when a family has drawn what cannot be built, which its tests rule out.
    pub fn sample_with_cost(&self, seed: u64) -> Result<Drawn, Error> {
        let mut draws = Draws::new(seed, const { stream_number("mixture") });
        let usual = drawn_budget(&self.budgets, &mut draws);
        let mut cheapest: Option<Drawn> = None;
        for _ in 0..FAMILIES_TRIED {
            let member = &self.members[draws.weighted(self.members.iter().map(|member| member.weight))];
            let budget = if member.budgets.is_empty() { usual } else { drawn_budget(&member.budgets, &mut draws) };
            for _ in 0..self.attempts {
                let mut config = member.family.sample(Partition::within(seed, draws.bits()));
                self.augmentations.disguise(&mut config, &mut draws);
                let work = Workload::of(&config)?;
                let step = work.parameters as f64 * self.optimizer_seconds_per_parameter;
                let seconds = self.timing.seconds_of(&work, &config) + step;
                let drawn = Drawn { config, parameters: work.parameters, seconds, budget };
                if budget.is_none_or(|budget| seconds <= budget) {
                    return Ok(drawn);
                }
                if cheapest.as_ref().is_none_or(|cheapest| seconds < cheapest.seconds) {
                    cheapest = Some(drawn);
                }
            }
        }
        Ok(cheapest.expect("at least one draw was made"))
    }
}

fn drawn_budget(budgets: &[Budget], draws: &mut Draws) -> Option<f64> {
    let chosen = draws.weighted(budgets.iter().map(|budget| budget.weight));
    budgets.get(chosen).map(|budget| budget.seconds)
}

impl TaskFamily for Mixture {
    fn name(&self) -> &str {
        "mixture"
    }

    fn summary(&self) -> &str {
        "several families, drawn with weights"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        self.sample_with_cost(seed).expect("families draw what can be built").config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighted(components: &[(&str, f64)]) -> Result<Mixture, Error> {
        let components: Vec<_> = components.iter().map(|&(family, weight)| Component::new(family, weight)).collect();
        Mixture::new(&components)
    }

    fn bundled(name: &str) -> Mixture {
        MixtureConfig::named(name).unwrap().check().unwrap()
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

    #[test]
    fn draws_keep_to_their_budget_and_budgets_to_their_weights() {
        let mixture = bundled("broad");
        let drawn: Vec<_> = (0..400).map(|seed| mixture.sample_with_cost(seed).unwrap()).collect();
        for draw in &drawn {
            assert!(draw.seconds <= draw.budget.unwrap(), "{draw:?}");
            draw.config.check().unwrap();
        }
        let total: f64 = mixture.budgets.iter().map(|budget| budget.weight).sum();
        for budget in &mixture.budgets {
            let share = drawn.iter().filter(|draw| draw.budget == Some(budget.seconds)).count() as f64 / 400.0;
            let expected = budget.weight / total;
            assert!((share - expected).abs() < 5.0 * (expected * (1.0 - expected) / 400.0).sqrt(), "{share}");
        }
        let families: std::collections::BTreeSet<_> = drawn.iter().map(|draw| draw.config.name.as_str()).collect();
        assert!(families.len() >= 14, "only {families:?}");
    }

    #[test]
    fn the_draws_of_the_bundled_mixtures_are_frozen() {
        // A new timing table or a new family may change them; then every run that names a mixture changes, too.
        let found = MixtureConfig::names().map(|name| {
            let mixture = bundled(name);
            let prints = (0..20).map(|number| mixture.draw(Partition::Train, number).fingerprint());
            (name, prints.fold(0u64, |sum, print| sum.rotate_left(1) ^ print))
        });
        let expected =
            [("broad", 18143136952357623816), ("small", 6516864469755746276), ("published", 11228903421683644280)];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_table_is_what_is_affordable() {
        let mut config = MixtureConfig::named("small").unwrap();
        let usual = config.check().unwrap();
        let mut table = TimingTable::bundled();
        table.models.values_mut().for_each(|rates| rates.operation *= 30.0);
        config.timing = Some(table);
        let slow = config.check().unwrap();
        let mean = |mixture: &Mixture| {
            let parameters = (0..60).map(|seed| mixture.sample_with_cost(seed).unwrap().parameters as f64);
            parameters.sum::<f64>() / 60.0
        };
        assert!(mean(&slow) < 0.7 * mean(&usual), "{} {}", mean(&slow), mean(&usual));
    }

    #[test]
    fn a_family_may_have_budgets_of_its_own() {
        let mut config = MixtureConfig {
            families: vec![Component::new("mlp_teacher", 1.0), Component::new("poisson", 1.0)],
            budgets: vec![Budget { seconds: 1e-5, weight: 1.0 }],
            ..MixtureConfig::default()
        };
        let large = Budget { seconds: 2e-4, weight: 1.0 };
        let dearest = |config: &MixtureConfig, family: &str| {
            let mixture = config.check().unwrap();
            let drawn = (0..200).map(|seed| mixture.sample_with_cost(seed).unwrap());
            drawn.filter(|drawn| drawn.config.name == family).map(|drawn| drawn.seconds).fold(0.0, f64::max)
        };
        assert!(dearest(&config, "poisson") <= 1e-5);
        config.families[1].budgets = vec![large];
        let found = dearest(&config, "poisson");
        assert!((3e-5..=2e-4).contains(&found), "{found}");
        assert!(dearest(&config, "mlp_teacher") <= 1e-5);
        config.families[1].budgets[0].seconds = -1.0;
        let message = config.check().unwrap_err().to_string();
        assert_eq!(message, "budgets[0].seconds of family \"poisson\" is -1, expected a positive number");
    }

    #[test]
    fn without_an_affordable_draw_the_cheapest_is_taken() {
        let config = MixtureConfig {
            families: vec![Component::new("transformer", 1.0)],
            budgets: vec![Budget { seconds: 1e-9, weight: 1.0 }],
            attempts: 4,
            ..MixtureConfig::default()
        };
        let unlimited = MixtureConfig { budgets: Vec::new(), ..config.clone() }.check().unwrap();
        let drawn = config.check().unwrap().sample_with_cost(3).unwrap();
        let usual: f64 = (0..50).map(|seed| unlimited.sample_with_cost(seed).unwrap().seconds).sum();
        assert!(drawn.seconds < usual / 50.0 / 2.0, "{} against {}", drawn.seconds, usual / 50.0);
    }

    #[test]
    fn a_draw_of_another_partition_shares_no_seed() {
        let mixture = bundled("broad");
        for number in 0..20 {
            let [train, validation] = [Partition::Train, Partition::Validation].map(|p| mixture.draw(p, number));
            assert_ne!(train, validation);
        }
    }

    #[test]
    fn mistakes_in_a_file_are_told_with_their_place() {
        let complaint = |text: &str| ron_text::parse::<MixtureConfig>("mix.ron", text).unwrap_err().to_string();
        let message = complaint("(\n    budgtes: [],\n)");
        assert!(
            message.starts_with("mix.ron:2:12: unknown field `budgtes`, expected one of `families`, "),
            "{message}"
        );
        let parsed: MixtureConfig = ron_text::parse("mix.ron", "(budgets: [(seconds: -1.0)])").unwrap();
        let message = parsed.check().unwrap_err().to_string();
        assert_eq!(message, "budgets[0].seconds is -1, expected a positive number");
        assert!(MixtureConfig::named("brod").unwrap_err().to_string().contains("did you mean \"broad\"?"));
    }
}
