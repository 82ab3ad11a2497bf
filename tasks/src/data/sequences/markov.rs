//! Markov chains: the next token depends on the last one or two.
//!
//! ```text
//! p(token | context) ∝ exp(sharpness · z_context,token)      z standard normal, drawn once
//! ```
//!
//! Sharpness 0 is uniform noise; from about 4 on, most contexts have one likely successor.

use serde::{Deserialize, Serialize};

use super::MAX_LENGTH;
use crate::Error;
use crate::data::alias::AliasTable;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, normals, stream_number};

/// Contexts times tokens at most.
const MAX_TABLE: usize = 1 << 20;

/// A random chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MarkovConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Different tokens, 2 to 1024.
    pub vocabulary: usize,
    /// Tokens of a row, 2 to 1024.
    pub length: usize,
    /// Tokens that the next one depends on, 1 or 2.
    pub order: usize,
    /// How far from uniform the successors are, 0 to 10.
    pub sharpness: f32,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for MarkovConfig {
    fn default() -> Self {
        Self { seed: 0, vocabulary: 16, length: 32, order: 1, sharpness: 2.0, rows: RowCount::Fresh }
    }
}

impl MarkovConfig {
    /// A chain of random difficulty.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            vocabulary: draws.log_uniform_integer(4, 64),
            length: draws.log_uniform_integer(8, 64),
            order: draws.choose([1, 1, 2]),
            sharpness: draws.uniform(0.5, 5.0) as f32,
            rows: RowCount::sample(draws),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.vocabulary", self.vocabulary, 2..=1024)?;
        check_range("data.length", self.length, 2..=MAX_LENGTH)?;
        check_range("data.order", self.order, 1..=2)?;
        check_range("data.vocabulary to the power of data.order + 1", self.table_len(), 4..=MAX_TABLE)?;
        check_range("data.sharpness", self.sharpness, 0.0..=10.0)?;
        self.rows.check("data.rows", self.length)
    }

    fn table_len(&self) -> usize {
        self.vocabulary.pow(self.order as u32 + 1)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::Tokens { vocabulary: self.vocabulary, length: self.length };
        (inputs, TargetKind::NextToken)
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Chain::new(self), self.kinds(), self.rows)
    }
}

/// The drawn chain.
struct Chain {
    seed: u64,
    /// What the last but one token counts in the number of a context: the vocabulary, or nothing.
    stride: usize,
    /// The successors of each context; the last token counts singly.
    successors: Vec<AliasTable>,
}

impl Chain {
    fn new(config: &MarkovConfig) -> Self {
        let mut logits = vec![0.0; config.table_len()];
        normals(config.seed, const { stream_number("markov successors") }, 0, &mut logits);
        let table = |logits: &[f32]| {
            let weights: Vec<_> = logits.iter().map(|&z| f64::from(config.sharpness * z).exp()).collect();
            AliasTable::new(&weights)
        };
        let successors = logits.chunks_exact(config.vocabulary).map(table).collect();
        let stride = if config.order == 2 { config.vocabulary } else { 0 };
        Self { seed: config.seed, stride, successors }
    }
}

impl Generator for Chain {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let stream = Stream::new(derive_seed(self.seed, id), const { stream_number("markov row") });
        let mut context = stream.below(0, self.successors.len() as u64) as usize;
        let mut last = if self.stride == 0 { context } else { context % self.stride };
        for (token, index) in inputs.iter_mut().zip(1..) {
            let next = self.successors[context].outcome(stream.bits(index));
            *token = next as f32;
            context = self.stride * last + next;
            last = next;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    /// Mean entropy in nats of the successor of a context of `order` tokens, as counted in the data.
    fn conditional_entropy(config: &MarkovConfig, order: u32) -> f64 {
        let dataset = config.generate();
        let mut counts = std::collections::BTreeMap::<(Vec<u32>, u32), f64>::new();
        let mut contexts = std::collections::BTreeMap::<Vec<u32>, f64>::new();
        let mut pairs = 0.0;
        for row in dataset.rows(Split::Train).inputs.chunks(config.length) {
            for window in row.windows(order as usize + 1) {
                let tokens: Vec<_> = window.iter().map(|&token| token as u32).collect();
                let (context, next) = (tokens[..order as usize].to_vec(), tokens[order as usize]);
                *counts.entry((context.clone(), next)).or_default() += 1.0;
                *contexts.entry(context).or_default() += 1.0;
                pairs += 1.0;
            }
        }
        counts.iter().map(|((context, _), count)| -count / pairs * (count / contexts[context]).ln()).sum()
    }

    #[test]
    fn successors_have_the_entropy_of_their_probabilities() {
        for sharpness in [0.0, 1.0, 2.0, 6.0] {
            let config = MarkovConfig { vocabulary: 8, sharpness, rows: RowCount::Fixed(4000), ..Default::default() };
            let mut logits = [0.0; 64];
            normals(config.seed, const { stream_number("markov successors") }, 0, &mut logits);
            let entropies: Vec<_> = logits
                .chunks(8)
                .map(|logits| {
                    let weights: Vec<_> = logits.iter().map(|&z| f64::from(sharpness * z).exp()).collect();
                    let sum: f64 = weights.iter().sum();
                    -weights.iter().map(|weight| weight / sum * (weight / sum).ln()).sum::<f64>()
                })
                .collect();
            let dataset = config.generate();
            let contexts = dataset.rows(Split::Train).inputs.chunks(32).flat_map(|row| &row[..31]);
            let expected = contexts.map(|&token| entropies[token as usize]).sum::<f64>() / (3000.0 * 31.0);
            let found = conditional_entropy(&config, 1);
            assert!((found - expected).abs() < 0.01, "sharpness {sharpness}: {found} against {expected}");
        }
    }

    #[test]
    fn the_second_last_token_matters_to_a_chain_of_order_two_only() {
        let config = MarkovConfig { vocabulary: 4, sharpness: 3.0, rows: RowCount::Fixed(4000), ..Default::default() };
        let gain = |order| {
            let config = MarkovConfig { order, ..config.clone() };
            conditional_entropy(&config, 1) - conditional_entropy(&config, 2)
        };
        assert!(gain(1) < 0.01 && gain(2) > 0.2, "{} {}", gain(1), gain(2));
    }

    #[test]
    fn tables_that_are_too_large_are_refused() {
        let error = MarkovConfig { vocabulary: 1024, order: 2, ..Default::default() }.check().unwrap_err();
        assert!(error.to_string().ends_with("is 1073741824, expected 4 to 1048576"), "{error}");
    }
}
