//! `tasks sample`: draws of a mixture and what they cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use velo_tasks::family::Drawn;
use velo_tasks::{Augmentation, Partition};

use crate::table::{Table, seconds, thousands};
use crate::{print, source};

/// What to draw.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tasks sample broad --count 20
  tasks sample my_mixture.ron --partition validation --first 100 --ron")]
pub struct Arguments {
    /// A mixture of `tasks list`, or a RON file.
    mixture: String,
    /// Number of draws.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    count: u64,
    /// Number of the first draw.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// What the draws are for: train, validation or test. No draw for one is ever a draw for another.
    #[arg(long, default_value = "train", value_parser = partition)]
    partition: Partition,
    /// Print the draws as RON documents instead of a table.
    #[arg(long)]
    ron: bool,
}

fn partition(text: &str) -> Result<Partition, String> {
    match text {
        "train" => Ok(Partition::Train),
        "validation" => Ok(Partition::Validation),
        "test" => Ok(Partition::Test),
        _ => Err("expected train, validation or test".to_owned()),
    }
}

/// Prints the draws.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mixture = source::mixture(&arguments.mixture)?.check()?;
    let seeds = (0..arguments.count).map(|draw| arguments.partition.seed(arguments.first.wrapping_add(draw)));
    let drawn: Vec<(u64, Drawn)> =
        seeds.map(|seed| mixture.sample_with_cost(seed).map(|drawn| (seed, drawn))).collect::<Result<_, _>>()?;
    if arguments.ron {
        let documents = drawn.iter().map(|(seed, drawn)| {
            format!("// {}#{seed}, {} a step\n{}", arguments.mixture, seconds(drawn.seconds), drawn.config.to_ron())
        });
        return print(&documents.collect::<Vec<_>>().join("\n"));
    }
    let mut table = Table::new(&["draw", "family", "parameters", "batch", "step", "budget", "disguises"]);
    for (seed, drawn) in &drawn {
        let disguises: Vec<_> = drawn.config.augmentations.iter().map(disguise).collect();
        table.push([
            format!("#{seed}"),
            drawn.config.name.clone(),
            thousands(drawn.parameters),
            drawn.config.batch_size.to_string(),
            seconds(drawn.seconds),
            drawn.budget.map_or_else(|| "none".to_owned(), seconds),
            disguises.join(", "),
        ]);
    }
    let mut text = table.to_text();
    writeln!(text, "\n{}", shares(&drawn))?;
    print(&text)
}

/// The name of an augmentation, in words.
fn disguise(augmentation: &Augmentation) -> String {
    match *augmentation {
        Augmentation::Reparametrise { scope, decades, .. } => format!("{scope:?} scale ±{decades}"),
        Augmentation::RescaleLoss { factor } => format!("loss × {factor:.2e}"),
        Augmentation::GradientNoise { relative, .. } => format!("noise {relative:.2}"),
        Augmentation::Bfloat16Gradients => "bfloat16".to_owned(),
        Augmentation::DelayedGradients { steps } => format!("delayed {steps}"),
        Augmentation::NormalisedGradients => "normalised".to_owned(),
        Augmentation::ProjectedGradients { directions, .. } => format!("on {directions} directions"),
        Augmentation::EvolutionGradients { pairs, .. } => format!("from {pairs} pairs"),
        Augmentation::ReducedBatch { share } => format!("{:.0} % of rows", 100.0 * share),
        Augmentation::LabelNoise { share, .. } => format!("{:.0} % random labels", 100.0 * share),
    }
}

/// How often each family came, and the mean step.
fn shares(drawn: &[(u64, Drawn)]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    drawn.iter().for_each(|(_, drawn)| *counts.entry(&drawn.config.name).or_default() += 1);
    let mean = drawn.iter().map(|(_, drawn)| drawn.seconds).sum::<f64>() / drawn.len() as f64;
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    let counts: Vec<_> = counts.into_iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!("mean step {}; {}", seconds(mean), counts.join(", "))
}
