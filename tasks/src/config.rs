//! A task as data: what a family draws, what a run folder keeps, what replays a failure.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::augmentations::{self, Augmentation};
use crate::data::DataConfig;
use crate::error::check_range;
use crate::models::{Backend, LearnedOptimizerTask, Loss, ModelConfig, ModelTask, SurfaceTask};
use crate::rng::stream_number;
use crate::{Error, Task, ron_text};

/// Everything that a task follows from. Equal configurations build tasks with equal bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// A short name for tables: that of the family, or of the fixed task.
    pub name: String,
    /// What is learned from.
    #[serde(default)]
    pub data: DataConfig,
    /// What is trained.
    pub model: ModelConfig,
    /// What it is trained for.
    #[serde(default)]
    pub loss: Loss,
    /// Rows of a batch, 1 to 65,536; what a model without rows draws of its noise.
    #[serde(default = "one")]
    pub batch_size: usize,
    /// Disguises of the task, the first one innermost.
    #[serde(default)]
    pub augmentations: Vec<Augmentation>,
}

fn one() -> usize {
    1
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

    /// Reads a task from a RON file. Paths in it are relative to the working directory.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read, [`Error::CorruptData`] for one that is no task, and those of [`check`](Self::check).
    pub fn read(path: &Path) -> Result<Self, Error> {
        let config: Self = ron_text::read(path)?;
        config.check().map(|()| config)
    }

    /// The task as an indented RON document, which [`read`](Self::read) takes back.
    pub fn to_ron(&self) -> String {
        ron_text::pretty(self)
    }

    /// A number that tells this definition from others: the FNV-1a hash of its RON on one line.
    pub fn fingerprint(&self) -> u64 {
        stream_number(&ron_text::compact(self))
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
        let plain: Box<dyn Task> = match &self.model {
            ModelConfig::Surface(surface) => {
                self.refuse_data(&data)?;
                Box::new(SurfaceTask::new(&self.name, surface, batch_size)?)
            }
            ModelConfig::LearnedOptimizer(rule) => {
                self.refuse_data(&data)?;
                Box::new(LearnedOptimizerTask::new(&self.name, rule, batch_size)?)
            }
            model => Box::new(ModelTask::new(&self.name, model, self.loss, data.load()?, batch_size, backend)?),
        };
        Ok(self.augmentations.iter().fold(plain, |task, augmentation| augmentation.wrap(task)))
    }

    /// Data and losses are for models that learn from rows.
    fn refuse_data(&self, data: &DataConfig) -> Result<(), Error> {
        let architecture = self.model.architecture();
        if *data != DataConfig::None {
            let expected = format!("None, because {architecture} learns from no rows");
            return Err(Error::invalid("data", format!("{data:?}"), expected));
        }
        if self.loss != Loss::Intrinsic {
            let expected = format!("Intrinsic, because {architecture} is its own loss");
            return Err(Error::invalid("loss", format!("{:?}", self.loss), expected));
        }
        Ok(())
    }
}
