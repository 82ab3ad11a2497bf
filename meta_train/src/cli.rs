//! The command line: what can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};

/// Meta-train a learned optimizer, freeze it, and compare it with hand-designed ones.
#[derive(Debug, Parser)]
#[command(name = "meta_train", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  meta_train run meta_train/configs/quick.ron
      three minutes on two cores, ending with a frozen optimizer, a table and a report
  meta_train run meta_train/configs/quick.ron --out runs/wide --set estimator.sigma=0.03 --set seed=2
      the same with two fields changed
  meta_train watch runs/wide
      shows the progress of that run in a second terminal
  meta_train resume runs/wide
      goes on where an interrupted run stopped; the result is the same to the bit
  meta_train resume runs/moved --from 00000300.light.safetensors
      goes on from a few kilobytes on another machine, with new inner runs
  meta_train compare runs/quick-1 runs/wide --to compared.html
      one table and one page of curves for both

Results go to standard output, progress to standard error.
Exit codes: 0 done (also after an interruption that was saved), 1 failed, 2 wrong usage or configuration.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a run: meta-train, freeze, evaluate, report.
    ///
    /// The run folder receives config.ron (resolved), start.safetensors (where theta began), environment.json, lock,
    /// metrics.jsonl, events.out.tfevents.meta_train (for TensorBoard), checkpoints/, validation/ and reference.jsonl (where
    /// configured), and in the end initial.safetensors, learned.safetensors, trials.csv, curves.csv and figures/. report.html is
    /// written anew while the run goes on. Interrupt once (Ctrl-C or SIGTERM) to finish the outer step, write a checkpoint and
    /// leave; go on with `resume`.
    Run(RunArgs),
    /// Go on with an interrupted or killed run.
    ///
    /// The newest full checkpoint holds the state of every inner run: the result is the same, to the bit, as without
    /// the interruption. A damaged checkpoint is passed over, with a warning, for the one before.
    Resume {
        /// The run folder.
        run: PathBuf,
        /// Go on from the newest light checkpoint and begin new inner runs: the result is another one than without the
        /// interruption. For when the full checkpoints are lost or too large to move.
        #[arg(long)]
        restart_unrolls: bool,
        /// Go on from this light checkpoint (checkpoints/*.light.safetensors), which holds the configuration too, in
        /// the folder RUN, which must not exist or be empty; inner runs begin anew.
        #[arg(long, value_name = "FILE", conflicts_with = "restart_unrolls")]
        from: Option<PathBuf>,
        /// Worker threads; the result does not depend on it [default: all processors].
        #[arg(long, value_name = "N", value_parser = thread_count())]
        workers: Option<usize>,
    },
    /// Freeze the newest checkpoint of a run into a weights file.
    ///
    /// The average of theta is frozen, and its native rate selected, in the same way as at the end of a run. The run may be on
    /// meanwhile: nothing in its folder is written to.
    Export {
        /// A run folder, or a light checkpoint (checkpoints/*.light.safetensors).
        subject: PathBuf,
        /// The file to write; must not exist.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Worker threads [default: all processors].
        #[arg(long, value_name = "N", value_parser = thread_count())]
        workers: Option<usize>,
    },
    /// Compare a frozen optimizer with hand-designed ones on real data and print the table.
    Evaluate {
        /// A run folder, or a weights file (.safetensors).
        subject: PathBuf,
        /// Seeds per task that are reported [default: as in the run, or 5].
        #[arg(long, value_name = "N")]
        seeds: Option<u64>,
        /// Inner steps [default: as in the run, or 500].
        #[arg(long, value_name = "N")]
        steps: Option<u64>,
        /// Worker threads [default: all processors].
        #[arg(long, value_name = "N", value_parser = thread_count())]
        workers: Option<usize>,
    },
    /// Show how a run is doing, until it ends; for a second terminal.
    ///
    /// Progress, time left, meta-loss, speed, what every worker does, and with validation how the newest and the best
    /// snapshot stand. Reads config.ron, metrics.jsonl and validation/standings.jsonl only, from any working directory,
    /// and may be started, stopped and repeated at any time. When standard output is not a terminal, it is printed once.
    Watch {
        /// The run folder.
        run: PathBuf,
        /// Seconds between two looks, 0.1 to 3600.
        #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = sensible_time, allow_negative_numbers = true)]
        every: Duration,
    },
    /// Compare runs: how training went, how their frozen optimizers scored, and with validation their best snapshots.
    Compare {
        /// Run folders.
        #[arg(required = true, num_args = 1..)]
        runs: Vec<PathBuf>,
        /// Also write a page with the table and the curves of all runs, those of validation included; must not exist.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// List the families of procedural tasks that a run can draw from, and the named tasks of the evaluation.
    ListFamilies,
    /// Measure inner steps per second and where the time goes, and how workers share a mixture of unequal tasks.
    Bench {
        /// Seconds per measurement; on the mixture, five times as long for one worker, and the same outer steps for all.
        #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = sensible_time)]
        seconds: Duration,
    },
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration (RON); every field has a default.
    pub config: PathBuf,
    /// The run folder; must not exist or be empty [default: runs/NAME-1 after the name of the configuration, or the next free number].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Worker threads; the result does not depend on it [default: all processors].
    #[arg(long, value_name = "N", value_parser = thread_count())]
    pub workers: Option<usize>,
    /// Override one field of the configuration, for example outer.learning_rate=3e-4; may be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub overrides: Vec<String>,
}

/// Accepts a time that neither keeps a processor busy with looking nor seems to never end.
fn sensible_time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected between 0.1 and 3600 seconds".to_owned())
}

/// Accepts a number of threads that a machine can have.
fn thread_count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_from_a_tenth_of_a_second_to_an_hour_are_accepted_and_no_others() {
        assert_eq!(sensible_time("0.1"), Ok(Duration::from_millis(100)));
        assert_eq!(sensible_time("3600"), Ok(Duration::from_secs(3600)));
        for text in ["0", "-1", "0.09", "3601", "1e300", "NaN", "inf", "soon", ""] {
            assert_eq!(sensible_time(text), Err("expected between 0.1 and 3600 seconds".to_owned()), "{text}");
        }
    }
}
