//! The program as a user meets it: folders, exit codes, messages, interruptions.

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
    let deadline = Instant::now() + Duration::from_secs(120);
    while outer_steps(run) < steps {
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
    found.retain(|path| text(path).ends_with(".light.safetensors") == light);
    found.sort();
    found
}

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    checkpoints_of_kind(run, false)
}

#[test]
fn a_run_killed_at_random_moments_and_resumed_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, run) = (folder.path().join("reference"), folder.path().join("killed"));
    train(&reference, "2");
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos() as usize;
    let mut arguments = training_arguments(&run, "1");
    let mut kills = 0;
    for kill in 0..3 {
        let moment = 1 + 25 * kill + nanoseconds / (kill + 1) % 25;
        let mut child = start(&arguments);
        if wait_for(&mut child, &run, moment) {
            child.kill().unwrap();
        }
        kills += u32::from(!child.wait().unwrap().success());
        arguments = ["resume", text(&run), "--workers", "2"].map(str::to_owned).to_vec();
    }
    assert!(kills > 0, "the run was over before it could be killed");
    succeed(&["resume", text(&run)]);
    assert_same_outcome(&run, &reference);
}

#[test]
fn a_finished_run_without_checkpoints_is_not_trained_again_over_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, "2");
    let frozen = fs::read(run.join("learned.safetensors")).unwrap();
    for checkpoint in checkpoints(&run) {
        fs::remove_file(checkpoint).unwrap();
    }
    refused(&["resume", text(&run)], 2, &["no checkpoint to go on from"]);
    assert_eq!(fs::read(run.join("learned.safetensors")).unwrap(), frozen);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_a_checkpoint_exits_with_zero_and_goes_on_with_the_same_bits() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let (reference, run) = (folder.path().join("reference"), folder.path().join("interrupted"));
        train(&reference, "2");
        let mut child = start(&training_arguments(&run, "2"));
        assert!(wait_for(&mut child, &run, 10), "the run is too short to be interrupted");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{message}");
        assert!(message.contains("go on with: meta_train resume"), "{message}");
        let steps = outer_steps(&run);
        let newest = checkpoints(&run).pop().unwrap();
        assert_eq!(newest.file_name().unwrap().to_str(), Some(format!("{steps:08}.safetensors").as_str()));
        assert!(!run.join("learned.safetensors").exists(), "nothing is frozen before the end");
        succeed(&["resume", text(&run)]);
        assert_same_outcome(&run, &reference);
    }
}

#[cfg(unix)]
#[test]
fn an_asynchronous_run_goes_on_after_a_kill_and_after_it_was_asked_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut arguments = training_arguments(&run, "2");
    arguments.extend(["--set", "population=Asynchronous(staleness: 2)"].map(str::to_owned));
    let mut child = start(&arguments);
    assert!(wait_for(&mut child, &run, 20), "the run is too short to be killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = start(&["resume", text(&run), "--workers", "3"].map(str::to_owned));
    assert!(wait_for(&mut child, &run, 30), "the run is too short to be interrupted");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let newest = checkpoints(&run).pop().unwrap();
    assert!(text(&newest).ends_with(&format!("{:08}.safetensors", outer_steps(&run))));
    succeed(&["resume", text(&run)]);
    let generations: Vec<u64> =
        metrics_without_time(&run).iter().map(|line| line["generation"].as_u64().unwrap()).collect();
    assert_eq!(generations, (1..=80).collect::<Vec<_>>());
    assert!(theta(&run).iter().all(|bits| f32::from_bits(*bits).is_finite()));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning_for_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, "2");
    let learned = theta(&run);
    let newest = checkpoints(&run).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&newest, &bytes).unwrap();
    let output = succeed(&["resume", text(&run)]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("warning: ") && message.contains("00000080.safetensors: the checkpoint is damaged"),
        "{message}"
    );
    assert!(message.contains("going back to the previous one") && message.contains("00000077"), "{message}");
    assert_eq!(theta(&run), learned);
    for path in checkpoints(&run) {
        fs::write(&path, "not a checkpoint").unwrap();
    }
    let output = finished(&mut program(&["resume", text(&run)]));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("00000077.safetensors: the checkpoint is damaged"), "{message}");
    assert!(message.contains("error: ") && message.contains("--restart-unrolls"), "{message}");
    for path in checkpoints_of_kind(&run, true) {
        fs::write(&path, "not a checkpoint").unwrap();
    }
    let exported = folder.path().join("x.safetensors");
    let output = finished(&mut program(&["export", text(&run), "--to", text(&exported)]));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("error: ") && message.contains("light.safetensors: the checkpoint is damaged"),
        "{message}"
    );
    assert!(!exported.exists());
}

#[test]
fn a_light_checkpoint_is_small_and_a_run_goes_on_from_it_in_place_and_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (run, moved) = (folder.path().join("run"), folder.path().join("moved"));
    train(&run, "2");
    let [before, newest] = checkpoints_of_kind(&run, true).try_into().expect("as many are kept as full ones");
    assert!(fs::metadata(&newest).unwrap().len() < 20_000);
    assert!(text(&newest).ends_with("00000080.light.safetensors"), "{}", newest.display());
    succeed(&["resume", text(&moved), "--from", text(&before), "--workers", "1"]);
    assert_eq!(checkpoints(&moved).len(), 2, "a full checkpoint was left at once");
    assert_eq!(outer_steps(&moved), 3, "the steps after the 77th");
    refused(&["resume", text(&moved), "--from", text(&before)], 2, &["already exists and is not empty"]);
    fs::remove_file(&newest).unwrap();
    for path in checkpoints(&run) {
        fs::remove_file(path).unwrap();
    }
    let learned = theta(&run);
    fs::remove_file(run.join("learned.safetensors")).unwrap();
    refused(&["resume", text(&run)], 2, &["no full one that can be read", "--restart-unrolls"]);
    assert_eq!(outer_steps(&run), 80, "what the run has told is not cut");
    succeed(&["resume", text(&run), "--restart-unrolls", "--workers", "2"]);
    assert_eq!(outer_steps(&run), 80);
    assert_ne!(theta(&run), learned, "new inner runs say something else");
    assert!(theta(&run) == theta(&moved), "the same in both places, with any number of workers");
}

#[test]
fn a_damaged_light_checkpoint_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, "2");
    let newest = checkpoints_of_kind(&run, true).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&newest, bytes).unwrap();
    let out = folder.path().join("out");
    refused(&["resume", text(&out), "--from", text(&newest)], 1, &["00000080.light", "the checkpoint is damaged"]);
    assert!(!out.exists());
    let other = checkpoints(&run).pop().unwrap();
    refused(&["resume", text(&out), "--from", text(&other)], 1, &["format is", "expected", "light checkpoint"]);
}

#[cfg(unix)]
#[test]
fn a_checkpoint_that_finds_no_room_leaves_the_last_good_one_from_which_the_run_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, run) = (folder.path().join("reference"), folder.path().join("run"));
    train(&reference, "2");
    let mut child = start(&training_arguments(&run, "2"));
    assert!(wait_for(&mut child, &run, 20), "the run is too short to be interrupted");
    child.kill().unwrap();
    child.wait().unwrap();
    let survivors = checkpoints(&run);
    let limited = |blocks: u32| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" resume \"$1\"");
        let output = Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_meta_train"), text(&run)]).output();
        let output = output.unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("warning: no checkpoint was written: "), "{message}");
        assert_eq!(checkpoints(&run), survivors);
        message
    };
    // Not even metrics fit into 32 blocks; 256 are enough for them and for what was learned, not for a population.
    let message = limited(32);
    assert_eq!(message.matches("waits in memory for room on the disk").count(), 1, "said once: {message}");
    assert_eq!(fs::read(run.join("metrics.jsonl")).unwrap().last(), Some(&b'\n'), "no line is cut");
    let message = limited(256);
    assert!(message.contains("error: ") && message.contains("checkpoints/00000080.safetensors"), "{message}");
    succeed(&["resume", text(&run)]);
    assert_same_outcome(&run, &reference);
}

#[test]
fn runs_are_watched_and_compared_from_what_they_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, "2");
    let watched = String::from_utf8(succeed(&["watch", text(&run)]).stdout).unwrap();
    assert!(watched.contains("80/80 outer steps, 0 s left") && !watched.contains("validation"), "{watched}");
    let page = folder.path().join("compared.html");
    let compared = succeed(&["compare", text(&run), text(&run), "--to", text(&page)]);
    let compared = String::from_utf8(compared.stdout).unwrap();
    assert_eq!(compared.matches(text(&run)).count(), 2, "{compared}");
    assert_eq!(fs::read_to_string(&page).unwrap().matches("<svg").count(), 2);
    refused(&["compare", text(&run), "--to", text(&page)], 2, &["compared.html: already exists"]);
    let events = fs::read(run.join("events.out.tfevents.meta_train")).unwrap();
    let tag = b"training/meta_loss";
    assert_eq!(events.windows(tag.len()).filter(|window| window == tag).count(), 80);
    // Judged by a thread of some other run; here only what is read of it counts.
    let ratio = |value: f64| format!("{{\"value\":{value},\"low\":{},\"high\":{}}}", value - 0.125, value + 0.125);
    let judged = |generation: u64, training: f64| {
        let (training, validation) = (ratio(training), ratio(0.75));
        format!(
            "{{\"generation\":{generation},\"train\":{training},\"validation\":{validation},\"both\":{training}}}\n"
        )
    };
    fs::create_dir(run.join("validation")).unwrap();
    let standings = run.join("validation/standings.jsonl");
    fs::write(&standings, judged(0, 1.25) + &judged(40, 1.0)).unwrap();
    let watched = String::from_utf8(succeed(&["watch", text(&run)]).stdout).unwrap();
    let newest = "newest  training 1.000 (0.875 to 1.125), validation 0.750 (0.625 to 0.875) after outer step 40\n";
    let best = "best    training 1.250 (1.125 to 1.375), validation 0.750 (0.625 to 0.875) after outer step 0\n";
    assert!(watched.ends_with(&format!("{newest}{best}")), "{watched}");
    let compared = String::from_utf8(succeed(&["compare", text(&run)]).stdout).unwrap();
    assert!(compared.contains("0  1.250 [1.125, 1.375]  0.750 [0.625, 0.875]"), "{compared}");
    fs::write(&standings, "{}\n").unwrap();
    refused(
        &["watch", text(&run)],
        2,
        &["standings.jsonl: line 1: missing field", "resuming the run makes the file again"],
    );
}

#[test]
fn a_run_is_watched_from_any_working_directory_and_at_sensible_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, "2");
    // A name that only leads somewhere from where the run was started.
    let config = fs::read_to_string(run.join("config.ron")).unwrap();
    assert!(config.contains("start: Random"), "{config}");
    let elsewhere = config.replace("start: Random", "start: Frozen(\"start.safetensors\")");
    fs::write(run.join("config.ron"), elsewhere).unwrap();
    let watched = finished(program(&["watch", "run"]).current_dir(folder.path()));
    assert!(watched.status.success(), "{}", String::from_utf8_lossy(&watched.stderr));
    assert!(String::from_utf8_lossy(&watched.stdout).contains("80/80 outer steps"));
    for every in ["0", "-1", "NaN", "1e300"] {
        let output = finished(&mut program(&["watch", text(&run), "--every", every]));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        let expected =
            format!("invalid value '{every}' for '--every <SECONDS>': expected between 0.1 and 3600 seconds");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn a_configuration_changed_under_a_run_is_refused_with_the_differing_fields() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, "2");
    let config = fs::read_to_string(run.join("config.ron")).unwrap();
    assert!(config.contains("sigma: 0.02"), "{config}");
    fs::write(run.join("config.ron"), config.replace("sigma: 0.02", "sigma: 0.05")).unwrap();
    refused(&["resume", text(&run)], 2, &["under another configuration; differing: estimator.sigma (0.02"]);
}

/// Every file of a run with its contents.
fn contents(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn a_run_in_use_is_read_but_not_resumed_by_a_second_process_and_export_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (run, frozen) = (folder.path().join("run"), folder.path().join("frozen.safetensors"));
    let mut child = start(&training_arguments(&run, "1"));
    assert!(wait_for(&mut child, &run, 20), "the run is too short to be looked at");
    refused(&["resume", text(&run)], 2, &["is in use by another meta_train"]);
    refused(&["evaluate", text(&run)], 2, &["has no frozen optimizer yet", "export"]);
    succeed(&["watch", text(&run)]);
    succeed(&["export", text(&run), "--to", text(&frozen)]);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(&frozen).unwrap();
    let before = contents(&run);
    succeed(&["export", text(&run), "--to", text(&frozen)]);
    assert!(contents(&run) == before, "a file of the run was touched");
    let newest = checkpoints_of_kind(&run, true).pop().unwrap();
    let again = folder.path().join("again.safetensors");
    succeed(&["export", text(&newest), "--to", text(&again)]);
    assert_eq!(fs::read(&frozen).unwrap(), fs::read(&again).unwrap(), "the file alone says the same");
    let provenance = LearnedWeights::load(&frozen).unwrap().provenance().to_owned();
    assert!(provenance["training_run"].contains("outer steps"), "{provenance:?}");
}

#[test]
fn a_run_needs_no_file_outside_its_folder_once_it_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    let (first, run) = (folder.path().join("first"), folder.path().join("run"));
    train(&first, "2");
    let (weights, mixture) = (folder.path().join("start.safetensors"), folder.path().join("mixture.ron"));
    fs::copy(first.join("learned.safetensors"), &weights).unwrap();
    fs::write(&mixture, "(families: [(family: \"mlp_teacher\", weight: 1.0)])").unwrap();
    let mut arguments = training_arguments(&run, "2");
    let start = format!("start=Frozen({:?})", text(&weights));
    let mixture_file = format!("mixture=File({:?})", text(&mixture));
    for set in [&start, "stages=[]", "families=[]", &mixture_file] {
        arguments.extend(["--set".to_owned(), set.to_owned()]);
    }
    let mut child = self::start(&arguments);
    assert!(wait_for(&mut child, &run, 20), "the run is too short to be interrupted");
    child.kill().unwrap();
    child.wait().unwrap();
    for gone in [&weights, &mixture] {
        fs::remove_file(gone).unwrap();
    }
    let moved = folder.path().join("moved");
    fs::rename(&run, &moved).unwrap();
    succeed(&["resume", text(&moved)]);
    assert_eq!(outer_steps(&moved), 80);
    let newest = checkpoints_of_kind(&moved, true).pop().unwrap();
    let anywhere = folder.path().join("anywhere");
    succeed(&["resume", text(&anywhere), "--from", text(&newest)]);
    let start = |run: &Path| LearnedWeights::load(run.join("initial.safetensors")).unwrap().theta().to_vec();
    assert_eq!(start(&anywhere), start(&moved));
    assert_eq!(start(&moved), LearnedWeights::load(first.join("learned.safetensors")).unwrap().theta());
}

#[test]
fn bad_input_gives_one_message_that_names_the_field_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let run = |set: &str, parts: &[&str]| refused(&["run", SMOKE, "--out", text(&out), "--set", set], 2, parts);
    run("estimator.sgima=0.1", &["sgima", "did you mean `sigma`"]);
    run("estimator.sigma=-1.0", &["smoke.ron", "estimator.sigma is -1, expected a finite number above 0"]);
    run("estimator.pairs=99999999999", &["estimator.pairs is 99999999999, expected at most 65536, at least 1"]);
    run("families=[(family: \"mlp_techer\", weight: 1.0)]", &["mlp_techer", "mlp_teacher"]);
    run("evaluation.tasks=[\"digits_mpl\"]", &["digits_mpl", "digits_mlp"]);
    run("truncation.window=0", &["truncation.window is 0, expected at least 1"]);
    run("inner.schedules=[Cosine(warmup: 2.0)]", &["warmup is 2, expected a fraction"]);
    let no_workers = finished(&mut program(&["run", SMOKE, "--workers", "0", "--out", text(&out)]));
    assert_eq!(no_workers.status.code(), Some(2));
    run("architecture=Celo3()", &["Celo3", "Celo2"]);
    assert!(!out.exists(), "a run that cannot start leaves nothing behind");
    refused(&["run", "no/such.ron", "--out", text(&out)], 2, &["no/such.ron"]);
    refused(&["resume", text(folder.path())], 2, &["is not a run folder: it has no config.ron"]);
    refused(&["evaluate", "no/such.safetensors"], 1, &["no/such.safetensors"]);
}

#[test]
fn truncated_and_damaged_weights_are_refused_by_the_name_of_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let (run, broken) = (folder.path().join("run"), folder.path().join("broken.safetensors"));
    train(&run, "2");
    let whole = fs::read(run.join("learned.safetensors")).unwrap();
    for length in [0, 5, 300, whole.len() - 1] {
        fs::write(&broken, &whole[..length]).unwrap();
        refused(&["evaluate", text(&broken)], 1, &["broken.safetensors", "not a safetensors file"]);
    }
    let mut damaged = whole;
    *damaged.last_mut().unwrap() ^= 0x55;
    fs::write(&broken, &damaged).unwrap();
    refused(&["evaluate", text(&broken)], 1, &["broken.safetensors", "the file is damaged"]);
}

#[test]
fn an_existing_folder_or_file_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("precious.txt"), "kept").unwrap();
    refused(&["run", SMOKE, "--out", text(&out)], 2, &["already exists and is not empty"]);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    let file = out.join("precious.txt");
    refused(&["export", text(&out), "--to", text(&file)], 2, &["precious.txt: already exists"]);
    refused(&["run", SMOKE, "--out", text(&file.join("inside"))], 1, &["precious.txt"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}

#[test]
fn listing_names_families_and_tasks_on_standard_output() {
    let output = String::from_utf8(succeed(&["list-families"]).stdout).unwrap();
    assert!(output.contains("mlp_teacher") && output.contains("digits_mlp"), "{output}");
}
