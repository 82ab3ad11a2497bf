//! How a snapshot stands against the tuned baselines, and which one is the best.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use velo_comparison::figure::Interval;
use velo_comparison::score::{self, ScoreRules};
use velo_comparison::{Metric, Trial};

/// AdamW with warm-up and cosine, its setting chosen per task by training loss.
pub const TUNED: &str = "AdamW tuned";

/// The same, chosen by validation loss.
pub const TUNED_FOR_VALIDATION: &str = "AdamW tuned (validation)";

/// The ratios of one snapshot to the tuned baselines: above one is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Outer steps that the snapshot had seen.
    pub generation: u64,
    /// Interquartile mean of the ratios of training loss to [`TUNED`].
    pub train: Interval,
    /// Interquartile mean of the ratios of validation loss to [`TUNED_FOR_VALIDATION`].
    pub validation: Interval,
    /// Interquartile mean of all of them together.
    pub both: Interval,
}

impl Standing {
    /// Of `contender` in `trials`, which hold the baselines, too; none without any common seed.
    pub fn of(generation: u64, contender: &str, trials: &[Trial]) -> Option<Self> {
        let rules = ScoreRules::default();
        let ratios = |baseline, metric| score::ratios(trials, contender, baseline, metric, &rules);
        let train = ratios(TUNED, Metric::TrainLoss);
        let validation = ratios(TUNED_FOR_VALIDATION, Metric::ValidationLoss);
        let both = [&train[..], &validation[..]].concat();
        Some(Self {
            generation,
            train: score::aggregate(&train, &rules)?,
            validation: score::aggregate(&validation, &rules)?,
            both: score::aggregate(&both, &rules)?,
        })
    }
}

impl Display for Standing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [train, validation] = [self.train, self.validation].map(with_interval);
        write!(
            f,
            "snapshot of outer step {}: ratio to {TUNED} {train} in training, {validation} in validation",
            self.generation
        )
    }
}

/// A ratio and its interval to three digits: `1.042 (1.031 to 1.053)`.
pub(crate) fn with_interval(Interval { value, low, high }: Interval) -> String {
    format!("{value:.3} ({low:.3} to {high:.3})")
}

/// Best first: by the lower bound of the interval over both losses; the earlier of equals.
pub fn ranked(mut standings: Vec<Standing>) -> Vec<Standing> {
    standings.sort_by(|a, b| b.both.low.total_cmp(&a.both.low).then(a.generation.cmp(&b.generation)));
    standings
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A snapshot with the same ratio for both losses.
    pub(crate) fn standing(generation: u64, low: f64, value: f64) -> Standing {
        let interval = Interval { low, value, high: 2.0 * value - low };
        Standing { generation, train: interval, validation: interval, both: interval }
    }

    #[test]
    fn a_sure_good_one_goes_before_an_unsure_better_one() {
        let order = ranked(vec![standing(1, 0.5, 3.0), standing(2, 0.9, 1.0), standing(3, 0.9, 1.1)]);
        assert_eq!(order.iter().map(|standing| standing.generation).collect::<Vec<_>>(), [2, 3, 1]);
    }
}
