//! The whole run in one file, and back.
//!
//! `checkpoints/00000120.safetensors` holds the arrays: theta and its average, gap scales, the state of the
//! outer optimizer (these again as of the last good generation), and for every running episode both sides' parameters
//! and optimizer states. The metadata holds the manifest: counters and the configuration. Conditions of episodes and
//! perturbations are not stored, they follow from counters.
//!
//! Files are written whole or not at all; the newest few are kept. A damaged one is refused by its checksum.

mod container;
mod identity;
pub mod light;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use velo_comparison::atomic_file;

use crate::Error;
use crate::config::Config;
use crate::exchange::Contribution;
use crate::guard::{Counts, Guard};
use crate::learner::Learner;
use crate::observe::divergence::Divergence;
use crate::resume::Snapshot;
use crate::unroll::{EpisodeRecord, Particle, Setting};
use container::{Array, learner_state, pack, read_bounded, to_floats, unpack};
pub(crate) use identity::{identity, require_same};

const FORMAT: &str = "velo-meta-train checkpoint 5";

const SUFFIX: &str = ".safetensors";

/// Before the names of what belongs to the last good generation.
const GOOD: &str = "good/";

/// Names of the two sides in a file.
const SIDES: [&str; 2] = ["plus", "minus"];

/// Clocks and totals of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct Totals {
    /// Outer steps taken.
    pub generation: u64,
    /// Inner steps trained, both sides of all pairs.
    pub inner_steps: u64,
    /// Seconds spent training, over all interruptions.
    pub seconds: f64,
    /// Length of `metrics.jsonl`.
    pub metrics_bytes: u64,
}

/// Counters of one particle.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct ParticleCounters {
    episode: u64,
    window: u64,
    episode_start: u64,
    first_episode: u64,
    live: Option<EpisodeRecord>,
    saved: Option<EpisodeRecord>,
}

/// Everything in a checkpoint that is not an array.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    totals: Totals,
    guard: Counts,
    particles: Vec<ParticleCounters>,
    waiting: Vec<Contribution>,
    divergence: Divergence,
    config: Config,
}

/// The parts of a run that a checkpoint restores.
pub struct Restored {
    /// Clocks.
    pub totals: Totals,
    /// Particles in order.
    pub particles: Vec<Particle>,
    /// Reports that no outer step has used so far.
    pub waiting: Vec<Contribution>,
    /// What became of the runs of each family.
    pub divergence: Divergence,
    /// What a blow-up is measured against, and where it is rolled back to.
    pub guard: Guard,
}

impl Restored {
    /// A run of which only clocks and particles are known.
    pub fn anew(particles: Vec<Particle>, totals: Totals, setting: &Setting) -> Self {
        let divergence = Divergence::new(setting.tasks.families().len());
        Self { totals, particles, waiting: Vec::new(), divergence, guard: Guard::default() }
    }
}

/// The file name of a generation.
fn file_name(generation: u64) -> String {
    format!("{generation:08}{SUFFIX}")
}

/// Checkpoints in `folder`, newest first.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    numbered(folder, SUFFIX)
}

/// Files in `folder` whose names are a number before `suffix`, the highest first.
fn numbered(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(generation) = name.strip_suffix(suffix).and_then(|stem| stem.parse::<u64>().ok()) {
            found.push((generation, path));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}

/// What `read` makes of the first of `paths` that is not damaged, with its path; none when there is no path. `warn` is told which
/// were passed over.
///
/// # Errors
/// The damage when all are damaged; any other error at once.
pub(crate) fn newest_readable<T>(
    paths: Vec<PathBuf>,
    mut read: impl FnMut(&Path) -> Result<T, Error>,
    warn: &mut dyn FnMut(String),
) -> Result<Option<(PathBuf, T)>, Error> {
    let mut paths = paths.into_iter().peekable();
    while let Some(path) = paths.next() {
        match (read(&path), paths.peek()) {
            (Ok(found), _) => return Ok(Some((path, found))),
            (Err(error @ Error::DamagedCheckpoint { .. }), Some(previous)) => {
                warn(format!("{error}; going back to the previous one, {}", previous.display()));
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(None)
}

/// Removes all but the `keep` files of [`numbered`] with the highest numbers.
fn prune(folder: &Path, suffix: &str, keep: usize) -> Result<(), Error> {
    let old = numbered(folder, suffix)?.into_iter().skip(keep);
    old.into_iter().try_for_each(|path| fs::remove_file(&path).map_err(Error::io(&path)))
}

/// Renames the checkpoints of later generations, full and light: they are damaged, or belong to a course that the run does not
/// take, and would otherwise count among those that are kept.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub(crate) fn set_aside_after(folder: &Path, generation: u64) -> Result<(), Error> {
    for (suffix, paths) in [(SUFFIX, list(folder)?), (light::SUFFIX, light::list(folder)?)] {
        let newest = folder.join(format!("{generation:08}{suffix}"));
        for path in paths.into_iter().filter(|path| *path > newest) {
            fs::rename(&path, path.with_extension("safetensors.aside")).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// What a checkpoint is made of.
pub struct State<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Clocks.
    pub totals: Totals,
    /// Owner of theta.
    pub learner: &'a Learner,
    /// What a blow-up is measured against.
    pub guard: &'a Guard,
    /// Particles in order.
    pub particles: &'a [Particle],
    /// Reports that no outer step has used so far.
    pub waiting: &'a [Contribution],
    /// What became of the runs of each family.
    pub divergence: &'a Divergence,
}

/// Writes a checkpoint into `folder` and removes all but the newest `keep`.
///
/// # Errors
/// [`Error::Comparison`] or [`Error::Io`] naming the file; older checkpoints survive.
pub fn write(folder: &Path, state: &State<'_>, keep: usize) -> Result<PathBuf, Error> {
    let State { config, totals, learner, guard, particles, waiting, divergence } = *state;
    let mut arrays = Vec::from(Array::learner("", learner.state()));
    arrays.extend(guard.good().cloned().into_iter().flat_map(|good| Array::learner(GOOD, good)));
    let mut counters = Vec::with_capacity(particles.len());
    for particle in particles {
        let live = particle.live.as_ref().map(Snapshot::of);
        let saved = particle.saved.as_ref();
        for (what, snapshot) in [("live", live.as_ref()), ("saved", saved)] {
            let Some(snapshot) = snapshot else { continue };
            for (side, name) in SIDES.iter().enumerate() {
                let prefix = format!("particle/{}/{what}/{name}", particle.index);
                arrays.push(Array::floats(format!("{prefix}/params"), &snapshot.params[side]));
                arrays.push(Array::bytes(format!("{prefix}/optimizer"), snapshot.states[side].clone()));
            }
        }
        counters.push(ParticleCounters {
            episode: particle.episode,
            window: particle.window,
            episode_start: particle.episode_start,
            first_episode: particle.first_episode,
            live: live.map(|snapshot| snapshot.record),
            saved: saved.map(|snapshot| snapshot.record),
        });
    }
    let manifest = Manifest {
        totals,
        guard: guard.counts(),
        particles: counters,
        waiting: waiting.to_vec(),
        divergence: divergence.clone(),
        config: config.clone(),
    };
    let bytes = pack(FORMAT, arrays, &manifest);
    let path = folder.join(file_name(totals.generation));
    atomic_file::write(&path, bytes)?;
    prune(folder, SUFFIX, keep)?;
    Ok(path)
}

/// Reads a checkpoint into `learner` and rebuilds the particles.
///
/// # Errors
/// [`Error::DamagedCheckpoint`]; [`Error::Checkpoint`] when the file is of another format, or of another
/// configuration, in which case the differing fields are named.
pub fn read(path: &Path, config: &Config, setting: &Setting, learner: &mut Learner) -> Result<Restored, Error> {
    let bytes = read_bounded(path)?;
    let (file, manifest) = unpack::<Manifest>(path, &bytes, FORMAT)?;
    let damaged = |problem: String| Error::damaged(path, problem);
    require_same(path, &manifest.config, config)?;
    let array = |name: &str| file.tensor(name).map(|view| view.data()).map_err(|error| damaged(error.to_string()));
    let floats = |name: &str| Ok::<_, Error>(to_floats(array(name)?));
    learner
        .restore(learner_state(&file, "").map_err(damaged)?, manifest.totals.generation)
        .map_err(|error| damaged(error.to_string()))?;
    let good = file.names().iter().any(|name| name.starts_with(GOOD));
    let good = good.then(|| learner_state(&file, GOOD)).transpose().map_err(damaged)?;
    let guard = Guard::restored(good, manifest.guard);
    if manifest.particles.len() as u64 != setting.particles {
        return Err(damaged(format!("{} particles, expected {}", manifest.particles.len(), setting.particles)));
    }
    let snapshot = |index: u64, what: &str, record: EpisodeRecord| -> Result<Snapshot, Error> {
        let prefix = |side: &str| format!("particle/{index}/{what}/{side}");
        let params = |side: &str| floats(&format!("{}/params", prefix(side)));
        let state = |side: &str| Ok::<_, Error>(array(&format!("{}/optimizer", prefix(side)))?.to_vec());
        let [plus, minus] = SIDES;
        Ok(Snapshot { record, params: [params(plus)?, params(minus)?], states: [state(plus)?, state(minus)?] })
    };
    let mut particles = Vec::with_capacity(manifest.particles.len());
    for (index, counters) in manifest.particles.iter().enumerate() {
        let index = index as u64;
        let live = counters.live.map(|record| snapshot(index, "live", record)?.restore(setting));
        particles.push(Particle {
            index,
            episode: counters.episode,
            window: counters.window,
            episode_start: counters.episode_start,
            first_episode: counters.first_episode,
            live: live.transpose().map_err(|error| damaged(error.to_string()))?,
            saved: counters.saved.map(|record| snapshot(index, "saved", record)).transpose()?,
        });
    }
    let Manifest { totals, waiting, divergence, .. } = manifest;
    let families = setting.tasks.families().len();
    if waiting.iter().flat_map(|waiting| &waiting.outcome).any(|report| !report.fits(families, setting.stages.len())) {
        return Err(damaged("a report of a family or stage that there is not".into()));
    }
    if divergence.families().len() != families {
        return Err(damaged(format!("{} families, expected {families}", divergence.families().len())));
    }
    Ok(Restored { totals, particles, waiting, divergence, guard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_listed_newest_first_and_other_files_ignored() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["00000009.safetensors", "00000100.safetensors", "notes.txt", "x.safetensors"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            list(folder.path()).unwrap().into_iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["00000100.safetensors", "00000009.safetensors"]);
    }
}
