//! Sums, differences and products modulo a number, written out: `a ∘ b ∘ … = c`.
//!
//! Numbers are the tokens below the modulus; after them come `+`, `-`, `·` and `=`. A row of `n` terms has `2 n + 1` tokens and is
//! computed from left to right. Only the last one can be predicted, and only by a model that has learned to calculate.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, stream_number};

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// `a + b`.
    Add,
    /// `a - b`.
    Subtract,
    /// `a · b`.
    Multiply,
}

impl Operation {
    /// `a ∘ b` modulo `modulus`, of numbers below it.
    fn apply(self, a: u64, b: u64, modulus: u64) -> u64 {
        match self {
            Self::Add => (a + b) % modulus,
            Self::Subtract => (a + modulus - b) % modulus,
            Self::Multiply => a * b % modulus,
        }
    }
}

/// Random calculations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModularArithmeticConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// The modulus, 2 to 1000.
    pub modulus: usize,
    /// Operations that occur, at least one, all equally likely.
    pub operations: Vec<Operation>,
    /// Numbers in a calculation, 2 to 64.
    pub terms: usize,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for ModularArithmeticConfig {
    fn default() -> Self {
        Self { seed: 0, modulus: 23, operations: vec![Operation::Add], terms: 2, rows: RowCount::Fixed(400) }
    }
}

impl ModularArithmeticConfig {
    /// Calculations of random difficulty.
    pub fn sample(draws: &mut Draws) -> Self {
        use Operation::{Add, Multiply, Subtract};
        let operations: [&[Operation]; 4] = [&[Add], &[Subtract], &[Multiply], &[Add, Subtract, Multiply]];
        Self {
            seed: draws.bits(),
            modulus: draws.choose([5, 7, 11, 17, 23, 31]),
            operations: draws.choose(operations).to_vec(),
            terms: draws.choose([2, 2, 3, 4]),
            rows: RowCount::sample(draws),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.modulus", self.modulus, 2..=1000)?;
        check_range("data.operations: number of operations", self.operations.len(), 1..=3)?;
        check_range("data.terms", self.terms, 2..=64)?;
        self.rows.check("data.rows", 2 * self.terms + 1)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::Tokens { vocabulary: self.modulus + 4, length: 2 * self.terms + 1 };
        (inputs, TargetKind::NextToken)
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Calculations { config: self.clone() }, self.kinds(), self.rows)
    }
}

/// Calculates.
struct Calculations {
    config: ModularArithmeticConfig,
}

impl Generator for Calculations {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let ModularArithmeticConfig { seed, modulus, ref operations, .. } = self.config;
        let modulus = modulus as u64;
        let stream = Stream::new(derive_seed(seed, id), const { stream_number("modular row") });
        let (numbers, end) = inputs.split_at_mut(inputs.len() - 2);
        let mut result = stream.below(0, modulus);
        numbers[0] = result as f32;
        for (step, index) in numbers[1..].as_chunks_mut::<2>().0.iter_mut().zip(0..) {
            let operation = operations[stream.below(2 * index + 1, operations.len() as u64) as usize];
            let number = stream.below(2 * index + 2, modulus);
            result = operation.apply(result, number, modulus);
            *step = [(modulus + operation as u64) as f32, number as f32];
        }
        end.copy_from_slice(&[(modulus + 3) as f32, result as f32]);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn every_row_is_a_true_equation() {
        let config = ModularArithmeticConfig {
            modulus: 11,
            operations: vec![Operation::Add, Operation::Subtract, Operation::Multiply],
            terms: 3,
            ..Default::default()
        };
        let dataset = config.generate();
        let mut operators = std::collections::BTreeSet::new();
        for row in dataset.rows(Split::Train).inputs.chunks(7) {
            let row: Vec<_> = row.iter().map(|&token| token as i64).collect();
            let apply = |a: i64, operator: i64, b: i64| match operator {
                11 => a + b,
                12 => a - b,
                13 => a * b,
                other => panic!("{other} is no operator"),
            };
            let value = apply(apply(row[0], row[1], row[2]), row[3], row[4]);
            assert_eq!((row[5], row[6]), (14, value.rem_euclid(11)), "{row:?}");
            operators.extend([row[1], row[3]]);
        }
        assert_eq!(operators.len(), 3);
    }
}
