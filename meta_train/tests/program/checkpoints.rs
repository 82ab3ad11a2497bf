//! Checkpoints that are damaged, light, or find no room.

use super::*;

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

/// What `resume` says on standard error before it fails because no file may become larger than that many half kibibytes.
#[cfg(unix)]
fn fails_for_want_of_room(run: &Path, blocks: u32) -> String {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" resume \"$1\"");
    let output =
        Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_meta_train"), text(run)]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    message
}

#[cfg(unix)]
#[test]
fn a_snapshot_that_finds_no_room_is_judged_later_and_the_choice_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, run) = (folder.path().join("reference"), folder.path().join("run"));
    let validation = "validation=(every: 20, tasks: [\"digits_logistic\"], steps: 20, seeds: 1, candidates: 2, \
                      fresh_seeds: 2, adamw_rates: [0.01])";
    let arguments = |out: &Path| {
        let mut arguments = training_arguments(out, "2");
        arguments.extend(["--set", validation, "--set", "architecture=Celo(lstm_width: 64)"].map(str::to_owned));
        arguments
    };
    succeed(&arguments(&reference).iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = start(&arguments(&run));
    assert!(wait_for(&mut child, &run, 10), "the run is too short to be interrupted");
    child.kill().unwrap();
    child.wait().unwrap();
    // All that the run tells fits, wherever it was killed; these weights do not.
    let message = fails_for_want_of_room(&run, 128);
    assert!(!message.contains("metrics.jsonl") && !message.contains("tfevents"), "{message}");
    assert!(message.contains("warning: no snapshot was taken for validation: "), "{message}");
    succeed(&["resume", text(&run)]);
    assert_same_outcome(&run, &reference);
    let standings = |run: &Path| fs::read_to_string(run.join("validation/standings.jsonl")).unwrap();
    assert_eq!(standings(&run), standings(&reference));
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
        let message = fails_for_want_of_room(&run, blocks);
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
