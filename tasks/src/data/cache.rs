//! Data sets in use, shared by configuration.
//!
//! Meta-training resets tasks all the time and meets the same data again, in many threads. The cache holds the
//! most recently used data sets up to a number of bytes; it changes how fast a data set comes, never its contents.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DataConfig, Dataset};
use crate::Error;

/// Bytes of rows kept; a data set in use by a task stays alive beyond this.
const CAPACITY_BYTES: usize = 256 << 20;

static CACHE: Mutex<Cache> = Mutex::new(Cache::new(CAPACITY_BYTES));

/// The cached data set of `config`, or the one that `build` makes.
///
/// Building happens outside the lock: two threads that ask at once may both build, and share the first result.
pub(super) fn get_or_build(
    config: &DataConfig,
    build: impl FnOnce() -> Result<Dataset, Error>,
) -> Result<Arc<Dataset>, Error> {
    if let Some(found) = lock().get(config) {
        return Ok(found);
    }
    let built = Arc::new(build()?);
    Ok(lock().insert(config, built))
}

fn lock() -> MutexGuard<'static, Cache> {
    // The entries are valid between any two statements, so a panic elsewhere does not spoil them.
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Least recently used first.
struct Cache {
    entries: Vec<(DataConfig, Arc<Dataset>)>,
    capacity_bytes: usize,
    used_bytes: usize,
}

impl Cache {
    const fn new(capacity_bytes: usize) -> Self {
        Self { entries: Vec::new(), capacity_bytes, used_bytes: 0 }
    }

    fn get(&mut self, config: &DataConfig) -> Option<Arc<Dataset>> {
        let position = self.entries.iter().position(|(known, _)| known == config)?;
        self.entries[position..].rotate_left(1);
        self.entries.last().map(|(_, dataset)| Arc::clone(dataset))
    }

    fn insert(&mut self, config: &DataConfig, dataset: Arc<Dataset>) -> Arc<Dataset> {
        if let Some(found) = self.get(config) {
            return found;
        }
        self.used_bytes += dataset.memory_bytes();
        self.entries.push((config.clone(), Arc::clone(&dataset)));
        let mut surplus = 0;
        while self.used_bytes > self.capacity_bytes && surplus + 1 < self.entries.len() {
            self.used_bytes -= self.entries[surplus].1.memory_bytes();
            surplus += 1;
        }
        self.entries.drain(..surplus);
        dataset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{GaussianMixtureConfig, RowCount};

    fn config(seed: u64) -> DataConfig {
        let config = GaussianMixtureConfig { seed, rows: RowCount::Fixed(100), ..GaussianMixtureConfig::default() };
        DataConfig::GaussianMixture(config)
    }

    fn build(config: &DataConfig) -> Arc<Dataset> {
        let DataConfig::GaussianMixture(mixture) = config else { unreachable!("made above") };
        Arc::new(mixture.generate())
    }

    #[test]
    fn equal_configurations_share_one_data_set() {
        assert!(Arc::ptr_eq(&config(1).load().unwrap(), &config(1).load().unwrap()));
        assert!(!Arc::ptr_eq(&config(1).load().unwrap(), &config(2).load().unwrap()));
    }

    #[test]
    fn the_least_recently_used_data_set_goes_first() {
        let size = build(&config(0)).memory_bytes();
        let mut cache = Cache::new(2 * size);
        for seed in 0..2 {
            cache.insert(&config(seed), build(&config(seed)));
        }
        assert!(cache.get(&config(0)).is_some());
        cache.insert(&config(2), build(&config(2)));
        assert!(cache.get(&config(1)).is_none());
        assert!(cache.get(&config(0)).is_some() && cache.get(&config(2)).is_some());
        assert_eq!(cache.used_bytes, 2 * size);
    }
}
