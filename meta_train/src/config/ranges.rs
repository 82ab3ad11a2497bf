//! Counts and numbers that a run can take.

use super::Config;
use crate::Error;

/// Every pair keeps two whole training runs in memory; more than this is a slip of the hand.
const MAX_PAIRS: u64 = 65_536;

impl Config {
    pub(super) fn check_counts(&self) -> Result<(), Error> {
        for (field, value) in [
            ("estimator.pairs", self.estimator.pairs),
            ("budget.outer_steps", self.budget.outer_steps),
            ("checkpoints.every", self.checkpoints.every),
            ("checkpoints.keep", self.checkpoints.keep as u64),
            ("selection.tasks", self.selection.tasks),
            ("selection.steps", self.selection.steps),
            ("selection.step_sizes (its length)", self.selection.step_sizes.len() as u64),
            ("selection.weight_decays (its length)", self.selection.weight_decays.len() as u64),
            ("evaluation.seeds", self.evaluation.seeds),
            ("evaluation.tuning_seeds", self.evaluation.tuning_seeds),
            ("evaluation.steps", self.evaluation.steps),
            ("evaluation.adamw_rates (its length)", self.evaluation.adamw_rates.len() as u64),
            ("pool", self.pool.unwrap_or(1)),
            ("estimator.orthogonal", self.estimator.orthogonal.unwrap_or(1) as u64),
        ] {
            if value == 0 {
                return Err(Error::config(field, value, "at least 1"));
            }
        }
        let pairs = self.stages.iter().filter_map(|stage| stage.pairs).chain([self.estimator.pairs]);
        for (index, pairs) in pairs.enumerate() {
            if !(1..=MAX_PAIRS).contains(&pairs) {
                let field = if index == self.stages.len() { "estimator.pairs" } else { "stages.pairs" };
                return Err(Error::config(field, pairs, format!("at most {MAX_PAIRS}, at least 1")));
            }
        }
        Ok(())
    }

    pub(super) fn check_numbers(&self) -> Result<(), Error> {
        let outer = &self.outer;
        let positive = [
            ("estimator.sigma", self.estimator.sigma),
            ("outer.learning_rate", outer.learning_rate),
            ("outer.clip_norm", outer.clip_norm),
            ("outer.gap_clip", outer.gap_clip),
        ];
        let sizes = self.selection.step_sizes.iter().map(|&size| ("selection.step_sizes", size));
        let rates = self.evaluation.adamw_rates.iter().map(|&rate| ("evaluation.adamw_rates", rate));
        for (field, value) in positive.into_iter().chain(sizes).chain(rates) {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::config(field, value, "a finite number above 0"));
            }
        }
        for (field, value) in
            [("outer.warmup", outer.warmup), ("outer.floor", outer.floor), ("outer.average_decay", outer.average_decay)]
        {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::config(field, value, "a fraction in [0, 1)"));
            }
        }
        for (field, value) in self.selection.weight_decays.iter().map(|&decay| ("selection.weight_decays", decay)) {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::config(field, value, "a finite number, 0 or above"));
            }
        }
        if !(0.0..=1.0).contains(&self.selection.held_out_weight) {
            let found = self.selection.held_out_weight;
            return Err(Error::config("selection.held_out_weight", found, "a fraction in [0, 1]"));
        }
        if self.budget.max_seconds.is_some_and(|seconds| seconds.is_nan() || seconds <= 0.0) {
            let found = format!("{:?}", self.budget.max_seconds);
            return Err(Error::config("budget.max_seconds", found, "a number of seconds above 0, or None"));
        }
        Ok(())
    }
}
