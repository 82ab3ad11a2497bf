//! The `learned_optimizer` program, run as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

use velo_optimizer::{Architecture, CeloConfig, LearnedWeights};

fn run(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_learned_optimizer")).args(arguments).current_dir(folder).output().unwrap()
}

fn succeed(arguments: &[&str], folder: &Path) -> String {
    let output = run(arguments, folder);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The only line of the error message, for a run that ends with `code`.
fn fail(arguments: &[&str], folder: &Path, code: i32) -> String {
    let output = run(arguments, folder);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn weights() -> LearnedWeights {
    let architecture = Architecture::Celo(CeloConfig { lstm_width: 4, bank: 2, ..Default::default() });
    let theta = (0..architecture.theta_layout().len()).map(|i| (i as f32).cos()).collect();
    LearnedWeights::new(architecture, theta).unwrap()
}

/// A folder with `celo.safetensors` in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    weights().with_provenance("licence", "MIT").save(folder.path().join("celo.safetensors")).unwrap();
    folder
}

#[test]
fn weights_survive_export_import_and_conversion() {
    let folder = folder();
    let folder = folder.path();
    succeed(&["export", "celo.safetensors", "--to", "theta.state"], folder);
    succeed(&["import", "theta.state", "--to", "again.safetensors", "--fact", "licence=MIT"], folder);
    succeed(&["convert", "theta.state", "--to", "third.safetensors"], folder);
    succeed(&["convert", "third.safetensors", "--to", "fourth.state"], folder);
    let imported = LearnedWeights::load(folder.join("again.safetensors")).unwrap();
    let expected = weights().with_provenance("imported_from", "theta.state").with_provenance("licence", "MIT");
    assert_eq!(imported, expected);
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(bytes("theta.state") == bytes("fourth.state"));
}

#[test]
fn inspect_tells_architecture_settings_tensors_licence_and_checksum() {
    let folder = folder();
    let text = succeed(&["inspect", "celo.safetensors"], folder.path());
    let checksum = weights().checksum();
    let facts = ["celo.safetensors (velo-optimizer weights)", "celo", "MIT", &checksum, "lstm_width", "rnn/linear/w"];
    for fact in facts {
        assert!(text.contains(fact), "no {fact} in\n{text}");
    }
    let row = text.lines().find(|line| line.starts_with("ff_mod_stack/~/w1")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>()[1..7], ["2", "x", "4", "x", "4", "32"]);
}

#[test]
fn a_missing_or_damaged_file_is_named_in_one_line() {
    let folder = folder();
    let folder = folder.path();
    let message = fail(&["inspect", "no.safetensors"], folder, 1);
    assert!(message.starts_with("error: no.safetensors: ") && message.lines().count() == 1, "{message}");
    std::fs::write(folder.join("cut.state"), [0x81, 0xa1, b'w', 0xc7, 200]).unwrap();
    let message = fail(&["import", "cut.state", "--to", "out.safetensors"], folder, 1);
    assert!(message.starts_with("error: cut.state: flax state: ") && message.lines().count() == 1, "{message}");
    assert!(!folder.join("out.safetensors").exists());
}

#[test]
fn nothing_is_overwritten_without_being_asked_to() {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("theta.state"), "precious").unwrap();
    let export = ["export", "celo.safetensors", "--to", "theta.state"];
    let message = fail(&export, folder, 1);
    assert_eq!(message, "error: theta.state: exists already; give --overwrite to replace it\n");
    assert_eq!(std::fs::read(folder.join("theta.state")).unwrap(), b"precious");
    succeed(&[export.as_slice(), &["--overwrite"]].concat(), folder);
}

#[test]
fn bad_usage_has_its_own_exit_code() {
    let folder = folder();
    let folder = folder.path();
    fail(&["inspect"], folder, 2);
    fail(&["import", "a", "b", "c", "--to", "d"], folder, 2);
    let message = fail(&["inspect", "celo.safetensors", "--architecture", "{\"Celo\": {\"bnk\": 1}}"], folder, 2);
    assert!(message.contains("unknown field `bnk`"), "{message}");
    let message = fail(&["convert", "celo.safetensors", "--to", "theta.npz"], folder, 1);
    assert_eq!(message, "error: theta.npz: ends in neither .safetensors nor .state\n");
}
