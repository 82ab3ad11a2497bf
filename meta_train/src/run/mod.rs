//! A run of meta-training: start, outer steps, checkpoints, resume.
//!
//! The loop is: hand theta to the population, merge its reports into one outer step, write a line of metrics,
//! and now and then a checkpoint. It ends after the planned number of outer steps, or earlier at the
//! wall-clock cap, or when it is interrupted; it leaves a checkpoint behind each time.

mod opening;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use velo_tasks::TaskConfig;

use crate::checkpoint::{self, Totals, light};
use crate::clock::Clock;
use crate::config::Config;
use crate::folder::RunFolder;
use crate::guard::{Guard, Heard, MOST_ROLLBACKS};
use crate::learner::{Learner, OuterStep};
use crate::observe::divergence::Divergence;
use crate::observe::metrics::{MetricsFile, Record, WorkerRecord};
use crate::observe::progress::Progress;
use crate::observe::summary::Mark;
use crate::observe::tensorboard::EventFile;
use crate::population::{AtRest, Generation, Population};
use crate::unroll::Setting;
use crate::validation::{Choice, Chosen, Standing, Validator};
use crate::{Error, closing};
pub use opening::new_learner;

/// Least time between two versions of the report of a running run.
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// Outer steps in a row without a single report, after which a run gives up.
const MOST_IN_VAIN: u32 = 10;

/// Why training stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All outer steps are done.
    Finished,
    /// The wall-clock cap was reached first.
    OutOfTime,
    /// Somebody asked for it.
    Interrupted,
}

/// A run between two outer steps.
pub struct Run {
    folder: RunFolder,
    config: Config,
    setting: Arc<Setting>,
    initial_theta: Vec<f32>,
    evaluation_tasks: Vec<TaskConfig>,
    learner: Learner,
    guard: Guard,
    population: Box<dyn Population>,
    divergence: Divergence,
    totals: Totals,
    metrics: MetricsFile,
    events: EventFile,
    /// Whether metrics or events wait in memory for room on the disk.
    untold: bool,
    /// Outer steps in a row in which every particle that reported had failed.
    in_vain: u32,
    workers: usize,
    validator: Option<Validator>,
    choice: Option<Choice>,
    clock: Clock,
}

impl Run {
    /// Measures time with another clock from now on.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// What became of the inner runs, by family.
    pub fn divergence(&self) -> &Divergence {
        &self.divergence
    }

    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// What was configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What windows depend on.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Theta before the first outer step.
    pub fn initial_theta(&self) -> &[f32] {
        &self.initial_theta
    }

    /// Tasks of the closing comparison.
    pub fn evaluation_tasks(&self) -> &[TaskConfig] {
        &self.evaluation_tasks
    }

    /// Owner of theta.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// What validation chose, once training is over.
    pub fn choice(&self) -> Option<&Choice> {
        self.choice.as_ref()
    }

    /// How normalised Adam stands on the validation tasks, for the report of a running run; none before it is measured.
    pub(crate) fn normalised_adam(&self) -> Option<Standing> {
        self.validator.as_ref().and_then(Validator::normalised_adam)
    }

    /// What is frozen: the choice of validation, or the average of theta.
    pub fn best_theta(&self) -> &[f32] {
        self.choice.as_ref().map_or(self.learner.average(), |choice| &choice.theta)
    }

    /// Clocks.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Outer steps until training ends or `interrupted` is set; then a checkpoint, and the choice of validation unless
    /// interrupted.
    ///
    /// # Errors
    /// When a file cannot be written, every particle of a generation failed, or validation cannot run.
    pub fn train(&mut self, interrupted: &AtomicBool) -> Result<Ended, Error> {
        let total = self.config.budget.outer_steps;
        let mut progress = Progress::new(self.mark(), total);
        let mut saved = self.totals.generation;
        let mut reported = self.clock.now();
        let ended = loop {
            self.validate(&progress, false);
            if interrupted.load(Ordering::Relaxed) {
                break Ended::Interrupted;
            }
            if self.totals.generation >= total {
                break Ended::Finished;
            }
            if self.config.budget.max_seconds.is_some_and(|seconds| self.totals.seconds >= seconds) {
                break Ended::OutOfTime;
            }
            let record = self.outer_step(&progress)?;
            progress.update(&record);
            if self.totals.generation.is_multiple_of(self.config.checkpoints.every) {
                match self.save() {
                    Ok(()) => saved = self.totals.generation,
                    // The disk may have room again at the next one; the last checkpoint is still there.
                    Err(error) => progress.say(&format!("warning: no checkpoint was written: {error}")),
                }
            }
            if self.clock.since(reported) >= REPORT_EVERY {
                if let Err(error) = closing::report::write_running(self) {
                    progress.say(&format!("warning: the report was not updated: {error}"));
                }
                reported = self.clock.now();
            }
        };
        progress.finish();
        if saved < self.totals.generation {
            self.save()?;
        }
        if ended != Ended::Interrupted {
            self.validate(&progress, true);
            match self.validator.take().map(|validator| validator.choose(self.workers, interrupted)).transpose()? {
                Some(Chosen::Snapshot(choice)) => self.choice = Some(*choice),
                Some(Chosen::Interrupted) => return Ok(Ended::Interrupted),
                Some(Chosen::Nothing) => progress.say(
                    "warning: no snapshot was ever written, so validation has nothing to choose from; the average of theta is frozen",
                ),
                None => {}
            }
        }
        // What was judged after the last look at the news.
        for standing in self.choice.iter().flat_map(|choice| &choice.standings) {
            if let Err(error) = self.events.append_standing(standing, self.totals.seconds) {
                progress.say(&format!("warning: {error}; TensorBoard will not show all of validation"));
                break;
            }
        }
        Ok(ended)
    }

    /// Takes a snapshot where one is due, or at the end, and tells what has been judged.
    fn validate(&mut self, progress: &Progress, at_the_end: bool) {
        let Some(validator) = &self.validator else { return };
        let generation = self.totals.generation;
        if at_the_end || validator.is_due(generation) {
            // Only the choice needs it, and the next snapshot may have room on the disk again.
            if let Err(error) = validator.take(generation, self.learner.average()) {
                progress.say(&format!("warning: no snapshot was taken for validation: {error}"));
            }
        }
        for news in validator.news() {
            match news {
                Ok(standing) => {
                    progress.say(&standing.to_string());
                    if let Err(error) = self.events.append_standing(&standing, self.totals.seconds) {
                        progress.say(&format!(
                            "warning: {error}; TensorBoard will show this snapshot once there is room on the disk"
                        ));
                    }
                }
                Err(error) => progress.say(&format!("warning: validation: {error}")),
            }
        }
    }

    fn outer_step(&mut self, progress: &Progress) -> Result<Record, Error> {
        let start = self.clock.now();
        let generation = self.population.run_generation(self.learner.generation(), self.learner.theta())?;
        for lost in &generation.lost {
            let (particle, episode) = (lost.particle, lost.episode);
            progress
                .say(&format!("particle {particle} failed in episode {episode} and was restarted: {}", lost.reason));
        }
        self.count_divergence(&generation, progress);
        self.count_failures(&generation)?;
        let before = self.learner.state();
        let outcome = self.learner.step(&generation.reports, &self.setting)?;
        let heard = self.heard(&generation, &outcome);
        let judged = self.guard.judge_meta_loss(before, heard);
        let judged = judged.and_then(|()| self.guard.judge_theta(self.learner.theta()));
        if let Err(problem) = &judged {
            self.roll_back(problem, &outcome, progress)?;
        }
        let inner_steps = generation.inner_steps();
        let seconds = self.clock.since(start).as_secs_f64();
        self.totals.generation = self.learner.generation();
        self.totals.inner_steps += inner_steps;
        self.totals.seconds += seconds;
        let record = Record {
            generation: self.totals.generation,
            inner_steps: self.totals.inner_steps,
            // Where no run said anything the curve goes on at its usual height.
            meta_loss: outcome.meta_loss.or(self.guard.usual_meta_loss()).unwrap_or_default(),
            gradient_norm: outcome.gradient_norm,
            signal_to_noise: outcome.signal_to_noise,
            diverged: outcome.diverged,
            ended: 2 * outcome.episodes,
            dropped: outcome.dropped,
            lost: generation.lost.len() as u32,
            rolled_back: judged.is_err(),
            stale: generation.stale,
            stale_share: generation.stale as f32 / (generation.stale as usize + generation.reports.len()).max(1) as f32,
            mean_staleness: generation.mean_staleness as f32,
            replaced: generation.replaced,
            hopeless: self.hopeless_families(),
            workers: generation.work.iter().map(WorkerRecord::from).collect(),
            // A generation that the clock did not see has no rate.
            inner_steps_per_second: if seconds > 0.0 { inner_steps as f64 / seconds } else { 0.0 },
            seconds: self.totals.seconds,
        };
        self.tell(&record, progress);
        Ok(record)
    }

    /// # Errors
    /// When nothing but failures has come in for many outer steps.
    fn count_failures(&mut self, generation: &Generation) -> Result<(), Error> {
        let Some(lost) = generation.lost.first().filter(|_| generation.reports.iter().all(Option::is_none)) else {
            self.in_vain = 0;
            return Ok(());
        };
        self.in_vain += 1;
        if self.in_vain < MOST_IN_VAIN {
            return Ok(());
        }
        let reason = format!(
            "every particle failed in {MOST_IN_VAIN} outer steps up to the one after {}: {}; leave out the family of tasks that \
             fails, and start another run from an export of this one",
            self.totals.generation, lost.reason
        );
        Err(Error::run_failed(self.folder.root(), reason))
    }

    /// What the reports of a generation say about theta before the step.
    fn heard(&self, generation: &Generation, outcome: &OuterStep) -> Heard {
        let segments = || generation.reports.iter().flatten().flat_map(|report| &report.segments);
        let mut scales = segments().map(|segment| self.setting.scale(segment.position.stage));
        let scale = scales.next().filter(|first| scales.all(|scale| scale == *first));
        Heard {
            generation: self.totals.generation,
            oldest: self.totals.generation - generation.largest_staleness,
            meta_loss: outcome.meta_loss,
            segments: segments().count(),
            scale,
            worst: scale.map_or(f32::INFINITY, |scale| self.setting.stages[scale].objective.worst()),
        }
    }

    /// Writes a line of metrics and an event. What a full disk has no room for waits in memory; it is written with a later one,
    /// or else the next checkpoint fails, too, and the run goes on from the one before.
    fn tell(&mut self, record: &Record, progress: &Progress) {
        let told = [self.metrics.append(record), self.events.append(record)];
        match told.into_iter().find_map(Result::err) {
            Some(error) if !self.untold => {
                progress.say(&format!("warning: {error}; what the run tells waits in memory for room on the disk"));
                self.untold = true;
            }
            Some(_) => {}
            None => self.untold = false,
        }
    }

    fn roll_back(&mut self, problem: &str, outcome: &OuterStep, progress: &Progress) -> Result<(), Error> {
        let step = self.learner.generation();
        if !self.guard.roll_back(&mut self.learner)? {
            let reason = format!(
                "theta blew up in outer step {step}: {problem} (gradient norm {:.3e}); rolling it back, up to {MOST_ROLLBACKS} times, \
                 was in vain: start another run from an export of this one (start: Frozen) with a lower outer.learning_rate or \
                 estimator.sigma",
                outcome.gradient_norm
            );
            return Err(Error::run_failed(self.folder.root(), reason));
        }
        self.population.restart_episodes(self.learner.generation())?;
        progress
            .say(&format!("theta blew up in outer step {step} and was rolled back to the last good one: {problem}"));
        Ok(())
    }

    fn save(&mut self) -> Result<(), Error> {
        self.totals.metrics_bytes = self.metrics.sync()?;
        let keep = self.config.checkpoints.keep;
        let folder = self.folder.checkpoints();
        let AtRest { particles, waiting } = self.population.at_rest()?;
        // The light one first: what a full disk has room for is then the newest.
        light::write(&folder, &self.config, &self.initial_theta, self.totals, &self.learner, particles, keep)?;
        let state = checkpoint::State {
            config: &self.config,
            totals: self.totals,
            learner: &self.learner,
            guard: &self.guard,
            particles,
            waiting,
            divergence: &self.divergence,
        };
        checkpoint::write(&folder, &state, keep)?;
        Ok(())
    }

    fn count_divergence(&mut self, generation: &Generation, progress: &Progress) {
        let families = self.setting.tasks.families();
        for ended in generation.reports.iter().flatten().flat_map(|report| &report.ended) {
            if self.divergence.count(*ended) {
                let runs = self.divergence.families()[ended.family];
                progress.say(&format!(
                    "family {}: the last {} pairs of inner runs all diverged; it teaches nothing ({} of {} runs so far)",
                    families[ended.family], runs.in_vain, runs.diverged, runs.ended
                ));
            }
        }
    }

    fn mark(&self) -> Mark {
        let Totals { generation, inner_steps, seconds, .. } = self.totals;
        Mark { generation, inner_steps, seconds }
    }

    fn hopeless_families(&self) -> Vec<String> {
        let families = self.setting.tasks.families();
        self.divergence.hopeless().map(|number| families[number].clone()).collect()
    }
}
