//! Runs every trial of a comparison on worker threads.
//!
//! First the tuning trials of all contenders with several settings, then, with the best setting per task, the
//! reported ones, then the longer ones of an envelope. Trials share nothing and each is computed on one thread, so
//! results do not depend on the number of workers; they are returned in the order task, contender, setting, seed,
//! whoever finished first. With a [`TrialCache`] what it holds is not run again.

mod comparison;
mod measure;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel;
use velo_tasks::worker::single_threaded;

use crate::trial::{Measurement, Trial};
use crate::{Error, TrialCache};
pub use comparison::{Comparison, EnvelopePlan};
pub use measure::Limits;

use comparison::Job;

/// How far a comparison has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Trials finished.
    pub done: usize,
    /// Trials in total.
    pub total: usize,
    /// Finished trials that were found in the cache.
    pub cached: usize,
}

/// Runs `comparison` and returns every trial, the tuning ones first.
///
/// A trial that fails or panics is recorded as failed, and the rest go on.
///
/// # Errors
/// Those of [`Comparison::check`], before anything has run; [`Error::Io`] when the cache cannot be written.
pub fn run(
    comparison: &Comparison,
    cache: Option<&TrialCache>,
    progress: impl FnMut(Progress),
) -> Result<Vec<Trial>, Error> {
    let never = AtomicBool::new(false);
    run_until(&never, comparison, cache, progress).map(|trials| trials.expect("nobody stops it"))
}

/// The same, unless `stop` is set on the way: then nothing, as soon as the trials at hand are done. They are in the cache.
///
/// # Errors
/// As [`run`].
pub fn run_until(
    stop: &AtomicBool,
    comparison: &Comparison,
    cache: Option<&TrialCache>,
    mut progress: impl FnMut(Progress),
) -> Result<Option<Vec<Trial>>, Error> {
    comparison.check()?;
    let total = comparison.trial_count();
    let (mut done, mut cached) = (0, 0);
    let mut finished = |from_cache: bool| {
        done += 1;
        cached += usize::from(from_cache);
        progress(Progress { done, total, cached });
    };
    let mut run = |jobs: &[Job]| run_jobs(stop, comparison, jobs, cache, &mut finished);
    let Some(mut trials) = run(&comparison.tuning_jobs())? else { return Ok(None) };
    let Some(reported) = run(&comparison.report_jobs(&trials))? else { return Ok(None) };
    trials.extend(reported);
    let Some(longer) = run(&comparison.envelope_jobs())? else { return Ok(None) };
    trials.extend(longer);
    Ok(Some(trials))
}

/// The trials of the jobs, in their order; none if `stop` was set before the last one began.
fn run_jobs(
    stop: &AtomicBool,
    comparison: &Comparison,
    jobs: &[Job],
    cache: Option<&TrialCache>,
    finished: &mut dyn FnMut(bool),
) -> Result<Option<Vec<Trial>>, Error> {
    let (to_workers, from_queue) = channel::unbounded();
    for index in 0..jobs.len() {
        to_workers.send(index).expect("the receiver is in scope");
    }
    drop(to_workers);
    let (to_collector, from_workers) = channel::unbounded();
    // The first error ends the run; what is finished by then is in the cache.
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let mut slots: Vec<Option<Trial>> = jobs.iter().map(|_| None).collect();
    std::thread::scope(|scope| -> Result<(), Error> {
        let workers: Vec<_> = (0..comparison.threads.min(jobs.len()))
            .map(|_| {
                let (queue, results, failure) = (from_queue.clone(), to_collector.clone(), &failure);
                scope.spawn(move || {
                    single_threaded(|| {
                        for index in queue {
                            if stop.load(Ordering::Relaxed) {
                                return;
                            }
                            match found_or_run(comparison, &jobs[index], cache) {
                                Ok((outcome, from_cache)) => {
                                    let trial = jobs[index].trial(outcome);
                                    results.send((index, trial, from_cache)).expect("the collector outlives workers");
                                }
                                Err(error) => {
                                    failure.lock().expect("no worker panics with it").get_or_insert(error);
                                    return;
                                }
                            }
                        }
                    })
                })
            })
            .collect();
        drop(to_collector);
        for (index, trial, from_cache) in from_workers {
            slots[index] = Some(trial);
            finished(from_cache);
        }
        for worker in workers {
            worker.join().expect("a worker catches the panics of its trials")?;
        }
        Ok(())
    })?;
    match failure.into_inner().expect("no worker panics with it") {
        Some(error) => Err(error),
        None => Ok(slots.into_iter().collect()),
    }
}

/// The outcome of a job, and whether it was in the cache.
fn found_or_run(
    comparison: &Comparison,
    job: &Job,
    cache: Option<&TrialCache>,
) -> Result<(Result<Measurement, String>, bool), Error> {
    let Some(cache) = cache else { return Ok((job.run(&comparison.limits), false)) };
    let identity = job.identity()?;
    let parts: Vec<&str> = identity.iter().map(String::as_str).collect();
    // What a trial measured does not depend on its limits; that it failed may.
    let limits = format!("failed under {:?}", comparison.limits);
    let with_limits = [&parts[..], &[&limits]].concat();
    if let Some(outcome) = cache.find(&parts).or_else(|| cache.find(&with_limits)) {
        return Ok((outcome, true));
    }
    let outcome = job.run(&comparison.limits);
    cache.keep(if outcome.is_ok() { &parts } else { &with_limits }, &outcome)?;
    Ok((outcome, false))
}

#[cfg(test)]
mod tests {
    use velo_optimizer::{OptimizerConfig, Schedule};
    use velo_tasks::registry::named;

    use super::comparison::best_setting;
    use super::*;
    use crate::trial::tests::trial;
    use crate::trial::{Metric, Role};
    use crate::{Contender, Problem, Setting};

    fn comparison(threads: usize) -> Comparison {
        let adam = OptimizerConfig::from_name("adam").unwrap();
        Comparison {
            problems: ["wine_mlp", "diabetes_mlp"].map(|name| Problem::new(named(name).unwrap(), 30, 10)).to_vec(),
            contenders: vec![
                Contender::over_rates("tuned", &adam, Schedule::Constant, &[1e-5, 1e-2]),
                Contender::fixed("plain", adam.with_learning_rate(1e-3), Schedule::Constant),
            ],
            tuning_seeds: vec![100],
            report_seeds: vec![0, 1],
            select_by: Metric::TrainLoss,
            envelope: None,
            limits: Limits::default(),
            threads,
        }
    }

    /// Everything but the time it took.
    fn without_time(mut trials: Vec<Trial>) -> Vec<Trial> {
        for measured in trials.iter_mut().filter_map(|trial| trial.outcome.as_mut().ok()) {
            (measured.seconds, measured.optimizer_seconds) = (0.0, None);
        }
        trials
    }

    #[test]
    fn trials_do_not_depend_on_the_number_of_threads() {
        let mut counted = Vec::new();
        let one = run(&comparison(1), None, |progress| counted.push(progress.done)).unwrap();
        let three = run(&comparison(3), None, |_| ()).unwrap();
        assert_eq!(counted, (1..=comparison(1).trial_count()).collect::<Vec<_>>());
        assert_eq!(one.len(), 2 * 2 + 2 * 2 * 2);
        assert_eq!(without_time(one), without_time(three));
    }

    #[test]
    fn a_tuned_contender_reports_its_better_rate_on_seeds_that_tuning_has_not_seen() {
        let trials = run(&comparison(2), None, |_| ()).unwrap();
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
        let trials = run(&comparison, None, |_| ()).unwrap();
        assert_eq!(trials.len(), comparison.trial_count());
        assert!(trials.iter().all(|trial| trial.role == Role::Report || trial.contender == "tuned"));

        let tuning = [("rate 0.00001", 1.0, 9.0), ("rate 0.01", 9.0, 1.0)].map(|(setting, train, validation)| Trial {
            setting: setting.to_owned(),
            ..trial("wine_mlp", "tuned", 100, train, validation)
        });
        comparison.problems.truncate(1);
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
        assert_eq!(best_setting(contender, "wine_mlp", &[failed, poor], Metric::TrainLoss), 1);
    }

    #[test]
    fn a_comparison_that_would_mislead_is_refused_by_field() {
        let refused = |change: &dyn Fn(&mut Comparison), expected: &str| {
            let mut changed = comparison(1);
            change(&mut changed);
            let message = run(&changed, None, |_| panic!("a trial ran")).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        refused(&|c| c.report_seeds.push(100), "tuning_seeds and report_seeds: \"100\" occurs twice");
        refused(&|c| c.tuning_seeds.clear(), "tuning_seeds: is empty");
        refused(&|c| c.contenders[1].label = "tuned".to_owned(), "contenders: \"tuned\" occurs twice");
        refused(&|c| c.problems.clear(), "tasks: is empty");
        refused(&|c| c.problems[0].steps = 0, "steps: is 0");
        refused(
            &|c| {
                let wrong = OptimizerConfig::from_name("adam").unwrap().with_learning_rate(-1.0);
                c.contenders[1].settings[0] = Setting::new("wrong", wrong, Schedule::Constant);
            },
            "learning_rate is -1",
        );
        let plan = |contender: &str, factor| Some(EnvelopePlan { contender: contender.to_owned(), factor });
        refused(&|c| c.envelope = plan("nobody", 2), "envelope.contender: is \"nobody\"");
        refused(&|c| c.envelope = plan("tuned", 1), "envelope.factor: is 1");
    }

    #[test]
    fn what_the_cache_holds_is_not_run_again_and_a_damaged_file_costs_one_trial() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TrialCache::new(folder.path());
        let from_cache = |comparison: &Comparison| {
            let mut cached = 0;
            let trials = run(comparison, Some(&cache), |progress| cached = progress.cached).unwrap();
            (trials, cached)
        };
        let (first, cached) = from_cache(&comparison(2));
        assert_eq!(cached, 0);
        let (again, cached) = from_cache(&comparison(1));
        assert_eq!((&again, cached), (&first, first.len()), "to the bit, times included");
        let files = || {
            std::fs::read_dir(folder.path())
                .unwrap()
                .flat_map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap())
        };
        std::fs::write(files().next().unwrap().unwrap().path(), "{").unwrap();
        assert_eq!(from_cache(&comparison(1)).1, first.len() - 1);
        let mut longer = comparison(2);
        longer.problems[0].steps = 31;
        assert_eq!(from_cache(&longer).1, first.len() / 2, "only the other task's");
    }

    #[test]
    fn a_comparison_that_is_stopped_goes_on_from_what_it_has_cached() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TrialCache::new(folder.path());
        let stop = AtomicBool::new(false);
        let stopped = run_until(&stop, &comparison(1), Some(&cache), |progress| {
            stop.fetch_or(progress.done == 3, Ordering::Relaxed);
        });
        assert_eq!(stopped.unwrap(), None);
        let mut cached = 0;
        let whole = run(&comparison(1), Some(&cache), |progress| cached = progress.cached).unwrap();
        // The worker may have begun more before it saw the flag.
        assert!((3..whole.len()).contains(&cached), "{cached}");
        assert_eq!(without_time(whole), without_time(run(&comparison(1), None, |_| ()).unwrap()));
    }

    #[test]
    fn an_envelope_runs_every_setting_longer_and_keeps_its_curves() {
        let mut comparison = comparison(2);
        comparison.envelope = Some(EnvelopePlan { contender: "tuned".to_owned(), factor: 3 });
        let trials = run(&comparison, None, |_| ()).unwrap();
        assert_eq!(trials.len(), comparison.trial_count());
        let longer: Vec<_> = trials.iter().filter(|trial| trial.role == Role::Envelope).collect();
        assert_eq!(longer.len(), 2 * 2);
        assert!(longer.iter().all(|trial| trial.steps == 90 && trial.seed == 100));
        assert!(longer.iter().all(|trial| trial.outcome.as_ref().unwrap().curve.len() == 3));
    }

    #[test]
    fn a_trial_beyond_its_limits_is_recorded_and_the_others_go_on() {
        let mut limited = comparison(1);
        limited.limits.memory_bytes = 2000;
        let trials = run(&limited, None, |_| ()).unwrap();
        assert!(trials.iter().all(|trial| trial.outcome.as_ref().unwrap_err().contains("the limit is 2000")));
        limited.limits = Limits { seconds: 0.0, ..Limits::default() };
        let trials = run(&limited, None, |_| ()).unwrap();
        assert!(trials.iter().all(|trial| trial.outcome.as_ref().unwrap_err().contains("the limit of a run is 0.0 s")));
    }

    #[test]
    fn a_trial_that_failed_is_run_again_when_its_limits_were_raised_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TrialCache::new(folder.path());
        let run = |limits| {
            let limited = Comparison { limits, ..comparison(1) };
            let mut cached = 0;
            let trials = run(&limited, Some(&cache), |progress| cached = progress.cached).unwrap();
            (trials.iter().filter(|trial| trial.outcome.is_err()).count(), cached)
        };
        let tight = Limits { memory_bytes: 2000, ..Limits::default() };
        let count = comparison(1).trial_count();
        assert_eq!(run(tight), (count, 0));
        assert_eq!(run(tight), (count, count));
        assert_eq!(run(Limits::default()), (0, 0));
        assert_eq!(run(tight), (0, count), "what is measured stays measured");
    }

    #[test]
    fn shards_are_disjoint_and_complete() {
        let names = |index| comparison(1).shard(index, 2).problems.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!((names(0), names(1)), (vec!["wine_mlp".to_owned()], vec!["diabetes_mlp".to_owned()]));
    }
}
