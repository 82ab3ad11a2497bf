//! The light checkpoint: what was learned, without the unrolls.
//!
//! `checkpoints/00000120.light.safetensors` is a few kilobytes beside the full checkpoint of the same generation:
//! theta and its average, gap scales, the state of the outer optimizer, the clocks, and the configuration. From it
//! a run goes on anywhere, with new unrolls: every particle begins an episode that no particle has had before. So
//! the outcome is not that of the uninterrupted run, unlike after a full checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use velo_comparison::atomic_file;

use crate::Error;
use crate::checkpoint::{self, Array, Sealed, Totals};
use crate::config::Config;
use crate::learner::{Learner, LearnerState};
use crate::unroll::Particle;

const FORMAT: &str = "velo-meta-train light checkpoint 1";

const SUFFIX: &str = ".light.safetensors";

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: String,
    checksum: String,
    totals: Totals,
    episode: u64,
    /// Windows that some particle has had; where there is none, there was one per outer step.
    #[serde(default)]
    window: u64,
    config: Config,
}

impl Sealed for Manifest {
    fn seal(&mut self, checksum: String) {
        self.checksum = checksum;
    }
}

/// A light checkpoint in memory.
pub struct Light {
    /// Clocks.
    pub totals: Totals,
    /// The configuration of the run.
    pub config: Config,
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

/// Light checkpoints in `folder`, newest first.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(generation) = name.strip_suffix(SUFFIX).and_then(|stem| stem.parse::<u64>().ok()) {
            found.push((generation, path));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}

/// Writes the light checkpoint of this generation into `folder` and removes all but the newest `keep`.
///
/// # Errors
/// [`Error::Comparison`] or [`Error::Io`] naming the file; older ones survive.
pub fn write(
    folder: &Path,
    config: &Config,
    totals: Totals,
    learner: &Learner,
    particles: &[Particle],
    keep: usize,
) -> Result<(), Error> {
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        checksum: String::new(),
        totals,
        episode: particles.iter().map(|particle| particle.episode + 1).max().unwrap_or_default(),
        window: particles.iter().map(|particle| particle.window).max().unwrap_or_default(),
        config: config.clone(),
    };
    let bytes = checkpoint::pack(Vec::from(Array::learner("", learner.state())), manifest);
    atomic_file::write(folder.join(format!("{:08}{SUFFIX}", totals.generation)), bytes)?;
    list(folder)?.into_iter().skip(keep).try_for_each(|old| fs::remove_file(&old).map_err(Error::io(&old)))
}

/// Reads a light checkpoint.
///
/// # Errors
/// [`Error::DamagedCheckpoint`], or [`Error::Checkpoint`] when the file is of another format.
pub fn read(path: &Path) -> Result<Light, Error> {
    let bytes = checkpoint::read_bounded(path)?;
    let (file, manifest) = checkpoint::unpack(path, &bytes, FORMAT)?;
    let damaged = |problem: String| Error::damaged(path, problem);
    let manifest: Manifest = serde_json::from_value(manifest).map_err(|error| damaged(error.to_string()))?;
    let state = checkpoint::learner_state(&file, "").map_err(damaged)?;
    let (totals, config, episode) = (manifest.totals, manifest.config, manifest.episode);
    Ok(Light { totals, config, state, episode, window: manifest.window.max(totals.generation) })
}
