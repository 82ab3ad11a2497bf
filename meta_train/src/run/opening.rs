//! How a run begins, or begins again: afresh, from a full checkpoint, or from a light one.

use std::sync::Arc;

use super::Run;
use crate::Error;
use crate::checkpoint::light::{self, Light};
use crate::checkpoint::{self, Restored, Totals};
use crate::clock::Clock;
use crate::config::Plan;
use crate::folder::RunFolder;
use crate::learner::Learner;
use crate::observe::metrics::{self, MetricsFile};
use crate::observe::tensorboard::EventFile;
use crate::unroll::Particle;
use crate::validation::Validator;

const ONLY_LIGHT: &str =
    "has light checkpoints but no full one that can be read; go on from the newest with --restart-unrolls";

impl Run {
    /// A run before its first outer step.
    ///
    /// # Errors
    /// When threads or files cannot be made.
    pub fn start(mut plan: Plan, folder: RunFolder, workers: usize) -> Result<Self, Error> {
        plan.setting.find_references(&plan.config.reference, folder.root(), workers)?;
        let learner = new_learner(&plan)?;
        let particles = (0..plan.setting.particles).map(Particle::new).collect();
        let restored = Restored::anew(particles, Totals::default(), &plan.setting);
        Self::assemble(plan, folder, workers, learner, restored)
    }

    /// A run that goes on from its newest readable light checkpoint, with new unrolls.
    ///
    /// # Errors
    /// When there is none, or it was written under another configuration.
    pub fn restart_unrolls(
        plan: Plan,
        folder: RunFolder,
        workers: usize,
        warn: &mut dyn FnMut(String),
    ) -> Result<Self, Error> {
        let Some((path, found)) = light::newest(&folder.checkpoints(), warn)? else {
            return Err(Error::run_folder(folder.root(), "has no light checkpoint to go on from"));
        };
        checkpoint::require_same(&path, &found.config, &plan.config)?;
        checkpoint::set_aside_after(&folder.checkpoints(), found.totals.generation)?;
        Self::from_light(plan, folder, workers, found)
    }

    /// A run that goes on from `light` with new unrolls; it leaves a full checkpoint at once.
    ///
    /// # Errors
    /// When the checkpoint does not fit the plan, or threads or files cannot be made.
    pub fn from_light(mut plan: Plan, folder: RunFolder, workers: usize, light: Light) -> Result<Self, Error> {
        plan.setting.find_references(&plan.config.reference, folder.root(), workers)?;
        let mut learner = new_learner(&plan)?;
        let particles = light.particles(plan.setting.particles);
        let mut totals = light.totals;
        // Metrics that stayed behind on another machine are not waited for.
        totals.metrics_bytes = metrics::whole_lines(&folder.metrics(), totals.metrics_bytes)?;
        learner.restore(light.state, totals.generation)?;
        let restored = Restored::anew(particles, totals, &plan.setting);
        let mut run = Self::assemble(plan, folder, workers, learner, restored)?;
        run.save()?;
        Ok(run)
    }

    /// A run as its newest readable checkpoint left it; from the start when there is none yet.
    ///
    /// Damaged checkpoints, and light ones that are newer than it, are set aside, and `warn` is told which and why, and of metrics that were lost.
    ///
    /// # Errors
    /// When no checkpoint is readable although some exist, or the newest was written under another
    /// configuration, or all are gone although the run was finished.
    pub fn resume(
        mut plan: Plan,
        folder: RunFolder,
        workers: usize,
        warn: &mut dyn FnMut(String),
    ) -> Result<Self, Error> {
        let checkpoints = checkpoint::list(&folder.checkpoints())?;
        let has_light = !light::list(&folder.checkpoints())?.is_empty();
        if checkpoints.is_empty() {
            if folder.learned().exists() {
                let problem =
                    "has a frozen optimizer but no checkpoint to go on from; start another run, or move it away";
                return Err(Error::run_folder(folder.root(), problem));
            }
            // A fresh start would cut the metrics and remove the snapshots of the lost checkpoints.
            if has_light {
                return Err(Error::run_folder(folder.root(), ONLY_LIGHT));
            }
            return Self::start(plan, folder, workers);
        }
        plan.setting.find_references(&plan.config.reference, folder.root(), workers)?;
        let found = checkpoint::newest_readable(
            checkpoints,
            |path| {
                let mut learner = new_learner(&plan)?;
                let restored = checkpoint::read(path, &plan.config, &plan.setting, &mut learner);
                restored.map(|restored| (learner, restored))
            },
            warn,
        );
        let found = match found {
            Err(error @ Error::DamagedCheckpoint { .. }) if has_light => {
                warn(error.to_string());
                return Err(Error::run_folder(folder.root(), ONLY_LIGHT));
            }
            other => other?,
        };
        let (_, (learner, mut restored)) = found.expect("there is a checkpoint, and all that was found wrong is told");
        checkpoint::set_aside_after(&folder.checkpoints(), restored.totals.generation)?;
        let expected = restored.totals.metrics_bytes;
        restored.totals.metrics_bytes = metrics::whole_lines(&folder.metrics(), expected)?;
        if restored.totals.metrics_bytes < expected {
            let path = folder.metrics().display().to_string();
            warn(format!("{path}: lines from before the checkpoint were lost; curves begin or go on without them"));
        }
        Self::assemble(plan, folder, workers, learner, restored)
    }

    fn assemble(
        plan: Plan,
        folder: RunFolder,
        workers: usize,
        learner: Learner,
        restored: Restored,
    ) -> Result<Self, Error> {
        let Plan { config, setting, initial_theta, evaluation_tasks } = plan;
        let Restored { totals, particles, waiting, divergence, guard } = restored;
        let metrics = MetricsFile::open(&folder.metrics(), totals.metrics_bytes)?;
        let validator = match &config.validation {
            Some(validation) => {
                let architecture = &setting.architecture;
                Some(Validator::start(folder.validation(), validation, architecture, totals.generation)?)
            }
            None => None,
        };
        let judged = validator.as_ref().map_or(&[][..], Validator::known);
        let events = EventFile::create(&folder.events(), totals.seconds, &metrics::read(&folder.metrics())?, judged)?;
        let setting = Arc::new(setting);
        let population = config.population.start(particles, waiting, workers, &setting)?;
        Ok(Self {
            folder,
            config,
            setting,
            initial_theta,
            evaluation_tasks,
            learner,
            guard,
            population,
            divergence,
            totals,
            metrics,
            events,
            untold: false,
            in_vain: 0,
            workers,
            validator,
            choice: None,
            clock: Clock::default(),
        })
    }
}

/// A learner before its first step.
///
/// # Errors
/// When the outer optimizer refuses its hyper-parameters.
pub fn new_learner(plan: &Plan) -> Result<Learner, Error> {
    let families = plan.setting.tasks.families().len();
    let layout = plan.setting.architecture.theta_layout();
    let config = plan.config.outer.clone();
    Learner::new(plan.initial_theta.clone(), &layout, families, plan.config.budget.outer_steps, config)
}
