//! How exactly a contender has to be set.
//!
//! Rate sensitivity: among the tuning trials of a contender on a problem, the loss at a rate is the lowest mean over
//! seeds of all settings with that rate. The width is `log10(r_high / r_low)` of the rates around the best one whose loss
//! is within ten percent of the lowest, without a gap: the decades by which one may miss.

use velo_comparison::{Metric, Role, Trial};

/// A rate counts as good when its loss is at most this many times the lowest.
pub const GOOD: f64 = 1.1;

/// Loss at each rate of the tuning trials, by ascending rate; empty for a contender that was not tuned over rates.
pub fn losses_by_rate(trials: &[Trial], problem: &str, contender: &str, metric: Metric) -> Vec<(f64, f64)> {
    let mut settings: Vec<(f64, &str, Vec<f64>)> = Vec::new();
    for trial in trials {
        if trial.role != Role::Tuning || trial.task != problem || trial.contender != contender {
            continue;
        }
        let Some(rate) = trial.rate else { continue };
        match settings.iter_mut().find(|(_, setting, _)| *setting == trial.setting) {
            Some((_, _, losses)) => losses.push(trial.loss(metric)),
            None => settings.push((f64::from(rate), &trial.setting, vec![trial.loss(metric)])),
        }
    }
    let mut rates: Vec<(f64, f64)> = Vec::new();
    for (rate, _, losses) in settings {
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        match rates.iter_mut().find(|(known, _)| *known == rate) {
            Some((_, lowest)) => *lowest = lowest.min(mean),
            None => rates.push((rate, mean)),
        }
    }
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    rates
}

/// Decades between the lowest and the highest good rate around the best; none for fewer than two rates.
pub fn width(losses: &[(f64, f64)]) -> Option<f64> {
    if losses.len() < 2 {
        return None;
    }
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].1.total_cmp(&losses[b].1))?;
    let good = |index: &usize| losses[*index].1 <= GOOD * losses[best].1;
    let high = (best..losses.len()).take_while(good).last()?;
    let low = (0..=best).rev().take_while(good).last()?;
    Some((losses[high].0 / losses[low].0).log10())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::trial;

    #[test]
    fn the_width_is_that_of_the_good_rates_around_the_best() {
        let losses = [(1e-4, 1.0), (1e-3, 5.0), (1e-2, 1.05), (1e-1, 1.0), (1.0, 1.09), (10.0, 1.2)];
        assert!((width(&losses[1..]).unwrap() - 2.0).abs() < 1e-9, "1e-2 to 1, not the far 1e-4");
        assert_eq!(width(&losses[..1]), None);
        assert_eq!(width(&[(1.0, 1.0), (2.0, 3.0)]), Some(0.0));
    }

    #[test]
    fn the_loss_at_a_rate_is_the_lowest_mean_over_seeds() {
        let tuning = |rate: f32, setting: &str, seed, loss: f32| Trial {
            rate: Some(rate),
            setting: setting.to_owned(),
            role: Role::Tuning,
            ..trial("a", "adam", seed, &[loss], &[loss])
        };
        let trials = [
            tuning(0.5, "x", 0, 1.0),
            tuning(0.5, "x", 1, 3.0),
            tuning(0.5, "y", 0, 1.5),
            tuning(0.25, "z", 0, 4.0),
            trial("a", "adam", 5, &[0.0], &[0.0]),
        ];
        assert_eq!(losses_by_rate(&trials, "a", "adam", Metric::TrainLoss), [(0.25, 4.0), (0.5, 1.5)]);
    }
}
