//! The whole run in one file, and back.
//!
//! `checkpoints/00000120.safetensors` holds the arrays: theta and its average, gap scales, the state of the
//! outer optimizer (these again as of the last good generation), and for every running episode both sides' parameters and optimizer states. The metadata
//! holds the `Manifest`: counters, the configuration, and a checksum of the arrays. Conditions of episodes
//! and perturbations are not stored, they follow from counters.
//!
//! Files are written whole or not at all; the newest few are kept. A damaged one is refused by its checksum.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use velo_comparison::atomic_file;

use crate::Error;
use crate::config::Config;
use crate::exchange::Contribution;
use crate::guard::Guard;
use crate::learner::{GapScale, Learner, LearnerState};
use crate::observe::divergence::Divergence;
use crate::resume::Snapshot;
use crate::unroll::{EpisodeRecord, Particle, Setting};

const FORMAT: &str = "velo-meta-train checkpoint 4";

/// Checkpoints of the largest populations stay far below this.
const MAX_FILE_BYTES: u64 = 4 << 30;

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
    format: String,
    checksum: String,
    totals: Totals,
    usual_meta_loss: Option<f32>,
    rollbacks: u32,
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

/// The part of a configuration that decides what theta becomes.
fn identity(config: &Config) -> serde_json::Value {
    let mut value = serde_json::to_value(config).expect("a configuration is plain data");
    if let Some(fields) = value.as_object_mut() {
        for field in ["checkpoints", "selection", "evaluation"] {
            fields.remove(field);
        }
        if let Some(budget) = fields.get_mut("budget").and_then(serde_json::Value::as_object_mut) {
            budget.remove("max_seconds");
        }
    }
    value
}

/// The file name of a generation.
fn file_name(generation: u64) -> String {
    format!("{generation:08}.safetensors")
}

/// Checkpoints in `folder`, newest first.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(generation) = name.strip_suffix(".safetensors").and_then(|stem| stem.parse::<u64>().ok()) {
            found.push((generation, path));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}

/// Removes the checkpoints of later generations, which belong to a course that the run does not take.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub(crate) fn forget_after(folder: &Path, generation: u64) -> Result<(), Error> {
    let newest = folder.join(file_name(generation));
    let later = list(folder)?.into_iter().filter(|path| *path > newest);
    later.into_iter().try_for_each(|path| fs::remove_file(&path).map_err(Error::io(&path)))
}

/// One array of a file.
pub(crate) struct Array {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn floats(name: impl Into<String>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F32, shape: vec![values.len()], bytes }
    }

    fn bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), dtype: Dtype::U8, shape: vec![bytes.len()], bytes }
    }

    /// The arrays of a learner's state, their names behind `prefix`.
    pub(crate) fn learner(prefix: &str, state: LearnerState) -> [Self; 4] {
        let scales: Vec<f32> = state.scales.iter().flat_map(|scale| [scale.mean_square, scale.weight]).collect();
        [
            Self::floats(format!("{prefix}theta"), &state.theta),
            Self::floats(format!("{prefix}average"), &state.average),
            Self::floats(format!("{prefix}scales"), &scales),
            Self::bytes(format!("{prefix}outer"), state.outer),
        ]
    }
}

/// What [`Array::learner`] was made of.
pub(crate) fn learner_state(file: &SafeTensors<'_>, prefix: &str) -> Result<LearnerState, String> {
    let array =
        |name: &str| file.tensor(&format!("{prefix}{name}")).map(|view| view.data()).map_err(|error| error.to_string());
    let scales = to_floats(array("scales")?);
    Ok(LearnerState {
        theta: to_floats(array("theta")?),
        average: to_floats(array("average")?),
        scales: scales.chunks_exact(2).map(|pair| GapScale { mean_square: pair[0], weight: pair[1] }).collect(),
        outer: array("outer")?.to_vec(),
    })
}

/// A manifest before its checksum is known, and after.
pub(crate) trait Sealed: Serialize {
    /// Writes the checksum of the arrays into the manifest.
    fn seal(&mut self, checksum: String);
}

impl Sealed for Manifest {
    fn seal(&mut self, checksum: String) {
        self.checksum = checksum;
    }
}

/// The bytes of a file with these arrays and this manifest.
pub(crate) fn pack(mut arrays: Vec<Array>, mut manifest: impl Sealed) -> Vec<u8> {
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.seal(checksum(arrays.iter().map(|array| (array.name.as_str(), array.bytes.as_slice()))));
    let manifest = serde_json::to_string(&manifest).expect("a manifest is plain data");
    let views = arrays.iter().map(|array| {
        let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes).expect("data fits its shape");
        (array.name.as_str(), view)
    });
    let metadata = HashMap::from([("manifest".to_owned(), manifest)]);
    safetensors::serialize(views, Some(metadata)).expect("names are unique and shapes match")
}

/// The arrays in `bytes`, which were read from `path`, and its manifest, once format and checksum are right.
pub(crate) fn unpack<'a>(
    path: &Path,
    bytes: &'a [u8],
    format: &str,
) -> Result<(SafeTensors<'a>, serde_json::Value), Error> {
    let damaged = |problem: String| Error::damaged(path, problem);
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
    let manifest = metadata.metadata().as_ref().and_then(|metadata| metadata.get("manifest"));
    let manifest = manifest.ok_or_else(|| damaged("it has no manifest".into()))?;
    let manifest: serde_json::Value = serde_json::from_str(manifest).map_err(|error| damaged(error.to_string()))?;
    let found = &manifest["format"];
    if found != format {
        return Err(Error::checkpoint(path, format!("format is {found}, expected {format:?}")));
    }
    let mut arrays: Vec<(String, &[u8])> = file.iter().map(|(name, view)| (name.to_owned(), view.data())).collect();
    arrays.sort();
    let (found, expected) =
        (checksum(arrays.iter().map(|(name, bytes)| (name.as_str(), *bytes))), &manifest["checksum"]);
    if *expected != found {
        return Err(damaged(format!("checksum is {found:?}, expected {expected}")));
    }
    Ok((file, manifest))
}

/// Refuses a configuration under which theta would become something else than under `saved`.
pub(crate) fn require_same(path: &Path, saved: &Config, now: &Config) -> Result<(), Error> {
    let differing = differing_fields(&identity(saved), &identity(now));
    if differing.is_empty() {
        return Ok(());
    }
    let problem = format!("was written under another configuration; differing: {}", differing.join(", "));
    Err(Error::checkpoint(path, problem))
}

/// 64-bit FNV-1a over names and contents, in hexadecimal. It guards against damage, not against intent.
fn checksum<'a>(arrays: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (name, bytes) in arrays {
        for &byte in name.as_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
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
        format: FORMAT.to_owned(),
        checksum: String::new(),
        totals,
        usual_meta_loss: guard.usual_meta_loss(),
        rollbacks: guard.rollbacks(),
        particles: counters,
        waiting: waiting.to_vec(),
        divergence: divergence.clone(),
        config: config.clone(),
    };
    let bytes = pack(arrays, manifest);
    let path = folder.join(file_name(totals.generation));
    atomic_file::write(&path, bytes)?;
    for old in list(folder)?.into_iter().skip(keep) {
        fs::remove_file(&old).map_err(Error::io(&old))?;
    }
    Ok(path)
}

/// Reads a checkpoint into `learner` and rebuilds the particles.
///
/// # Errors
/// [`Error::DamagedCheckpoint`]; [`Error::Checkpoint`] when the file is of another format, or of another
/// configuration, in which case the differing fields are named.
pub fn read(path: &Path, config: &Config, setting: &Setting, learner: &mut Learner) -> Result<Restored, Error> {
    let bytes = read_bounded(path)?;
    let (file, manifest) = unpack(path, &bytes, FORMAT)?;
    let damaged = |problem: String| Error::damaged(path, problem);
    let manifest: Manifest = serde_json::from_value(manifest).map_err(|error| damaged(error.to_string()))?;
    require_same(path, &manifest.config, config)?;
    let array = |name: &str| file.tensor(name).map(|view| view.data()).map_err(|error| damaged(error.to_string()));
    let floats = |name: &str| Ok::<_, Error>(to_floats(array(name)?));
    learner
        .restore(learner_state(&file, "").map_err(damaged)?, manifest.totals.generation)
        .map_err(|error| damaged(error.to_string()))?;
    let good = file.names().iter().any(|name| name.starts_with(GOOD));
    let good = good.then(|| learner_state(&file, GOOD)).transpose().map_err(damaged)?;
    let guard = Guard::restored(good, manifest.usual_meta_loss, manifest.rollbacks);
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

pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, Error> {
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MAX_FILE_BYTES {
        return Err(Error::checkpoint(path, format!("is {size} bytes long, expected at most {MAX_FILE_BYTES}")));
    }
    fs::read(path).map_err(Error::io(path))
}

fn to_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Paths of the fields whose values differ, with both values.
fn differing_fields(saved: &serde_json::Value, now: &serde_json::Value) -> Vec<String> {
    fn walk(path: &str, saved: &serde_json::Value, now: &serde_json::Value, found: &mut Vec<String>) {
        match (saved.as_object(), now.as_object()) {
            (Some(a), Some(b)) => {
                let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
                for key in keys {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let null = serde_json::Value::Null;
                    walk(&path, a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), found);
                }
            }
            _ if saved != now => found.push(format!("{path} ({} then, {} now)", shown(saved), shown(now))),
            _ => {}
        }
    }
    // Every fraction of a configuration is an f32; as an f64 it would show digits that nobody wrote.
    fn shown(value: &serde_json::Value) -> String {
        value
            .as_f64()
            .filter(|_| value.is_f64())
            .map_or_else(|| value.to_string(), |number| (number as f32).to_string())
    }
    let mut found = Vec::new();
    walk("", saved, now, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_fields_are_named_with_both_values() {
        let saved = Config::default();
        let mut now = saved.clone();
        now.estimator.sigma = 0.5;
        now.evaluation.steps = 7;
        let differing = differing_fields(&identity(&saved), &identity(&now));
        assert_eq!(differing.len(), 1, "{differing:?}");
        assert!(
            differing[0].starts_with("estimator.sigma (0.0") && differing[0].ends_with("0.5 now)"),
            "{differing:?}"
        );
    }

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
