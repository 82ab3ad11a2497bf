//! The run folder: what a run writes, what it is continued from, and what a report is made from.
//!
//! | file | holds |
//! | --- | --- |
//! | `config.ron` | the suite as it was run, overrides included |
//! | `environment.json` | machine, compiler, version, date |
//! | `trials/` | every finished trial, one file each, unless `--cache` names another folder |
//! | `trials.csv` | every trial, the tuning ones too |
//! | `curves.csv` | learning curves of the reported trials and of the envelope |
//! | `summary.csv` | all scores with intervals |
//! | `report.html`, `figures/` | all of it to look at |

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use velo_comparison::environment::Environment;
use velo_comparison::trial::{read_tables, write_tables};
use velo_comparison::{
    Comparison, Error, Progress, Trial, TrialCache, atomic_file, ron_file, run as run_trials, run_folder,
};

use crate::Suite;
use crate::extension::Extensions;
use crate::findings::Findings;
use crate::report;

const CONFIG: &str = "config.ron";

/// A folder that a suite is run in.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    cache: TrialCache,
}

impl RunFolder {
    /// A new folder for `suite`, or the one that an earlier run of the same suite has begun.
    ///
    /// # Errors
    /// When the folder holds something else: names the fields in which its suite differs.
    pub fn begin(path: &Path, suite: &Suite, cache: Option<&Path>) -> Result<Self> {
        let config = path.join(CONFIG);
        if config.exists() {
            let there: Suite = ron_file::read(&config, &[])?;
            let fields = differing_fields(suite, &there);
            if !fields.is_empty() {
                let fields = fields.join(", ");
                bail!(
                    "{} holds a run of another suite, which differs in {fields}; choose another --out",
                    path.display()
                );
            }
        } else {
            run_folder::create(path)?;
            atomic_file::write(config, ron_file::to_string(suite))?;
            Environment::now("benchmark_suite", env!("CARGO_PKG_VERSION")).write(path.join("environment.json"))?;
        }
        let cache = TrialCache::new(cache.map_or_else(|| path.join("trials"), Path::to_owned));
        Ok(Self { path: path.to_owned(), cache })
    }

    /// Runs what is not finished yet of a part of the suite, or of all of it; keeps every trial.
    ///
    /// # Errors
    /// When a file cannot be written. Trials that fail are recorded, they are no error.
    pub fn run(&self, comparison: &Comparison, progress: impl FnMut(Progress)) -> Result<Vec<Trial>, Error> {
        run_trials(comparison, Some(&self.cache), progress)
    }

    /// Writes tables and report.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn conclude(&self, suite: &Suite, extensions: &Extensions, trials: &[Trial]) -> Result<()> {
        write_tables(&self.path, trials)?;
        let environment = Environment::read(self.path.join("environment.json"))?;
        report::write(&Findings::new(suite, extensions, trials)?, &environment, &self.path)
    }
}

/// Names of the top-level fields in which two suites differ.
fn differing_fields(one: &Suite, other: &Suite) -> Vec<String> {
    let fields = |suite: &Suite| match serde_json::to_value(suite) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => unreachable!("a suite is a struct of plain data"),
    };
    let (one, other) = (fields(one), fields(other));
    let differs = |field: &&String| one.get(*field) != other.get(*field);
    let mut names: Vec<String> = one.keys().chain(other.keys()).filter(differs).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// The suite and the trials of a finished folder.
///
/// # Errors
/// When the folder lacks a file, or holds one that cannot be read.
pub fn read(folder: &Path) -> Result<(Suite, Vec<Trial>)> {
    let suite: Suite = ron_file::read(folder.join(CONFIG), &[])?;
    let trials = read_tables(folder)
        .with_context(|| format!("{} is not finished; run its suite again to go on", folder.display()))?;
    Ok((suite, trials))
}

/// Makes `summary.csv`, `report.html` and the figures of a finished folder again, into `to`.
///
/// # Errors
/// When a file cannot be read or written.
pub fn report_into(folder: &Path, extensions: &Extensions, to: &Path) -> Result<(Suite, Vec<Trial>)> {
    let (suite, trials) = read(folder)?;
    let environment = Environment::read(folder.join("environment.json"))?;
    report::write(&Findings::new(&suite, extensions, &trials)?, &environment, to)?;
    Ok((suite, trials))
}
