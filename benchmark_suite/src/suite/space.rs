//! Which settings a contender may choose from: lists combined with each other, or draws from ranges.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use velo_comparison::{Contender, Setting, ron_file};
use velo_optimizer::{OptimizerConfig, Schedule};
use velo_tasks::rng::Stream;

/// Settings drawn independently from ranges of hyper-parameters: the same seed gives the same list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomSearch {
    /// How many.
    pub trials: u64,
    /// Seed of the draws.
    pub seed: u64,
    /// Hyper-parameters by the names of their fields, each with its range.
    pub ranges: Vec<(String, Range)>,
}

/// From what a hyper-parameter is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Range {
    /// Uniformly between two numbers.
    Uniform(f64, f64),
    /// Uniformly in the logarithm between two positive numbers.
    LogUniform(f64, f64),
    /// One minus a number that is log-uniform between two positive ones: for the decay of an average.
    OneMinusLogUniform(f64, f64),
    /// One of these, each with the same chance, as they are spelt in a configuration.
    Choice(Vec<String>),
}

impl Range {
    fn check(&self) -> Result<()> {
        match self {
            Self::Uniform(low, high) => ensure!(low <= high, "Uniform({low}, {high}): expected ascending numbers"),
            Self::LogUniform(low, high) | Self::OneMinusLogUniform(low, high) => {
                ensure!(0.0 < *low && low <= high, "({low}, {high}): expected ascending positive numbers");
            }
            Self::Choice(values) => ensure!(!values.is_empty(), "Choice([]): expected at least one value"),
        }
        Ok(())
    }

    /// The value at `place`, uniform in `[0, 1)`, as it is spelt in a configuration.
    fn at(&self, place: f64) -> String {
        let log_uniform = |low: f64, high: f64| (low.ln() + place * (high / low).ln()).exp();
        // Single precision is what optimizers keep, and is shorter.
        let number = |value: f64| format!("{:?}", value as f32);
        match self {
            Self::Uniform(low, high) => number(low + place * (high - low)),
            Self::LogUniform(low, high) => number(log_uniform(*low, *high)),
            Self::OneMinusLogUniform(low, high) => number(1.0 - log_uniform(*low, *high)),
            Self::Choice(values) => values[(place * values.len() as f64) as usize].clone(),
        }
    }
}

impl RandomSearch {
    /// A contender with the drawn settings of `optimizer`.
    ///
    /// # Errors
    /// Names the range, or the field that the optimizer does not have.
    pub fn contender(&self, label: &str, optimizer: &OptimizerConfig, schedule: Schedule) -> Result<Contender> {
        ensure!((1..=10_000).contains(&self.trials), "random.trials: is {}, expected 1 to 10000", self.trials);
        if self.ranges.is_empty() {
            bail!("random.ranges: is empty, expected at least one hyper-parameter");
        }
        for (field, range) in &self.ranges {
            range.check().with_context(|| format!("random.ranges: {field}"))?;
        }
        let stream = Stream::new(self.seed, velo_tasks::rng::stream_number("random search"));
        let settings = (0..self.trials).map(|trial| {
            let changes: Vec<String> = (self.ranges.iter().zip(0..))
                .map(|((field, range), number)| {
                    format!("{field}={}", range.at(stream.uniform(trial * self.ranges.len() as u64 + number)))
                })
                .collect();
            let drawn: OptimizerConfig = ron_file::changed(optimizer, &changes)?;
            Ok(Setting::new(format!("draw {}: {}", trial + 1, changes.join(", ")), drawn, schedule))
        });
        Ok(Contender { label: label.to_owned(), settings: settings.collect::<Result<_>>()?, select_by: None })
    }
}

/// Every setting of `contender` combined with each of the values of a field, as they are spelt in a configuration.
///
/// # Errors
/// Names the field if the optimizer does not have it.
pub fn times_field(
    optimizers: &[(String, OptimizerConfig)],
    field: &str,
    values: &[String],
) -> Result<Vec<(String, OptimizerConfig)>> {
    let mut combined = Vec::with_capacity(optimizers.len() * values.len());
    for (label, optimizer) in optimizers {
        for value in values {
            let change = format!("{field}={value}");
            let changed = ron_file::changed(optimizer, std::slice::from_ref(&change)).context("grid")?;
            let name = format!("{field} {value}");
            combined.push((if label.is_empty() { name } else { format!("{label}, {name}") }, changed));
        }
    }
    Ok(combined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search() -> RandomSearch {
        RandomSearch {
            trials: 100,
            seed: 3,
            ranges: vec![
                ("learning_rate".to_owned(), Range::LogUniform(1e-4, 1e-1)),
                ("beta1".to_owned(), Range::OneMinusLogUniform(0.01, 0.5)),
                ("beta2".to_owned(), Range::Choice(vec!["0.9".to_owned(), "0.999".to_owned()])),
            ],
        }
    }

    #[test]
    fn draws_cover_their_ranges_and_are_the_same_every_time() {
        let adamw = OptimizerConfig::from_name("adamw").unwrap();
        let draw = || search().contender("list", &adamw, Schedule::Constant).unwrap().settings;
        let rates: Vec<f32> = draw().iter().map(|setting| setting.rate().unwrap()).collect();
        assert_eq!(rates, draw().iter().map(|setting| setting.rate().unwrap()).collect::<Vec<_>>());
        assert!(rates.iter().all(|rate| (1e-4..1e-1).contains(rate)));
        // Half of the draws lie below the middle in the logarithm; five standard errors are 25.
        let low = rates.iter().filter(|rate| **rate < 10f32.powf(-2.5)).count();
        assert!((25..75).contains(&low), "{low}");
        let printed = format!("{:?}", draw()[0].optimizer);
        assert!(printed.contains("AdamW"), "{printed}");
    }

    #[test]
    fn a_wrong_range_or_field_is_named() {
        let adamw = OptimizerConfig::from_name("adamw").unwrap();
        let complaint = |ranges| {
            let error = RandomSearch { ranges, ..search() }.contender("list", &adamw, Schedule::Constant).unwrap_err();
            format!("{error:#}")
        };
        let message = complaint(vec![("beta1".to_owned(), Range::LogUniform(0.0, 1.0))]);
        assert_eq!(message, "random.ranges: beta1: (0, 1): expected ascending positive numbers");
        let message = complaint(vec![("beta7".to_owned(), Range::Uniform(0.0, 1.0))]);
        assert!(message.contains("unknown field `beta7`, did you mean `beta"), "{message}");
    }

    #[test]
    fn a_grid_over_a_field_has_every_combination() {
        let adamw = OptimizerConfig::from_name("adamw").unwrap();
        let values = ["0.9", "0.5"].map(str::to_owned);
        let grid = times_field(&[(String::new(), adamw)], "beta1", &values).unwrap();
        let grid = times_field(&grid, "learning_rate", &["0.25".to_owned()]).unwrap();
        let labels: Vec<&str> = grid.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(labels, ["beta1 0.9, learning_rate 0.25", "beta1 0.5, learning_rate 0.25"]);
        assert_eq!(grid[1].1.learning_rate(), 0.25);
    }
}
