//! How often a contender is ahead, and by how much it falls short where it is behind.
//!
//! Probability of improvement of `X` over `Y` (Agarwal et al. 2021, arXiv 2108.13264), a Mann–Whitney statistic for each
//! problem, averaged over the problems that both have run:
//!
//! ```text
//! P = mean over problems of  1/(n m) Σᵢ Σⱼ S(xᵢ, yⱼ)        S = 1 if xᵢ is the lower loss, 1/2 if they are equal, else 0
//! ```
//!
//! Optimality gap of ratios `r` against the target 1: `mean(max(0, 1 - r))`, `0` for a contender that is never behind.

use velo_comparison::score::{TaskRatios, stratified_bootstrap};
use velo_comparison::{Metric, Trial, figure::Interval};

use super::reported;

/// The probability that a run of `contender` ends lower than one of `other`, with its interval over seeds.
pub fn probability(
    trials: &[Trial],
    problems: &[&str],
    contender: &str,
    other: &str,
    metric: Metric,
) -> Option<Interval> {
    let losses = |problem: &str, label: &str| -> Vec<f64> {
        reported(trials, problem, label).iter().map(|trial| trial.loss(metric)).collect()
    };
    // A stratum holds, for each run of the contender, its share of wins over all runs of the other.
    let strata: Vec<Vec<f64>> = problems
        .iter()
        .map(|problem| {
            let (own, others) = (losses(problem, contender), losses(problem, other));
            let wins = |&loss: &f64| mann_whitney_wins(loss, &others) / others.len() as f64;
            if others.is_empty() { Vec::new() } else { own.iter().map(wins).collect() }
        })
        .filter(|wins: &Vec<f64>| !wins.is_empty())
        .collect();
    // Problems weigh the same however many seeds they have; here all have as many.
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let strata: Vec<&[f64]> = strata.iter().map(Vec::as_slice).collect();
    stratified_bootstrap(&strata, mean, 2000, 0)
}

fn mann_whitney_wins(loss: f64, others: &[f64]) -> f64 {
    let against = |other: &f64| match loss.total_cmp(other) {
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 0.0,
    };
    others.iter().map(against).sum()
}

/// The mean shortfall of ratios below one; none without ratios.
pub fn optimality_gap(tasks: &[TaskRatios]) -> Option<f64> {
    let ratios: Vec<f64> = tasks.iter().flat_map(|task| &task.ratios).copied().collect();
    let shortfall = ratios.iter().map(|ratio| (1.0 - ratio).max(0.0)).sum::<f64>();
    (!ratios.is_empty()).then(|| shortfall / ratios.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::trial;

    #[test]
    fn the_probability_counts_wins_and_half_of_the_ties() {
        let run = |task, label, seed, loss| trial(task, label, seed, &[loss], &[loss]);
        let trials = [
            run("a", "x", 0, 1.0),
            run("a", "x", 1, 2.0),
            run("a", "y", 0, 2.0),
            run("a", "y", 1, 3.0),
            run("b", "x", 0, 5.0),
            run("b", "y", 0, 4.0),
            run("b", "x", 1, 5.0),
            run("b", "y", 1, 4.0),
        ];
        // On a: (1<2, 1<3, 2=2, 2<3) = 3.5 of 4; on b none of 4.
        let found = probability(&trials, &["a", "b"], "x", "y", Metric::TrainLoss).unwrap();
        assert_eq!(found.value, (0.875 + 0.0) / 2.0);
        assert!(found.low <= found.value && found.value <= found.high);
        let converse = probability(&trials, &["a", "b"], "y", "x", Metric::TrainLoss).unwrap();
        assert_eq!(converse.value, 1.0 - found.value);
        assert_eq!(probability(&trials, &["c"], "x", "y", Metric::TrainLoss), None);
    }

    #[test]
    fn a_gap_is_the_mean_shortfall_and_gains_do_not_make_up_for_it() {
        let tasks = [TaskRatios { task: "a".to_owned(), ratios: vec![0.5, 1.5, 9.0, 0.9] }];
        assert!((optimality_gap(&tasks).unwrap() - (0.5 + 0.1) / 4.0).abs() < 1e-12);
        assert_eq!(optimality_gap(&[]), None);
    }
}
