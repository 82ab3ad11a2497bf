//! `tasks check`: what every task promises, over random draws.

use std::time::Instant;

use anyhow::bail;
use clap::{Args, ValueEnum};
use velo_tasks::TaskConfig;
use velo_tasks::check::{Finding, Promise, check};
use velo_tasks::family::{TaskFamily, families, family_named};
use velo_tasks::registry::Group;

use crate::table::{Table, seconds};
use crate::{print, source};

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "Every failure names what replays it:
  tasks show FAMILY#DRAW
  tasks check --only FAMILY --first DRAW --draws 1")]
pub struct Arguments {
    /// Draws of every family.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    draws: u64,
    /// Number of the first draw.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Only this family, or this mixture with its disguises; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Also check the fixed tasks.
    #[arg(long)]
    fixed: bool,
    /// Only these promises [default: differences, precision, replay and initial loss].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PROMISE")]
    promises: Vec<Name>,
}

/// A promise on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// Gradients in double precision agree with finite differences of the loss.
    Differences,
    /// Gradients in single precision agree with those in double precision.
    Precision,
    /// A batch gives the same bits on any thread, whatever came before.
    Replay,
    /// Equal outputs cost what they should in theory.
    InitialLoss,
    /// Two hundred steps of AdamW lower the training loss.
    Descent,
    /// A senseless rate ends in a bounded loss.
    Divergence,
}

impl Name {
    fn promise(self) -> Promise {
        match self {
            Self::Differences => Promise::Differences,
            Self::Precision => Promise::Precision,
            Self::Replay => Promise::Replay,
            Self::InitialLoss => Promise::InitialLoss,
            Self::Descent => Promise::Descent,
            Self::Divergence => Promise::Divergence,
        }
    }
}

/// Worst findings of a family.
struct Summary<'a> {
    promises: &'a [Promise],
    worst: Vec<Option<f64>>,
}

impl<'a> Summary<'a> {
    fn new(promises: &'a [Promise]) -> Self {
        Self { promises, worst: vec![None; promises.len()] }
    }

    fn add(&mut self, findings: &[Finding]) {
        for finding in findings {
            let place = self.promises.iter().position(|&promise| promise == finding.promise);
            let worst = &mut self.worst[place.expect("a finding is about a promise that was asked for")];
            // A NaN is the worst, and stays.
            let better = worst.is_some_and(|worst| worst.is_nan() || worst >= finding.measured);
            if !better {
                *worst = Some(finding.measured);
            }
        }
    }

    fn cells(&self) -> impl Iterator<Item = String> {
        self.worst.iter().map(|worst| worst.map_or_else(|| "-".to_owned(), |worst| format!("{worst:.1e}")))
    }
}

/// Checks, prints the worst findings, and fails when a promise was not kept.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut promises: Vec<Promise> = arguments.promises.iter().map(|name| name.promise()).collect();
    if promises.is_empty() {
        promises = vec![Promise::Differences, Promise::Precision, Promise::Replay, Promise::InitialLoss];
    }
    let headings = ["checked", "draws"].into_iter().chain(promises.iter().map(|promise| promise.name()));
    let mut table = Table::new(&headings.chain(["time"]).collect::<Vec<_>>());
    let mut failures = Vec::new();
    for (name, draw_task) in chosen(&arguments.only)? {
        eprintln!("checking {name}");
        let (started, mut summary) = (Instant::now(), Summary::new(&promises));
        for draw in 0..arguments.draws {
            let number = arguments.first.wrapping_add(draw);
            let findings = check(&draw_task(number), &promises)?;
            summary.add(&findings);
            let unkept = findings.iter().filter(|finding| !finding.kept());
            failures.extend(unkept.map(|finding| failure(&format!("{name}#{number}"), finding)));
        }
        let time = seconds(started.elapsed().as_secs_f64());
        table.push([name, arguments.draws.to_string()].into_iter().chain(summary.cells()).chain([time]));
    }
    if arguments.fixed {
        for task in Group::ALL.into_iter().flat_map(Group::tasks) {
            eprintln!("checking {}", task.config.name);
            let (started, mut summary) = (Instant::now(), Summary::new(&promises));
            let findings = check(&task.config, &promises)?;
            summary.add(&findings);
            let unkept = findings.iter().filter(|finding| !finding.kept());
            failures.extend(unkept.map(|finding| failure(&task.config.name, finding)));
            let time = seconds(started.elapsed().as_secs_f64());
            let name = task.config.name.clone();
            table.push([name, "1".to_owned()].into_iter().chain(summary.cells()).chain([time]));
        }
    }
    print(&table.to_text())?;
    let allowed: Vec<_> =
        promises.iter().map(|promise| format!("{} {:.0e}", promise.name(), promise.allowed())).collect();
    print(&format!("\nworst findings; allowed are {}\n", allowed.join(", ")))?;
    if !failures.is_empty() {
        bail!("{} promises were not kept:\n{}", failures.len(), failures.join("\n"));
    }
    Ok(())
}

fn failure(task: &str, finding: &Finding) -> String {
    format!(
        "  {task}: {} is {:e}, expected at most {:e}; look at it with `tasks show '{task}'`",
        finding.promise.name(),
        finding.measured,
        finding.promise.allowed()
    )
}

/// What draws tasks, by seed.
type Draw = Box<dyn Fn(u64) -> TaskConfig>;

/// Families and mixtures by name; all families without a name.
fn chosen(names: &[String]) -> Result<Vec<(String, Draw)>, velo_tasks::Error> {
    let of_family = |family: &'static dyn TaskFamily| -> Draw { Box::new(move |seed| family.sample(seed)) };
    if names.is_empty() {
        return Ok(families().iter().map(|&family| (family.name().to_owned(), of_family(family))).collect());
    }
    let named = names.iter().map(|name| {
        if families().iter().any(|family| family.name() == name) {
            return Ok((name.clone(), of_family(family_named(name)?)));
        }
        let mixture = source::mixture(name)?.check()?;
        let draw: Draw = Box::new(move |seed| mixture.sample(seed));
        Ok((name.clone(), draw))
    });
    named.collect()
}
