//! Facts about runs whose meta-loss is relative to a tuned optimizer.

mod support;
#[path = "support/window.rs"]
mod window;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use support::{bowl_plan, small_config};
use velo_meta_train::config::Config;
use velo_meta_train::curriculum::StageConfig;
use velo_meta_train::episode::pool_task;
use velo_meta_train::folder::RunFolder;
use velo_meta_train::objective::Transform;
use velo_meta_train::observe::metrics::{self, Record};
use velo_meta_train::run::{Ended, Run};
use velo_meta_train::unroll::{Particle, Scratch};
use velo_tasks::Split;
use velo_tasks::family::Component;
use window::next_window;

const POOL: u64 = 3;

fn family(name: &str) -> Vec<Component> {
    vec![Component::new(name, 1.0)]
}

/// Two stages over different families, whose few tasks are drawn again and again.
fn config(transform: Transform) -> Config {
    let mut config = Config { pool: Some(POOL), ..small_config() };
    config.estimator.pairs = 3;
    config.budget.outer_steps = 6;
    config.objective.transform = transform;
    config.reference.rates = vec![1e-2, 1e-1];
    config.reference.horizons = vec![10, 30];
    let stage = |name| StageConfig { families: Some(family(name)), ..StageConfig::default() };
    config.stages = vec![stage("mlp_teacher"), stage("ill_conditioned")];
    config
}

fn train(config: Config, root: &Path) -> (Run, Vec<Record>) {
    let plan = config.check().unwrap();
    let folder = RunFolder::create(root, &plan).unwrap();
    let mut run = Run::start(plan, folder, 2).unwrap();
    assert_eq!(run.train(&AtomicBool::new(false)).unwrap(), Ended::Finished);
    let records = metrics::read(&run.folder().metrics()).unwrap();
    (run, records)
}

fn bits(values: impl Iterator<Item = f32>) -> Vec<u32> {
    values.map(f32::to_bits).collect()
}

#[test]
fn a_whole_run_is_measured_against_the_curves_of_its_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let (run, records) = train(config(Transform::Tuned), &folder.path().join("tuned"));
    let setting = run.setting();
    for stage in 0..2 {
        for index in 0..POOL {
            let task = pool_task(setting.seed, index);
            assert!(setting.references.contains_key(&(stage, task)), "stage {stage}, task {task}");
        }
    }
    assert_eq!(setting.references.len(), 2 * POOL as usize);
    let bound = setting.last_stage().objective.cap.ln();
    assert_eq!(records.len(), 6);
    for record in &records {
        assert_eq!(record.lost, 0, "every task that was drawn had its curves");
        assert!(record.meta_loss.abs() <= bound, "{}", record.meta_loss);
    }
    let (_, log) = train(config(Transform::Log), &folder.path().join("log"));
    for (tuned, log) in records.iter().zip(&log) {
        assert_ne!(tuned.meta_loss, log.meta_loss, "outer step {}", tuned.generation);
    }
}

#[test]
fn runs_that_share_a_file_of_curves_have_the_same_bits_whoever_computed_them() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("curves.jsonl");
    let mut config = config(Transform::Tuned);
    config.reference.cache = Some(cache.clone());
    let (first, first_records) = train(config.clone(), &folder.path().join("first"));
    let computed = fs::read(&cache).unwrap();
    let (second, again) = train(config.clone(), &folder.path().join("second"));
    assert_eq!(fs::read(&cache).unwrap(), computed, "the second run computed nothing");
    config.reference.cache = None;
    let (third, alone) = train(config, &folder.path().join("third"));
    let theta = |run: &Run| bits(run.learner().theta().iter().copied());
    let losses = |records: &[Record]| bits(records.iter().map(|record| record.meta_loss));
    for (run, records) in [(&second, &again), (&third, &alone)] {
        assert_eq!((theta(run), losses(records)), (theta(&first), losses(&first_records)));
    }
}

/// Where no bound is touched, the two transforms differ by the mean logarithm of the curve over the steps of a segment.
#[test]
fn the_meta_loss_is_that_of_the_logarithm_less_what_the_tuned_optimizer_has_at_the_same_steps() {
    let folder = tempfile::tempdir().unwrap();
    let setting = |transform| {
        let mut config = config(transform);
        config.stages.truncate(1);
        config.objective.cap = 900.0;
        config.objective.held_out_weight = 0.0;
        (config.reference.clone(), config.check().unwrap())
    };
    let (_, log) = setting(Transform::Log);
    let (reference, mut tuned) = setting(Transform::Tuned);
    tuned.setting.find_references(&reference, folder.path(), 1).unwrap();
    let theta = &log.initial_theta;
    let (mut beside, mut bare) = (Particle::new(2), Particle::new(2));
    let mut compared = 0;
    for _ in 0..3 {
        let before = beside.live.as_ref().map(|live| live.record().inner_step);
        let (beside_report, bare_report) =
            (next_window(&mut beside, theta, &tuned.setting), next_window(&mut bare, theta, &log.setting));
        let (Some(first), Some(live), [segment]) = (before, &beside.live, &beside_report.segments[..]) else {
            continue;
        };
        let record = live.record();
        let curves = &tuned.setting.references[&(0, live.draw.task)];
        let floor = tuned.setting.stages[0].objective.floor;
        let reached = |step| (curves.ratio(Split::Train, step, record.horizon) + floor).ln();
        let mean = (first..record.inner_step).map(reached).sum::<f32>() / segment.steps as f32;
        let difference = bare_report.segments[0].meta_loss - segment.meta_loss;
        assert!((difference - mean).abs() < 1e-4, "{difference}, the curve has {mean}");
        assert!((bare_report.segments[0].gap - segment.gap).abs() < 1e-4, "the curve is the same for both sides");
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn a_task_without_curves_is_refused_and_named() {
    let mut config = config(Transform::Tuned);
    config.stages.clear();
    let plan = bowl_plan(config, None);
    let outcome = Particle::new(0).run_window(&plan.initial_theta, 0, &plan.setting, &mut Scratch::default());
    let error = outcome.unwrap_err().to_string();
    assert!(error.starts_with("the reference curve of the task with seed "), "{error}");
    assert!(error.contains("in stages[0] is missing, expected"), "{error}");
}
