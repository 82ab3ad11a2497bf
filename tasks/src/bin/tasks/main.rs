//! The `tasks` program: what there is to train, what it looks like, what it costs, and whether its gradients are right.

mod bench;
mod check;
mod list;
mod look;
mod picture;
mod plot;
mod sample;
mod show;
mod source;
mod table;
mod time;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Look at tasks, draw them, time them, check them.
///
/// A task is named by a fixed task (digits_mlp), by a draw of a family (mlp_glyphs#7; without a number, draw 0), by a draw of a
/// mixture (broad#7, or mixture.ron#7), or by a RON file that holds one task (task.ron).
///
/// Results go to standard output, progress to standard error. Exit codes: 0 done, 1 failed, 2 bad usage.
#[derive(Debug, Parser)]
#[command(name = "tasks", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List families, mixtures and fixed tasks.
    List(list::Arguments),
    /// Show a task: its definition, its parameters, a look at its rows, and a short training with AdamW.
    Show(show::Arguments),
    /// Draw from a mixture, with the cost of each draw.
    Sample(sample::Arguments),
    /// Measure what gradients cost on this machine, and write the table that mixtures estimate costs from.
    Time(time::Arguments),
    /// Print the speed of gradients: microseconds, GFLOP/s, share of peak, and the autodiff library's time.
    Bench(bench::Arguments),
    /// Check what every task promises over random draws: gradients, replay, initial loss.
    Check(check::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::List(arguments) => list::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Time(arguments) => time::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}

/// True for what the caller can mend on the command line: a name that does not exist, a value out of its range.
fn is_usage(error: &anyhow::Error) -> bool {
    use velo_tasks::Error::{InvalidField, UnknownName};
    matches!(error.downcast_ref(), Some(InvalidField { .. } | UnknownName { .. }))
}

/// Writes to standard output; a reader that has seen enough (`tasks list | head`) is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
