//! AlgoPerf's score (arXiv 2306.07179): how soon a contender reaches a target on held-out rows, beside the fastest.
//!
//! The target of a problem is what the tuned baseline ends with, and a little more:
//!
//! ```text
//! target = (1 + slack) · median over seeds of the baseline's final validation loss
//! t(c, k) = median over seeds of the first step at which the running minimum of the validation loss is at the target
//! r(c, k) = t(c, k) / min over contenders of t(·, k)           ∞ where it was not reached
//! ρ_c(τ) = share of the problems with r(c, k) ≤ τ
//! score = ∫₁⁴ ρ_c(τ) dτ / 3 = mean over problems of max(0, 4 - r(c, k)) / 3
//! ```
//!
//! A problem on which a contender fails one of the problem's variants (misses the variant's target) counts as missed.
//! Steps are counted and not seconds: trials share the machine.

use velo_comparison::{Metric, Trial};

use super::{median, reported};

/// Ratios beyond this count as missed.
pub const LARGEST_RATIO: f64 = 4.0;

/// `t(c, k)` of every contender on every problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// The contenders.
    pub contenders: Vec<String>,
    /// The problems that are no variants and have a target.
    pub problems: Vec<String>,
    /// Steps, by contender and problem; infinite where the target was missed.
    pub steps: Vec<Vec<f64>>,
}

/// Problems with the name of what they are a variant of.
pub type Problems<'a> = [(&'a str, Option<&'a str>)];

impl Times {
    /// The times that the trials show.
    pub fn of(trials: &[Trial], contenders: &[&str], problems: &Problems, baseline: &str, slack: f64) -> Self {
        let targets: Vec<_> = problems.iter().map(|(name, _)| target(trials, name, baseline, slack)).collect();
        let kept: Vec<usize> =
            (0..problems.len()).filter(|&at| problems[at].1.is_none() && targets[at].is_some()).collect();
        let time = |contender: &str, at: usize| match targets[at] {
            Some(target) => steps_to(trials, problems[at].0, contender, target),
            None => f64::INFINITY,
        };
        let time_with_variants = |contender: &str, at: usize| {
            let failed = (0..problems.len())
                .filter(|&other| problems[other].1 == Some(problems[at].0) && targets[other].is_some())
                .any(|other| time(contender, other).is_infinite());
            if failed { f64::INFINITY } else { time(contender, at) }
        };
        Self {
            contenders: contenders.iter().map(|&label| label.to_owned()).collect(),
            problems: kept.iter().map(|&at| problems[at].0.to_owned()).collect(),
            steps: contenders
                .iter()
                .map(|label| kept.iter().map(|&at| time_with_variants(label, at)).collect())
                .collect(),
        }
    }

    /// `r(c, k)` of one contender.
    pub fn ratios(&self, contender: usize) -> Vec<f64> {
        let fastest = |at: usize| self.steps.iter().map(|own| own[at]).fold(f64::INFINITY, f64::min);
        let ratio = |(at, &steps): (usize, &f64)| if steps.is_finite() { steps / fastest(at) } else { f64::INFINITY };
        self.steps[contender].iter().enumerate().map(ratio).collect()
    }

    /// `ρ_c(τ)`; zero where there is no problem.
    pub fn share_within(&self, contender: usize, tau: f64) -> f64 {
        let within = self.ratios(contender).iter().filter(|ratio| **ratio <= tau).count();
        within as f64 / self.problems.len().max(1) as f64
    }

    /// The score, between 0 and 1; none where there is no problem.
    pub fn score(&self, contender: usize) -> Option<f64> {
        let credit = |ratio: f64| (LARGEST_RATIO - ratio).max(0.0) / (LARGEST_RATIO - 1.0);
        let total = self.ratios(contender).into_iter().map(credit).sum::<f64>();
        (!self.problems.is_empty()).then(|| total / self.problems.len() as f64)
    }
}

/// The target of a problem; none where the baseline has no finished run.
pub fn target(trials: &[Trial], problem: &str, baseline: &str, slack: f64) -> Option<f64> {
    let losses = reported(trials, problem, baseline).iter().map(|trial| trial.loss(Metric::ValidationLoss)).collect();
    median(losses).filter(|loss| loss.is_finite()).map(|loss| (1.0 + slack) * loss)
}

fn steps_to(trials: &[Trial], problem: &str, contender: &str, target: f64) -> f64 {
    let first = |trial: &&Trial| {
        let Ok(measured) = &trial.outcome else { return f64::INFINITY };
        if measured.diverged_at.is_some() {
            return f64::INFINITY;
        }
        let reached = |loss: f32| f64::from(loss) <= target;
        let on_the_way = measured.curve.iter().find(|point| point.validation_loss.is_some_and(reached));
        match on_the_way {
            Some(point) => point.step as f64,
            None if reached(measured.validation_loss) => trial.steps as f64,
            None => f64::INFINITY,
        }
    };
    let times = reported(trials, problem, contender).iter().map(first).collect();
    median(times).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::trial;

    fn trials() -> Vec<Trial> {
        let run = |task, label, validation: &[f32]| trial(task, label, 0, &vec![1.0; validation.len()], validation);
        vec![
            run("a", "base", &[0.9, 0.6, 0.5, 0.5]),
            run("a", "fast", &[0.5, 0.7, 0.8, 0.9]),
            run("a", "slow", &[0.9, 0.9, 0.9, 0.9]),
            run("b", "base", &[0.4, 0.3, 0.3, 0.2]),
            run("b", "fast", &[0.4, 0.2, 0.2, 0.2]),
            run("b", "slow", &[0.9, 0.9, 0.9, 0.2]),
        ]
    }

    const CONTENDERS: [&str; 3] = ["base", "fast", "slow"];

    #[test]
    fn times_are_first_crossings_and_the_score_is_the_area_under_the_profile() {
        let times = Times::of(&trials(), &CONTENDERS, &[("a", None), ("b", None)], "base", 0.0);
        let missed = f64::INFINITY;
        assert_eq!(times.steps, [[30.0, 40.0], [10.0, 20.0], [missed, 40.0]]);
        assert_eq!(times.ratios(0), [3.0, 2.0]);
        assert_eq!([1.0, 2.0, 3.0].map(|tau| times.share_within(0, tau)), [0.0, 0.5, 1.0]);
        // Areas by hand: ρ is 0 to τ = 2, 1/2 to τ = 3, 1 to τ = 4.
        assert!((times.score(0).unwrap() - (0.5 + 1.0) / 3.0).abs() < 1e-12);
        assert_eq!(times.score(1), Some(1.0));
        assert!((times.score(2).unwrap() - (0.5 * 2.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_area_agrees_with_the_profile_summed_up_numerically() {
        let times = Times::of(&trials(), &CONTENDERS, &[("a", None), ("b", None)], "base", 0.0);
        for contender in 0..3 {
            let steps = 30_000;
            let tau = |i: usize| 1.0 + 3.0 * (i as f64 + 0.5) / steps as f64;
            let area: f64 = (0..steps).map(|i| times.share_within(contender, tau(i))).sum::<f64>() / steps as f64;
            assert!((area - times.score(contender).unwrap()).abs() < 1e-4, "{contender}");
        }
    }

    #[test]
    fn whoever_fails_a_variant_has_missed_its_problem() {
        let times = Times::of(&trials(), &CONTENDERS, &[("a", Some("b")), ("b", None)], "base", 0.0);
        assert_eq!(times.problems, ["b"]);
        assert_eq!(times.steps, [[40.0], [20.0], [f64::INFINITY]]);
    }

    #[test]
    fn slack_moves_the_target() {
        assert_eq!(target(&trials(), "b", "base", 0.5).map(|t| (t * 1e6).round()), Some(300_000.0));
        assert_eq!(target(&trials(), "c", "base", 0.5), None);
    }
}
