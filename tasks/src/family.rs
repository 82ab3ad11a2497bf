//! Distributions over tasks: a [`TaskFamily`] turns a seed into a [`TaskConfig`].
//!
//! The families differ in their data and their loss; the network is drawn the same way for all:
//!
//! | field | drawn from |
//! | --- | --- |
//! | hidden layers | 0 to 3, even (an auto-encoder: 1 or 3 around a bottleneck of 2 to 16) |
//! | width | log-uniform 8 to 64; 128 in one of twenty draws |
//! | activation | ReLU, tanh, SiLU, GELU |
//! | initial gain | log-uniform 0.4 to 2 |
//! | factor on the last kernel | 1, 0.1 or 0 (auto-encoders: 1 or 0.1) |
//! | batch | log-uniform 8 to 64 |
//! | rows | log-uniform 100 to 4096; fresh in one of five draws |
//! | label noise | none in half of the draws, else up to 0.2 (0.5 for regression) |

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::TaskConfig;
use crate::data::{DataConfig, GaussianMixtureConfig, GlyphsConfig, RowCount, TeacherConfig, TeacherTarget};
use crate::models::{Activation, Loss, MlpConfig, ModelConfig, Normalisation};
use crate::rng::{Draws, stream_number};

/// A distribution over tasks.
pub trait TaskFamily: Send + Sync {
    /// The name in configuration files.
    fn name(&self) -> &str;

    /// One line about what it draws.
    fn summary(&self) -> &str;

    /// The draw number `seed`: always the same for the same seed, and always buildable.
    fn sample(&self, seed: u64) -> TaskConfig;
}

/// All families.
pub fn families() -> &'static [&'static dyn TaskFamily] {
    &[&MlpTeacher, &MlpMixture, &MlpGlyphs, &MlpAutoencoder]
}

/// The family of that name.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name and all of them.
pub fn family_named(name: &str) -> Result<&'static dyn TaskFamily, Error> {
    families().iter().copied().find(|family| family.name() == name).ok_or_else(|| {
        let names: Vec<_> = families().iter().map(|family| family.name()).collect();
        Error::unknown("task family", name, &names)
    })
}

/// MLPs that imitate a random network, classifying or regressing.
struct MlpTeacher;

/// MLPs that classify points of a Gaussian mixture.
struct MlpMixture;

/// MLPs that classify warped glyphs.
struct MlpGlyphs;

/// MLPs that compress glyphs or points of a Gaussian mixture.
struct MlpAutoencoder;

impl TaskFamily for MlpTeacher {
    fn name(&self) -> &str {
        "mlp_teacher"
    }

    fn summary(&self) -> &str {
        "classification and regression of random inputs labelled by a random network"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("mlp_teacher") });
        let target = draws.choose([TeacherTarget::Class, TeacherTarget::Class, TeacherTarget::Values]);
        let (loss, outputs, largest_noise) = match target {
            TeacherTarget::Class => (Loss::SoftmaxCrossEntropy, draws.log_uniform_integer(2, 10), 0.2),
            TeacherTarget::Values => {
                let loss = draws.choose([Loss::MeanSquaredError, Loss::MeanSquaredError, Loss::Huber]);
                (loss, draws.log_uniform_integer(1, 4), 0.5)
            }
        };
        let data = TeacherConfig {
            seed: draws.bits(),
            inputs: draws.log_uniform_integer(8, 64),
            hidden: draws.log_uniform_integer(4, 32),
            outputs,
            target,
            rows: row_count(&mut draws),
            label_noise: label_noise(&mut draws, largest_noise),
        };
        let model = mlp(&mut draws, |draws| draws.choose([1.0, 0.1, 0.0]));
        task(self, DataConfig::Teacher(data), model, loss, &mut draws)
    }
}

impl TaskFamily for MlpMixture {
    fn name(&self) -> &str {
        "mlp_mixture"
    }

    fn summary(&self) -> &str {
        "classification of points from overlapping Gaussian clusters"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("mlp_mixture") });
        let data = mixture(&mut draws);
        let model = mlp(&mut draws, |draws| draws.choose([1.0, 0.1, 0.0]));
        task(self, DataConfig::GaussianMixture(data), model, Loss::SoftmaxCrossEntropy, &mut draws)
    }
}

impl TaskFamily for MlpGlyphs {
    fn name(&self) -> &str {
        "mlp_glyphs"
    }

    fn summary(&self) -> &str {
        "classification of small warped images of random stroke figures"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("mlp_glyphs") });
        let data = glyphs(&mut draws);
        let model = mlp(&mut draws, |draws| draws.choose([1.0, 0.1, 0.0]));
        task(self, DataConfig::Glyphs(data), model, Loss::SoftmaxCrossEntropy, &mut draws)
    }
}

impl TaskFamily for MlpAutoencoder {
    fn name(&self) -> &str {
        "mlp_autoencoder"
    }

    fn summary(&self) -> &str {
        "auto-encoding of glyph images or mixture points through a bottleneck"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("mlp_autoencoder") });
        let data = if draws.chance(0.5) {
            DataConfig::Glyphs(glyphs(&mut draws))
        } else {
            DataConfig::GaussianMixture(mixture(&mut draws))
        };
        let mut model = mlp(&mut draws, |draws| draws.choose([1.0, 0.1]));
        let (bottleneck, width) = (draws.log_uniform_integer(2, 16), width(&mut draws));
        model.hidden = if draws.chance(0.5) { vec![bottleneck] } else { vec![width, bottleneck, width] };
        task(self, data, model, Loss::AutoEncoding, &mut draws)
    }
}

fn task(family: &dyn TaskFamily, data: DataConfig, model: MlpConfig, loss: Loss, draws: &mut Draws) -> TaskConfig {
    TaskConfig {
        name: family.name().to_owned(),
        data,
        model: ModelConfig::Mlp(model),
        loss,
        batch_size: draws.log_uniform_integer(8, 64),
        augmentations: Vec::new(),
    }
}

fn mlp(draws: &mut Draws, output_scale: impl FnOnce(&mut Draws) -> f32) -> MlpConfig {
    let depth = draws.choose([0, 1, 2, 3]);
    MlpConfig {
        hidden: (0..depth).map(|_| width(draws)).collect(),
        activation: draws.choose([Activation::Relu, Activation::Tanh, Activation::Silu, Activation::Gelu]),
        normalisation: Normalisation::None,
        init_gain: draws.log_uniform(0.4, 2.0) as f32,
        output_scale: output_scale(draws),
    }
}

fn width(draws: &mut Draws) -> usize {
    if draws.chance(0.05) { 128 } else { draws.log_uniform_integer(8, 64) }
}

fn row_count(draws: &mut Draws) -> RowCount {
    if draws.chance(0.2) { RowCount::Fresh } else { RowCount::Fixed(draws.log_uniform_integer(100, 4096)) }
}

fn label_noise(draws: &mut Draws, largest: f64) -> f32 {
    if draws.chance(0.5) { 0.0 } else { draws.uniform(0.0, largest) as f32 }
}

fn mixture(draws: &mut Draws) -> GaussianMixtureConfig {
    GaussianMixtureConfig {
        seed: draws.bits(),
        inputs: draws.log_uniform_integer(8, 64),
        classes: draws.log_uniform_integer(2, 10),
        clusters: draws.log_uniform_integer(1, 4),
        separation: draws.log_uniform(0.3, 1.5) as f32,
        rows: row_count(draws),
        label_noise: label_noise(draws, 0.2),
    }
}

fn glyphs(draws: &mut Draws) -> GlyphsConfig {
    GlyphsConfig {
        seed: draws.bits(),
        side: draws.choose([6, 8, 8]),
        classes: draws.log_uniform_integer(2, 10),
        strokes: draws.choose([1, 2, 3]),
        warp: draws.uniform(0.1, 1.0) as f32,
        pixel_noise: draws.uniform(0.0, 0.4) as f32,
        rows: row_count(draws),
        label_noise: label_noise(draws, 0.2),
    }
}

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
    fn a_seed_names_a_task_and_other_seeds_name_others() {
        for family in families() {
            assert_eq!(family.sample(17), family.sample(17));
            assert_ne!(family.sample(17), family.sample(18));
        }
    }

    #[test]
    fn all_draws_are_valid_and_cover_depths_widths_and_row_counts() {
        for family in families() {
            let draws: Vec<_> = (0..500).map(|seed| family.sample(seed)).collect();
            draws.iter().for_each(|draw| draw.check().unwrap());
            let hidden = |draw: &TaskConfig| {
                let ModelConfig::Mlp(mlp) = &draw.model else { unreachable!("families of MLPs") };
                mlp.hidden.clone()
            };
            let wide = draws.iter().filter(|draw| hidden(draw).contains(&128)).count();
            assert!((5..100).contains(&wide), "{}: {wide} of 500 draws are wide", family.name());
            for depth in if family.name() == "mlp_autoencoder" { vec![1, 3] } else { vec![0, 1, 2, 3] } {
                let count = draws.iter().filter(|draw| hidden(draw).len() == depth).count();
                assert!(count > 80, "{}: {count} of 500 draws have depth {depth}", family.name());
            }
        }
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
