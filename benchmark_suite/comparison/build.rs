//! Records the compiler's version for `environment.json`, and a hash of the sources that decide what a trial computes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What decides what a trial computes, from this folder; where one is missing, as in a published crate, the version does.
const SOURCES: [&str; 6] = [
    "../../optimizer/src",
    "../../optimizer/pretrained",
    "../../tasks/src",
    "../../tasks/fixed",
    "../../tasks/data",
    "src/runner",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=VELO_RUSTC_VERSION={}", version.trim());
    let code = hash_of_sources().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    println!("cargo::rustc-env=VELO_CODE_FINGERPRINT={code}");
}

/// 64 bits of FNV-1a over names and contents of all files.
fn hash_of_sources() -> Option<String> {
    let mut files = Vec::new();
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        collect(Path::new(folder), &mut files)?;
    }
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let contents = std::fs::read(&file).ok()?;
        for byte in file.to_string_lossy().bytes().chain(contents) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    Some(format!("{hash:016x}"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Option<()> {
    for entry in std::fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Some(())
}
