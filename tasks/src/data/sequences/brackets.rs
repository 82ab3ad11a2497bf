//! Nested brackets of several kinds (Dyck words): what closes must match what is open.
//!
//! Token `2 k` opens and `2 k + 1` closes a bracket of kind `k`. Where both are possible a bracket opens with probability
//! `open`; at the greatest depth only closing is possible, at depth zero only opening. A row is cut off at its length.

use serde::{Deserialize, Serialize};

use super::MAX_LENGTH;
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, stream_number};

/// Depths at most.
const MAX_DEPTH: usize = 64;

/// Random nestings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BracketsConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Kinds of brackets, 1 to 64.
    pub kinds: usize,
    /// Greatest depth, 1 to 64.
    pub depth: usize,
    /// Tokens of a row, 2 to 1024.
    pub length: usize,
    /// Probability of opening, 0.05 to 0.95.
    pub open: f32,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for BracketsConfig {
    fn default() -> Self {
        Self { seed: 0, kinds: 4, depth: 8, length: 32, open: 0.5, rows: RowCount::Fresh }
    }
}

impl BracketsConfig {
    /// Nestings of random difficulty.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            kinds: draws.log_uniform_integer(1, 16),
            depth: draws.log_uniform_integer(2, 16),
            length: draws.log_uniform_integer(8, 64),
            open: draws.uniform(0.35, 0.65) as f32,
            rows: RowCount::sample(draws),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.kinds", self.kinds, 1..=64)?;
        check_range("data.depth", self.depth, 1..=MAX_DEPTH)?;
        check_range("data.length", self.length, 2..=MAX_LENGTH)?;
        check_range("data.open", self.open, 0.05..=0.95)?;
        self.rows.check("data.rows", self.length)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::Tokens { vocabulary: 2 * self.kinds, length: self.length };
        (inputs, TargetKind::NextToken)
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Brackets { config: self.clone() }, self.kinds(), self.rows)
    }
}

/// Opens and closes.
struct Brackets {
    config: BracketsConfig,
}

impl Generator for Brackets {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let BracketsConfig { seed, kinds, depth: deepest, open, .. } = self.config;
        let stream = Stream::new(derive_seed(seed, id), const { stream_number("brackets row") });
        let mut opened = [0u8; MAX_DEPTH];
        let mut depth = 0;
        // A choice takes the upper half of a random word, a kind the lower one.
        let threshold = (f64::from(open) * (1u64 << 32) as f64) as u64;
        for (token, index) in inputs.iter_mut().zip(0..) {
            let bits = stream.bits(index);
            if depth == 0 || depth < deepest && bits >> 32 < threshold {
                let kind = ((bits & 0xffff_ffff) * kinds as u64) >> 32;
                opened[depth] = kind as u8;
                depth += 1;
                *token = (2 * kind) as f32;
            } else {
                depth -= 1;
                *token = f32::from(2 * opened[depth] + 1);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn brackets_match_and_no_row_is_deeper_than_allowed_though_some_are_as_deep() {
        let config = BracketsConfig { depth: 5, kinds: 3, length: 60, open: 0.6, ..Default::default() };
        let dataset = config.generate();
        let mut deepest = 0;
        let mut kinds = std::collections::BTreeSet::new();
        for row in dataset.rows(Split::Train).inputs.chunks(60) {
            let mut open = Vec::new();
            for &token in row {
                let token = token as u32;
                if token.is_multiple_of(2) {
                    open.push(token);
                    kinds.insert(token);
                } else {
                    assert_eq!(open.pop(), Some(token - 1));
                }
                deepest = deepest.max(open.len());
            }
        }
        assert_eq!(deepest, 5);
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [0, 2, 4]);
    }
}
