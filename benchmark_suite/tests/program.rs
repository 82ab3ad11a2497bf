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
    // Two tasks: two settings on one tuning seed, two contenders on two reported seeds, and an envelope of two settings.
    assert_eq!(fs::read_to_string(out.join("trials.csv")).unwrap().lines().count(), 1 + 2 * (2 + 2 * 2 + 2));

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
        "horizons=[7]",
        "--set",
        "tasks=[\"wine_mlp\"]",
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(fs::read_to_string(out.join("config.ron")).unwrap().contains("horizons: [\n        7,\n    ]"));
    assert!(
        fs::read_to_string(out.join("trials.csv"))
            .unwrap()
            .lines()
            .skip(1)
            .all(|row| row.contains(",7,") || row.contains(",14,"))
    );
}

#[test]
fn bad_suites_are_refused_with_one_message_and_leave_no_folder() {
    let cases = [
        ("points: 4", "piont: 4", "suite.ron:6:5: unknown field `piont`, did you mean `points`?"),
        ("points: 4", "points: fast", "suite.ron:6:13: in `points`: expected an integer"),
        ("horizons: [40]", "horizons: []", "horizons: is empty"),
        ("horizons: [40]", "horizons: [0]", "steps: is 0, expected at least 1"),
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
    let wrong = program(&["run", config.to_str().unwrap(), "--set", "point=3"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("--set point=3: unknown field `point`, did you mean `points`?"));
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
    for name in ["digits_mlp", "diabetes_mlp", "adamw", "sgd", "normalised_adam", "AdamW + cosine", "Muon + cosine"] {
        assert!(listed.contains(name), "{name} is missing in\n{listed}");
    }
}

#[test]
fn every_suite_that_ships_is_valid() {
    for entry in fs::read_dir(smoke_config().parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let suite: velo_benchmark::Suite = velo_comparison::ron_file::read(&path, &[]).unwrap();
        suite
            .check(&velo_benchmark::Extensions::new(), 1)
            .unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
    }
}

#[test]
fn a_killed_run_goes_on_without_repeating_or_losing_a_trial() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let config = smoke_config();
    let arguments = |out: &Path| {
        let set = ["--set", "horizons=[4000]", "--threads", "1"];
        let first = ["run", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
        first.into_iter().chain(set).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_benchmark_suite"))
        .args(arguments(&out))
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while trial_files(&out.join("trials")).len() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!out.join("trials.csv").exists(), "it was killed in time");
    let kept: std::collections::BTreeMap<PathBuf, std::time::SystemTime> = trial_files(&out.join("trials"));
    assert!(kept.len() >= 3);

    let strings = arguments(&out);
    let rest = program(&strings.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(rest.status.success(), "{}", text(&rest.stderr));
    let now = trial_files(&out.join("trials"));
    assert!(kept.iter().all(|(path, modified)| now.get(path) == Some(modified)), "a finished trial was run again");
    assert_eq!(now.len(), 2 * (2 + 2 * 2 + 2));

    let whole = folder.path().join("whole");
    let strings = arguments(&whole);
    assert!(program(&strings.iter().map(String::as_str).collect::<Vec<_>>()).status.success());
    let curves = |run: &Path| fs::read_to_string(run.join("curves.csv")).unwrap();
    assert_eq!(curves(&out), curves(&whole), "as if it had never been killed");
}

/// Finished trials in a folder that may not exist yet, with when they were written. What is being written has another name.
fn trial_files(folder: &Path) -> std::collections::BTreeMap<PathBuf, std::time::SystemTime> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries(folder).flat_map(|folder| entries(&folder.path()));
    let whole = files.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"));
    whole.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect()
}

#[test]
fn shards_and_a_last_run_without_them_make_the_same_report_as_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let config = smoke_config();
    let run = |out: &str, more: &[&str]| {
        let out = folder.path().join(out);
        let run = program(&[&["run", config.to_str().unwrap(), "--out", out.to_str().unwrap()], more].concat());
        assert!(run.status.success(), "{}", text(&run.stderr));
        out
    };
    let parts = run("parts", &["--shard", "1/2"]);
    assert!(!parts.join("trials.csv").exists());
    run("parts", &["--shard", "0/2"]);
    let finished = trial_files(&parts.join("trials"));
    run("parts", &[]);
    assert_eq!(trial_files(&parts.join("trials")), finished, "the last run had nothing left to do");
    let whole = run("whole", &[]);
    let curves = |run: &Path| fs::read_to_string(run.join("curves.csv")).unwrap();
    assert_eq!(curves(&parts), curves(&whole));
    // A shared cache: nothing is run again for another folder.
    let cache = parts.join("trials");
    run("shared", &["--cache", cache.to_str().unwrap()]);
    assert_eq!(trial_files(&cache), finished);
    let compared = program(&["compare", parts.to_str().unwrap(), whole.to_str().unwrap()]);
    let table = text(&compared.stdout);
    assert!(compared.status.success() && table.contains("parts, training") && table.contains("SGD"), "{table}");
    let exported = folder.path().join("paper");
    let export = program(&["export", parts.to_str().unwrap(), "--to", exported.to_str().unwrap()]);
    assert!(export.status.success(), "{}", text(&export.stderr));
    assert!(exported.join("figures").read_dir().unwrap().count() > 4 && exported.join("trials.csv").is_file());
}

#[test]
fn another_suite_in_the_same_folder_is_refused_with_the_fields_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let config = smoke_config();
    let run =
        |more: &[&str]| program(&[&["run", config.to_str().unwrap(), "--out", out.to_str().unwrap()], more].concat());
    assert!(run(&["--filter", "wine"]).status.success());
    let before = fs::read_to_string(out.join("trials.csv")).unwrap();
    let refused = run(&["--set", "points=2"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("differs in points, tasks;"), "{}", text(&refused.stderr));
    assert_eq!(fs::read_to_string(out.join("trials.csv")).unwrap(), before);
}

#[test]
fn a_full_disk_is_told_and_what_was_kept_survives() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let config = smoke_config();
    // A file of the run may not grow beyond four kilobytes: the suite fits, a trial does not.
    let limited = Command::new("sh")
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"")
        .arg(env!("CARGO_BIN_EXE_benchmark_suite"))
        .args(["run", config.to_str().unwrap(), "--out", out.to_str().unwrap(), "--set", "points=400"])
        .args(["--set", "horizons=[400]"])
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(1), "{}", text(&limited.stderr));
    assert!(text(&limited.stderr).contains("File too large"), "{}", text(&limited.stderr));
    assert!(trial_files(&out.join("trials")).is_empty(), "nothing half-written is there");
    let again = program(&[
        "run",
        config.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--set",
        "points=400",
        "--set",
        "horizons=[400]",
    ]);
    assert!(again.status.success(), "{}", text(&again.stderr));
}

#[test]
fn weights_from_the_command_line_are_one_more_contender() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let config = smoke_config();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../optimizer/pretrained/paced.safetensors");
    let run = |weights: &str| {
        let learned = format!("mine={weights}");
        let config = config.to_str().unwrap();
        program(&["run", config, "--out", out.to_str().unwrap(), "--filter", "wine", "--learned", &learned])
    };
    let missing = run("absent.safetensors");
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("absent.safetensors"), "{}", text(&missing.stderr));
    let done = run(weights.to_str().unwrap());
    assert!(done.status.success() && text(&done.stdout).contains("mine"), "{}", text(&done.stderr));
    assert!(fs::read_to_string(out.join("config.ron")).unwrap().contains("paced.safetensors"));
}
