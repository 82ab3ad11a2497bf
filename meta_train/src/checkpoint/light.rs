//! The light checkpoint: what was learned, without the unrolls.
//!
//! `checkpoints/00000120.light.safetensors` is a few kilobytes beside the full checkpoint of the same generation:
//! theta, its average and where it began, gap scales, the state of the outer optimizer, the clocks, and the
//! configuration. From it a run goes on anywhere, with new unrolls: every particle begins an episode that no particle
//! has had before. So the outcome is not that of the uninterrupted run, unlike after a full checkpoint.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use velo_comparison::atomic_file;

use super::container::{Array, learner_state, pack, read_bounded, to_floats, unpack};
use super::{Totals, newest_readable, numbered, prune};
use crate::Error;
use crate::config::Config;
use crate::learner::{Learner, LearnerState};
use crate::unroll::Particle;

const FORMAT: &str = "velo-meta-train light checkpoint 2";

pub(super) const SUFFIX: &str = ".light.safetensors";

/// Looks at a folder that somebody else writes to.
const LOOKS: usize = 5;

/// Name of the array that holds theta before the first outer step.
const START: &str = "start";

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    totals: Totals,
    episode: u64,
    window: u64,
    config: Config,
}

/// A light checkpoint in memory.
pub struct Light {
    /// Clocks.
    pub totals: Totals,
    /// The configuration of the run.
    pub config: Config,
    /// Theta before the first outer step.
    pub start: Vec<f32>,
    /// What was learned.
    pub state: LearnerState,
    episode: u64,
    window: u64,
}

impl Light {
    /// Particles at the start of episodes that the run has not had, which end one after another as those of a fresh
    /// population do.
    pub fn particles(&self, count: u64) -> Vec<Particle> {
        let particle = |index| Particle {
            episode: self.episode,
            window: self.window,
            episode_start: self.window,
            first_episode: self.episode,
            ..Particle::new(index)
        };
        (0..count).map(particle).collect()
    }
}

/// The path of a generation.
fn path_of(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:08}{SUFFIX}"))
}

/// Light checkpoints in `folder`, newest first.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    numbered(folder, SUFFIX)
}

/// The newest light checkpoint in `folder` that can be read, and its path; none when there is no file. `warn` is told
/// which damaged ones were passed over.
///
/// # Errors
/// When all are damaged, or one is of another format or cannot be read.
pub fn newest(folder: &Path, warn: &mut dyn FnMut(String)) -> Result<Option<(PathBuf, Light)>, Error> {
    let mut found = Ok(None);
    // A run that is on may remove a file between two looks, once it has a newer one.
    for _ in 0..LOOKS {
        found = newest_readable(list(folder)?, read, warn);
        if !matches!(&found, Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound) {
            break;
        }
    }
    found
}

/// Writes the light checkpoint of this generation into `folder` and removes all but the newest `keep`.
///
/// # Errors
/// [`Error::Comparison`] or [`Error::Io`] naming the file; older ones survive.
pub fn write(
    folder: &Path,
    config: &Config,
    start: &[f32],
    totals: Totals,
    learner: &Learner,
    particles: &[Particle],
    keep: usize,
) -> Result<(), Error> {
    let manifest = Manifest {
        totals,
        episode: particles.iter().map(|particle| particle.episode + 1).max().unwrap_or_default(),
        window: particles.iter().map(|particle| particle.window).max().unwrap_or_default(),
        config: config.clone(),
    };
    let mut arrays = Vec::from(Array::learner("", learner.state()));
    arrays.push(Array::floats(START, start));
    atomic_file::write(path_of(folder, totals.generation), pack(FORMAT, arrays, &manifest))?;
    prune(folder, SUFFIX, keep)
}

/// Writes a copy of `light`, which was read from `from`, into `folder`, under the name of its generation.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy(from: &Path, light: &Light, folder: &Path) -> Result<(), Error> {
    Ok(atomic_file::write(path_of(folder, light.totals.generation), read_bounded(from)?)?)
}

/// Reads a light checkpoint.
///
/// # Errors
/// [`Error::DamagedCheckpoint`], or [`Error::Checkpoint`] when the file is of another format.
pub fn read(path: &Path) -> Result<Light, Error> {
    let bytes = read_bounded(path)?;
    let (file, manifest) = unpack::<Manifest>(path, &bytes, FORMAT)?;
    let damaged = |problem: String| Error::damaged(path, problem);
    let state = learner_state(&file, "").map_err(damaged)?;
    let start = file.tensor(START).map(|view| to_floats(view.data())).map_err(|error| damaged(error.to_string()))?;
    let Manifest { totals, episode, window, config } = manifest;
    Ok(Light { totals, config, start, state, episode, window })
}
