//! What is seen of runs from outside.

use super::*;

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
        1,
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
