//! Where a configuration comes from: a file or a preset.

use std::path::PathBuf;

use clap::Args;
use velo_scenes::Error;
use velo_scenes::description::{GeneratorConfig, presets};

/// A file or a preset.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Source {
    /// A configuration, RON or JSON.
    config: Option<PathBuf>,
    /// The name of a preset (see `scenes presets`).
    #[arg(long)]
    preset: Option<String>,
}

impl Source {
    pub(crate) fn is_missing(&self) -> bool {
        self.config.is_none() && self.preset.is_none()
    }

    pub(crate) fn load(&self) -> Result<GeneratorConfig, Error> {
        match (&self.config, &self.preset) {
            (Some(path), _) => GeneratorConfig::from_file(path),
            (None, Some(name)) => presets::named(name),
            (None, None) => Err(Error::InvalidField {
                field: "the configuration".to_owned(),
                found: "missing".to_owned(),
                expected: "a file, or --preset NAME (see `scenes presets`)".to_owned(),
            }),
        }
    }
}
