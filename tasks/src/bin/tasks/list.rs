//! `tasks list`: everything that has a name.

use std::fmt::Write as _;

use clap::Args;
use velo_tasks::family::{MixtureConfig, families};
use velo_tasks::registry::Group;

use crate::print;
use crate::table::{Table, thousands};

/// Draws that the range of a family's sizes is told from.
const DRAWS: u64 = 100;

/// What to list.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only fixed tasks of this group.
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: Option<Group>,
    /// Only the names, one a line.
    #[arg(long)]
    names: bool,
}

fn group(text: &str) -> Result<Group, String> {
    let known = || Group::ALL.map(Group::name).join(", ");
    Group::ALL.into_iter().find(|group| group.name() == text).ok_or_else(|| format!("expected one of {}", known()))
}

/// Prints the lists.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let groups = Group::ALL.into_iter().filter(|group| arguments.group.is_none_or(|wanted| wanted == *group));
    if arguments.names {
        let mut names: Vec<&str> = groups.flat_map(Group::tasks).map(|task| task.config.name.as_str()).collect();
        if arguments.group.is_none() {
            names.splice(0..0, families().iter().map(|family| family.name()).chain(MixtureConfig::names()));
        }
        return print(&(names.join("\n") + "\n"));
    }
    let mut text = String::new();
    if arguments.group.is_none() {
        writeln!(text, "Families (show a draw with `tasks show NAME#DRAW`)\n\n{}", family_table()?.to_text())?;
        writeln!(text, "Mixtures (draw from one with `tasks sample NAME`)\n")?;
        for name in MixtureConfig::names() {
            let mixture = MixtureConfig::named(name)?.check()?;
            writeln!(text, "{name}: {}", mixture.family_names().collect::<Vec<_>>().join(", "))?;
        }
        text.push('\n');
    }
    for group in groups {
        writeln!(text, "Fixed tasks: {}\n\n{}", group.name(), fixed_table(group)?.to_text())?;
    }
    print(text.trim_end_matches('\n'))?;
    print("\n")
}

/// Families with the sizes of their middle draws.
fn family_table() -> anyhow::Result<Table> {
    let mut table = Table::new(&["name", "parameters", "batch", "what it draws"]);
    for family in families() {
        let (mut parameters, mut batches) = (Vec::new(), Vec::new());
        for seed in 0..DRAWS {
            let config = family.sample(seed);
            parameters.push(velo_tasks::cost::Workload::of(&config)?.parameters);
            batches.push(config.batch_size);
        }
        let (parameters, batches) = (range(parameters), range(batches));
        table.push([family.name().to_owned(), parameters, batches, family.summary().to_owned()]);
    }
    Ok(table)
}

/// From the tenth to the ninetieth percentile.
fn range(mut values: Vec<usize>) -> String {
    values.sort_unstable();
    let at = |share: usize| thousands(values[values.len() * share / 100]);
    format!("{} to {}", at(10), at(90))
}

fn fixed_table(group: Group) -> anyhow::Result<Table> {
    let mut table = Table::new(&["name", "parameters", "batch", "what it is"]);
    for task in group.tasks() {
        let config = &task.config;
        let parameters = thousands(velo_tasks::cost::Workload::of(config)?.parameters);
        table.push([config.name.clone(), parameters, config.batch_size.to_string(), task.summary.clone()]);
    }
    Ok(table)
}
