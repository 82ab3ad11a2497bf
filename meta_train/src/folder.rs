//! The folder of a run: what lies where.
//!
//! It holds `config.ron` (resolved), `environment.json`, `metrics.jsonl`, `checkpoints/`, with validation `validation/`,
//! and in the end what [`crate::closing`] adds.

use std::fs;
use std::path::{Path, PathBuf};

use velo_comparison::environment::Environment;
use velo_comparison::{atomic_file, ron_file, run_folder};

use crate::Error;
use crate::config::Config;

/// Paths inside a run folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Creates the folder, which must not hold anything yet, and writes configuration and environment.
    ///
    /// # Errors
    /// When it exists and is not empty, or cannot be written to.
    pub fn create(root: &Path, config: &Config) -> Result<Self, Error> {
        run_folder::create(root)?;
        let folder = Self { root: root.to_owned() };
        atomic_file::write(folder.config(), ron_file::to_string(config))?;
        Environment::now("meta_train", env!("CARGO_PKG_VERSION")).write(folder.root.join("environment.json"))?;
        let checkpoints = folder.checkpoints();
        fs::create_dir(&checkpoints).map_err(Error::io(&checkpoints))?;
        Ok(folder)
    }

    /// An existing run.
    ///
    /// # Errors
    /// [`Error::RunFolder`] when there is no `config.ron`.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let folder = Self { root: root.to_owned() };
        if !folder.config().is_file() {
            return Err(Error::run_folder(root, "is not a run folder: it has no config.ron"));
        }
        Ok(folder)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.ron")
    }

    /// One line per outer step.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// What TensorBoard shows.
    pub fn events(&self) -> PathBuf {
        self.root.join("events.out.tfevents.meta_train")
    }

    /// The checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Snapshots and baselines of the validation.
    pub fn validation(&self) -> PathBuf {
        self.root.join("validation")
    }

    /// The frozen optimizer.
    pub fn learned(&self) -> PathBuf {
        self.root.join("learned.safetensors")
    }

    /// The untrained start, frozen in the same way.
    pub fn initial(&self) -> PathBuf {
        self.root.join("initial.safetensors")
    }
}
