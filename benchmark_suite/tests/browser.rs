//! The report in a real browser: headless Chromium. Skipped with a message where there is none, unless
//! `VELO_REQUIRE_BROWSER` is set.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name)));
    let browser = found.into_iter().find(|path| path.is_file());
    if browser.is_none() {
        assert!(std::env::var_os("VELO_REQUIRE_BROWSER").is_none(), "no Chromium in PATH, and one is required");
        eprintln!("skipped: no Chromium in PATH");
    }
    browser
}

/// Opens the page with a profile of its own and nothing in the background.
fn open(browser: &Path, folder: &Path, page: &Path, arguments: &[&str]) -> Output {
    Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=5000"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts")
}

#[test]
fn the_report_opens_without_an_error_and_shows_its_tables_and_figures() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/smoke.ron");
    let run =
        Command::new(env!("CARGO_BIN_EXE_benchmark_suite")).arg("run").arg(config).arg("--out").arg(&out).output();
    assert!(run.unwrap().status.success());
    let page = out.join("report.html");

    let dumped = open(&browser, folder.path(), &page, &["--dump-dom"]);
    let (dom, log) = (String::from_utf8_lossy(&dumped.stdout), String::from_utf8_lossy(&dumped.stderr));
    assert!(dumped.status.success(), "{log}");
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    for expected in ["Smoke test", "Summary", "Time to target", "Sensitivity", "Cost", "Learning curves", "wine_mlp"] {
        assert!(dom.contains(expected), "{expected} is missing");
    }
    // Summary, targets, cost, three tables of losses, settings; three of ratios, profiles, rates, two tasks' curves.
    assert_eq!(dom.matches("<table").count(), 7);
    assert!(dom.matches("<svg").count() >= 8, "{}", dom.matches("<svg").count());

    for (name, size) in [("wide", "--window-size=1280,4000"), ("phone", "--window-size=390,4000")] {
        let picture = folder.path().join(format!("{name}.png"));
        let shot = open(&browser, folder.path(), &page, &[&format!("--screenshot={}", picture.display()), size]);
        assert!(shot.status.success(), "{}", String::from_utf8_lossy(&shot.stderr));
        // An empty page of that size compresses to a few kilobytes.
        assert!(std::fs::metadata(&picture).unwrap().len() > 30_000, "{name} shows next to nothing");
    }
}
