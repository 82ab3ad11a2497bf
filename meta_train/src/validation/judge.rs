//! Runs snapshots and baselines on the validation tasks; what is measured once is read from its file from then on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use velo_comparison::trial::{read_tables, write_tables};
use velo_comparison::{Comparison, Contender, Declared, Limits, Metric, Problem, Trial, TrialCache, run_until};
use velo_optimizer::hand_designed::{AdamWConfig, NormalisedAdamConfig};
use velo_optimizer::{Architecture, LearnedConfig, LearnedWeights, OptimizerConfig};
use velo_tasks::TaskConfig;

use super::config::ValidationConfig;
use super::standing::{Standing, TUNED, TUNED_FOR_VALIDATION};
use crate::Error;
use crate::closing::evaluation::LEARNED;
use crate::closing::selection::{SCHEDULE, native_schedule};

/// The rule without anything learned, at the native rate and with the schedule of the baselines.
pub(super) const NORMALISED_ADAM: &str = "normalised Adam";

/// File of the weights inside the folder of a snapshot.
const WEIGHTS: &str = "learned.safetensors";

/// What the judgement of a snapshot depends on.
pub(super) struct Judge {
    /// The folder of all snapshots.
    pub root: PathBuf,
    config: ValidationConfig,
    tasks: Vec<TaskConfig>,
    architecture: Architecture,
    /// How normalised Adam stands, as soon as the baselines are there.
    pub normalised_adam: OnceLock<Standing>,
    /// Threads of a comparison.
    pub threads: AtomicUsize,
    /// Set to leave a comparison after the trials at hand.
    pub stop: AtomicBool,
}

impl Judge {
    /// For the snapshots in the folder `root`.
    ///
    /// # Errors
    /// Those of [`ValidationConfig::check`].
    pub fn new(root: PathBuf, config: ValidationConfig, architecture: Architecture) -> Result<Self, Error> {
        let (tasks, threads) = (config.check()?, AtomicUsize::new(config.threads));
        let normalised_adam = OnceLock::new();
        Ok(Self { root, config, tasks, architecture, normalised_adam, threads, stop: AtomicBool::new(false) })
    }

    /// How many snapshots are judged again.
    pub fn candidates(&self) -> usize {
        self.config.candidates
    }

    /// The folder of a snapshot.
    fn folder(&self, generation: u64) -> PathBuf {
        self.root.join(format!("{generation:08}"))
    }

    /// Snapshots that there are, oldest first.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn snapshots(&self) -> Result<Vec<u64>, Error> {
        if !self.root.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(Error::io(&self.root))? {
            let path = entry.map_err(Error::io(&self.root))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u64>().ok());
            found.extend(name.filter(|_| path.join(WEIGHTS).exists()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Whether the snapshot has been judged.
    pub fn is_judged(&self, generation: u64) -> bool {
        is_measured(&self.folder(generation))
    }

    /// Saves a snapshot; one that is there stays.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, generation: u64, theta: &[f32]) -> Result<(), Error> {
        let folder = self.folder(generation);
        if folder.join(WEIGHTS).exists() {
            return Ok(());
        }
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        Ok(LearnedWeights::new(self.architecture.clone(), theta.to_vec())?.save(folder.join(WEIGHTS))?)
    }

    /// Forgets a snapshot of a future that a resumed run has yet to come to.
    ///
    /// # Errors
    /// [`Error::Io`] when its folder cannot be removed.
    pub fn forget(&self, generation: u64) -> Result<(), Error> {
        let folder = self.folder(generation);
        // In one step: half of a folder could be taken for that of the snapshot which the run will take there.
        let doomed = folder.with_extension("forgotten");
        let _ = fs::remove_dir_all(&doomed);
        fs::rename(&folder, &doomed).map_err(Error::io(&folder))?;
        fs::remove_dir_all(&doomed).map_err(Error::io(&doomed))
    }

    /// Its theta.
    ///
    /// # Errors
    /// The optimizer crate's error for a file that cannot be read.
    pub fn theta(&self, generation: u64) -> Result<Vec<f32>, Error> {
        Ok(LearnedWeights::load(self.folder(generation).join(WEIGHTS))?.theta().to_vec())
    }

    /// The trials of the baselines, on all seeds; none when told to stop.
    ///
    /// # Errors
    /// When a comparison cannot start or a file cannot be read or written.
    pub fn baselines(&self) -> Result<Option<Vec<Trial>>, Error> {
        let rate = self.architecture.step_size();
        let normalised = NormalisedAdamConfig { learning_rate: rate, ..NormalisedAdamConfig::default() };
        let normalised = Contender::fixed(NORMALISED_ADAM, OptimizerConfig::NormalisedAdam(normalised), SCHEDULE);
        let adamw = OptimizerConfig::AdamW(AdamWConfig::default());
        let tuned = Contender::over_rates(TUNED, &adamw, SCHEDULE, &self.config.adamw_rates)
            .times_weight_decays(&self.config.adamw_decays);
        let for_validation = tuned.selected_by(Metric::ValidationLoss, TUNED_FOR_VALIDATION);
        let seeds = (0..self.config.seeds + self.config.fresh_seeds).collect::<Vec<_>>();
        let contenders = [tuned, for_validation, normalised];
        self.measured_once(&self.root.join("baselines"), self.config.cache.as_deref(), &seeds, &contenders)
    }

    /// How a snapshot stands; none when told to stop.
    ///
    /// # Errors
    /// As [`baselines`](Self::baselines).
    pub fn standing(&self, generation: u64, baselines: &[Trial]) -> Result<Option<Standing>, Error> {
        let seeds = (0..self.config.seeds).collect::<Vec<_>>();
        Ok(self
            .trials(generation, &self.folder(generation), &seeds)?
            .and_then(|trials| Standing::of(generation, LEARNED, &[baselines, &trials].concat())))
    }

    /// The trials of a snapshot on fresh seeds; none when told to stop.
    ///
    /// # Errors
    /// As [`baselines`](Self::baselines).
    pub fn fresh_trials(&self, generation: u64) -> Result<Option<Vec<Trial>>, Error> {
        let seeds = self.config.seeds..self.config.seeds + self.config.fresh_seeds;
        self.trials(generation, &self.folder(generation).join("fresh"), &seeds.collect::<Vec<_>>())
    }

    fn trials(&self, generation: u64, folder: &Path, seeds: &[u64]) -> Result<Option<Vec<Trial>>, Error> {
        let weights = self.folder(generation).join(WEIGHTS);
        let config = OptimizerConfig::Learned(LearnedConfig::new(weights));
        let told = if self.config.tells_horizon { Declared::True } else { Declared::Hidden };
        let learned = Contender::fixed(LEARNED, config, native_schedule(&self.architecture)).declaring(told);
        let multipliers = Some(&self.config.step_multipliers[..]).filter(|multipliers| *multipliers != [1.0]);
        self.measured_once(folder, None, seeds, &[learned.times_step_multipliers(multipliers.unwrap_or_default())])
    }

    /// The trials of the contenders, from `folder` if they are there. Until all of them are, each is kept by itself: who stops
    /// or is killed loses the trials at hand. They stay in `shared` for other runs, if that is given.
    fn measured_once(
        &self,
        folder: &Path,
        shared: Option<&Path>,
        report_seeds: &[u64],
        contenders: &[Contender],
    ) -> Result<Option<Vec<Trial>>, Error> {
        if is_measured(folder) {
            return Ok(Some(read_tables(folder)?));
        }
        let first_tuning = self.config.seeds + self.config.fresh_seeds;
        let own = folder.join("trials");
        let cache = TrialCache::new(shared.unwrap_or(&own));
        let mut trials = Vec::new();
        for task in &self.tasks {
            let comparison = Comparison {
                problems: vec![Problem::new(task.clone(), self.config.steps, self.config.steps.div_ceil(50))],
                contenders: contenders.to_vec(),
                tuning_seeds: (first_tuning..first_tuning + self.config.tuning_seeds).collect(),
                report_seeds: report_seeds.to_vec(),
                select_by: Metric::TrainLoss,
                envelope: None,
                limits: Limits::default(),
                threads: self.threads.load(Ordering::Relaxed),
            };
            match run_until(&self.stop, &comparison, Some(&cache), |_| ())? {
                Some(measured) => trials.extend(measured),
                None => return Ok(None),
            }
        }
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        write_tables(folder, &trials)?;
        if shared.is_none() {
            fs::remove_dir_all(&own).map_err(Error::io(&own))?;
        }
        Ok(Some(trials))
    }
}

/// Whether the trials are all there: a kill between the two tables leaves the first of them.
fn is_measured(folder: &Path) -> bool {
    folder.join("trials.csv").exists() && folder.join("curves.csv").exists()
}
