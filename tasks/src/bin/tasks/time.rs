//! `tasks time`: measures the table that mixtures estimate costs from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use velo_tasks::cost::{Measured, measure};

use crate::print;
use crate::table::{Table, seconds};

/// How to measure.
#[derive(Debug, Args)]
#[command(
    after_help = "The table goes into the field `timing` of a mixture: `timing: (models: …)`. A mixture and its table give the
same draws on every machine; a mixture without one uses the table of this version."
)]
pub struct Arguments {
    /// The file to write; standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    overwrite: bool,
    /// Draws of every family that are timed, some ten milliseconds each.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(4..=10_000))]
    draws: u64,
}

/// Measures, writes the table, and says how well it fits.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(path) = arguments.out.as_ref().filter(|path| path.exists() && !arguments.overwrite) {
        bail!("{} exists; --overwrite replaces it", path.display());
    }
    let (table, measured) = measure(arguments.draws, |stage| eprintln!("timing {stage}"))?;
    eprint!("{}", fit(&measured).to_text());
    match &arguments.out {
        Some(path) => std::fs::write(path, table.to_ron()).with_context(|| format!("cannot write {}", path.display())),
        None => print(&table.to_ron()),
    }
}

/// The median time of each family and how far the model is off.
fn fit(measured: &[Measured]) -> Table {
    let mut families = BTreeMap::<&str, Vec<&Measured>>::new();
    measured.iter().for_each(|draw| families.entry(&draw.config.name).or_default().push(draw));
    let mut table = Table::new(&["family", "median gradient", "median model / measured", "within a factor of 1.5"]);
    for (family, draws) in families {
        let median = |f: &dyn Fn(&Measured) -> f64| {
            let mut values: Vec<f64> = draws.iter().map(|draw| f(draw)).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let ratio = |draw: &Measured| draw.modelled / draw.measured;
        let close = draws.iter().filter(|draw| (1.0 / 1.5..=1.5).contains(&ratio(draw))).count();
        table.push([
            family.to_owned(),
            seconds(median(&|draw| draw.measured)),
            format!("{:.2}", median(&ratio)),
            format!("{} of {}", close, draws.len()),
        ]);
    }
    table
}
