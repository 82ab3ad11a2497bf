//! Bad input, and results that must not be written over.

use super::*;

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
    let imitates_nothing =
        ["run", SMOKE, "--out", text(&out), "--set", "architecture=Velo()", "--set", "start=Imitation"];
    refused(&imitates_nothing, 2, &["start is Imitation, for velo", "Random or Frozen"]);
    assert!(!out.exists(), "a run that cannot start leaves nothing behind");
    refused(&["run", "no/such.ron", "--out", text(&out)], 2, &["no/such.ron"]);
    refused(&["resume", text(folder.path())], 2, &["is not a run folder: it has no config.ron"]);
    for command in
        [&["evaluate", "no/such"][..], &["export", "no/such", "--to", "x"], &["resume", "x", "--from", "no/such"]]
    {
        refused(command, 2, &["no/such: does not exist"]);
    }
    assert_eq!(finished(&mut program(&["bench", "--seconds", "0"])).status.code(), Some(2));
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
