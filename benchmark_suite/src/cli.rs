//! The command line: what may be asked for, and its help.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Compare optimizers on held-out tasks.
///
/// A suite is a RON file: tasks, contenders with the settings that they may be tuned over, seeds and steps. Every
/// contender is tuned per task on seeds of its own, then reported on others; the number of settings it could choose
/// from stands beside its score. Tables go to standard output, progress to standard error.
///
/// Exit codes: 0 done, 1 failed, 2 bad usage or configuration.
#[derive(Debug, Parser)]
#[command(name = "benchmark_suite", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a suite and write its results into a new folder.
    ///
    /// The folder gets config.ron (as run), environment.json, trials.csv, curves.csv, summary.csv and report.html.
    /// An existing folder with contents is refused. Results do not depend on the number of threads, times do.
    #[command(after_help = "Examples:
  benchmark_suite run benchmark_suite/configs/quick.ron
  benchmark_suite run benchmark_suite/configs/quick.ron --out runs/longer --set steps=2000
  benchmark_suite run suite.ron --set contenders.0.optimizer.weight_decay=0.1")]
    Run {
        /// The suite, a RON file.
        config: PathBuf,
        /// Folder to write into, new or empty [default: runs/benchmark-NAME after the suite's file].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Worker threads [default: the processors of this machine].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
        /// Replace or add one value of the suite: a path of field names and list positions, and a RON value.
        #[arg(long = "set", value_name = "FIELD=VALUE")]
        overrides: Vec<String>,
    },
    /// Make summary.csv and report.html of a finished run again, and print its tables.
    Report {
        /// Folder of the run.
        folder: PathBuf,
    },
    /// List the tasks and optimizers that a suite can name.
    List,
}
