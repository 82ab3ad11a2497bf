//! Where a task comes from: the names that command lines give tasks and mixtures.

use std::path::Path;

use velo_tasks::family::{MixtureConfig, family_named};
use velo_tasks::registry::{named, named_tasks};
use velo_tasks::{Error, TaskConfig, TaskFamily, family};

/// The task that `text` names: a fixed task, `FAMILY#DRAW`, `MIXTURE#DRAW` or a RON file of a task.
pub fn task(text: &str) -> Result<TaskConfig, Error> {
    let (name, number) = match text.rsplit_once('#') {
        Some((name, number)) => {
            let parsed = number.parse().map_err(|_| invalid_number(number))?;
            (name, Some(parsed))
        }
        None => (text, None),
    };
    let is_family = family::families().iter().any(|family| family.name() == name);
    match number {
        None if is_file(name) => TaskConfig::read(Path::new(name)),
        None if !is_family => named(name).map_err(|error| with_families(error, name)),
        None => Ok(family_named(name)?.sample(0)),
        Some(number) if is_family => Ok(family_named(name)?.sample(number)),
        Some(number) => Ok(mixture(name)?.check()?.sample(number)),
    }
}

/// A bundled mixture, or one in a RON file.
pub fn mixture(name: &str) -> Result<MixtureConfig, Error> {
    if is_file(name) { MixtureConfig::read(Path::new(name)) } else { MixtureConfig::named(name) }
}

fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "ron")
}

fn invalid_number(found: &str) -> Error {
    Error::InvalidField {
        field: "number of a draw".to_owned(),
        found: format!("{found:?}"),
        expected: "a whole number from 0 to 18446744073709551615".to_owned(),
    }
}

/// The error about an unknown task, as one about all that can be named.
fn with_families(error: Error, name: &str) -> Error {
    let families = family::families().iter().map(|family| family.name());
    let names: Vec<_> = named_tasks().map(|(name, _)| name).chain(families).collect();
    match error {
        Error::UnknownName { .. } => Error::unknown("task or family", name, &names),
        other => other,
    }
}
