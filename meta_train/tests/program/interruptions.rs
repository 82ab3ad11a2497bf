//! Runs that are stopped or killed, and gone on with.

use super::*;

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
fn a_run_asked_to_stop_while_it_chooses_a_snapshot_chooses_the_same_one_later() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, run) = (folder.path().join("reference"), folder.path().join("interrupted"));
    let sets = [
        "budget.outer_steps=6",
        "evaluation.tasks=[]",
        "selection.steps=5",
        // Long enough to be met: two candidates, ten fresh seeds.
        "validation=(every: 3, tasks: [\"digits_mlp\"], steps: 400, seeds: 1, candidates: 2, fresh_seeds: 10, adamw_rates: [0.01])",
    ];
    let arguments = |out: &Path| -> Vec<String> {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        ["run", SMOKE, "--out", text(out)].into_iter().chain(sets).map(str::to_owned).collect()
    };
    succeed(&arguments(&reference).iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = start(&arguments(&run));
    // Trials on fresh seeds are a part of the choice and of nothing else.
    let chooses = || {
        let mut snapshots = fs::read_dir(run.join("validation")).into_iter().flatten();
        snapshots.any(|snapshot| snapshot.unwrap().path().join("fresh").exists())
    };
    assert!(wait_until(&mut child, chooses), "the choice is too short to be interrupted");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert!(message.contains("go on with: meta_train resume"), "{message}");
    assert!(!run.join("learned.safetensors").exists(), "nothing is frozen before it is chosen");
    succeed(&["resume", text(&run)]);
    assert_same_outcome(&run, &reference);
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
