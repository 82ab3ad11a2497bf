//! The folder of a run: what lies where, and who may write to it.
//!
//! It holds `config.ron` (resolved), `start.safetensors` (theta before the first outer step), `environment.json`,
//! `metrics.jsonl`, `checkpoints/`, with validation `validation/`, with curves of tuned optimizers `reference.jsonl`, and in the end what [`crate::closing`] adds. Nothing
//! outside it is needed to go on with the run. `lock` keeps a second process from writing to it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use velo_comparison::environment::Environment;
use velo_comparison::{atomic_file, ron_file, run_folder};
use velo_optimizer::LearnedWeights;

use crate::Error;
use crate::checkpoint::light::{self, Light};
use crate::config::{Config, Plan};
use crate::start::Start;

/// Attempts to get the lock, and the time between them.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Paths inside a run folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    root: PathBuf,
    /// Locked for as long as some clone of this lives.
    lock: Option<Arc<File>>,
}

impl RunFolder {
    /// Creates the folder, which must not hold anything yet, with what `plan` says, and locks it.
    ///
    /// # Errors
    /// When it exists and is not empty, or cannot be written to.
    pub fn create(root: &Path, plan: &Plan) -> Result<Self, Error> {
        Self::create_with(root, plan, None)
    }

    /// The same with a first light checkpoint, a copy of the file `light`: whatever happens from here on, the run can go on from it.
    ///
    /// # Errors
    /// As [`create`](Self::create), and when the file cannot be copied.
    pub fn create_from(root: &Path, plan: &Plan, light: (&Path, &Light)) -> Result<Self, Error> {
        Self::create_with(root, plan, Some(light))
    }

    fn create_with(root: &Path, plan: &Plan, light: Option<(&Path, &Light)>) -> Result<Self, Error> {
        run_folder::create(root)?;
        let folder = Self { root: root.to_owned(), lock: None }.locked()?;
        Environment::now("meta_train", env!("CARGO_PKG_VERSION")).write(folder.root.join("environment.json"))?;
        LearnedWeights::new(plan.config.architecture.clone(), plan.initial_theta.clone())?
            .with_provenance("provenance", plan.config.start.description())
            .save(folder.start())?;
        let checkpoints = folder.checkpoints();
        fs::create_dir(&checkpoints).map_err(Error::io(&checkpoints))?;
        if let Some((file, light)) = light {
            light::copy(file, light, &checkpoints)?;
        }
        // Last: it is what makes the folder that of a run.
        atomic_file::write(folder.config(), ron_file::to_string(&plan.config))?;
        Ok(folder)
    }

    /// An existing run, to read from.
    ///
    /// # Errors
    /// [`Error::RunFolder`] when there is no `config.ron`.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let folder = Self { root: root.to_owned(), lock: None };
        if !folder.config().is_file() {
            return Err(Error::run_folder(root, "is not a run folder: it has no config.ron"));
        }
        Ok(folder)
    }

    /// An existing run to go on with.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`Error::RunFolder`] while another process has it.
    pub fn open_to_go_on(root: &Path) -> Result<Self, Error> {
        let folder = Self::open(root)?.locked()?;
        folder.sweep();
        Ok(folder)
    }

    fn locked(mut self) -> Result<Self, Error> {
        let path = self.lock_file();
        let file = File::create(&path).map_err(Error::io(&path))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                // Somebody may only have looked whether it is in use.
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let problem = "is in use by another meta_train; stop that one first, or wait for it";
                    return Err(Error::run_folder(&self.root, problem));
                }
                // Some file systems know no locks; the run is no worse off than without this one.
                Err(TryLockError::Error(_)) => break,
            }
        }
        self.lock = Some(Arc::new(file));
        Ok(self)
    }

    /// Whether some process trains the run at this moment, as far as locks tell.
    pub fn is_in_use(&self) -> bool {
        let file = File::open(self.lock_file());
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Removes what a killed process was writing when it died; nobody else writes here while the lock is held.
    fn sweep(&self) {
        for folder in [self.root.clone(), self.checkpoints()] {
            for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.starts_with('.') && name.ends_with(".partial") {
                    // It only takes room.
                    let _ = fs::remove_file(path);
                }
            }
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// What the run was configured to do, and where theta began; no other file is read.
    ///
    /// # Errors
    /// When a file cannot be read, or holds what cannot be run.
    pub fn plan(&self) -> Result<Plan, Error> {
        let config = Config::read(&self.config(), &[])?;
        let start = Start::Frozen(self.start()).theta(&config.architecture, config.seed);
        config.check_from(start.map_err(|error| {
            let problem = format!(
                "where theta began cannot be read: {error}; its light checkpoints hold it, too: go on in a new folder with \
                 `meta_train resume NEW --from` one of them"
            );
            Error::run_folder(&self.root, problem)
        })?)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.ron")
    }

    /// Theta before the first outer step.
    pub fn start(&self) -> PathBuf {
        self.root.join("start.safetensors")
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

    /// The untrained start, its native rate selected in the same way as that of the frozen optimizer.
    pub fn initial(&self) -> PathBuf {
        self.root.join("initial.safetensors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_can_be_read_but_not_gone_on_with() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("run");
        let plan = Config::default().check().unwrap();
        let first = RunFolder::create(&root, &plan).unwrap();
        assert_eq!(RunFolder::open(&root).unwrap().plan().unwrap().initial_theta, plan.initial_theta);
        let error = RunFolder::open_to_go_on(&root).unwrap_err();
        assert!(error.to_string().contains("in use by another meta_train"), "{error}");
        assert!(RunFolder::open(&root).unwrap().is_in_use());
        drop(first);
        let rest = root.join("checkpoints/.00000003.safetensors.7-0.partial");
        fs::write(&rest, "half of it").unwrap();
        let again = RunFolder::open_to_go_on(&root).unwrap();
        assert!(!rest.exists(), "what a killed process left is swept away");
        drop(again);
        assert!(!RunFolder::open(&root).unwrap().is_in_use());
    }

    #[test]
    fn a_start_of_other_shapes_than_configured_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("run");
        let folder = RunFolder::create(&root, &Config::default().check().unwrap()).unwrap();
        LearnedWeights::pretrained().save(folder.start()).unwrap();
        let error = folder.plan().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("start.safetensors") && error.contains("weights of the same shapes"), "{error}");
    }
}
