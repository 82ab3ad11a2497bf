//! How long windows and whole inner runs last.
//!
//! The horizon of an episode is log-uniform in `[shortest, longest]`. The first episode of every particle is
//! cut to a different fraction of its horizon, so that the particles of a fresh population do not all reset
//! in the same window: at any time some are young and some are old.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Lengths in inner steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Truncation {
    /// Inner steps per window, that is between two contributions of a particle.
    pub window: u64,
    /// Shortest horizon.
    pub shortest: u64,
    /// Longest horizon.
    pub longest: u64,
}

impl Default for Truncation {
    fn default() -> Self {
        Self { window: 50, shortest: 50, longest: 500 }
    }
}

impl Truncation {
    /// The horizon for a uniform draw in `[0, 1)`: `shortest · (longest / shortest)^uniform`, rounded.
    pub fn horizon(&self, uniform: f64) -> u64 {
        let (shortest, longest) = (self.shortest as f64, self.longest as f64);
        ((shortest * (longest / shortest).powf(uniform)).round() as u64).clamp(self.shortest, self.longest)
    }

    /// The cut horizon of the first episode of `particle` among `particles`.
    pub fn staggered(&self, horizon: u64, particle: u64, particles: u64) -> u64 {
        let fraction = (particle as f64 + 0.5) / particles as f64;
        ((horizon as f64 * fraction).ceil() as u64).max(1)
    }

    /// Rejects lengths of zero and an empty range.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        let at_least_one = |field: &str, value: u64| {
            if value > 0 { Ok(()) } else { Err(Error::config(format!("truncation.{field}"), value, "at least 1")) }
        };
        at_least_one("window", self.window)?;
        at_least_one("shortest", self.shortest)?;
        if self.longest < self.shortest {
            let expected = format!("at least truncation.shortest, which is {}", self.shortest);
            return Err(Error::config("truncation.longest", self.longest, expected));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_draw_is_the_geometric_mean() {
        let truncation = Truncation { window: 50, shortest: 50, longest: 5000 };
        assert_eq!(truncation.horizon(0.0), 50);
        assert_eq!(truncation.horizon(0.5), 500);
        assert!(truncation.horizon(0.999_999) <= 5000);
    }

    #[test]
    fn a_fresh_population_ends_its_first_episodes_at_different_times() {
        let truncation = Truncation::default();
        let ends: Vec<u64> = (0..8).map(|particle| truncation.staggered(400, particle, 8)).collect();
        assert_eq!(ends, [25, 75, 125, 175, 225, 275, 325, 375]);
    }

    #[test]
    fn an_empty_range_of_horizons_names_both_ends() {
        let error = Truncation { window: 1, shortest: 10, longest: 9 }.check().unwrap_err();
        assert_eq!(error.to_string(), "truncation.longest is 9, expected at least truncation.shortest, which is 10");
    }
}
