//! Generating a range of seeds, by any number of processes and threads, over any number of interruptions.
//!
//! Units (scene folders, or tar shards) are independent, deterministic, and renamed into place when complete: a job
//! that is killed leaves whole units and a hidden remainder, and the same command again makes what is missing. Process
//! `i` of `n` takes the units whose number is `i` modulo `n`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use super::contents::{Seconds, Sink, timed};
use super::job_log::{JobLog, LogLine};
use super::manifest::{self, Entry, Format, UnitManifest, read_versioned, sha256};
use super::{atomic, contents};
use crate::Error;
use crate::description::{SCHEMA_VERSION, Split};
use crate::generate::{Generator, SCENE_ATTEMPTS};

/// What to generate.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where to.
    pub folder: PathBuf,
    /// The split.
    pub split: Split,
    /// Scenes of the split, counted from its first seed.
    pub scenes: Range<u64>,
    /// This process takes part `.0` of `.1`.
    pub shard: (u64, u64),
    /// Threads; scenes are independent of their number.
    pub workers: usize,
    /// How scenes are stored.
    pub format: Format,
}

/// A scene that cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// Why, and what to change.
    pub error: String,
}

/// What a job did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Scenes made now.
    pub made: u64,
    /// Scenes that were there before.
    pub skipped: u64,
    /// Scenes that cannot be drawn, by seed.
    pub failures: Vec<Failure>,
    /// Seconds of all workers.
    pub seconds: Seconds,
}

/// Runs a job. `progress` is told how many scenes a finished unit has; if it returns false, no further unit begins.
/// Scenes that cannot be drawn are left out and listed in the summary; every scene gets a line in the log of the process
/// ([`super::job_log`]).
///
/// # Errors
/// [`Error::OtherConfig`] if the folder holds other data, [`Error::Interrupted`], and those of drawing and writing;
/// finished units stay.
pub fn run(generator: &Generator, job: &Job, progress: &(dyn Fn(u64) -> bool + Sync)) -> Result<Summary, Error> {
    let (part, parts) = job.shard;
    if parts == 0 || part >= parts {
        return Err(Error::invalid("shard", format!("{part}/{parts}"), "i/n with i from 0 to n - 1"));
    }
    let seeds = generator.config().splits.seeds(job.split);
    if job.scenes.end > seeds.end - seeds.start {
        let expected = format!("at most the {} seeds of the split {}", seeds.end - seeds.start, job.split.name());
        return Err(Error::invalid("scenes", job.scenes.end, expected));
    }
    manifest::begin(&job.folder, generator, job.format)?;
    let per_unit = match job.format {
        Format::Folders => 1,
        Format::Tar { scenes } => scenes.max(1) as u64,
    };
    let folder = job.folder.join(job.split.name());
    fs::create_dir_all(&folder).map_err(|error| Error::file(&folder, error))?;
    let units = job.scenes.start / per_unit..job.scenes.end.div_ceil(per_unit);
    let units: Vec<u64> = units.filter(|unit| unit % parts == part).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(job.workers).build()?;
    let log = JobLog::open(&job.folder, job.shard)?;
    let worker = Worker { generator, log: &log, first_seed: seeds.start };
    let summary = Mutex::new(Summary::default());
    let add = |change: &mut dyn FnMut(&mut Summary)| {
        change(&mut summary.lock().expect("no thread panics while it holds this"));
    };
    pool.install(|| {
        // One unit at a time per thread, in order, so that an interrupted job has made the first ones.
        units.par_iter().with_max_len(1).try_for_each(|&unit| {
            let indices = (unit * per_unit).max(job.scenes.start)..((unit + 1) * per_unit).min(job.scenes.end);
            let count = indices.end - indices.start;
            let unit_seeds = seeds.start + indices.start..seeds.start + indices.end;
            let path = match job.format {
                Format::Folders => folder.join(format!("{:09}", indices.start)),
                Format::Tar { .. } => folder.join(format!("{unit:06}.tar")),
            };
            if let Some(known) = complete(&path, &unit_seeds, generator.hash())? {
                add(&mut |s| {
                    s.skipped += count - known.len() as u64;
                    s.failures.extend(known.iter().map(|(&seed, error)| Failure { seed, error: error.clone() }));
                });
            } else {
                let made = match job.format {
                    Format::Folders => worker.write_folder(unit_seeds.start, &path)?,
                    Format::Tar { .. } => worker.write_tar(unit_seeds, &path)?,
                };
                add(&mut |s| {
                    s.made += made.made;
                    s.failures.extend_from_slice(&made.failures);
                    s.seconds += made.seconds;
                });
            }
            if progress(count) { Ok(()) } else { Err(Error::Interrupted) }
        })
    })?;
    let mut summary = summary.into_inner().expect("no thread panics while it holds this");
    summary.failures.sort_by_key(|failure| failure.seed);
    Ok(summary)
}

/// Where the manifest of a unit is.
pub(crate) fn manifest_path(unit: &Path) -> PathBuf {
    if unit.extension().is_some_and(|e| e == "tar") { unit.with_extension("json") } else { unit.join("manifest.json") }
}

/// If a unit holds exactly these seeds of this configuration, those of them that cannot be drawn. One of fewer scenes (a
/// smaller `--scenes` before) is made again.
fn complete(path: &Path, seeds: &Range<u64>, hash: &str) -> Result<Option<BTreeMap<u64, String>>, Error> {
    let manifest = manifest_path(path);
    if !manifest.exists() || !path.exists() {
        return Ok(None);
    }
    let found: UnitManifest = read_versioned(&manifest)?;
    let mut held: Vec<u64> = found.scenes.keys().chain(found.failed.keys()).copied().collect();
    held.sort_unstable();
    Ok((found.config_hash == hash && held.into_iter().eq(seeds.clone())).then_some(found.failed))
}

/// Removes what a killed process may have left of a file or folder.
fn clear(path: &Path) -> Result<(), Error> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(path, error)),
        _ => Ok(()),
    }
}

fn entry(bytes: &[u8], offset: u64) -> Entry {
    Entry { sha256: sha256(bytes), bytes: bytes.len() as u64, offset }
}

fn sync_write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| Error::file(path, error))
}

/// What makes units.
struct Worker<'a> {
    generator: &'a Generator,
    log: &'a JobLog,
    first_seed: u64,
}

impl Worker<'_> {
    /// Makes the files of one scene, and its line in the log. True if it could be drawn.
    fn scene(&self, seed: u64, unit: &mut Summary, sink: &mut Sink<'_>) -> Result<bool, Error> {
        let mut seconds = Seconds::default();
        let drawn = timed(&mut seconds.simulate, || self.generator.draw(seed));
        let retries = drawn.as_ref().map_or(SCENE_ATTEMPTS - 1, |drawn| drawn.retries);
        let outcome = drawn.and_then(|drawn| {
            seconds += contents::make(&drawn, self.generator.config(), sink)?;
            Ok(())
        });
        let error = outcome.as_ref().err().map(ToString::to_string);
        self.log.append(&LogLine::new(seed - self.first_seed, seed, retries, seconds, error.clone()))?;
        unit.seconds += seconds;
        match outcome {
            Ok(()) => unit.made += 1,
            Err(error) if error.is_of_one_scene() => {
                unit.failures.push(Failure { seed, error: error.to_string() });
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn write_folder(&self, seed: u64, path: &Path) -> Result<Summary, Error> {
        let temporary = atomic::partial(path);
        clear(&temporary)?;
        let mut made = Summary::default();
        let written = (|| {
            fs::create_dir(&temporary).map_err(|error| Error::file(&temporary, error))?;
            let mut files = BTreeMap::new();
            let mut put = |name: &str, bytes: Vec<u8>| {
                files.insert(name.to_owned(), entry(&bytes, 0));
                sync_write(&temporary.join(name), &bytes)
            };
            if !self.scene(seed, &mut made, &mut put)? {
                return clear(&temporary);
            }
            let unit = self.unit(BTreeMap::from([(seed, files)]), &[]);
            sync_write(&temporary.join("manifest.json"), &contents::json(&unit))?;
            clear(path)?;
            fs::rename(&temporary, path).map_err(|error| Error::file(path, error))
        })();
        if let Err(error) = written {
            // The first error is the one to tell; room is made where a disk is full.
            let _ = clear(&temporary);
            return Err(error);
        }
        atomic::sync_folder_of(path);
        Ok(made)
    }

    fn write_tar(&self, seeds: Range<u64>, path: &Path) -> Result<Summary, Error> {
        let temporary = atomic::partial(path);
        clear(&temporary)?;
        let mut made = Summary::default();
        let mut scenes = BTreeMap::new();
        let io = |error| Error::file(path, error);
        let written = (|| {
            let mut archive = tar::Builder::new(BufWriter::new(File::create(&temporary).map_err(io)?));
            archive.mode(tar::HeaderMode::Deterministic);
            let mut position = 0u64;
            for seed in seeds {
                let mut files = BTreeMap::new();
                let mut put = |name: &str, bytes: Vec<u8>| {
                    let mut header = tar::Header::new_ustar();
                    header.set_size(bytes.len() as u64);
                    header.set_mode(0o644);
                    header.set_mtime(0);
                    header.set_entry_type(tar::EntryType::Regular);
                    // WebDataset takes what is before the first dot as the key of a sample.
                    archive.append_data(&mut header, format!("{seed:012}.{name}"), &bytes[..]).map_err(io)?;
                    files.insert(name.to_owned(), entry(&bytes, position + 512));
                    position += 512 + (bytes.len() as u64).next_multiple_of(512);
                    Ok(())
                };
                if self.scene(seed, &mut made, &mut put)? {
                    scenes.insert(seed, files);
                }
            }
            let file = archive.into_inner().map_err(io)?.into_inner().map_err(|error| io(error.into_error()))?;
            file.sync_all().map_err(io)?;
            clear(&manifest_path(path))?;
            fs::rename(&temporary, path).map_err(io)
        })();
        if let Err(error) = written {
            let _ = clear(&temporary);
            return Err(error);
        }
        atomic::write(&manifest_path(path), &contents::json(&self.unit(scenes, &made.failures)))?;
        Ok(made)
    }

    fn unit(&self, scenes: BTreeMap<u64, BTreeMap<String, Entry>>, failures: &[Failure]) -> UnitManifest {
        let failed = failures.iter().map(|failure| (failure.seed, failure.error.clone())).collect();
        UnitManifest { version: SCHEMA_VERSION, config_hash: self.generator.hash().to_owned(), scenes, failed }
    }
}
