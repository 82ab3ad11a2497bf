//! The command line: what may be asked for, and its help.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

/// Compare optimizers on held-out tasks.
///
/// A suite is a RON file: tasks, horizons, contenders with the settings that they may be tuned over, seeds. Every contender
/// is tuned per problem on seeds of its own, then reported on others; the number of settings it could choose from stands
/// beside its score. Tables go to standard output, progress to standard error.
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
    /// Run a suite, or go on with one, and write its results into a folder.
    ///
    /// The folder gets config.ron (as run), environment.json, trials/ (every finished trial), trials.csv, curves.csv,
    /// summary.csv, report.html and figures/. The same command goes on with a run that was interrupted or killed: finished
    /// trials are kept and not run again. A folder with anything else in it is refused. Results do not depend on the number
    /// of threads, times do.
    #[command(after_help = "Examples:
  benchmark_suite run benchmark_suite/configs/quick.ron
  benchmark_suite run benchmark_suite/configs/quick.ron --out runs/longer --set horizons=[2000]
  benchmark_suite run benchmark_suite/configs/standard.ron --filter digits
  benchmark_suite run benchmark_suite/configs/standard.ron --learned mine=learned.safetensors
  benchmark_suite run suite.ron --set contenders.0.optimizer.weight_decay=0.1
  benchmark_suite run suite.ron --out /mnt/shared/run --shard 0/8     on one of eight machines, then without --shard")]
    Run(RunArguments),
    /// Make summary.csv, report.html and the figures of a finished run again, and print its tables.
    Report {
        /// Folder of the run.
        folder: PathBuf,
    },
    /// Show the ratios of several finished runs side by side.
    Compare {
        /// Folders of the runs.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
    /// Copy a finished run without its single trials: tables, report, and figures as SVG for a paper.
    Export {
        /// Folder of the run.
        folder: PathBuf,
        /// Folder to write into.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// List the tasks, contenders and optimizers that a suite can name.
    List,
}

/// What `run` may be told.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The suite, a RON file.
    pub config: PathBuf,
    /// Folder to write into: new, empty, or that of the same suite, interrupted [default: runs/benchmark-NAME after the
    /// suite's file].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Worker threads [default: the processors of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Folder of finished trials, which runs may share: what one has run, no other runs again [default: trials in the run's
    /// folder].
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Only tasks whose names contain this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Only part I of N, counted from 0: whole problems, so that parts need nothing of each other.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// One more contender, with one trial: weights of a learned optimizer under a label, for example
    /// "mine=learned.safetensors"; may be repeated.
    #[arg(long = "learned", value_name = "LABEL=FILE")]
    pub learned: Vec<LearnedContender>,
    /// Replace or add one value of the suite: a path of field names and list positions, and a RON value.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub overrides: Vec<String>,
}

/// One part of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Its number, counted from zero.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("expected I/N with I from 0 to N-1, such as 0/8".to_owned()),
        }
    }
}

/// Weights of a learned optimizer, and what to call them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedContender {
    /// Name in tables and figures.
    pub label: String,
    /// File of the weights.
    pub weights: PathBuf,
}

impl FromStr for LearnedContender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((label, weights)) if !label.is_empty() && !weights.is_empty() => {
                Ok(Self { label: label.to_owned(), weights: weights.into() })
            }
            _ => Err("expected LABEL=FILE, such as mine=learned.safetensors".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_zero() {
        assert_eq!("0/8".parse(), Ok(Shard { index: 0, count: 8 }));
        for wrong in ["8/8", "1", "a/b", "0/0", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn weights_come_with_a_label() {
        let expected = LearnedContender { label: "Celo, published".to_owned(), weights: "celo.safetensors".into() };
        assert_eq!("Celo, published=celo.safetensors".parse(), Ok(expected));
        for wrong in ["celo.safetensors", "=celo.safetensors", "Celo="] {
            assert!(wrong.parse::<LearnedContender>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
