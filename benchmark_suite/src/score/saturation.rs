//! Problems that no longer tell optimizers apart by their losses.
//!
//! Where the tuned baseline ends within a factor two of the floor of ratios, `L ≤ 2 f R` with `f` the floor and `R` the
//! task's reference loss, a ratio compares floors and not optimizers. Such a problem is left out of the loss ratio; how
//! fast a target is reached on it still counts.

use velo_comparison::score::ScoreRules;
use velo_comparison::{Metric, Trial};

use super::{median, reported};

/// Whether the median of the baseline's final losses is within a factor two of the floor.
pub fn is_saturated(trials: &[Trial], problem: &str, baseline: &str, metric: Metric, rules: &ScoreRules) -> bool {
    let own = reported(trials, problem, baseline);
    let Some(reference) = own.iter().find_map(|trial| Some(trial.outcome.as_ref().ok()?.reference_loss)) else {
        return false;
    };
    let losses = own.iter().map(|trial| trial.loss(metric)).collect();
    median(losses).is_some_and(|loss| loss <= 2.0 * rules.floor * f64::from(reference))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::trial;

    #[test]
    fn a_problem_is_saturated_when_the_baseline_is_within_a_factor_two_of_the_floor() {
        let rules = ScoreRules { floor: 0.01, ..ScoreRules::default() };
        let run = |losses: [f32; 3]| {
            let trials: Vec<_> =
                (0..3).map(|seed| trial("a", "base", seed, &[losses[seed as usize]], &[0.5])).collect();
            [Metric::TrainLoss, Metric::ValidationLoss].map(|metric| is_saturated(&trials, "a", "base", metric, &rules))
        };
        assert_eq!(run([0.0199, 0.001, 0.9]), [true, false], "the median is below 2 · 0.01 · 1");
        assert_eq!(run([0.0201, 0.001, 0.9]), [false, false]);
        assert!(!is_saturated(&[], "a", "base", Metric::TrainLoss, &rules));
    }
}
