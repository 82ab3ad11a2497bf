//! The program as people run it: kills, bad usage, full disks, planted corruption.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_scenes");

fn scenes(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Names of the scene folders or shards, without what a killed process has left.
fn units(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.join("train")) else { return vec![] };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[test]
fn a_killed_job_goes_on_without_a_gap_or_a_duplicate() {
    let folder = tempfile::tempdir().unwrap();
    let (killed, whole) = (folder.path().join("killed"), folder.path().join("whole"));
    let arguments = |out: &Path| {
        [
            "generate",
            "--preset",
            "clevr",
            "--scenes",
            "12",
            "--tar",
            "2",
            "--workers",
            "2",
            "--out",
            out.to_str().unwrap(),
        ]
        .map(str::to_owned)
    };
    for _ in 0..2 {
        let files = units(&killed).len() + 2;
        let mut child = Command::new(PROGRAM).args(arguments(&killed)).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while units(&killed).len() < files && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the job does not get anywhere");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let before = units(&killed).len();
    assert!(before < 12, "the job was killed before its end: {before} of 12 files");
    for out in [&killed, &whole] {
        let output = Command::new(PROGRAM).args(arguments(out)).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_eq!(units(&killed), units(&whole));
    for name in units(&whole) {
        let read = |root: &Path| fs::read(root.join("train").join(&name)).unwrap();
        assert!(read(&killed) == read(&whole), "{name}");
    }
    let output = scenes(&["verify", killed.to_str().unwrap()]);
    assert!(output.status.success() && text(&output).contains("12 scenes"), "{}", text(&output));
}

#[test]
fn verify_fails_on_planted_corruption() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    assert!(scenes(&["generate", "--preset", "sprites", "--scenes", "2", "--out", out]).status.success());
    let victim = folder.path().join("train/000000001/camera_depth.npy");
    let mut bytes = fs::read(&victim).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&victim, bytes).unwrap();
    let output = scenes(&["verify", out]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("000000001/camera_depth.npy: has other bytes"), "{}", text(&output));
}

#[test]
fn bad_usage_has_its_own_exit_code_and_names_what_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let output = scenes(&["generate", "--preset", "movi_q", "--scenes", "1", "--out", out]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("did you mean"), "{}", text(&output));
    let config = folder.path().join("bad.ron");
    fs::write(&config, "(name: \"bad\", image: (width: 0))").unwrap();
    let output = scenes(&["generate", config.to_str().unwrap(), "--scenes", "1", "--out", out]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("image.width is 0, expected 1 to 4096"), "{}", text(&output));
    assert_eq!(
        scenes(&["generate", "--preset", "clevr", "--scenes", "1", "--shard", "2/2", "--out", out]).status.code(),
        Some(2)
    );
    assert!(!Path::new(out).exists(), "nothing was begun");
}

#[test]
fn a_scene_without_room_fails_the_job_at_its_end_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (config, out) = (folder.path().join("tight.ron"), folder.path().join("out"));
    let tight = "(name: \"tight\", image: (width: 8, height: 8), \
        objects: [(count: (1, 40), spawn: ((0, 0, 1.5), (0.1, 0.1, 1.6)))])";
    fs::write(&config, tight).unwrap();
    let arguments = ["generate", config.to_str().unwrap(), "--scenes", "6", "--out", out.to_str().unwrap()];
    let output = scenes(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("not made: scene seed"), "{}", text(&output));
    assert!(!units(&out).is_empty() && units(&out).len() < 6, "{:?}", units(&out));
    assert!(scenes(&["verify", out.to_str().unwrap()]).status.success());
    assert!(text(&scenes(&["stats", out.to_str().unwrap()])).contains("lines of the logs"));
}

/// Where files cannot grow any further, as on a full disk, the job fails with the name of the file and leaves no unit
/// that looks complete.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_only_whole_units() {
    for (pack, named) in [("--tar 2", "000000.tar"), ("--workers 1", "camera_")] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let generate = format!("generate --preset clevr --scenes 2 {pack} --out {out}");
        let command = format!("trap '' XFSZ; ulimit -f 40; exec {PROGRAM} {generate}");
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(named), "{}", text(&output));
        // Neither a unit nor the remains of one.
        let left: Vec<_> = fs::read_dir(folder.path().join("train")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(scenes(&generate.split(' ').collect::<Vec<_>>()).status.success());
        assert!(scenes(&["verify", out]).status.success());
    }
}

#[test]
fn presets_are_listed_and_printed_as_a_start() {
    let output = scenes(&["presets"]);
    assert!(text(&output).lines().count() >= 12, "{}", text(&output));
    let output = scenes(&["presets", "clevr"]);
    assert!(text(&output).contains("hold_out: [(shape: Some(Cube), color: Some(Cyan))]"));
}
