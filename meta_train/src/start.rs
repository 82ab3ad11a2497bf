//! Where theta begins.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use velo_optimizer::{Architecture, LearnedWeights};
use velo_tasks::rng::Stream;

use crate::Error;
use crate::noise::Purpose;

/// Where theta begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub enum Start {
    /// Random weights, by the seed of the run.
    #[default]
    Random,
    /// Weights under which the rule is normalised Adam and its heads are silent, where the architecture has such.
    Imitation,
    /// The weights of a frozen optimizer of the same architecture; what is not learned comes from the configuration.
    Frozen(PathBuf),
}

impl Start {
    /// Theta before the first outer step.
    ///
    /// # Errors
    /// What [`LearnedWeights::load`] returns; [`Error::Config`] when the file holds another architecture, or the
    /// architecture imitates nothing.
    pub fn theta(&self, architecture: &Architecture, seed: u64) -> Result<Vec<f32>, Error> {
        match self {
            Self::Random => Ok(random_theta(architecture, seed)),
            Self::Imitation => architecture.imitation().ok_or_else(|| {
                let found = format!("Imitation, for {}", architecture.name());
                Error::config("start", found, "Random or Frozen; Celo2 with Relu and Paced have weights that imitate")
            }),
            Self::Frozen(path) => {
                let weights = LearnedWeights::load(path)?;
                if weights.architecture().theta_layout() == architecture.theta_layout() {
                    return Ok(weights.theta().to_vec());
                }
                let found = format!("{}, which holds {} weights", path.display(), weights.architecture().name());
                Err(Error::config("start", found, format!("weights of the same shapes as {}", architecture.name())))
            }
        }
    }

    /// How it reads in the provenance of frozen weights.
    pub fn description(&self) -> String {
        match self {
            Self::Random => "random, before meta-training".into(),
            Self::Imitation => "imitation of normalised Adam, before meta-training".into(),
            Self::Frozen(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                format!("{name}, before meta-training")
            }
        }
    }
}

/// A random theta for `seed`.
pub fn random_theta(architecture: &Architecture, seed: u64) -> Vec<f32> {
    let stream = Stream::new(seed, Purpose::Theta as u64);
    let mut index = 0..;
    architecture.meta_init(&mut || stream.normal(index.next().unwrap_or_default()))
}
