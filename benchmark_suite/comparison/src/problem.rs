//! What optimizers are compared on: a task and for how long it is trained.

use std::fmt::Debug;
use std::sync::Arc;

use velo_tasks::{Task, TaskConfig};

use crate::{Error, ron_file};

/// Where a task comes from: a configuration of this workspace, or code of a user's own.
pub trait TaskSource: Debug + Send + Sync {
    /// A task of its own for one trial.
    ///
    /// # Errors
    /// Whatever makes the task impossible.
    fn build(&self) -> Result<Box<dyn Task>, Error>;

    /// A text that two sources share only if they build the same task. It is part of the key under which finished
    /// trials are kept, so code that changes what the task computes has to change it, too.
    fn fingerprint(&self) -> String;
}

impl TaskSource for TaskConfig {
    fn build(&self) -> Result<Box<dyn Task>, Error> {
        Ok(Self::build(self)?)
    }

    fn fingerprint(&self) -> String {
        ron_file::to_string(self)
    }
}

/// A task with a number of steps; its name is unique within a comparison.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The name in tables.
    pub name: String,
    /// What is trained.
    pub task: Arc<dyn TaskSource>,
    /// Steps of every trial, also the horizon of schedules.
    pub steps: u64,
    /// Steps between two points of a learning curve.
    pub record_every: u64,
    /// Points of the learning curve between two losses over the validation split; none if left out.
    pub validate_every: Option<u64>,
    /// The name of the problem that this is a variant of.
    pub variant_of: Option<String>,
}

impl Problem {
    /// A task of this workspace under its own name, without validation losses on the way.
    pub fn new(task: TaskConfig, steps: u64, record_every: u64) -> Self {
        let name = task.name.clone();
        Self { name, task: Arc::new(task), steps, record_every, validate_every: None, variant_of: None }
    }
}
