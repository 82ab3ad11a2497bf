//! Facts about the choice between snapshots.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use velo_meta_train::closing::report;
use velo_meta_train::config::{BudgetConfig, CheckpointConfig, Config, EstimatorConfig, Plan};
use velo_meta_train::folder::RunFolder;
use velo_meta_train::run::{Ended, Run};
use velo_meta_train::truncation::Truncation;
use velo_meta_train::validation::{Choice, Chosen, Standing, ValidationConfig, Validator, ranked, standings};
use velo_optimizer::{Architecture, PacedConfig};

fn plan() -> Plan {
    let validation = ValidationConfig {
        every: 4,
        tasks: vec!["wine_mlp".to_owned(), "diabetes_mlp".to_owned()],
        steps: 20,
        seeds: 2,
        candidates: 2,
        fresh_seeds: 3,
        adamw_rates: vec![3e-3, 3e-2],
        ..ValidationConfig::default()
    };
    let config = Config {
        estimator: EstimatorConfig { pairs: 2, ..EstimatorConfig::default() },
        truncation: Truncation { window: 5, shortest: 5, longest: 20 },
        budget: BudgetConfig { outer_steps: 10, ..BudgetConfig::default() },
        checkpoints: CheckpointConfig { every: 3, keep: 2 },
        validation: Some(validation),
        ..Config::default()
    };
    config.check().unwrap()
}

/// Trains to the end and returns the choice.
fn finish(mut run: Run) -> Choice {
    assert_eq!(run.train(&AtomicBool::new(false)).unwrap(), Ended::Finished);
    run.choice().unwrap().clone()
}

fn start(root: &Path, workers: usize) -> Run {
    let plan = plan();
    let folder = RunFolder::create(root, &plan).unwrap();
    Run::start(plan, folder, workers).unwrap()
}

fn resume(root: &Path, workers: usize) -> Run {
    Run::resume(plan(), RunFolder::open(root).unwrap(), workers, &mut |warning| panic!("{warning}")).unwrap()
}

#[test]
fn every_snapshot_is_judged_and_the_best_candidate_on_fresh_seeds_is_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let choice = finish(start(&folder.path().join("run"), 2));
    let judged: Vec<u64> = choice.standings.iter().map(|standing| standing.generation).collect();
    assert_eq!(judged, [0, 4, 8, 10], "the start, every fourth and the end");
    let best: Vec<u64> = ranked(choice.standings.clone()).iter().map(|standing| standing.generation).take(2).collect();
    let mut candidates: Vec<u64> = choice.candidates.iter().map(|standing| standing.generation).collect();
    assert_eq!(choice.standing, choice.candidates[0]);
    assert!(choice.candidates[0].both.low >= choice.candidates[1].both.low);
    candidates.sort_by_key(|candidate| best.iter().position(|generation| generation == candidate));
    assert_eq!(candidates, best);
    // Three fresh seeds of two tasks for the chosen snapshot, and nothing of the seeds that chose the candidates.
    let learned = choice.trials.iter().filter(|trial| trial.contender == "learned");
    let mut seeds: Vec<u64> = learned.map(|trial| trial.seed).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [2, 2, 3, 3, 4, 4]);
}

#[test]
fn the_choice_does_not_depend_on_workers_or_on_interruptions() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, broken) = (folder.path().join("reference"), folder.path().join("broken"));
    let expected = finish(start(&reference, 2));
    drop(start(&broken, 1));
    let mut run = resume(&broken, 1);
    assert_eq!(run.train(&AtomicBool::new(true)).unwrap(), Ended::Interrupted);
    assert!(run.choice().is_none(), "nothing is chosen before the end");
    drop(run);
    let first = finish(resume(&broken, 1));
    // A kill came between the two tables of what was judged, and a snapshot of a future that did not happen has been left behind.
    fs::remove_file(broken.join("validation/00000004/curves.csv")).unwrap();
    fs::rename(broken.join("validation/00000010"), broken.join("validation/00000011")).unwrap();
    let second = finish(resume(&broken, 2));
    assert!(!broken.join("validation/00000011").exists());
    for choice in [first, second] {
        assert_eq!(choice.standings, expected.standings);
        assert_eq!(choice.candidates, expected.candidates);
        assert_eq!(choice.theta, expected.theta);
    }
}

#[test]
fn a_choice_that_is_interrupted_is_made_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan();
    let begin = || {
        let config = plan.config.validation.as_ref().unwrap();
        Validator::start(folder.path().to_owned(), config, &plan.setting.architecture, 0).unwrap()
    };
    let nothing = begin().choose(1, &AtomicBool::new(false)).unwrap();
    assert!(matches!(nothing, Chosen::Nothing), "no snapshot, no choice: {nothing:?}");
    let validator = begin();
    validator.take(0, &plan.initial_theta).unwrap();
    let interrupted = validator.choose(1, &AtomicBool::new(true)).unwrap();
    assert!(matches!(interrupted, Chosen::Interrupted), "{interrupted:?}");
    let Chosen::Snapshot(choice) = begin().choose(2, &AtomicBool::new(false)).unwrap() else { panic!("no choice") };
    assert_eq!((choice.standing.generation, choice.theta), (0, plan.initial_theta.clone()));
}

/// Standings as they are said: a number may lose its last bit on its way through a file.
#[test]
fn snapshots_are_told_the_number_of_steps_or_nothing_as_configured() {
    let judged = |tells_horizon: bool| {
        let folder = tempfile::tempdir().unwrap();
        let architecture = Architecture::Paced(PacedConfig::default());
        let config = ValidationConfig { tells_horizon, ..plan().config.validation.unwrap() };
        let validator = Validator::start(folder.path().to_owned(), &config, &architecture, 0).unwrap();
        validator.take(0, &architecture.imitation().unwrap()).unwrap();
        let Chosen::Snapshot(choice) = validator.choose(2, &AtomicBool::new(false)).unwrap() else {
            panic!("no choice")
        };
        (choice.standing, choice.normalised_adam)
    };
    let (told, hidden) = (judged(true), judged(false));
    assert_eq!(told.1, hidden.1, "the baselines are always told");
    assert_ne!(told.0, hidden.0);
}

fn said(standings: &[Standing]) -> Vec<String> {
    standings.iter().map(Standing::to_string).collect()
}

fn on_file(root: &Path) -> Vec<String> {
    said(&standings::read(&root.join("validation")).unwrap())
}

/// How often a tag stands in the event file of a run.
fn events(root: &Path, tag: &str) -> usize {
    let events = fs::read(root.join("events.out.tfevents.meta_train")).unwrap();
    events.windows(tag.len()).filter(|window| *window == tag.as_bytes()).count()
}

#[test]
fn what_has_been_judged_is_on_file_and_in_the_events_through_interruptions_and_damage() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let expected = said(&finish(start(&root, 2)).standings);
    let complete = || {
        assert_eq!(on_file(&root), expected);
        assert_eq!(events(&root, "validation/training_ratio"), 4);
        assert_eq!(events(&root, "validation/validation_ratio"), 4);
    };
    complete();
    let file = root.join("validation/standings.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let without_the_second: String =
        whole.split_inclusive('\n').enumerate().filter(|(number, _)| *number != 1).map(|(_, line)| line).collect();
    for damaged in ["", "{}\n", &whole[..whole.len() - 9], &without_the_second] {
        fs::write(&file, damaged).unwrap();
        finish(resume(&root, 1));
        complete();
    }
    fs::remove_file(&file).unwrap();
    finish(resume(&root, 1));
    complete();
    // A file that can neither be read nor written costs the view from outside and nothing else.
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("in the way")).unwrap();
    assert_eq!(said(&finish(resume(&root, 1)).standings), expected);
}

#[test]
fn a_resumed_run_forgets_the_standing_of_a_future_and_its_report_shows_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let expected = said(&finish(start(&root, 2)).standings);
    fs::rename(root.join("validation/00000010"), root.join("validation/00000011")).unwrap();
    let file = root.join("validation/standings.jsonl");
    let moved = fs::read_to_string(&file).unwrap().replace("\"generation\":10,", "\"generation\":11,");
    fs::write(&file, &moved).unwrap();
    assert!(moved.contains("\"generation\":11,"));
    let run = resume(&root, 1);
    assert_eq!(on_file(&root), expected[..3]);
    assert_eq!(events(&root, "validation/training_ratio"), 3, "written anew from the file");
    report::write_running(&run).unwrap();
    let page = fs::read_to_string(root.join("report.html")).unwrap();
    assert!(page.contains("3 so far, the newest after outer step 8"), "{page}");
    assert!(page.contains("after 4 outer steps</td>") && page.contains("Validation over meta-training"), "{page}");
    finish(run);
    assert_eq!(on_file(&root), expected);
}

#[test]
fn baselines_in_a_shared_folder_are_not_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan();
    let config = plan.config.validation.as_mut().unwrap();
    config.cache = Some(folder.path().join("shared"));
    let choose = |run: &str| {
        let config = plan.config.validation.as_ref().unwrap();
        let root = folder.path().join(run);
        let validator = Validator::start(root, config, &plan.setting.architecture, 0).unwrap();
        validator.take(0, &plan.initial_theta).unwrap();
        match validator.choose(2, &AtomicBool::new(false)).unwrap() {
            Chosen::Snapshot(choice) => choice.standing,
            other => panic!("no choice: {other:?}"),
        }
    };
    let kept = || {
        let mut files = Vec::new();
        for folder in fs::read_dir(folder.path().join("shared")).unwrap() {
            let entries = fs::read_dir(folder.unwrap().path()).unwrap().map(Result::unwrap);
            files.extend(entries.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())));
        }
        files.sort();
        files
    };
    let first = choose("first");
    let before = kept();
    assert!(!before.is_empty());
    assert_eq!(choose("second"), first);
    assert_eq!(kept(), before, "a trial was run again");
}
