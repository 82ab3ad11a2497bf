//! How fast a machine does each kind of work.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Workload;
use crate::Error;
use crate::config::TaskConfig;
use crate::ron_text;

/// Seconds of the parts of a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Whatever the size.
    pub call: f64,
    /// For each floating-point operation of the matrix products.
    pub operation: f64,
    /// For each number between layers.
    pub value: f64,
}

/// What the parts of a gradient cost on one thread of some machine; a part that is not listed costs as much as the dearest one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimingTable {
    /// By architecture.
    pub models: BTreeMap<String, Rates>,
    /// Seconds for each number in the inputs of a batch, by the generator of fresh rows; `Rows` for rows in memory.
    pub data: BTreeMap<String, f64>,
    /// Seconds for each parameter, by augmentation; of estimates for each pair or direction too.
    pub augmentations: BTreeMap<String, f64>,
}

impl TimingTable {
    /// The table that is part of this version: see `tasks/configs/timing.ron` for the machine.
    pub fn bundled() -> Self {
        ron_text::parse("timing.ron", include_str!("../../configs/timing.ron")).expect("the bundled table is sound")
    }

    /// Reads a table that `tasks time` has written.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read, [`Error::CorruptData`] and [`Error::InvalidField`] for what it says wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let table: Self = ron_text::read(path)?;
        table.check()?;
        Ok(table)
    }

    /// The table as RON.
    pub fn to_ron(&self) -> String {
        ron_text::pretty(self)
    }

    /// Refuses times that are negative or not finite, and empty lists.
    ///
    /// # Errors
    /// [`Error::InvalidField`] naming the entry.
    pub fn check(&self) -> Result<(), Error> {
        let models = self.models.iter().flat_map(|(name, rates)| {
            [rates.call, rates.operation, rates.value].map(|seconds| (format!("timing.models[{name:?}]"), seconds))
        });
        let data = self.data.iter().map(|(name, &seconds)| (format!("timing.data[{name:?}]"), seconds));
        let augmentations =
            self.augmentations.iter().map(|(name, &seconds)| (format!("timing.augmentations[{name:?}]"), seconds));
        for (field, seconds) in models.chain(data).chain(augmentations) {
            if !(seconds.is_finite() && seconds >= 0.0) {
                return Err(Error::invalid(field, seconds, "a number of seconds, zero or more"));
            }
        }
        for (field, entries) in
            [("models", self.models.len()), ("data", self.data.len()), ("augmentations", self.augmentations.len())]
        {
            if entries == 0 {
                return Err(Error::invalid(format!("timing.{field}"), "empty", "at least one entry"));
            }
        }
        Ok(())
    }

    /// Seconds of one gradient of `config`.
    ///
    /// Only exactly rounded operations are used: every machine gets the same bits.
    ///
    /// # Errors
    /// As [`Workload::of`].
    pub fn seconds(&self, config: &TaskConfig) -> Result<f64, Error> {
        Ok(self.seconds_of(&Workload::of(config)?, config))
    }

    /// Seconds of one gradient of `config`, whose work has been counted.
    pub(crate) fn seconds_of(&self, work: &Workload, config: &TaskConfig) -> f64 {
        let model = |rates: &Rates| rates.call + work.operations * rates.operation + work.values * rates.value;
        let plain = self.models.get(work.architecture).map_or_else(|| dearest(self.models.values().map(model)), model);
        let data = if work.batches > 0.0 { listed(&self.data, work.source) } else { 0.0 };
        let augmentations = config.augmentations.iter().map(|augmentation| {
            let (kind, passes) = augmentation.passes();
            if passes == 0.0 { 0.0 } else { passes * listed(&self.augmentations, kind) }
        });
        work.gradients * plain
            + work.batches * work.numbers * data
            + work.parameters as f64 * augmentations.sum::<f64>()
    }
}

fn listed(entries: &BTreeMap<String, f64>, name: &str) -> f64 {
    entries.get(name).copied().unwrap_or_else(|| dearest(entries.values().copied()))
}

fn dearest(seconds: impl Iterator<Item = f64>) -> f64 {
    seconds.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Augmentation;
    use crate::family::families;
    use crate::registry::named;

    fn table() -> TimingTable {
        let entries = |name: &str, seconds: f64| BTreeMap::from([(name.to_owned(), seconds)]);
        TimingTable {
            models: BTreeMap::from([("Mlp".to_owned(), Rates { call: 1.0, operation: 0.5, value: 0.25 })]),
            data: entries("Rows", 0.125),
            augmentations: entries("GradientNoise", 2.0),
        }
    }

    #[test]
    fn the_parts_add_up() {
        let mut config = named("digits_logistic").unwrap();
        config.batch_size = 2;
        // 64·10 weights, 2 rows, twice a multiplication and an addition, thrice for forward and backward.
        let expected = 1.0 + 0.5 * (6 * 2 * 640) as f64 + 0.25 * 20.0 + 0.125 * 128.0;
        assert_eq!(table().seconds(&config).unwrap(), expected);
        config.augmentations = vec![Augmentation::GradientNoise { relative: 1.0, seed: 0 }];
        assert_eq!(table().seconds(&config).unwrap(), expected + 2.0 * 650.0);
    }

    #[test]
    fn the_bundled_table_knows_every_part_of_every_family() {
        let table = TimingTable::bundled();
        table.check().unwrap();
        for config in families().iter().flat_map(|family| (0..50).map(|seed| family.sample(seed))) {
            let work = Workload::of(&config).unwrap();
            assert!(table.models.contains_key(work.architecture), "{}", work.architecture);
            assert!(work.batches == 0.0 || table.data.contains_key(work.source), "{}", work.source);
            let seconds = table.seconds(&config).unwrap();
            assert!((1e-8..0.1).contains(&seconds), "{seconds}: {config:?}");
        }
    }

    #[test]
    fn senseless_times_are_refused_by_name() {
        let mut bad = table();
        bad.data.insert("Glyphs".to_owned(), -1.0);
        let message = bad.check().unwrap_err().to_string();
        assert_eq!(message, "timing.data[\"Glyphs\"] is -1, expected a number of seconds, zero or more");
        bad.data.clear();
        assert_eq!(bad.check().unwrap_err().to_string(), "timing.data is empty, expected at least one entry");
    }
}
