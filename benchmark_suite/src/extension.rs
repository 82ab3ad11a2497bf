//! Tasks and optimizers of a user's own, by name, beside those of this workspace.
//!
//! A program that registers them and hands the command line to [`main`](crate::main) is the benchmark suite with more names
//! in it; `examples/external-optimizer` is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use velo_comparison::{OptimizerSource, TaskSource, nearest};
use velo_tasks::registry::{Group, named, named_tasks};

/// Hyper-parameters of a user's own optimizer, by name, as a suite gives them.
pub type Parameters = BTreeMap<String, f64>;

type OptimizerFactory = Arc<dyn Fn(&Parameters) -> Result<Arc<dyn OptimizerSource>> + Send + Sync>;

/// What suites can name besides what this workspace has.
#[derive(Clone, Default)]
pub struct Extensions {
    tasks: BTreeMap<String, Arc<dyn TaskSource>>,
    optimizers: BTreeMap<String, OptimizerFactory>,
}

impl Extensions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task under a name that no other task may have.
    ///
    /// # Panics
    /// If the name is taken: the program that registers it has to choose another.
    #[must_use]
    pub fn task(mut self, name: &str, source: impl TaskSource + 'static) -> Self {
        let is_new = !self.tasks.contains_key(name) && !named_tasks().any(|(known, _)| known == name);
        assert!(is_new, "there is already a task {name:?}");
        self.tasks.insert(name.to_owned(), Arc::new(source));
        self
    }

    /// Adds an optimizer under a name that no other registered optimizer may have.
    ///
    /// # Panics
    /// If the name is taken: the program that registers it has to choose another.
    #[must_use]
    pub fn optimizer(
        mut self,
        name: &str,
        make: impl Fn(&Parameters) -> Result<Arc<dyn OptimizerSource>> + Send + Sync + 'static,
    ) -> Self {
        let replaced = self.optimizers.insert(name.to_owned(), Arc::new(make));
        assert!(replaced.is_none(), "there is already an optimizer {name:?}");
        self
    }

    /// Names of all tasks, with a line about each.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.tasks.keys().map(|name| (name.as_str(), "registered by this program"));
        named_tasks().map(|(name, summary): (&str, &str)| (name, summary)).chain(own)
    }

    /// Names of the optimizers that were registered.
    pub(crate) fn optimizers(&self) -> impl Iterator<Item = &str> {
        self.optimizers.keys().map(String::as_str)
    }

    /// The task of that name and, if it is a variant, the task that it is one of.
    pub(crate) fn find_task(&self, name: &str) -> Result<(Arc<dyn TaskSource>, Option<String>)> {
        if let Some(task) = self.tasks.get(name) {
            return Ok((Arc::clone(task), None));
        }
        let own = || nearest(name, self.tasks.keys().map(String::as_str));
        let config = named(name).map_err(|error| match own() {
            Some(near) => anyhow!("there is no task {name:?}; did you mean {near:?}?"),
            None => error.into(),
        })?;
        let variant = Group::Variant.tasks().find(|task| task.config.name == name);
        Ok((Arc::new(config), variant.and_then(|task| task.variant_of.clone())))
    }

    /// The registered optimizer of that name with these hyper-parameters.
    pub(crate) fn find_optimizer(&self, name: &str, parameters: &Parameters) -> Result<Arc<dyn OptimizerSource>> {
        let Some(make) = self.optimizers.get(name) else {
            let suggestion =
                nearest(name, self.optimizers()).map_or(String::new(), |near| format!(", did you mean {near:?}?"));
            return Err(anyhow!("this program has registered no optimizer {name:?}{suggestion}"));
        };
        make(parameters)
    }
}
