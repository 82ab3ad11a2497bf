//! Sequences whose second half repeats what the first half said: the test of a memory.
//!
//! Tokens below `vocabulary` are symbols, `vocabulary` itself is the separator, and a row of `n` items is
//!
//! ```text
//! Copy       s₁ … s_n | s₁ … s_n
//! Reverse    s₁ … s_n | s_n … s₁
//! Pairs      k₁ v₁ … k_n v_n | k_i v_i k_j v_j …      n questions, each about one of the pairs at random
//! ```
//!
//! In pairs, keys are even symbols and values odd ones, and within a row a key has one value, however often it comes.

use serde::{Deserialize, Serialize};

use super::MAX_LENGTH;
use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, stream_number};

/// How the second half repeats the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecallKind {
    /// In the same order.
    Copy,
    /// Backwards.
    Reverse,
    /// Keys with their values, in random order.
    Pairs,
}

/// Random lists to recall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecallConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// How the second half repeats the first.
    pub kind: RecallKind,
    /// Different symbols, 2 to 1024.
    pub vocabulary: usize,
    /// Items of a list, 1 to 256.
    pub items: usize,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for RecallConfig {
    fn default() -> Self {
        Self { seed: 0, kind: RecallKind::Copy, vocabulary: 16, items: 8, rows: RowCount::Fresh }
    }
}

impl RecallConfig {
    /// Lists of random difficulty.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            kind: draws.choose([RecallKind::Copy, RecallKind::Reverse, RecallKind::Pairs]),
            vocabulary: draws.log_uniform_integer(4, 32),
            items: draws.log_uniform_integer(2, 16),
            rows: RowCount::sample(draws),
        }
    }

    /// Tokens of a row.
    fn length(&self) -> usize {
        let per_item = if self.kind == RecallKind::Pairs { 4 } else { 2 };
        per_item * self.items + 1
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.vocabulary", self.vocabulary, 2..=1024)?;
        check_range("data.items", self.items, 1..=256)?;
        check_range("tokens of a row, from data.items", self.length(), 3..=MAX_LENGTH)?;
        self.rows.check("data.rows", self.length())
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::Tokens { vocabulary: self.vocabulary + 1, length: self.length() };
        (inputs, TargetKind::NextToken)
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Lists { config: self.clone() }, self.kinds(), self.rows)
    }
}

/// Makes lists and repeats them.
struct Lists {
    config: RecallConfig,
}

impl Generator for Lists {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let RecallConfig { seed, kind, vocabulary, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        let symbols = Stream::new(row_seed, const { stream_number("recall symbols") });
        let half = inputs.len() / 2;
        let (first, rest) = inputs.split_at_mut(half);
        let (separator, second) = rest.split_at_mut(1);
        separator[0] = vocabulary as f32;
        match kind {
            RecallKind::Copy | RecallKind::Reverse => {
                first.iter_mut().zip(0..).for_each(|(token, i)| *token = symbols.below(i, vocabulary as u64) as f32);
                second.copy_from_slice(first);
                if kind == RecallKind::Reverse {
                    second.reverse();
                }
            }
            RecallKind::Pairs => {
                let answers = Stream::new(row_seed, const { stream_number("recall answers") });
                let (keys, values) = (vocabulary.div_ceil(2) as u64, vocabulary as u64 / 2);
                let pairs = first.as_chunks_mut::<2>().0;
                for (pair, i) in pairs.iter_mut().zip(0..) {
                    let key = symbols.below(i, keys);
                    *pair = [(2 * key) as f32, (2 * answers.below(key, values) + 1) as f32];
                }
                for (pair, i) in second.as_chunks_mut::<2>().0.iter_mut().zip(pairs.len() as u64..) {
                    *pair = pairs[symbols.below(i, pairs.len() as u64) as usize];
                }
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    fn rows(kind: RecallKind) -> Vec<Vec<u32>> {
        let config = RecallConfig { kind, vocabulary: 9, items: 6, ..Default::default() };
        let dataset = config.generate();
        let rows = dataset.rows(Split::Train).inputs.chunks(config.length());
        rows.map(|row| row.iter().map(|&token| token as u32).collect()).collect()
    }

    #[test]
    fn the_second_half_repeats_the_first_forwards_or_backwards() {
        for row in rows(RecallKind::Copy) {
            assert_eq!((row.len(), row[6]), (13, 9));
            assert_eq!(row[..6], row[7..]);
        }
        for mut row in rows(RecallKind::Reverse) {
            row[7..].reverse();
            assert_eq!(row[..6], row[7..]);
        }
    }

    #[test]
    fn a_question_is_answered_by_the_list_and_keys_are_unambiguous() {
        let mut asked = std::collections::BTreeSet::new();
        for row in rows(RecallKind::Pairs) {
            assert_eq!((row.len(), row[12]), (25, 9));
            let said: std::collections::BTreeMap<_, _> = row[..12].chunks(2).map(|pair| (pair[0], pair[1])).collect();
            for question in row[..12].chunks(2).chain(row[13..].chunks(2)) {
                assert!(question[0] % 2 == 0 && question[1] % 2 == 1 && question.iter().all(|&token| token < 9));
                assert_eq!(said[&question[0]], question[1]);
                asked.insert(question.to_vec());
            }
        }
        assert_eq!(asked.len(), 5 * 4, "every key comes with every value");
    }
}
