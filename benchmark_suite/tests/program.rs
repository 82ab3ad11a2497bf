//! The real program, run as somebody would run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn smoke_config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/smoke.ron")
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_benchmark_suite")).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// Writes a suite made of the smoke suite by one replacement, which has to apply.
fn changed_smoke(folder: &Path, from: &str, to: &str) -> PathBuf {
    let original = fs::read_to_string(smoke_config()).unwrap();
    let changed = original.replacen(from, to, 1);
    assert_ne!(original, changed, "{from} is not in the smoke suite");
    let path = folder.join("suite.ron");
    fs::write(&path, changed).unwrap();
    path
}

#[test]
fn a_run_fills_its_folder_and_a_report_is_made_again_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let config = smoke_config();
    let run = program(&["run", config.to_str().unwrap(), "--out", out.to_str().unwrap(), "--threads", "2"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let shown = text(&run.stdout);
    for expected in ["contender", "AdamW + cosine", "baseline", "wine_mlp", "training loss", "validation loss"] {
        assert!(shown.contains(expected), "{expected} is missing in\n{shown}");
    }
    for file in ["config.ron", "environment.json", "trials.csv", "curves.csv", "summary.csv", "report.html"] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    // Two tasks: two settings on one tuning seed, and two contenders on two reported seeds.
    assert_eq!(fs::read_to_string(out.join("trials.csv")).unwrap().lines().count(), 1 + 2 * (2 + 2 * 2));

    let first = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(first.contains("<svg") && !first.contains("src="), "the report is not self-contained");
    fs::remove_file(out.join("report.html")).unwrap();
    let report = program(&["report", out.to_str().unwrap()]);
    assert!(report.status.success(), "{}", text(&report.stderr));
    assert_eq!(text(&report.stdout), shown);
    assert_eq!(fs::read_to_string(out.join("report.html")).unwrap(), first);

    let rerun = folder.path().join("rerun");
    let resolved = out.join("config.ron");
    let again = program(&["run", resolved.to_str().unwrap(), "--out", rerun.to_str().unwrap(), "--threads", "1"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let curves = |run: &Path| fs::read_to_string(run.join("curves.csv")).unwrap();
    assert_eq!(curves(&out), curves(&rerun), "the resolved suite gives the same bits on another number of threads");
}

#[test]
fn an_override_reaches_the_trials_and_the_resolved_suite() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let config = smoke_config();
    let run = program(&[
        "run",
        config.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--set",
        "steps=7",
        "--set",
        "tasks=[\"wine_mlp\"]",
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(fs::read_to_string(out.join("config.ron")).unwrap().contains("steps: 7,"));
    assert!(fs::read_to_string(out.join("trials.csv")).unwrap().lines().skip(1).all(|row| row.contains(",7,")));
}

#[test]
fn bad_suites_are_refused_with_one_message_and_leave_no_folder() {
    let cases = [
        ("steps: 40", "stpes: 40", "suite.ron:5:5: unknown field `stpes`, did you mean `steps`?"),
        ("steps: 40", "steps: fast", "suite.ron:5:12: in `steps`: expected an integer"),
        ("\"wine_mlp\"", "\"wine_mpl\"", "tasks[0]: there is no task \"wine_mpl\"; did you mean \"wine_mlp\"?"),
        ("AdamW()", "AdmW()", "unknown name `AdmW`, did you mean `AdamW`?"),
        ("AdamW()", "AdamW(beta3: 0.5)", "unknown field `beta3`, did you mean `beta"),
        ("momentum: 0.9", "momentum: 1.5", "momentum is 1.5"),
        ("baseline: \"AdamW", "baseline: \"AdmW", "baseline: no contender is labelled"),
        ("label: \"SGD\"", "label: \"AdamW + cosine\"", "occurs twice"),
        ("warmup: 0.05", "warmup: 5.0", "warmup is 5"),
    ];
    for (from, to, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (config, out) = (changed_smoke(folder.path(), from, to), folder.path().join("run"));
        let refused = program(&["run", config.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        let message = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{message}");
        assert!(message.contains(expected) && message.contains("suite.ron"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(!out.exists(), "{to}");
    }
}

#[test]
fn a_missing_suite_and_unknown_arguments_are_usage_errors() {
    let missing = program(&["run", "no/such/suite.ron"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).starts_with("error: no/such/suite.ron: "));
    assert_eq!(text(&missing.stderr).matches("os error").count(), 1, "the cause is told once");
    assert_eq!(program(&["run"]).status.code(), Some(2));
    assert_eq!(program(&["frobnicate"]).status.code(), Some(2));
    let config = smoke_config();
    let wrong = program(&["run", config.to_str().unwrap(), "--set", "stepss=3"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("--set stepss=3: unknown field `stepss`, did you mean `steps`?"));
}

#[test]
fn an_existing_folder_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("trials.csv"), "precious").unwrap();
    let config = smoke_config();
    let refused = program(&["run", config.to_str().unwrap(), "--out", folder.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("already exists and is not empty"));
    assert_eq!(fs::read_to_string(folder.path().join("trials.csv")).unwrap(), "precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_made_is_a_failure_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "kept").unwrap();
    let (config, out) = (smoke_config(), file.join("run"));
    let failed = program(&["run", config.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains(out.to_str().unwrap()), "{}", text(&failed.stderr));
}

#[test]
fn a_report_of_a_folder_without_a_run_names_the_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let failed = program(&["report", folder.path().to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("config.ron"));
}

#[test]
fn the_lists_name_tasks_and_optimizers() {
    let listed = text(&program(&["list"]).stdout);
    for name in ["digits_mlp", "diabetes_mlp", "adamw", "sgd", "normalised_adam"] {
        assert!(listed.contains(name), "{name} is missing in\n{listed}");
    }
}

#[test]
fn every_suite_that_ships_is_valid() {
    for entry in fs::read_dir(smoke_config().parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let suite: velo_benchmark::Suite = velo_comparison::ron_file::read(&path, &[]).unwrap();
        suite.check(1).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
    }
}
