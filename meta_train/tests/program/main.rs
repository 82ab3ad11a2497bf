//! The program as a user meets it: folders, exit codes, messages, interruptions.

mod bad_input;
mod checkpoints;
mod folders;
mod interruptions;
mod observation;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use velo_optimizer::LearnedWeights;

const SMOKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/smoke.ron");

/// Overrides that make a run long enough to be interrupted, leave out the comparison, and use what a resumed run
/// could get wrong.
const TRAINING_ONLY: [&str; 10] = [
    "budget.outer_steps=80",
    "checkpoints.every=7",
    "evaluation.tasks=[]",
    "selection.steps=5",
    "stages=[(pairs: 3), (share: 2.0, rate: (1.0, 0.1), families: [(family: \"mlp_glyphs\", weight: 1.0)])]",
    "objective.final_weight=0.5",
    "pool=5",
    "inner.hide_horizon=0.5",
    "estimator.orthogonal=3",
    "resume=(fresh: 0.3)",
];

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meta_train"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finished(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn succeed(arguments: &[&str]) -> Output {
    let output = finished(&mut program(arguments));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Asserts exit code and parts of the message of a command that must fail with one line.
fn refused(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = finished(&mut program(arguments));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert_eq!(message.trim_end().lines().count(), 1, "one clear message: {message}");
    assert!(message.matches("os error").count() <= 1, "the cause is told once: {message}");
    for part in parts {
        assert!(message.contains(part), "{arguments:?}: expected {part:?} in: {message}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn training_arguments(out: &Path, workers: &'static str) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["run", SMOKE, "--out", text(out), "--workers", workers].map(str::to_owned).to_vec();
    arguments.extend(TRAINING_ONLY.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
    arguments
}

fn train(out: &Path, workers: &'static str) {
    let arguments = training_arguments(out, workers);
    succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

fn start(arguments: &[String]) -> Child {
    program(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap()
}

fn outer_steps(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |metrics| metrics.lines().count())
}

/// Waits until a run has taken `steps` outer steps; false if it ended before.
fn wait_for(child: &mut Child, run: &Path, steps: usize) -> bool {
    wait_until(child, || outer_steps(run) >= steps)
}

/// Waits until a run has come that far; false if it ended before.
fn wait_until(child: &mut Child, has_come_far: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !has_come_far() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "the run does not get anywhere");
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// `metrics.jsonl` without the clock, and without who happened to do what.
fn metrics_without_time(run: &Path) -> Vec<serde_json::Value> {
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut lines: Vec<serde_json::Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        line.as_object_mut().unwrap().retain(|field, _| !field.contains("second") && field != "workers");
    }
    lines
}

/// The frozen theta as bits.
fn theta(run: &Path) -> Vec<u32> {
    let weights = LearnedWeights::load(run.join("learned.safetensors")).unwrap();
    weights.theta().iter().map(|value| value.to_bits()).collect()
}

fn assert_same_outcome(run: &Path, reference: &Path) {
    assert!(theta(run) == theta(reference), "theta differs");
    assert_eq!(metrics_without_time(run), metrics_without_time(reference));
}

/// Full checkpoints, or light ones, oldest first.
fn checkpoints_of_kind(run: &Path, light: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| text(path).ends_with(".safetensors") && text(path).ends_with(".light.safetensors") == light);
    found.sort();
    found
}

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    checkpoints_of_kind(run, false)
}
