//! A task as data: what a family draws, what a run folder keeps, what replays a failure.

use serde::{Deserialize, Serialize};

use crate::augmentations::{self, Augmentation};
use crate::data::DataConfig;
use crate::error::check_range;
use crate::models::{Backend, Loss, ModelConfig, ModelTask};
use crate::{Error, Task};

/// Everything that a task follows from. Equal configurations build tasks with equal bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// A short name for tables: that of the family, or of the fixed task.
    pub name: String,
    /// What is learned from.
    pub data: DataConfig,
    /// What is trained.
    pub model: ModelConfig,
    /// What it is trained for.
    pub loss: Loss,
    /// Rows of a batch, 1 to 65,536.
    pub batch_size: usize,
    /// Disguises of the task, the first one innermost.
    #[serde(default)]
    pub augmentations: Vec<Augmentation>,
}

impl TaskConfig {
    /// Refuses impossible shapes, without building anything.
    ///
    /// # Errors
    /// [`Error::InvalidField`] naming the field and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        self.data.check()?;
        self.model.check()?;
        check_range("batch_size", self.batch_size, 1..=65_536)?;
        self.augmentations.iter().try_for_each(Augmentation::check)
    }

    /// The task itself.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::InvalidField`] for a loss or a model that does not fit the data;
    /// [`Error::CorruptData`] for a damaged data file.
    pub fn build(&self) -> Result<Box<dyn Task>, Error> {
        self.build_with(Backend::default())
    }

    /// The task, its gradients computed by `backend`.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with(&self, backend: Backend) -> Result<Box<dyn Task>, Error> {
        self.check()?;
        let (data, batch_size) = augmentations::prepare(&self.augmentations, &self.data, self.batch_size);
        let data = data.load()?;
        let task = ModelTask::new(&self.name, &self.model, self.loss, data, batch_size, backend)?;
        let plain: Box<dyn Task> = Box::new(task);
        Ok(self.augmentations.iter().fold(plain, |task, augmentation| augmentation.wrap(task)))
    }
}
