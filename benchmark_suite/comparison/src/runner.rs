//! Runs every trial of a comparison on worker threads.
//!
//! First the tuning trials of all contenders with several settings, then, with the best setting per task, the
//! reported ones. Trials share nothing and each is computed on one thread, so results do not depend on the number
//! of workers; they are returned in the order task, contender, setting, seed, whoever finished first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crossbeam::channel;
use velo_tasks::TaskConfig;
use velo_tasks::training::train;
use velo_tasks::worker::single_threaded;

use crate::trial::{CurvePoint, Measurement, Metric, Role, Trial};
use crate::{Contender, Error, Setting};

/// Tasks × contenders × seeds, and how long to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The tasks, with unique names.
    pub tasks: Vec<TaskConfig>,
    /// The contenders, with unique labels.
    pub contenders: Vec<Contender>,
    /// Steps of every trial.
    pub steps: u64,
    /// Steps between two points of a learning curve.
    pub record_every: u64,
    /// Seeds on which settings are chosen.
    pub tuning_seeds: Vec<u64>,
    /// Seeds that are reported; none of them is a tuning seed.
    pub report_seeds: Vec<u64>,
    /// The loss by which settings are chosen, for contenders that name none.
    pub select_by: Metric,
    /// Worker threads.
    pub threads: usize,
}

/// How far a comparison has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Trials finished.
    pub done: usize,
    /// Trials in total.
    pub total: usize,
}

/// One trial to be run.
struct Job<'a> {
    task: &'a TaskConfig,
    contender: &'a Contender,
    setting: &'a Setting,
    role: Role,
    seed: u64,
}

impl Comparison {
    /// Refuses a comparison that cannot run or would mislead, before any time is spent on it: builds every task
    /// and every setting once.
    ///
    /// # Errors
    /// [`Error::InvalidField`] naming the field; [`Error::Task`] and [`Error::Optimizer`] for what cannot be built.
    pub fn check(&self) -> Result<(), Error> {
        require(self.steps > 0, "steps", "is 0, expected at least 1")?;
        require(self.record_every > 0, "record_every", "is 0, expected at least 1")?;
        require(self.threads > 0, "threads", "is 0, expected at least 1")?;
        require(!self.tasks.is_empty(), "tasks", "is empty, expected at least one task")?;
        require(!self.contenders.is_empty(), "contenders", "is empty, expected at least one contender")?;
        require(!self.report_seeds.is_empty(), "report_seeds", "is empty, expected at least one seed")?;
        unique("tasks", self.tasks.iter().map(|task| task.name.as_str()))?;
        unique("contenders", self.contenders.iter().map(|contender| contender.label.as_str()))?;
        let (tuning, report) = (self.tuning_seeds.iter(), self.report_seeds.iter());
        let seeds: Vec<String> = tuning.chain(report).map(u64::to_string).collect();
        unique("tuning_seeds and report_seeds", seeds.iter().map(String::as_str))?;
        for contender in &self.contenders {
            let field = format!("contenders: {:?}", contender.label);
            require(!contender.settings.is_empty(), &field, "has no setting, expected at least one")?;
            unique(&field, contender.settings.iter().map(|setting| setting.label.as_str()))?;
            let tunable = contender.settings.len() == 1 || !self.tuning_seeds.is_empty();
            require(tunable, "tuning_seeds", "is empty, expected at least one: a contender has several settings")?;
        }
        for task in &self.tasks {
            let task = task.build()?;
            for setting in self.contenders.iter().flat_map(|contender| &contender.settings) {
                setting.build(task.layout(), self.steps)?;
            }
        }
        Ok(())
    }

    /// Number of trials that a run takes.
    pub fn trial_count(&self) -> usize {
        let per_task: usize = self.tuned().map(|contender| self.tuning_trials(contender)).sum();
        self.tasks.len() * (per_task + self.contenders.len() * self.report_seeds.len())
    }

    /// Tuning trials of one contender on one task; a single setting needs none.
    fn tuning_trials(&self, contender: &Contender) -> usize {
        if contender.settings.len() > 1 { contender.settings.len() * self.tuning_seeds.len() } else { 0 }
    }

    /// The contender whose tuning trials serve `contender`: the first with the same settings.
    fn tuner<'a>(&'a self, contender: &'a Contender) -> &'a Contender {
        self.contenders.iter().find(|other| other.settings == contender.settings).unwrap_or(contender)
    }

    /// Contenders with tuning trials of their own.
    fn tuned(&self) -> impl Iterator<Item = &Contender> {
        let own = |contender: &&Contender| std::ptr::eq(self.tuner(contender), *contender);
        self.contenders.iter().filter(|contender| self.tuning_trials(contender) > 0).filter(own)
    }

    fn tuning_jobs(&self) -> Vec<Job<'_>> {
        let mut jobs = Vec::new();
        for task in &self.tasks {
            for contender in self.tuned() {
                for setting in &contender.settings {
                    let job = |&seed| Job { task, contender, setting, role: Role::Tuning, seed };
                    jobs.extend(self.tuning_seeds.iter().map(job));
                }
            }
        }
        jobs
    }

    fn report_jobs(&self, tuning: &[Trial]) -> Vec<Job<'_>> {
        let mut jobs = Vec::new();
        for task in &self.tasks {
            for contender in &self.contenders {
                let metric = contender.select_by.unwrap_or(self.select_by);
                let setting = best_setting(self.tuner(contender), &task.name, tuning, metric);
                let job = |&seed| Job { task, contender, setting, role: Role::Report, seed };
                jobs.extend(self.report_seeds.iter().map(job));
            }
        }
        jobs
    }
}

/// Runs `comparison` and returns every trial, the tuning ones first.
///
/// A trial that fails or panics is recorded as failed, and the rest go on.
///
/// # Errors
/// Those of [`Comparison::check`], before anything has run.
pub fn run(comparison: &Comparison, mut progress: impl FnMut(Progress)) -> Result<Vec<Trial>, Error> {
    comparison.check()?;
    let total = comparison.trial_count();
    let mut done = 0;
    let mut finished = || {
        done += 1;
        progress(Progress { done, total });
    };
    let mut trials = run_jobs(comparison, &comparison.tuning_jobs(), &mut finished)?;
    let reported = run_jobs(comparison, &comparison.report_jobs(&trials), &mut finished)?;
    trials.extend(reported);
    Ok(trials)
}

/// The setting with the lowest mean loss over the tuning trials; the first of equals.
///
/// A setting that failed has an infinite mean and is chosen only if all did.
fn best_setting<'a>(contender: &'a Contender, task: &str, tuning: &[Trial], metric: Metric) -> &'a Setting {
    let mean_loss = |setting: &Setting| {
        let own = tuning
            .iter()
            .filter(|trial| trial.task == task && trial.contender == contender.label && trial.setting == setting.label);
        own.map(|trial| trial.loss(metric)).sum::<f64>()
    };
    let best = contender.settings.iter().min_by(|a, b| mean_loss(a).total_cmp(&mean_loss(b)));
    best.expect("a checked contender has a setting")
}

fn run_jobs(comparison: &Comparison, jobs: &[Job], finished: &mut dyn FnMut()) -> Result<Vec<Trial>, Error> {
    let (to_workers, from_queue) = channel::unbounded();
    for index in 0..jobs.len() {
        to_workers.send(index).expect("the receiver is in scope");
    }
    drop(to_workers);
    let (to_collector, from_workers) = channel::unbounded();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..comparison.threads.min(jobs.len()))
            .map(|_| {
                let (queue, results) = (from_queue.clone(), to_collector.clone());
                scope.spawn(move || {
                    single_threaded(|| {
                        for index in queue {
                            let trial = run_trial(comparison, &jobs[index]);
                            results.send((index, trial)).expect("the collector outlives its workers");
                        }
                    })
                })
            })
            .collect();
        drop(to_collector);
        let mut slots: Vec<Option<Trial>> = jobs.iter().map(|_| None).collect();
        for (index, trial) in from_workers {
            slots[index] = Some(trial);
            finished();
        }
        for worker in workers {
            worker.join().expect("a worker catches the panics of its trials")?;
        }
        Ok(slots.into_iter().map(|slot| slot.expect("every job was run")).collect())
    })
}

fn run_trial(comparison: &Comparison, job: &Job) -> Trial {
    let outcome = catch_unwind(AssertUnwindSafe(|| measure(comparison, job)));
    let outcome = match outcome {
        Ok(measured) => measured.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("panicked: {}", panic_message(panic.as_ref()))),
    };
    Trial {
        task: job.task.name.clone(),
        contender: job.contender.label.clone(),
        setting: job.setting.label.clone(),
        settings_tried: job.contender.settings.len(),
        role: job.role,
        seed: job.seed,
        steps: comparison.steps,
        outcome,
    }
}

fn measure(comparison: &Comparison, job: &Job) -> Result<Measurement, Error> {
    let mut task = job.task.build()?;
    let mut optimizer = job.setting.build(task.layout(), comparison.steps)?;
    let start = Instant::now();
    let curve = train(task.as_mut(), optimizer.as_mut(), job.seed, comparison.steps, comparison.record_every)?;
    let seconds = start.elapsed().as_secs_f64();
    let points = curve.steps.iter().zip(&curve.train_loss).map(|(&step, &loss)| CurvePoint { step, loss });
    Ok(Measurement {
        parameters: task.layout().len(),
        state_bytes: optimizer.state_bytes(),
        reference_loss: task.reference_loss(),
        train_loss: curve.train.loss,
        validation_loss: curve.validation.loss,
        train_accuracy: curve.train.accuracy,
        validation_accuracy: curve.validation.accuracy,
        diverged_at: curve.diverged,
        seconds,
        curve: points.collect(),
    })
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

fn require(holds: bool, field: &str, problem: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::InvalidField { field: field.to_owned(), problem: problem.to_owned() }) }
}

fn unique<'a>(field: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        require(seen.insert(name), field, &format!("{name:?} occurs twice, expected unique names"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use velo_optimizer::{OptimizerConfig, Schedule};
    use velo_tasks::registry::named;

    use super::*;
    use crate::trial::tests::trial;

    fn comparison(threads: usize) -> Comparison {
        let adam = OptimizerConfig::from_name("adam").unwrap();
        Comparison {
            tasks: vec![named("wine_mlp").unwrap(), named("diabetes_mlp").unwrap()],
            contenders: vec![
                Contender::over_rates("tuned", &adam, Schedule::Constant, &[1e-5, 1e-2]),
                Contender::fixed("plain", adam.with_learning_rate(1e-3), Schedule::Constant),
            ],
            steps: 30,
            record_every: 10,
            tuning_seeds: vec![100],
            report_seeds: vec![0, 1],
            select_by: Metric::TrainLoss,
            threads,
        }
    }

    /// Everything but the time it took.
    fn without_time(mut trials: Vec<Trial>) -> Vec<Trial> {
        trials.iter_mut().filter_map(|trial| trial.outcome.as_mut().ok()).for_each(|measured| measured.seconds = 0.0);
        trials
    }

    #[test]
    fn trials_do_not_depend_on_the_number_of_threads() {
        let mut counted = Vec::new();
        let one = run(&comparison(1), |progress| counted.push(progress.done)).unwrap();
        let three = run(&comparison(3), |_| ()).unwrap();
        assert_eq!(counted, (1..=comparison(1).trial_count()).collect::<Vec<_>>());
        assert_eq!(one.len(), 2 * 2 + 2 * 2 * 2);
        assert_eq!(without_time(one), without_time(three));
    }

    #[test]
    fn a_tuned_contender_reports_its_better_rate_on_seeds_that_tuning_has_not_seen() {
        let trials = run(&comparison(2), |_| ()).unwrap();
        let reported: Vec<_> =
            trials.iter().filter(|trial| trial.role == Role::Report && trial.contender == "tuned").collect();
        assert_eq!(reported.len(), 4);
        assert!(reported.iter().all(|trial| trial.setting == "rate 0.01" && trial.settings_tried == 2));
        assert!(reported.iter().all(|trial| trial.seed < 2));
    }

    #[test]
    fn contenders_with_the_same_settings_are_tuned_once_and_chosen_each_by_its_own_loss() {
        let mut comparison = comparison(2);
        let by_validation = comparison.contenders[0].selected_by(Metric::ValidationLoss, "tuned (validation)");
        let count = comparison.trial_count();
        comparison.contenders.push(by_validation);
        assert_eq!(comparison.trial_count(), count + 2 * 2, "two reported trials on each of two tasks");
        let trials = run(&comparison, |_| ()).unwrap();
        assert_eq!(trials.len(), comparison.trial_count());
        assert!(trials.iter().all(|trial| trial.role == Role::Report || trial.contender == "tuned"));

        let tuning = [("rate 0.00001", 1.0, 9.0), ("rate 0.01", 9.0, 1.0)].map(|(setting, train, validation)| Trial {
            setting: setting.to_owned(),
            ..trial("wine_mlp", "tuned", 100, train, validation)
        });
        comparison.tasks.truncate(1);
        let jobs = comparison.report_jobs(&tuning);
        let chosen = |label: &str| &jobs.iter().find(|job| job.contender.label == label).unwrap().setting.label;
        assert_eq!((chosen("tuned").as_str(), chosen("tuned (validation)").as_str()), ("rate 0.00001", "rate 0.01"));
    }

    #[test]
    fn a_setting_that_failed_is_not_chosen() {
        let contender = &comparison(1).contenders[0];
        let mut failed = trial("wine_mlp", "tuned", 100, 0.0, 0.0);
        failed.setting = "rate 0.00001".to_owned();
        failed.outcome = Err("panicked".to_owned());
        let mut poor = trial("wine_mlp", "tuned", 100, 9.0, 9.0);
        poor.setting = "rate 0.01".to_owned();
        assert_eq!(best_setting(contender, "wine_mlp", &[failed, poor], Metric::TrainLoss).label, "rate 0.01");
    }

    #[test]
    fn a_comparison_that_would_mislead_is_refused_by_field() {
        let refused = |change: fn(&mut Comparison), expected: &str| {
            let mut changed = comparison(1);
            change(&mut changed);
            let message = run(&changed, |_| panic!("a trial ran")).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        refused(|c| c.report_seeds.push(100), "tuning_seeds and report_seeds: \"100\" occurs twice");
        refused(|c| c.tuning_seeds.clear(), "tuning_seeds: is empty");
        refused(|c| c.contenders[1].label = "tuned".to_owned(), "contenders: \"tuned\" occurs twice");
        refused(|c| c.tasks.clear(), "tasks: is empty");
        refused(|c| c.steps = 0, "steps: is 0");
        refused(
            |c| {
                c.contenders[1].settings[0].optimizer =
                    c.contenders[1].settings[0].optimizer.clone().with_learning_rate(-1.0)
            },
            "learning_rate is -1",
        );
    }
}
