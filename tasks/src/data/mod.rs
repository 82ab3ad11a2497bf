//! What is learned from: bundled tables and procedural generators, named by a [`DataConfig`].
//!
//! [`DataConfig::load`] turns a configuration into a shared [`Dataset`]; equal configurations share one.

mod cache;
mod dataset;
mod gaussian_mixture;
mod glyphs;
mod procedural;
mod tables;
mod teacher;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::check_range;
pub use dataset::{BatchRows, Dataset, InputKind, Rows, TargetKind};
pub use gaussian_mixture::GaussianMixtureConfig;
pub use glyphs::GlyphsConfig;
pub use procedural::RowCount;
pub use teacher::{TeacherConfig, TeacherTarget};

/// Which data a task learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DataConfig {
    /// 1797 handwritten digits of 8×8 pixels, ten classes.
    Digits,
    /// 569 tumours described by 30 numbers, two classes.
    BreastCancer,
    /// 178 wines described by 13 numbers, three classes.
    Wine,
    /// 442 patients described by 10 numbers; the target is a real number, standardised.
    Diabetes,
    /// Random inputs labelled by a random network.
    Teacher(TeacherConfig),
    /// Clusters of points, a few for each class.
    GaussianMixture(GaussianMixtureConfig),
    /// Warped images of random stroke figures.
    Glyphs(GlyphsConfig),
    /// Other data with classes, some of its training labels replaced by random ones; held-out labels stay clean.
    NoisyLabels {
        /// The data.
        data: Box<DataConfig>,
        /// Share of labels drawn at random, 0 to 1.
        share: f32,
        /// Which labels, and what they become.
        seed: u64,
    },
}

impl DataConfig {
    /// Refuses sizes and shares outside their bounds.
    ///
    /// # Errors
    /// [`Error::InvalidField`] naming the field and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Digits | Self::BreastCancer | Self::Wine | Self::Diabetes => Ok(()),
            Self::Teacher(config) => config.check(),
            Self::GaussianMixture(config) => config.check(),
            Self::Glyphs(config) => config.check(),
            Self::NoisyLabels { data, share, .. } => {
                check_range("data.share", *share, 0.0..=1.0)?;
                data.check()
            }
        }
    }

    /// The data set, shared with everyone who asks for an equal configuration.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), and [`Error::CorruptData`] for a damaged bundled file.
    pub fn load(&self) -> Result<Arc<Dataset>, Error> {
        self.check()?;
        cache::get_or_build(self, || self.build())
    }

    fn build(&self) -> Result<Dataset, Error> {
        match self {
            Self::Digits => tables::digits(),
            Self::BreastCancer => tables::breast_cancer(),
            Self::Wine => tables::wine(),
            Self::Diabetes => tables::diabetes(),
            Self::Teacher(config) => Ok(config.generate()),
            Self::GaussianMixture(config) => Ok(config.generate()),
            Self::Glyphs(config) => Ok(config.generate()),
            Self::NoisyLabels { data, share, seed } => data.build()?.with_label_noise(*share, *seed),
        }
    }
}
