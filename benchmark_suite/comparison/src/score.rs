//! From final losses to one number per contender with an honest interval.
//!
//! For task `k`, seed `s` and a baseline `B`, the ratio of contender `C` is
//!
//! ```text
//! r(k, s) = clamp( (L_B(k, s) + f·R(k)) / (L_C(k, s) + f·R(k)),  1/cap,  cap )
//! ```
//!
//! `R` is the task's reference loss; above one, the contender ended lower. The floor `f` keeps losses near zero from
//! deciding everything, the cap bounds what one task can contribute. A failed trial counts `1/cap`. Ratios are
//! aggregated by the interquartile mean over tasks × seeds, with a 95 % interval from a bootstrap that draws seeds
//! with replacement *within each task* (Agarwal et al. 2021, arXiv 2108.13264). The draws are counter-based: the
//! same ratios give the same interval.

use serde::{Deserialize, Serialize};
use velo_tasks::rng::Stream;

use crate::Error;
use crate::figure::Interval;
use crate::trial::{Metric, Role, Trial};

/// The constants of a score; they belong beside every number that it gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreRules {
    /// Added to both losses, as a share of the task's reference loss.
    pub floor: f64,
    /// Largest ratio that one trial may contribute, and the inverse of the smallest.
    pub cap: f64,
    /// Resamples of the bootstrap.
    pub resamples: u32,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for ScoreRules {
    fn default() -> Self {
        Self { floor: 1e-3, cap: 10.0, resamples: 2000, seed: 0 }
    }
}

impl ScoreRules {
    /// Refuses constants that make no score.
    ///
    /// # Errors
    /// [`Error::InvalidField`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |field: &str, found: String, expected: &str| {
            Err(Error::InvalidField {
                field: format!("score.{field}"),
                problem: format!("is {found}, expected {expected}"),
            })
        };
        if !(0.0..=1.0).contains(&self.floor) {
            return refuse("floor", self.floor.to_string(), "a share of the reference loss, 0 to 1");
        }
        if !(self.cap > 1.0 && self.cap.is_finite()) {
            return refuse("cap", self.cap.to_string(), "a finite ratio above 1");
        }
        if !(100..=1_000_000).contains(&self.resamples) {
            return refuse("resamples", self.resamples.to_string(), "100 to 1000000");
        }
        Ok(())
    }
}

/// The ratios of one contender on one task, a seed each.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRatios {
    /// The task.
    pub task: String,
    /// One ratio per seed that both contender and baseline ran.
    pub ratios: Vec<f64>,
}

/// The ratios of `contender` to `baseline` on every task, in the order of the trials.
pub fn ratios(
    trials: &[Trial],
    contender: &str,
    baseline: &str,
    metric: Metric,
    rules: &ScoreRules,
) -> Vec<TaskRatios> {
    let reported = |label: &str| -> Vec<&Trial> {
        trials.iter().filter(|trial| trial.role == Role::Report && trial.contender == label).collect()
    };
    let (own, others) = (reported(contender), reported(baseline));
    let mut tasks: Vec<TaskRatios> = Vec::new();
    for trial in own {
        let same = |other: &&&Trial| other.task == trial.task && other.seed == trial.seed;
        let Some(other) = others.iter().find(same) else { continue };
        let ratio = ratio(other, trial, metric, rules);
        match tasks.iter_mut().find(|task| task.task == trial.task) {
            Some(task) => task.ratios.push(ratio),
            None => tasks.push(TaskRatios { task: trial.task.clone(), ratios: vec![ratio] }),
        }
    }
    tasks
}

fn ratio(baseline: &Trial, contender: &Trial, metric: Metric, rules: &ScoreRules) -> f64 {
    match (&baseline.outcome, &contender.outcome) {
        (Ok(baseline), Ok(contender)) => {
            let floor = rules.floor * f64::from(contender.reference_loss);
            let ratio = (baseline.loss(metric) + floor) / (contender.loss(metric) + floor);
            ratio.clamp(1.0 / rules.cap, rules.cap)
        }
        (_, Err(_)) => 1.0 / rules.cap,
        (Err(_), Ok(_)) => rules.cap,
    }
}

/// The interquartile mean over all ratios, with its bootstrap interval; `None` without any ratio.
pub fn aggregate(tasks: &[TaskRatios], rules: &ScoreRules) -> Option<Interval> {
    let strata: Vec<&[f64]> = tasks.iter().map(|task| task.ratios.as_slice()).collect();
    stratified_bootstrap(&strata, interquartile_mean, rules.resamples, rules.seed)
}

/// The geometric mean of one task's ratios, with its bootstrap interval over seeds; `None` without any ratio.
pub fn aggregate_task(task: &TaskRatios, rules: &ScoreRules) -> Option<Interval> {
    stratified_bootstrap(&[&task.ratios], geometric_mean, rules.resamples, rules.seed)
}

/// The mean of what is left when the lowest and the highest quarter (rounded down) are dropped; NaN for no values.
pub fn interquartile_mean(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let dropped = sorted.len() / 4;
    let middle = &sorted[dropped..sorted.len() - dropped];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// `exp(mean(ln x))` for positive values; NaN for no values.
pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// `statistic` of all values with the 2.5th and 97.5th percentile of its values over resamples, each of which draws
/// within every stratum as many values as it has, with replacement. `None` when there is no value.
pub fn stratified_bootstrap(
    strata: &[&[f64]],
    statistic: impl Fn(&[f64]) -> f64,
    resamples: u32,
    seed: u64,
) -> Option<Interval> {
    let all = strata.concat();
    if all.is_empty() {
        return None;
    }
    let resampled = |resample: u32| {
        let stream = Stream::new(seed, u64::from(resample));
        let mut values = Vec::with_capacity(all.len());
        for stratum in strata {
            for _ in 0..stratum.len() {
                let pick = stream.below(values.len() as u64, stratum.len() as u64);
                values.push(stratum[pick as usize]);
            }
        }
        statistic(&values)
    };
    let mut statistics: Vec<f64> = (0..resamples).map(resampled).collect();
    statistics.sort_by(f64::total_cmp);
    let value = statistic(&all);
    let (low, high) = (percentile(&statistics, 0.025), percentile(&statistics, 0.975));
    Some(Interval { value, low: low.unwrap_or(value), high: high.unwrap_or(value) })
}

/// The value below which `share` of the sorted values lie, interpolated between neighbours.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (place - below as f64) * (sorted[above] - sorted[below]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::trial;

    const EXACT: ScoreRules = ScoreRules { floor: 0.0, cap: 10.0, resamples: 2000, seed: 7 };

    #[test]
    fn the_interquartile_mean_ignores_a_quarter_on_both_sides() {
        assert_eq!(interquartile_mean(&[1000.0, 1.0, 3.0, -50.0]), 2.0);
        assert_eq!(interquartile_mean(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0]), (3.0 + 4.0 + 5.0 + 6.0) / 4.0);
        // Fewer than four values: nothing can be dropped.
        assert_eq!(interquartile_mean(&[1.0, 2.0, 6.0]), 3.0);
    }

    #[test]
    fn ratios_pair_seeds_and_respect_floor_and_cap() {
        let trials = [
            trial("a", "base", 1, 0.8, 1.0),
            trial("a", "base", 2, 0.1, 1.0),
            trial("a", "new", 2, 0.4, 0.5),
            trial("a", "new", 1, 0.2, 1.0),
            trial("b", "base", 1, 5.0, 1.0),
            trial("b", "new", 1, 0.0, 1.0),
            trial("b", "new", 9, 0.0, 1.0),
        ];
        let found = ratios(&trials, "new", "base", Metric::TrainLoss, &EXACT);
        assert_eq!(found.len(), 2);
        // 0.1 / 0.4 for seed 2, 0.8 / 0.2 for seed 1; the stored losses are f32.
        assert!((found[0].ratios[0] - 0.25).abs() < 1e-7 && (found[0].ratios[1] - 4.0).abs() < 1e-6, "{found:?}");
        assert_eq!(found[1].ratios, [10.0], "a loss of zero is capped, a seed without baseline left out");
        // With a floor of one the ratio on b is (5 + 1) / (0 + 1).
        let floored = ratios(&trials, "new", "base", Metric::TrainLoss, &ScoreRules { floor: 1.0, ..EXACT });
        assert_eq!(floored[1].ratios, [6.0]);
        let validation = ratios(&trials, "new", "base", Metric::ValidationLoss, &EXACT);
        assert_eq!(validation[0].ratios, [2.0, 1.0]);
    }

    #[test]
    fn a_failed_trial_gets_the_worst_ratio_and_a_failed_baseline_the_best() {
        let mut failed = trial("a", "new", 1, 0.0, 0.0);
        failed.outcome = Err("panicked".to_owned());
        let trials = [trial("a", "base", 1, 1.0, 1.0), failed];
        assert_eq!(ratios(&trials, "new", "base", Metric::TrainLoss, &EXACT)[0].ratios, [0.1]);
        assert_eq!(ratios(&trials, "base", "new", Metric::TrainLoss, &EXACT)[0].ratios, [10.0]);
    }

    #[test]
    fn the_geometric_mean_of_a_ratio_and_its_inverse_is_one() {
        assert!((geometric_mean(&[4.0, 0.25]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_bootstrap_stays_within_strata() {
        // Within each stratum all values agree, so every resample is the sample itself.
        let strata: [&[f64]; 2] = [&[1.0, 1.0, 1.0], &[5.0, 5.0, 5.0]];
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let interval = stratified_bootstrap(&strata, mean, 500, 0).unwrap();
        assert_eq!((interval.low, interval.value, interval.high), (3.0, 3.0, 3.0));
    }

    #[test]
    fn the_bootstrap_interval_of_a_mean_has_the_width_of_theory() {
        // Ten zeros and ten ones: the mean of a resample is binomial(20, 1/2) / 20, with a standard deviation of
        // 0.1118, so the central 95 % are the 6th to the 14th of twenty.
        let values: Vec<f64> = (0..20).map(|i| f64::from(i % 2)).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let interval = stratified_bootstrap(&[&values], mean, 4000, 3).unwrap();
        assert_eq!((interval.low, interval.value, interval.high), (0.3, 0.5, 0.7));
        assert_eq!(stratified_bootstrap(&[&values], mean, 4000, 3).unwrap(), interval);
    }

    #[test]
    fn constants_that_make_no_score_are_refused() {
        let message = ScoreRules { cap: 1.0, ..EXACT }.check().unwrap_err().to_string();
        assert_eq!(message, "score.cap: is 1, expected a finite ratio above 1");
        assert!(ScoreRules { floor: f64::NAN, ..EXACT }.check().is_err());
        assert!(EXACT.check().is_ok());
    }

    #[test]
    fn percentiles_interpolate_between_neighbours() {
        assert_eq!(percentile(&[0.0, 10.0], 0.25), Some(2.5));
        assert_eq!(percentile(&[4.0], 0.975), Some(4.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn without_common_trials_there_is_no_score() {
        assert_eq!(aggregate(&ratios(&[], "new", "base", Metric::TrainLoss, &EXACT), &EXACT), None);
    }
}
