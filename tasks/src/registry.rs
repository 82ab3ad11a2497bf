//! Fixed tasks, by name: what optimizers are compared and checkpoints are chosen on. Meta-training never sees them.
//!
//! Their definitions are data, in `tasks/fixed/*.ron`, one file for each [`Group`]; a test pins the fingerprint of each.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::config::TaskConfig;
use crate::{Error, ron_text};

/// What fixed tasks are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Group {
    /// Comparing optimizers, mostly on real data.
    Benchmark,
    /// Benchmark tasks with one thing changed; an optimizer that fails on a variant has failed on the task.
    Variant,
    /// Choosing between checkpoints and settings, on generators that training never draws from.
    Validation,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 3] = [Self::Benchmark, Self::Variant, Self::Validation];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Benchmark => "benchmark",
            Self::Variant => "variant",
            Self::Validation => "validation",
        }
    }

    /// Its tasks.
    pub fn tasks(self) -> impl Iterator<Item = &'static NamedTask> {
        all().iter().filter(move |task| task.group == self)
    }
}

/// A fixed task.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTask {
    /// What it is for.
    pub group: Group,
    /// One line about it.
    pub summary: String,
    /// The benchmark task that it is a variant of.
    pub variant_of: Option<String>,
    /// The task; its name is the name.
    pub config: TaskConfig,
}

/// An entry of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    summary: String,
    #[serde(default)]
    variant_of: Option<String>,
    task: TaskConfig,
}

/// The files, by group.
const FILES: [(Group, &str, &str); 3] = [
    (Group::Benchmark, "benchmark.ron", include_str!("../fixed/benchmark.ron")),
    (Group::Variant, "variants.ron", include_str!("../fixed/variants.ron")),
    (Group::Validation, "validation.ron", include_str!("../fixed/validation.ron")),
];

fn all() -> &'static [NamedTask] {
    static TASKS: OnceLock<Vec<NamedTask>> = OnceLock::new();
    TASKS.get_or_init(|| {
        let groups = FILES.iter().flat_map(|&(group, file, text)| {
            let entries: Vec<Entry> = ron_text::parse(file, text).unwrap_or_else(|error| panic!("{error}"));
            entries.into_iter().map(move |Entry { summary, variant_of, task }| NamedTask {
                group,
                summary,
                variant_of,
                config: task,
            })
        });
        groups.collect()
    })
}

/// Names and one-line descriptions of all fixed tasks.
pub fn named_tasks() -> impl Iterator<Item = (&'static str, &'static str)> {
    all().iter().map(|task| (task.config.name.as_str(), task.summary.as_str()))
}

/// The fixed task of that name.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name and all of them.
pub fn named(name: &str) -> Result<TaskConfig, Error> {
    match all().iter().find(|task| task.config.name == name) {
        Some(task) => Ok(task.config.clone()),
        None => Err(Error::unknown("task", name, &named_tasks().map(|(name, _)| name).collect::<Vec<_>>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_variants_are_of_benchmark_tasks() {
        let names: std::collections::BTreeSet<_> = named_tasks().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all().len());
        for task in all() {
            assert_eq!(task.variant_of.is_some(), task.group == Group::Variant, "{}", task.config.name);
            if let Some(of) = &task.variant_of {
                assert!(Group::Benchmark.tasks().any(|task| task.config.name == *of), "{of}");
            }
        }
    }

    #[test]
    fn an_unknown_task_is_refused_with_the_nearest_name_and_the_list() {
        let message = named("digits_mpl").unwrap_err().to_string();
        assert!(message.starts_with("there is no task \"digits_mpl\"; did you mean \"digits_mlp\"?"), "{message}");
        assert!(message.contains("known: digits_logistic, digits_mlp, "), "{message}");
    }
}
