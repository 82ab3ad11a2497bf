//! What is trained: one architecture a file, each a sequence of layers on a graph (`src/graph`).
//!
//! A [`ModelConfig`] says which architecture, a [`Loss`] what for; `build` puts both on a graph over the inputs of
//! the data, and `model_task` makes a task of it.

mod autodiff_mlp;
mod autodiff_transformer;
#[cfg(test)]
mod conformance;
mod convolutional;
mod factorisation;
mod fields;
mod initialisation;
mod learned_optimizer;
mod loss;
mod mixer;
mod mlp;
mod model_task;
mod recurrent;
mod surface;
mod towers;
mod transformer;
mod variational;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::InputKind;
pub use crate::graph::{Activation, CellKind, SmoothActivation};
use crate::graph::{GraphBuilder, Node, Real};
pub use convolutional::{ConvolutionalConfig, Halving};
pub use factorisation::FactorisationConfig;
pub use fields::{Coordinates, ImplicitConfig, PoissonConfig};
use initialisation::Gains;
pub use initialisation::Normalisation;
pub use learned_optimizer::LearnedOptimizerConfig;
pub(crate) use learned_optimizer::LearnedOptimizerTask;
pub use loss::Loss;
pub use mixer::MixerConfig;
pub use mlp::MlpConfig;
pub(crate) use model_task::{ModelTask, graph, graph_on};
pub use recurrent::RecurrentConfig;
pub(crate) use surface::SurfaceTask;
pub use surface::{Surface, SurfaceConfig};
pub use towers::TowersConfig;
pub use transformer::{TransformerConfig, VisionTransformerConfig};
pub use variational::VariationalConfig;

/// Which architecture a task trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ModelConfig {
    /// Dense layers, one after the other.
    Mlp(MlpConfig),
    /// An auto-encoder with a random code.
    Variational(VariationalConfig),
    /// Convolutions, with or without residual blocks.
    Convolutional(ConvolutionalConfig),
    /// Recurrent cells over tokens.
    Recurrent(RecurrentConfig),
    /// A causal transformer over tokens.
    Transformer(TransformerConfig),
    /// A transformer over the patches of an image.
    VisionTransformer(VisionTransformerConfig),
    /// Dense layers over patches, then channels.
    Mixer(MixerConfig),
    /// Vectors of users and items.
    Factorisation(FactorisationConfig),
    /// A function of the plane that is an image.
    Implicit(ImplicitConfig),
    /// A function of the plane that solves Poisson's equation.
    Poisson(PoissonConfig),
    /// Images and texts in one space.
    Towers(TowersConfig),
    /// A function of the parameters alone.
    Surface(SurfaceConfig),
    /// A small optimizer, trained by how well it trains.
    LearnedOptimizer(LearnedOptimizerConfig),
}

/// What computes a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// Forward and backward passes written by hand.
    #[default]
    Graph,
    /// The autodiff library, for plain MLPs, causal language models and vision transformers: several times slower, and the oracle of
    /// the tests.
    Autodiff,
}

impl ModelConfig {
    /// Refuses impossible shapes, without building anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Mlp(config) => config.check(),
            Self::Variational(config) => config.check(),
            Self::Convolutional(config) => config.check(),
            Self::Recurrent(config) => config.check(),
            Self::Transformer(config) => config.check(),
            Self::VisionTransformer(config) => config.check(),
            Self::Mixer(config) => config.check(),
            Self::Factorisation(config) => config.check(),
            Self::Implicit(config) => config.check(),
            Self::Poisson(config) => config.check(),
            Self::Towers(config) => config.check(),
            Self::Surface(config) => config.check(),
            Self::LearnedOptimizer(config) => config.check(),
        }
    }

    /// Puts the model, with `loss` behind it, on a graph over inputs of kind `input`; the loss needs `outputs` outputs.
    ///
    /// # Errors
    /// [`Error::InvalidField`] when the model cannot read such inputs, or does not serve such a loss.
    fn build<T: Real>(
        &self,
        g: &mut GraphBuilder<T>,
        input: InputKind,
        loss: Loss,
        outputs: usize,
    ) -> Result<(), Error> {
        let x = g.input();
        let every_position = loss == Loss::NextToken;
        let node = match (self, input) {
            (Self::Mlp(config), InputKind::Features(_) | InputKind::Image { .. }) => config.build(g, x, outputs),
            (Self::Variational(config), InputKind::Features(_) | InputKind::Image { .. })
                if loss == Loss::AutoEncoding =>
            {
                config.build(g, x, outputs)
            }
            (Self::Convolutional(config), InputKind::Image { channels, height, width }) => {
                let image = g.reshape(x, channels);
                config.build(g, image, (height, width), outputs)
            }
            (Self::VisionTransformer(config), InputKind::Image { channels, height, width }) => {
                let image = g.reshape(x, channels);
                config.build(g, image, (height, width), outputs)
            }
            (Self::Mixer(config), InputKind::Image { channels, height, width }) => {
                let image = g.reshape(x, channels);
                config.build(g, image, (height, width), outputs)
            }
            (Self::Recurrent(config), InputKind::Tokens { vocabulary, length }) => {
                config.build(g, vocabulary, length, every_position, outputs)
            }
            (Self::Transformer(config), InputKind::Tokens { vocabulary, length }) => {
                config.build_language(g, vocabulary, length, every_position, outputs)
            }
            (Self::Factorisation(config), InputKind::Tokens { vocabulary, length: 2 }) if outputs == 1 => {
                config.build(g, vocabulary)
            }
            (Self::Implicit(config), InputKind::Features(2)) => config.build(g, x, outputs),
            (Self::Poisson(config), InputKind::Features(2)) if loss == Loss::Residual => config.build(g),
            (Self::Towers(config), InputKind::ImageAndTokens { channels, height, width, vocabulary, length }) => {
                let input = towers::ImageAndText { channels, height, width, vocabulary, length };
                return config.build(g, input, loss);
            }
            _ => {
                let expected = format!("a model for inputs of kind {input:?} and the loss {loss:?}");
                return Err(Error::invalid("model", self.architecture(), expected));
            }
        };
        attach(g, node, loss)
    }

    /// The name of the architecture, as configuration files spell it.
    pub fn architecture(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "Mlp",
            Self::Variational(_) => "Variational",
            Self::Convolutional(_) => "Convolutional",
            Self::Recurrent(_) => "Recurrent",
            Self::Transformer(_) => "Transformer",
            Self::VisionTransformer(_) => "VisionTransformer",
            Self::Mixer(_) => "Mixer",
            Self::Factorisation(_) => "Factorisation",
            Self::Implicit(_) => "Implicit",
            Self::Poisson(_) => "Poisson",
            Self::Towers(_) => "Towers",
            Self::Surface(_) => "Surface",
            Self::LearnedOptimizer(_) => "LearnedOptimizer",
        }
    }
}

/// Puts `loss` behind the outputs of a model of one input.
fn attach<T: Real>(g: &mut GraphBuilder<T>, outputs: Node, loss: Loss) -> Result<(), Error> {
    if loss.contrast().is_some() {
        return Err(Error::invalid("loss", format!("{loss:?}"), "a loss for one model; Towers are two"));
    }
    loss.attach(g, outputs);
    Ok(())
}
