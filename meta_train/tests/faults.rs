//! What goes wrong in a whole run, and how it goes on.

mod support;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::{bowl_plan, small_config};
use velo_meta_train::Error;
use velo_meta_train::checkpoint::{self, light};
use velo_meta_train::clock::Clock;
use velo_meta_train::closing::report;
use velo_meta_train::config::{Config, Plan};
use velo_meta_train::curriculum::StageConfig;
use velo_meta_train::estimator::Method;
use velo_meta_train::folder::RunFolder;
use velo_meta_train::observe::metrics::{self, Record};
use velo_meta_train::population::Mode;
use velo_meta_train::run::{Ended, Run};
use velo_meta_train::unroll::{Scratch, TaskSource};
use velo_optimizer::ParamLayout;
use velo_tasks::{Batch, Metrics, Split, Task};

const MODES: [Mode; 2] = [Mode::Synchronous, Mode::Asynchronous { staleness: 2, reports: None }];

fn start(plan: Plan, root: &Path) -> Run {
    let folder = RunFolder::create(root, &plan).unwrap();
    Run::start(plan, folder, 2).unwrap()
}

fn train(run: &mut Run) -> (Result<Ended, Error>, Vec<Record>) {
    let ended = run.train(&AtomicBool::new(false));
    (ended, metrics::read(&run.folder().metrics()).unwrap())
}

fn norm(theta: &[f32]) -> f32 {
    theta.iter().map(|value| value * value).sum::<f32>().sqrt()
}

/// A run whose rate is that of the middle stage, times a thousand million, for two of twelve outer steps.
fn with_a_spike(mode: Mode, last: f32) -> Config {
    let stage = |share, rate| StageConfig { share, rate: (rate, rate), ..StageConfig::default() };
    let stages = vec![stage(5.0, 1.0), stage(2.0, 1e9), stage(5.0, last)];
    let mut config = Config { population: mode, stages, ..small_config() };
    config.budget.outer_steps = 24;
    config
}

#[test]
fn a_theta_that_blows_up_is_rolled_back_and_the_run_ends_as_planned() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let mut run = start(bowl_plan(with_a_spike(mode, 1.0), None), &folder.path().join("run"));
        let (ended, records) = train(&mut run);
        assert_eq!(ended.unwrap(), Ended::Finished, "{mode:?}");
        let rolled_back: Vec<u64> =
            records.iter().filter(|record| record.rolled_back).map(|record| record.generation).collect();
        assert_eq!(rolled_back, [11, 12, 13, 14], "{mode:?}");
        assert_eq!(run.totals().generation, 24);
        assert!(norm(run.learner().theta()) < 100.0 && norm(run.learner().average()) < 100.0);
    }
}

#[test]
fn a_theta_that_blows_up_for_good_ends_the_run_with_what_to_change_and_leaves_the_last_checkpoint() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let mut config = with_a_spike(mode, 1e9);
        config.checkpoints.every = 5;
        let mut run = start(bowl_plan(config, None), &folder.path().join("run"));
        let error = train(&mut run).0.unwrap_err().to_string();
        assert!(error.contains("theta blew up in outer step 21"), "{error}");
        assert!(error.contains("lower outer.learning_rate or estimator.sigma"), "{error}");
        let kept = light::read(&light::list(&run.folder().checkpoints()).unwrap()[0]).unwrap();
        assert!(norm(&kept.state.theta) < 100.0);
    }
}

/// Bowls whose losses are no numbers while so many gradients have been asked for.
#[derive(Clone)]
struct Outage {
    asked: Arc<AtomicU64>,
    broken: Range<u64>,
}

impl Outage {
    fn new(broken: Range<u64>) -> Self {
        Self { asked: Arc::default(), broken }
    }

    fn task(&self) -> Result<Box<dyn Task>, Error> {
        let layout = ParamLayout::new([("w", vec![3, 2])])?;
        Ok(Box::new(Unsteady { layout, outage: self.clone() }))
    }
}

struct Unsteady {
    layout: ParamLayout,
    outage: Outage,
}

impl Task for Unsteady {
    fn name(&self) -> &str {
        "unsteady"
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, _seed: u64, params: &mut [f32]) {
        params.fill(1.0);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        grads.copy_from_slice(params);
        let asked = self.outage.asked.fetch_add(1, Ordering::Relaxed);
        if self.outage.broken.contains(&asked) { f32::NAN } else { self.loss(params, batch) }
    }

    fn loss(&mut self, params: &[f32], _batch: Batch) -> f32 {
        0.1 * params.iter().map(|value| value * value).sum::<f32>()
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        Metrics { loss: self.loss(params, Batch { seed: 0, split, index: 0 }), accuracy: None }
    }

    fn reference_loss(&self) -> f32 {
        1.0
    }
}

impl TaskSource for Outage {
    fn families(&self) -> Vec<String> {
        vec!["unsteady".into()]
    }

    fn draw(&self, _seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        Ok((0, self.task()?))
    }
}

#[test]
fn a_meta_loss_that_blows_up_is_rolled_back_and_ends_the_run_only_if_it_stays() {
    let outage = |broken: Range<u64>| {
        let folder = tempfile::tempdir().unwrap();
        let mut config = small_config();
        config.estimator.pairs = 10;
        config.budget.outer_steps = 40;
        let mut plan = config.check().unwrap();
        plan.setting.tasks = Box::new(Outage::new(broken));
        train(&mut start(plan, &folder.path().join("run")))
    };
    // Two sides of ten pairs ask ten times in an outer step, and once when all is broken.
    let (ended, records) = outage(1000..1100);
    assert_eq!(ended.unwrap(), Ended::Finished);
    let rolled_back: Vec<u64> =
        records.iter().filter(|record| record.rolled_back).map(|record| record.generation).collect();
    assert!((2..=6).contains(&rolled_back.len()), "{rolled_back:?}");
    assert!(rolled_back.iter().all(|generation| (6..=12).contains(generation)), "{rolled_back:?}");
    let error = outage(1000..u64::MAX).0.unwrap_err().to_string();
    assert!(error.contains("the meta-loss is") && error.contains("was in vain"), "{error}");
}

#[test]
fn a_failure_that_is_all_that_an_outer_step_heard_does_not_end_the_run_but_nothing_else_for_ten_does() {
    for mode in [Mode::Synchronous, Mode::Asynchronous { staleness: 2, reports: Some(1) }] {
        let mut config = Config { population: mode, ..small_config() };
        config.estimator.pairs = 1;
        config.budget.outer_steps = 40;
        let folder = tempfile::tempdir().unwrap();
        let mut run = start(bowl_plan(config.clone(), Some(3)), &folder.path().join("some"));
        let (ended, records) = train(&mut run);
        assert_eq!(ended.unwrap(), Ended::Finished, "{mode:?}");
        assert!(records.iter().any(|record| record.lost == 1), "no fuse has blown");
        let mut run = start(bowl_plan(config, Some(1)), &folder.path().join("all"));
        let error = train(&mut run).0.unwrap_err().to_string();
        assert!(error.contains("every particle failed in 10 outer steps"), "{mode:?}: {error}");
        assert!(error.contains("the fuse of this task has blown") && error.contains("leave out the family"), "{error}");
    }
}

#[test]
fn outer_steps_in_which_no_full_length_run_ended_are_recorded_with_the_usual_meta_loss() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_config();
    config.estimator.method = Method::FullEs;
    config.estimator.pairs = 1;
    (config.truncation.shortest, config.truncation.longest) = (30, 30);
    let mut run = start(bowl_plan(config, None), &folder.path().join("run"));
    let (ended, records) = train(&mut run);
    assert_eq!(ended.unwrap(), Ended::Finished);
    let first = records.iter().position(|record| record.ended > 0).expect("a run has ended");
    let silent = records[first..].windows(2).filter(|pair| pair[1].ended == 0);
    assert!(silent.clone().count() > 4);
    for pair in silent.filter(|pair| pair[0].generation == records[first].generation) {
        assert_eq!(pair[1].meta_loss, pair[0].meta_loss, "so far the first is all that is known");
    }
    assert!(records[first..].iter().all(|record| record.meta_loss != 0.0));
}

/// Bowls of two families, of which one has no bottom.
struct Bottomless;

impl TaskSource for Bottomless {
    fn families(&self) -> Vec<String> {
        vec!["bowl".into(), "pit".into()]
    }

    fn draw(&self, seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        let family = seed % 2;
        Ok((family as usize, Outage::new(0..family * u64::MAX).task()?))
    }
}

#[test]
fn a_family_that_always_diverges_is_named_and_the_run_goes_on_without_it() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { population: mode, ..small_config() };
        config.budget.outer_steps = 30;
        let mut plan = config.check().unwrap();
        plan.setting.tasks = Box::new(Bottomless);
        let start_theta = plan.initial_theta.clone();
        let mut run = start(plan, &folder.path().join("run"));
        let (ended, records) = train(&mut run);
        assert_eq!(ended.unwrap(), Ended::Finished);
        assert_eq!(records.last().unwrap().hopeless, ["pit"]);
        let [bowl, pit] = run.divergence().families().try_into().unwrap();
        assert!(bowl.ended > 0 && bowl.diverged < bowl.ended, "{bowl:?}");
        assert!(pit.ended > 0 && pit.diverged == pit.ended, "{pit:?}");
        assert_ne!(run.learner().theta(), start_theta, "the other family is learned from");
        report::write_running(&run).unwrap();
        let page = fs::read_to_string(run.folder().root().join("report.html")).unwrap();
        let row = page.lines().find(|line| line.contains("pit</td>")).expect("the family stands in the report");
        assert!(row.contains("100.0 %"), "{row}");
    }
}

#[test]
fn a_clock_that_is_set_back_or_ahead_neither_ends_a_run_nor_spoils_a_rate() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(bowl_plan(small_config(), None), &folder.path().join("run"));
    let year = Duration::from_secs(365 * 86_400);
    let mut looks = 0;
    run.set_clock(Clock::new(move || {
        looks += 1;
        match looks % 4 {
            0 => Duration::ZERO,
            1 => 2 * year,
            2 => year,
            _ => 3 * year,
        }
    }));
    let (ended, records) = train(&mut run);
    assert_eq!(ended.unwrap(), Ended::Finished);
    assert_eq!(records.len(), 12);
    assert!(records.iter().all(|record| record.inner_steps_per_second.is_finite() && record.seconds.is_finite()));
    assert!(records.windows(2).all(|pair| pair[0].seconds <= pair[1].seconds), "time never runs back");
}

#[test]
fn after_a_restart_of_unrolls_particles_end_one_after_another_as_at_the_start_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_config();
    (config.truncation.shortest, config.truncation.longest) = (600, 600);
    let mut run = start(bowl_plan(config.clone(), None), &folder.path().join("run"));
    train(&mut run).0.unwrap();
    let light = light::read(&light::list(&run.folder().checkpoints()).unwrap()[0]).unwrap();
    let setting = bowl_plan(config, None).setting;
    let horizon = |mut particle: velo_meta_train::unroll::Particle| {
        particle.run_window(&light.state.theta, light.totals.generation, &setting, &mut Scratch::default()).unwrap();
        particle.live.expect("no run is over after ten steps").record().horizon
    };
    let horizons: Vec<u64> = light.particles(6).into_iter().map(horizon).collect();
    assert_eq!(horizons, [50, 150, 250, 350, 450, 550]);
}

#[test]
fn a_run_that_was_to_go_on_elsewhere_and_was_killed_at_once_has_its_light_checkpoint_to_go_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(bowl_plan(small_config(), None), &folder.path().join("run"));
    train(&mut run).0.unwrap();
    let file = light::list(&run.folder().checkpoints()).unwrap().remove(0);
    let found = light::read(&file).unwrap();
    let plan = found.config.clone().check_from(found.start.clone()).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    drop(RunFolder::create_from(&elsewhere, &plan, (&file, &found)).unwrap());
    let again = RunFolder::open_to_go_on(&elsewhere).unwrap();
    let plan = || bowl_plan(again.plan().unwrap().config, None);
    let error = Run::resume(plan(), again.clone(), 1, &mut |_| ()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("--restart-unrolls"), "not from the start: {error}");
    let run = Run::restart_unrolls(plan(), again.clone(), 1, &mut |warning| panic!("{warning}")).unwrap();
    assert_eq!(run.totals().generation, 12);
    assert_eq!(run.learner().theta(), found.state.theta);
}

#[test]
fn lost_metrics_are_told_and_a_damaged_checkpoint_does_not_take_the_place_of_a_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let mut config = small_config();
    (config.checkpoints.every, config.checkpoints.keep) = (4, 2);
    let mut run = start(bowl_plan(config.clone(), None), &root);
    train(&mut run).0.unwrap();
    drop(run);
    let [newest, before] = checkpoint::list(&root.join("checkpoints")).unwrap().try_into().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&newest, bytes).unwrap();
    fs::write(root.join("metrics.jsonl"), "").unwrap();
    let mut warnings = Vec::new();
    let plan = bowl_plan(config, None);
    let again = RunFolder::open_to_go_on(&root).unwrap();
    let mut run = Run::resume(plan, again, 1, &mut |warning| warnings.push(warning)).unwrap();
    assert_eq!(run.totals().generation, 8);
    assert!(warnings[0].contains("going back to the previous one"), "{warnings:?}");
    assert!(warnings[1].contains("metrics.jsonl: lines from before the checkpoint were lost"), "{warnings:?}");
    assert_eq!(checkpoint::list(&root.join("checkpoints")).unwrap(), [before]);
    let (ended, records) = train(&mut run);
    assert_eq!((ended.unwrap(), records.len()), (Ended::Finished, 4));
    assert_eq!(checkpoint::list(&root.join("checkpoints")).unwrap().len(), 2);
}
