//! Histories of elementary cellular automata (Wolfram 1983, Reviews of Modern Physics 55): every cell follows from three
//! cells of the generation before it.
//!
//! A row of tokens is generation after generation of `width` cells in a ring. The first one is random; cell `i` of each later
//! one is bit `4 l + 2 c + r` of the rule, where `l`, `c`, `r` are cells `i-1`, `i`, `i+1` before it; a cell flips
//! with a chance of `noise`. So all but the first `width` tokens can be predicted by who looks `width` tokens back.

use serde::{Deserialize, Serialize};

use super::MAX_LENGTH;
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::check_range;
use crate::rng::{Stream, derive_seed, stream_number};

/// Histories under one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutomatonConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// The rule, 0 to 255.
    pub rule: u8,
    /// Cells of a generation, 3 to 64.
    pub width: usize,
    /// Generations of a row, 2 to 64.
    pub generations: usize,
    /// Chance that a cell flips, 0 to 0.5.
    pub noise: f32,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for AutomatonConfig {
    fn default() -> Self {
        Self { seed: 0, rule: 110, width: 8, generations: 4, noise: 0.0, rows: RowCount::Fresh }
    }
}

impl AutomatonConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.width", self.width, 3..=64)?;
        check_range("data.generations", self.generations, 2..=64)?;
        check_range("tokens of a row, from data.width and data.generations", self.length(), 6..=MAX_LENGTH)?;
        check_range("data.noise", self.noise, 0.0..=0.5)?;
        self.rows.check("data.rows", self.length())
    }

    /// Tokens of a row.
    fn length(&self) -> usize {
        self.width * self.generations
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::Tokens { vocabulary: 2, length: self.length() }, TargetKind::NextToken)
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Histories { config: self.clone() }, self.kinds(), self.rows)
    }
}

/// Random beginnings and what becomes of them.
struct Histories {
    config: AutomatonConfig,
}

impl Generator for Histories {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let AutomatonConfig { seed, rule, width, noise, .. } = self.config;
        let stream = Stream::new(derive_seed(seed, id), const { stream_number("automaton") });
        let mut cells = stream.bits(0);
        for (generation, tokens) in inputs.chunks_exact_mut(width).enumerate() {
            if generation > 0 {
                let before = cells;
                let cell = |place: usize| (before >> (place % width)) & 1;
                cells = 0;
                for place in 0..width {
                    let seen = 4 * cell(place + width - 1) + 2 * cell(place) + cell(place + 1);
                    let flips = stream.uniform((generation * width + place) as u64) < f64::from(noise);
                    cells |= (u64::from(rule >> seen & 1) ^ u64::from(flips)) << place;
                }
            }
            tokens.iter_mut().enumerate().for_each(|(place, token)| *token = ((cells >> place) & 1) as f32);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    /// Tokens of the training rows, as cells.
    fn histories(config: &AutomatonConfig) -> Vec<Vec<u8>> {
        let dataset = config.generate();
        let rows = dataset.rows(Split::Train).inputs.chunks(config.length());
        rows.map(|row| row.iter().map(|&token| token as u8).collect()).collect()
    }

    #[test]
    fn rule_90_is_the_sum_of_the_neighbours_and_rule_204_changes_nothing() {
        for history in histories(&AutomatonConfig { rule: 90, width: 7, ..Default::default() }) {
            for place in 7..28 {
                let (row, column) = (place / 7 - 1, place % 7);
                let expected = history[row * 7 + (column + 6) % 7] ^ history[row * 7 + (column + 1) % 7];
                assert_eq!(history[place], expected);
            }
        }
        for history in histories(&AutomatonConfig { rule: 204, ..Default::default() }) {
            assert!(history.chunks(8).all(|generation| generation == &history[..8]));
        }
    }

    #[test]
    fn noise_flips_its_share_of_cells() {
        let config = AutomatonConfig { rule: 0, noise: 0.2, rows: RowCount::Fixed(4000), ..Default::default() };
        let ones: usize =
            histories(&config).iter().map(|history| history[8..].iter().filter(|&&cell| cell == 1).count()).sum();
        // 3000 rows of 24 cells; five standard errors are 537.
        assert!(ones.abs_diff(14_400) < 537, "{ones}");
    }

    #[test]
    fn beginnings_are_random() {
        let ones: usize = histories(&AutomatonConfig::default())
            .iter()
            .map(|history| history[..8].iter().map(|&cell| usize::from(cell)).sum::<usize>())
            .sum();
        // 1024 rows of 8 cells; five standard errors are 226.
        assert!(ones.abs_diff(4096) < 226, "{ones}");
    }
}
