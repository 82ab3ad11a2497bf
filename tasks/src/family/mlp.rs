//! Multi-layer perceptrons: imitation of a random network, classification, auto-encoding.
//!
//! The families differ in their data and their loss; the network is drawn the same way for all:
//!
//! | field | drawn from |
//! | --- | --- |
//! | hidden layers | 0 to 3, even (an auto-encoder: 1 or 3 around a bottleneck of 2 to 16) |
//! | width | log-uniform 8 to 64; 128 in one of twenty draws |
//! | activation | ReLU, tanh, SiLU, GELU |
//! | normalisation | none; one of layer, RMS and batch norm in `mlp_normalised` |
//! | initial gain | log-uniform 0.4 to 2 |
//! | factor on the last kernel | 1, 0.1 or 0 (auto-encoders: 1 or 0.1) |
//! | batch | log-uniform 8 to 64 |
//! | rows | log-uniform 100 to 4096; fresh in one of five draws |
//! | label noise | none in half of the draws, else up to 0.2 (0.5 for regression) |

use super::TaskFamily;
use crate::config::TaskConfig;
use crate::data::{
    DataConfig, GaussianMixtureConfig, GlyphsConfig, ParityConfig, RowCount, TeacherConfig, TeacherTarget,
    sample_label_noise,
};
use crate::models::{Activation, Loss, MlpConfig, ModelConfig, Normalisation, VariationalConfig};
use crate::rng::{Draws, stream_number};

/// MLPs that imitate a random network, classifying or regressing.
pub(super) struct MlpTeacher;

/// MLPs that classify points of a Gaussian mixture.
pub(super) struct MlpMixture;

/// MLPs that classify warped glyphs.
pub(super) struct MlpGlyphs;

/// MLPs that compress glyphs or points of a Gaussian mixture.
pub(super) struct MlpAutoencoder;

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
            rows: RowCount::sample(&mut draws),
            label_noise: sample_label_noise(&mut draws, largest_noise),
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

/// MLPs with a normalisation before each activation.
pub(super) struct MlpNormalised;

impl TaskFamily for MlpNormalised {
    fn name(&self) -> &str {
        "mlp_normalised"
    }

    fn summary(&self) -> &str {
        "classification of glyphs, mixture points or parities with layer, RMS or batch norm"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("mlp_normalised") });
        let data = match draws.choose([0, 1, 2]) {
            0 => DataConfig::Glyphs(glyphs(&mut draws)),
            1 => DataConfig::GaussianMixture(mixture(&mut draws)),
            _ => DataConfig::Parity(ParityConfig::sample(&mut draws)),
        };
        let mut model = mlp(&mut draws, |draws| draws.choose([1.0, 0.1, 0.0]));
        if model.hidden.is_empty() {
            model.hidden.push(width(&mut draws));
        }
        model.normalisation = draws.choose([Normalisation::Layer, Normalisation::Rms, Normalisation::Batch]);
        task(self, data, model, loss_of_classes(&mut draws), &mut draws)
    }
}

/// A loss for classes.
fn loss_of_classes(draws: &mut Draws) -> Loss {
    draws.choose([Loss::SoftmaxCrossEntropy, Loss::SoftmaxCrossEntropy, Loss::Logistic])
}

/// Variational auto-encoders of glyphs and mixture points.
pub(super) struct Variational;

impl TaskFamily for Variational {
    fn name(&self) -> &str {
        "variational"
    }

    fn summary(&self) -> &str {
        "auto-encoding with a random code, of glyph images or mixture points"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("variational") });
        let data = if draws.chance(0.7) {
            DataConfig::Glyphs(glyphs(&mut draws))
        } else {
            DataConfig::GaussianMixture(mixture(&mut draws))
        };
        let MlpConfig { mut hidden, activation, init_gain, output_scale, .. } =
            mlp(&mut draws, |draws| draws.choose([1.0, 0.1]));
        hidden.truncate(2);
        let model = VariationalConfig {
            hidden,
            codes: draws.log_uniform_integer(2, 16),
            activation,
            divergence_weight: draws.log_uniform(0.01, 1.0) as f32,
            init_gain,
            output_scale,
        };
        TaskConfig {
            name: self.name().to_owned(),
            data,
            model: ModelConfig::Variational(model),
            loss: Loss::AutoEncoding,
            batch_size: draws.log_uniform_integer(8, 64),
            augmentations: Vec::new(),
        }
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

pub(super) fn width(draws: &mut Draws) -> usize {
    if draws.chance(0.05) { 128 } else { draws.log_uniform_integer(8, 64) }
}

fn mixture(draws: &mut Draws) -> GaussianMixtureConfig {
    GaussianMixtureConfig {
        seed: draws.bits(),
        inputs: draws.log_uniform_integer(8, 64),
        classes: draws.log_uniform_integer(2, 10),
        clusters: draws.log_uniform_integer(1, 4),
        separation: draws.log_uniform(0.3, 1.5) as f32,
        rows: RowCount::sample(draws),
        label_noise: sample_label_noise(draws, 0.2),
    }
}

/// Six or eight pixels wide.
fn glyphs(draws: &mut Draws) -> GlyphsConfig {
    GlyphsConfig::sample(draws, [6, 8, 8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::family_named;

    #[test]
    fn draws_cover_depths_and_widths() {
        for name in ["mlp_teacher", "mlp_mixture", "mlp_glyphs", "mlp_autoencoder"] {
            let draws: Vec<_> = (0..500).map(|seed| family_named(name).unwrap().sample(seed)).collect();
            let hidden = |draw: &TaskConfig| {
                let ModelConfig::Mlp(mlp) = &draw.model else { unreachable!("families of MLPs") };
                mlp.hidden.clone()
            };
            let wide = draws.iter().filter(|draw| hidden(draw).contains(&128)).count();
            assert!((5..100).contains(&wide), "{name}: {wide} of 500 draws are wide");
            for depth in if name == "mlp_autoencoder" { vec![1, 3] } else { vec![0, 1, 2, 3] } {
                let count = draws.iter().filter(|draw| hidden(draw).len() == depth).count();
                assert!(count > 80, "{name}: {count} of 500 draws have depth {depth}");
            }
        }
    }
}
