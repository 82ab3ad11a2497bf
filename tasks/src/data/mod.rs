//! What is learned from: bundled data, procedural generators and users' files, named by a [`DataConfig`].
//!
//! [`DataConfig::load`] turns a configuration into a shared [`Dataset`]; equal configurations share one.
//!
//! | folder | holds |
//! | --- | --- |
//! | `bundled` | real tables and a text that are part of the program |
//! | `features` | points, tables and functions of a place |
//! | `images` | figures, textures, shapes, shapes with captions, spots |
//! | `sequences` | Markov chains, brackets, recall, modular arithmetic, grammars, automata |
//! | `files` | what users have on disk |

mod alias;
mod bundled;
mod cache;
mod dataset;
mod features;
mod files;
mod images;
mod labels;
mod procedural;
mod sequences;
mod table;
mod text;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::check_range;
pub use dataset::{BatchRows, Dataset, InputKind, Rows, TargetKind};
pub use features::{
    CollocationConfig, FriedmanConfig, GaussianMixtureConfig, IllConditionedConfig, ImplicitImageConfig, ParityConfig,
    PlaneFigure, PlaneFiguresConfig, RatingsConfig, TeacherConfig, TeacherTarget,
};
pub(crate) use files::read_small_file;
pub use files::{CifarConfig, CifarKind, CsvConfig, CsvTarget, IdxConfig, ImageFolderConfig, TextConfig};
pub use images::{BlobsConfig, CaptionedShapesConfig, GlyphsConfig, ShapeTarget, ShapesConfig, TexturesConfig};
pub use procedural::RowCount;
pub(crate) use procedural::sample_label_noise;
pub use sequences::{
    AutomatonConfig, BracketsConfig, GrammarConfig, MarkovConfig, ModularArithmeticConfig, Operation, RecallConfig,
    RecallKind,
};

/// Which data a task learns from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DataConfig {
    /// No rows: the model is a function of its parameters alone.
    #[default]
    None,
    /// 1797 handwritten digits of 8×8 pixels, ten classes.
    Digits,
    /// 569 tumours described by 30 numbers, two classes.
    BreastCancer,
    /// 178 wines described by 13 numbers, three classes.
    Wine,
    /// 442 patients described by 10 numbers; the target is a real number, standardised.
    Diabetes,
    /// The Pentateuch of 1611, 0.8 MB, as bytes.
    KingJames {
        /// Bytes of a window, 2 to 4096.
        length: usize,
    },
    /// Random inputs labelled by a random network.
    Teacher(TeacherConfig),
    /// Clusters of points, a few for each class.
    GaussianMixture(GaussianMixtureConfig),
    /// Linear problems with a power-law spectrum.
    IllConditioned(IllConditionedConfig),
    /// Parity of a few hidden bits.
    Parity(ParityConfig),
    /// Ratings of items by users.
    Ratings(RatingsConfig),
    /// Points at which to fulfil Poisson's equation.
    Collocation(CollocationConfig),
    /// Places of a picture and their colours.
    ImplicitImage(ImplicitImageConfig),
    /// Points of the plane in spirals, rings or squares.
    PlaneFigures(PlaneFiguresConfig),
    /// A smooth function of a few of many numbers.
    Friedman(FriedmanConfig),
    /// Warped images of random stroke figures.
    Glyphs(GlyphsConfig),
    /// Images of waves.
    Textures(TexturesConfig),
    /// Images of discs, squares and the like.
    Shapes(ShapesConfig),
    /// Images of shapes with four words about each.
    CaptionedShapes(CaptionedShapesConfig),
    /// Images of bright spots to be counted.
    Blobs(BlobsConfig),
    /// Tokens that depend on the last one or two.
    Markov(MarkovConfig),
    /// Nested brackets.
    Brackets(BracketsConfig),
    /// Lists and their repetition.
    Recall(RecallConfig),
    /// Calculations modulo a number.
    ModularArithmetic(ModularArithmeticConfig),
    /// Sentences of a small grammar.
    Grammar(GrammarConfig),
    /// Histories of cellular automata.
    Automaton(AutomatonConfig),
    /// Images in IDX files (MNIST and its relatives).
    Idx(IdxConfig),
    /// Binary batches of CIFAR-10 or CIFAR-100.
    Cifar(CifarConfig),
    /// PNG and JPEG images in one folder for each class.
    ImageFolder(ImageFolderConfig),
    /// A CSV file with a header.
    Csv(CsvConfig),
    /// A text file, as bytes.
    Text(TextConfig),
    /// Other data with classes, some of its training labels replaced by random ones; held-out labels stay clean.
    NoisyLabels {
        /// The data.
        data: Box<DataConfig>,
        /// Share of labels drawn at random, 0 to 1.
        share: f32,
        /// Which labels, and what they become.
        seed: u64,
    },
    /// Other data with classes, of which class `c` occurs `(c + 1)^-exponent` as often as it did, relative to class 0.
    Imbalanced {
        /// The data.
        data: Box<DataConfig>,
        /// How uneven, 0 to 4.
        exponent: f32,
        /// Which rows are left out.
        seed: u64,
    },
}

impl DataConfig {
    /// Refuses sizes and shares outside their bounds; files are looked at by [`load`](Self::load) only.
    ///
    /// # Errors
    /// [`Error::InvalidField`] naming the field and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::None | Self::Digits | Self::BreastCancer | Self::Wine | Self::Diabetes | Self::Csv(_) => Ok(()),
            Self::KingJames { length } => check_range("data.length", *length, 2..=text::MAX_LENGTH),
            Self::Teacher(config) => config.check(),
            Self::GaussianMixture(config) => config.check(),
            Self::IllConditioned(config) => config.check(),
            Self::Parity(config) => config.check(),
            Self::Ratings(config) => config.check(),
            Self::Collocation(config) => config.check(),
            Self::ImplicitImage(config) => config.check(),
            Self::PlaneFigures(config) => config.check(),
            Self::Friedman(config) => config.check(),
            Self::Glyphs(config) => config.check(),
            Self::Textures(config) => config.check(),
            Self::Shapes(config) => config.check(),
            Self::CaptionedShapes(config) => config.check(),
            Self::Blobs(config) => config.check(),
            Self::Markov(config) => config.check(),
            Self::Brackets(config) => config.check(),
            Self::Recall(config) => config.check(),
            Self::ModularArithmetic(config) => config.check(),
            Self::Grammar(config) => config.check(),
            Self::Automaton(config) => config.check(),
            Self::Idx(config) => config.check(),
            Self::Cifar(config) => config.check(),
            Self::ImageFolder(config) => config.check(),
            Self::Text(config) => config.check(),
            Self::NoisyLabels { data, share, .. } => {
                check_range("data.share", *share, 0.0..=1.0)?;
                data.check()
            }
            Self::Imbalanced { data, exponent, .. } => {
                check_range("data.exponent", *exponent, 0.0..=4.0)?;
                data.check()
            }
        }
    }

    /// What a row holds, where that is known without reading a file.
    pub(crate) fn kinds(&self) -> Option<(InputKind, TargetKind)> {
        Some(match self {
            Self::Digits => (InputKind::grey(8), TargetKind::Class(10)),
            Self::BreastCancer => (InputKind::Features(30), TargetKind::Class(2)),
            Self::Wine => (InputKind::Features(13), TargetKind::Class(3)),
            Self::Diabetes => (InputKind::Features(10), TargetKind::Values(1)),
            Self::KingJames { length } => text::kinds(*length),
            Self::Teacher(config) => config.kinds(),
            Self::GaussianMixture(config) => config.kinds(),
            Self::IllConditioned(config) => config.kinds(),
            Self::Parity(config) => config.kinds(),
            Self::Ratings(config) => config.kinds(),
            Self::Collocation(config) => config.kinds(),
            Self::ImplicitImage(config) => config.kinds(),
            Self::PlaneFigures(config) => config.kinds(),
            Self::Friedman(config) => config.kinds(),
            Self::Glyphs(config) => config.kinds(),
            Self::Textures(config) => config.kinds(),
            Self::Shapes(config) => config.kinds(),
            Self::CaptionedShapes(config) => config.kinds(),
            Self::Blobs(config) => config.kinds(),
            Self::Markov(config) => config.kinds(),
            Self::Brackets(config) => config.kinds(),
            Self::Recall(config) => config.kinds(),
            Self::ModularArithmetic(config) => config.kinds(),
            Self::Grammar(config) => config.kinds(),
            Self::Automaton(config) => config.kinds(),
            Self::NoisyLabels { data, .. } | Self::Imbalanced { data, .. } => data.kinds()?,
            Self::None | Self::Idx(_) | Self::Cifar(_) | Self::ImageFolder(_) | Self::Csv(_) | Self::Text(_) => {
                return None;
            }
        })
    }

    /// What makes the rows of batches anew: the name of a generator, `Text` for windows of a text; none for rows in memory.
    pub(crate) fn fresh_source(&self) -> Option<&'static str> {
        let (rows, name) = match self {
            Self::KingJames { .. } | Self::Text(_) => (RowCount::Fresh, "Text"),
            Self::Teacher(config) => (config.rows, "Teacher"),
            Self::GaussianMixture(config) => (config.rows, "GaussianMixture"),
            Self::IllConditioned(config) => (config.rows, "IllConditioned"),
            Self::Parity(config) => (config.rows, "Parity"),
            Self::Ratings(config) => (config.rows, "Ratings"),
            Self::Collocation(config) => (config.rows, "Collocation"),
            Self::ImplicitImage(config) => (config.rows, "ImplicitImage"),
            Self::PlaneFigures(config) => (config.rows, "PlaneFigures"),
            Self::Friedman(config) => (config.rows, "Friedman"),
            Self::Glyphs(config) => (config.rows, "Glyphs"),
            Self::Textures(config) => (config.rows, "Textures"),
            Self::Shapes(config) => (config.rows, "Shapes"),
            Self::CaptionedShapes(config) => (config.rows, "CaptionedShapes"),
            Self::Blobs(config) => (config.rows, "Blobs"),
            Self::Markov(config) => (config.rows, "Markov"),
            Self::Brackets(config) => (config.rows, "Brackets"),
            Self::Recall(config) => (config.rows, "Recall"),
            Self::ModularArithmetic(config) => (config.rows, "ModularArithmetic"),
            Self::Grammar(config) => (config.rows, "Grammar"),
            Self::Automaton(config) => (config.rows, "Automaton"),
            Self::NoisyLabels { data, .. } | Self::Imbalanced { data, .. } => return data.fresh_source(),
            Self::None | Self::Digits | Self::BreastCancer | Self::Wine | Self::Diabetes => return None,
            Self::Idx(_) | Self::Cifar(_) | Self::ImageFolder(_) | Self::Csv(_) => return None,
        };
        (rows == RowCount::Fresh).then_some(name)
    }

    /// The data set, shared with everyone who asks for an equal configuration.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::File`] for a file that cannot be read, and [`Error::CorruptData`] for one
    /// that is not what it claims to be.
    pub fn load(&self) -> Result<Arc<Dataset>, Error> {
        self.check()?;
        cache::get_or_build(self, || self.build())
    }

    fn build(&self) -> Result<Dataset, Error> {
        Ok(match self {
            Self::None => return Err(Error::invalid("data", "None", "data for a model that learns from rows")),
            Self::Digits => bundled::digits()?,
            Self::BreastCancer => bundled::breast_cancer()?,
            Self::Wine => bundled::wine()?,
            Self::Diabetes => bundled::diabetes()?,
            Self::KingJames { length } => bundled::king_james(*length)?,
            Self::Teacher(config) => config.generate(),
            Self::GaussianMixture(config) => config.generate(),
            Self::IllConditioned(config) => config.generate(),
            Self::Parity(config) => config.generate(),
            Self::Ratings(config) => config.generate(),
            Self::Collocation(config) => config.generate(),
            Self::ImplicitImage(config) => config.generate(),
            Self::PlaneFigures(config) => config.generate(),
            Self::Friedman(config) => config.generate(),
            Self::Glyphs(config) => config.generate(),
            Self::Textures(config) => config.generate(),
            Self::Shapes(config) => config.generate(),
            Self::CaptionedShapes(config) => config.generate(),
            Self::Blobs(config) => config.generate(),
            Self::Markov(config) => config.generate(),
            Self::Brackets(config) => config.generate(),
            Self::Recall(config) => config.generate(),
            Self::ModularArithmetic(config) => config.generate(),
            Self::Grammar(config) => config.generate(),
            Self::Automaton(config) => config.generate(),
            Self::Idx(config) => config.read()?,
            Self::Cifar(config) => config.read()?,
            Self::ImageFolder(config) => config.read()?,
            Self::Csv(config) => config.read()?,
            Self::Text(config) => config.read()?,
            Self::NoisyLabels { data, share, seed } => data.build()?.with_label_noise(*share, *seed)?,
            Self::Imbalanced { data, exponent, seed } => data.build()?.with_imbalance(*exponent, *seed)?,
        })
    }
}
