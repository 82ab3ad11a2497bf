//! `scenes generate`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use clap::Args;
use velo_scenes::description::Split;
use velo_scenes::files::job::{self, Job};
use velo_scenes::files::manifest::Format;
use velo_scenes::generate::Generator;

use crate::source::Source;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The folder of the data set; what is complete in it is kept.
    #[arg(long)]
    out: PathBuf,
    /// How many scenes the data set shall have in this split.
    #[arg(long)]
    scenes: u64,
    /// Scenes of the split to leave out at its beginning.
    #[arg(long, default_value_t = 0)]
    skip: u64,
    /// The split: train, validation or test.
    #[arg(long, default_value = "train", value_parser = split)]
    split: Split,
    /// Part i of n, i from 0 to n - 1: for job arrays.
    #[arg(long, default_value = "0/1", value_parser = part)]
    shard: (u64, u64),
    /// Threads; the data does not depend on it.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    workers: usize,
    /// Pack this many scenes into each tar file (WebDataset) instead of a folder per scene.
    #[arg(long)]
    tar: Option<usize>,
}

pub(crate) fn split(text: &str) -> Result<Split, String> {
    let found = Split::ALL.iter().copied().find(|split| split.name() == text);
    found.ok_or_else(|| "expected train, validation or test".to_owned())
}

fn part(text: &str) -> Result<(u64, u64), String> {
    let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    numbers.filter(|(i, n)| i < n).ok_or_else(|| "expected i/n with i from 0 to n - 1".to_owned())
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    static STOP: AtomicBool = AtomicBool::new(false);
    // Once: finish the units that have begun. Twice: the second signal finds the flag set and ends the process.
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })?;
    let generator = Generator::new(arguments.source.load()?)?;
    let job = Job {
        folder: arguments.out.clone(),
        split: arguments.split,
        scenes: arguments.skip..arguments.skip + arguments.scenes,
        shard: arguments.shard,
        workers: arguments.workers.max(1),
        format: arguments.tar.map_or(Format::Folders, |scenes| Format::Tar { scenes }),
    };
    let bar = crate::bar(arguments.scenes / arguments.shard.1);
    let start = std::time::Instant::now();
    let summary = job::run(&generator, &job, &|scenes| {
        bar.inc(scenes);
        !STOP.load(Ordering::SeqCst)
    })?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    crate::print(&format!(
        "{} scenes made, {} were there; {seconds:.1} s ({:.2} scenes/s); \
         simulate {:.1} s, render {:.1} s, annotate {:.1} s, write {:.1} s over all workers\n",
        summary.made,
        summary.skipped,
        summary.made as f64 / seconds,
        summary.seconds.simulate,
        summary.seconds.render,
        summary.seconds.annotate,
        summary.seconds.write,
    ))?;
    for failure in &summary.failures {
        eprintln!("not made: {}", failure.error);
    }
    match summary.failures.len() {
        0 => Ok(()),
        count => bail!("{count} scenes cannot be drawn; all others are made"),
    }
}
