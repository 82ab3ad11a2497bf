//! What validation runs, as the configuration spells it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use velo_tasks::TaskConfig;
use velo_tasks::registry::{Group, named};

use crate::Error;

/// How the theta that is frozen is chosen among those that training passed through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// Outer steps between two snapshots.
    pub every: u64,
    /// Tasks, by registered name.
    pub tasks: Vec<String>,
    /// Inner steps of each run.
    pub steps: u64,
    /// Seeds on which every snapshot is judged.
    pub seeds: u64,
    /// Whether snapshots are told the number of steps; the baselines are. Without, an optimizer is chosen for runs whose end
    /// is not known.
    pub tells_horizon: bool,
    /// Step multipliers that a snapshot may choose from per task; one for none to choose.
    pub step_multipliers: Vec<f32>,
    /// Snapshots that are judged again in the end.
    pub candidates: usize,
    /// Seeds of that, different from all others.
    pub fresh_seeds: u64,
    /// Seeds on which the baseline is tuned.
    pub tuning_seeds: u64,
    /// Rates tried for AdamW with warm-up and cosine.
    pub adamw_rates: Vec<f32>,
    /// Decays tried with each of them.
    pub adamw_decays: Vec<f32>,
    /// Folder that keeps the trials of the baselines, also for other runs; none keeps them in the run's folder alone.
    pub cache: Option<PathBuf>,
    /// Threads beside the workers; all of them once training is over.
    pub threads: usize,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self {
            every: 500,
            tasks: Group::Validation.tasks().map(|task| task.config.name.clone()).collect(),
            steps: 500,
            seeds: 2,
            tells_horizon: true,
            step_multipliers: vec![1.0],
            candidates: 3,
            fresh_seeds: 5,
            tuning_seeds: 1,
            adamw_rates: vec![3e-4, 1e-3, 3e-3, 1e-2, 2e-2, 3e-2, 6e-2, 1e-1],
            adamw_decays: vec![0.0],
            cache: None,
            threads: 1,
        }
    }
}

impl ValidationConfig {
    /// Resolves the names and checks ranges.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field; the tasks crate's error for an unknown name.
    pub fn check(&self) -> Result<Vec<TaskConfig>, Error> {
        for (field, count) in [
            ("every", self.every),
            ("tasks (its length)", self.tasks.len() as u64),
            ("steps", self.steps),
            ("seeds", self.seeds),
            ("step_multipliers (its length)", self.step_multipliers.len() as u64),
            ("candidates", self.candidates as u64),
            ("fresh_seeds", self.fresh_seeds),
            ("tuning_seeds", self.tuning_seeds),
            ("adamw_rates (its length)", self.adamw_rates.len() as u64),
            ("adamw_decays (its length)", self.adamw_decays.len() as u64),
            ("threads", self.threads as u64),
        ] {
            if count == 0 {
                return Err(Error::config(format!("validation.{field}"), count, "at least 1"));
            }
        }
        let multipliers = self.step_multipliers.iter().map(|&value| ("step_multipliers", value));
        for (field, value) in multipliers.chain(self.adamw_rates.iter().map(|&value| ("adamw_rates", value))) {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::config(format!("validation.{field}"), value, "a finite number above 0"));
            }
        }
        if let Some(decay) = self.adamw_decays.iter().find(|decay| !(**decay >= 0.0 && decay.is_finite())) {
            return Err(Error::config("validation.adamw_decays", decay, "a finite number, 0 or above"));
        }
        Ok(self.tasks.iter().map(|name| named(name)).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_validates_on_the_twelve_validation_tasks() {
        assert_eq!(ValidationConfig::default().check().unwrap().len(), 12);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let message = |config: ValidationConfig| config.check().unwrap_err().to_string();
        let none = ValidationConfig { seeds: 0, ..Default::default() };
        assert_eq!(message(none), "validation.seeds is 0, expected at least 1");
        let negative = ValidationConfig { adamw_rates: vec![1e-3, -1.0], ..Default::default() };
        assert_eq!(message(negative), "validation.adamw_rates is -1, expected a finite number above 0");
        let unknown = ValidationConfig { tasks: vec!["validation_spiral".to_owned()], ..Default::default() };
        assert!(message(unknown).contains("validation_spirals"));
    }
}
