//! The `benchmark_suite` program: parses the command line, calls the library, prints tables, chooses the exit code.

mod cli;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use velo_benchmark::{Suite, report, run, tables};
use velo_comparison::table::{Align, Table};
use velo_comparison::{Error, Trial, one_line, report as sections, ron_file, run_folder};
use velo_optimizer::OptimizerConfig;

use cli::{Cli, Command};

/// An error with the exit code that it deserves.
enum Failure {
    /// The command line or the configuration is wrong: 2.
    Usage(anyhow::Error),
    /// Something failed on the way: 1.
    Run(anyhow::Error),
}

/// Errors of one stage, told apart by their exit code.
trait Stage<T> {
    fn or_usage(self) -> Result<T, Failure>;
    fn or_failed(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> Stage<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Usage(error.into()))
    }

    fn or_failed(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Run(error.into()))
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run { config, out, threads, overrides } => run_suite(&config, out, threads, &overrides),
        Command::Report { folder } => make_report(&folder),
        Command::List => {
            list();
            Ok(())
        }
    };
    let (error, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, 2),
        Err(Failure::Run(error)) => (error, 1),
    };
    eprintln!("error: {}", one_line(&*error));
    ExitCode::from(code)
}

fn run_suite(config: &Path, out: Option<PathBuf>, threads: Option<u16>, overrides: &[String]) -> Result<(), Failure> {
    let suite: Suite = ron_file::read(config, overrides).or_usage()?;
    let threads = threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let comparison = suite.check(threads).map_err(|error| error.context(config.display().to_string())).or_usage()?;
    let name = config.file_stem().unwrap_or_default().to_string_lossy();
    let folder = out.unwrap_or_else(|| PathBuf::from(format!("runs/benchmark-{name}")));
    match run_folder::create(&folder) {
        Err(error @ Error::FolderNotEmpty { .. }) => return Err(Failure::Usage(error.into())),
        created => created.or_failed()?,
    }
    let bar = ProgressBar::new(comparison.trial_count() as u64);
    let style = "{bar:32} {pos}/{len} trials, {per_sec}, {elapsed} so far, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is constant"));
    let trials = run(&suite, &comparison, &folder, |progress| bar.set_position(progress.done as u64)).or_failed()?;
    bar.finish_and_clear();
    conclude(&suite, &trials, &folder)
}

fn make_report(folder: &Path) -> Result<(), Failure> {
    let (suite, trials) = report(folder).or_failed()?;
    conclude(&suite, &trials, folder)
}

/// Prints what came out; fails when nothing did.
fn conclude(suite: &Suite, trials: &[Trial], folder: &Path) -> Result<(), Failure> {
    for table in tables(suite, trials) {
        println!("{}", table.to_text());
    }
    println!("{}", sections::score_sentence(&suite.baseline, &suite.score));
    let failures = sections::failures(trials);
    for failure in &failures {
        eprintln!("warning: failed trial: {failure}");
    }
    if failures.len() == trials.len() {
        return Err(Failure::Run(anyhow::anyhow!("every trial failed; {} has the table", folder.display())));
    }
    eprintln!("report: {}", folder.join("report.html").display());
    Ok(())
}

fn list() {
    let mut tasks = Table::new([("task", Align::Left), ("what it is", Align::Left)]);
    for (name, summary) in velo_tasks::registry::named_tasks() {
        tasks.push(vec![name.into(), summary.into()]);
    }
    let mut optimizers = Table::new([("optimizer", Align::Left), ("default rate", Align::Right)]);
    for name in OptimizerConfig::NAMES {
        let rate = OptimizerConfig::from_name(name).map_or(String::new(), |config| config.learning_rate().to_string());
        optimizers.push(vec![(*name).into(), rate.into()]);
    }
    println!("{}\n{}", tasks.to_text(), optimizers.to_text());
}
