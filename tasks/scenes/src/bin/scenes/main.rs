//! The `scenes` program: data sets of annotated scenes, made, looked at, verified, counted and exported.

mod generate;
mod inspect;
mod render;
mod source;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Annotated images and video of procedural scenes.
///
/// A scene is a function of (generator version, configuration, seed): the same bytes on any number of threads and
/// processes. Results go to standard output, progress to standard error. Exit codes: 0 done, 1 failed, 2 bad usage.
#[derive(Debug, Parser)]
#[command(name = "scenes", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data set, or what is missing of it.
    Generate(generate::Arguments),
    /// Draw scenes and put their pictures and annotations side by side into one PNG; without a configuration, one scene of
    /// every preset.
    Preview(inspect::Preview),
    /// Render one resolved scene again: other size, samples, camera or passes.
    Render(render::Arguments),
    /// Read a data set back and check everything that can be checked.
    Verify(inspect::Folder),
    /// Count what a data set holds.
    Stats(inspect::Folder),
    /// Write a split of a data set in COCO's formats or in the layout of MOVi.
    Export(inspect::Export),
    /// List the presets, or print one.
    Presets(inspect::Presets),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Preview(arguments) => inspect::preview(&arguments),
        Command::Render(arguments) => render::run(&arguments),
        Command::Verify(arguments) => inspect::verify(&arguments),
        Command::Stats(arguments) => inspect::stats(&arguments),
        Command::Export(arguments) => inspect::export(&arguments),
        Command::Presets(arguments) => inspect::presets(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}

/// True for what the caller can mend on the command line or in the configuration.
fn is_usage(error: &anyhow::Error) -> bool {
    use velo_scenes::Error::{InvalidField, Syntax, UnknownName};
    matches!(error.downcast_ref(), Some(InvalidField { .. } | Syntax { .. } | UnknownName { .. }))
}

/// Writes to standard output; a reader that has seen enough (`scenes presets | head`) is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A bar on standard error that is not drawn where that is no terminal.
fn bar(length: u64) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{bar:40} {pos}/{len} scenes, {per_sec}, {eta} left");
    indicatif::ProgressBar::new(length).with_style(style.expect("the template is valid"))
}
