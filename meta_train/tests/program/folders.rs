//! Who may write to a run folder, and what is needed beside it.

use super::*;

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
    let evaluation = "evaluation=(tasks: [\"wine_mlp\"], seeds: 1, steps: 5, adamw_rates: [0.01])";
    for set in [&start, "stages=[]", "families=[]", &mixture_file, evaluation] {
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
    succeed(&["evaluate", text(&moved)]);
    let newest = checkpoints_of_kind(&moved, true).pop().unwrap();
    let anywhere = folder.path().join("anywhere");
    succeed(&["resume", text(&anywhere), "--from", text(&newest)]);
    let start = |run: &Path| LearnedWeights::load(run.join("initial.safetensors")).unwrap().theta().to_vec();
    assert_eq!(start(&anywhere), start(&moved));
    assert_eq!(start(&moved), LearnedWeights::load(first.join("learned.safetensors")).unwrap().theta());
}
