//! The program: parses the command line, runs suites, prints tables, chooses the exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use velo_comparison::table::{Align, Cell, Table};
use velo_comparison::{Error, Trial, atomic_file, one_line, report as sections, ron_file};
use velo_optimizer::{LearnedConfig, OptimizerConfig};

use crate::cli::{Cli, Command, LearnedContender, RunArguments};
use crate::extension::Extensions;
use crate::findings::Findings;
use crate::report::{comparison_table, explanations, terminal_tables};
use crate::results::{self, RunFolder};
use crate::suite::{ContenderConfig, Suite, named_contenders};

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

/// Does what the command line says, with the tasks and optimizers of `extensions` beside those of this workspace.
pub fn main(extensions: &Extensions) -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(arguments) => run_suite(&arguments, extensions),
        Command::Report { folder } => make_report(&folder, extensions),
        Command::Compare { folders } => compare(&folders, extensions),
        Command::Export { folder, to } => export(&folder, &to, extensions),
        Command::List => {
            list(extensions);
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

fn run_suite(arguments: &RunArguments, extensions: &Extensions) -> Result<(), Failure> {
    let RunArguments { config, out, threads, cache, filter, shard, learned, overrides } = arguments;
    let mut suite: Suite = ron_file::read(config, overrides).or_usage()?;
    suite.contenders.extend(learned.iter().map(|LearnedContender { label, weights }| {
        ContenderConfig::new(label, OptimizerConfig::Learned(LearnedConfig::new(weights)))
    }));
    if let Some(text) = filter {
        suite = suite.filtered(text);
    }
    let threads = threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let comparison = suite.check(extensions, threads).with_context(|| config.display().to_string()).or_usage()?;
    let name = config.file_stem().unwrap_or_default().to_string_lossy();
    let folder = out.clone().unwrap_or_else(|| PathBuf::from(format!("runs/benchmark-{name}")));
    let begun = RunFolder::begin(&folder, &suite, cache.as_deref()).map_err(|error| {
        let is_failure = matches!(error.downcast_ref(), Some(Error::CannotCreate { .. } | Error::Io { .. }));
        if is_failure { Failure::Run(error) } else { Failure::Usage(error) }
    })?;
    let comparison = match shard {
        Some(shard) => comparison.shard(shard.index, shard.count),
        None => comparison,
    };
    if comparison.problems.is_empty() {
        eprintln!("this shard has no problem: there are fewer problems than shards");
        return Ok(());
    }
    let bar = ProgressBar::new(comparison.trial_count() as u64);
    let style = "{bar:32} {pos}/{len} trials, {msg}{per_sec}, {elapsed} so far, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is constant"));
    let show = |progress: velo_comparison::Progress| {
        if progress.cached > 0 {
            bar.set_message(format!("{} from before, ", progress.cached));
        }
        bar.set_position(progress.done as u64);
    };
    let trials = begun.run(&comparison, show).or_failed()?;
    bar.finish_and_clear();
    if shard.is_some() {
        eprintln!("the shard is finished; when all are, the same command without --shard makes the report");
        return Ok(());
    }
    begun.conclude(&suite, extensions, &trials).or_failed()?;
    conclude(&suite, extensions, &trials, &folder)
}

fn make_report(folder: &Path, extensions: &Extensions) -> Result<(), Failure> {
    let (suite, trials) = results::report_into(folder, extensions, folder).or_failed()?;
    conclude(&suite, extensions, &trials, folder)
}

/// Prints what came out; fails when nothing did.
fn conclude(suite: &Suite, extensions: &Extensions, trials: &[Trial], folder: &Path) -> Result<(), Failure> {
    let findings = Findings::new(suite, extensions, trials).or_failed()?;
    for table in terminal_tables(&findings) {
        println!("{}", table.to_text());
    }
    for sentence in explanations(&findings) {
        println!("{sentence}\n");
    }
    let failures = sections::failures(trials);
    for failure in &failures {
        eprintln!("warning: failed trial: {failure}");
    }
    if failures.len() == trials.len() {
        return Err(Failure::Run(anyhow!("every trial failed; {} has the table", folder.display())));
    }
    eprintln!("report: {}", folder.join("report.html").display());
    Ok(())
}

fn compare(folders: &[PathBuf], extensions: &Extensions) -> Result<(), Failure> {
    let runs = folders.iter().map(|folder| results::read(folder)).collect::<anyhow::Result<Vec<_>>>().or_failed()?;
    let named = runs.iter().zip(folders).map(|((suite, trials), folder)| {
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        Ok((name, Findings::new(suite, extensions, trials)?))
    });
    let named = named.collect::<anyhow::Result<Vec<_>>>().or_failed()?;
    println!("{}", comparison_table(&named).to_text());
    for (name, findings) in &named {
        println!("{name}: ratios to {} on {} problems", findings.suite.baseline, findings.base_problems().count());
    }
    Ok(())
}

fn export(folder: &Path, to: &Path, extensions: &Extensions) -> Result<(), Failure> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string()).or_failed()?;
    results::report_into(folder, extensions, to).or_failed()?;
    for name in ["config.ron", "environment.json", "trials.csv", "curves.csv"] {
        let path = folder.join(name);
        let contents = std::fs::read(&path).with_context(|| path.display().to_string()).or_failed()?;
        atomic_file::write(to.join(name), contents).or_failed()?;
    }
    println!("{}", to.display());
    Ok(())
}

fn list(extensions: &Extensions) {
    let mut tasks = Table::new([("task", Align::Left), ("what it is", Align::Left)]);
    for (name, summary) in extensions.tasks() {
        tasks.push(vec![name.into(), summary.into()]);
    }
    let mut contenders =
        Table::new([("contender", Align::Left), ("settings", Align::Right), ("optimizer", Align::Left)]);
    for contender in named_contenders() {
        let settings = contender.settings_tried();
        let optimizer = contender.optimizer.as_ref().map_or("", OptimizerConfig::name);
        contenders.push(vec![
            contender.label.as_str().into(),
            Cell::number(settings as f64, settings.to_string()),
            optimizer.into(),
        ]);
    }
    let mut optimizers = Table::new([("optimizer", Align::Left), ("default rate", Align::Right)]);
    for name in OptimizerConfig::NAMES {
        let rate = OptimizerConfig::from_name(name).map_or(String::new(), |config| config.learning_rate().to_string());
        optimizers.push(vec![(*name).into(), rate.into()]);
    }
    for name in extensions.optimizers() {
        optimizers.push(vec![name.into(), "external".into()]);
    }
    println!("{}\n{}\n{}", tasks.to_text(), contenders.to_text(), optimizers.to_text());
}
