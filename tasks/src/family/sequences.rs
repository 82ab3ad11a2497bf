//! Language models on procedural sequences: recurrent networks and causal transformers.
//!
//! | field | drawn from |
//! | --- | --- |
//! | sequence | Markov chain, brackets, recall, modular arithmetic, grammar: 5 to 65 tokens |
//! | cell | vanilla, GRU, LSTM; 1 or 2 layers of 8 to 48, embedding 4 to 32 |
//! | transformer | 1 or 2 blocks of 8 to 32, see the table of the vision family |

use super::vision::{block_cost, transformer};
use super::{TaskFamily, affordable_batch, init_gain, output_scale};
use crate::config::TaskConfig;
use crate::data::{BracketsConfig, DataConfig, GrammarConfig, MarkovConfig, ModularArithmeticConfig, RecallConfig};
use crate::models::{CellKind, Loss, ModelConfig, RecurrentConfig};
use crate::rng::{Draws, stream_number};

/// Tokens of a row at most, and different ones, over all kinds: what the cost of a batch is bounded by.
const MOST_TOKENS: usize = 65;
const MOST_DIFFERENT: usize = 64;

/// One kind of sequences.
fn sequences(draws: &mut Draws) -> DataConfig {
    match draws.choose([0, 1, 2, 3, 4]) {
        0 => DataConfig::Markov(MarkovConfig::sample(draws)),
        1 => DataConfig::Brackets(BracketsConfig::sample(draws)),
        2 => DataConfig::Recall(RecallConfig::sample(draws)),
        3 => DataConfig::ModularArithmetic(ModularArithmeticConfig::sample(draws)),
        _ => DataConfig::Grammar(GrammarConfig::sample(draws)),
    }
}

fn task(family: &dyn TaskFamily, data: DataConfig, model: ModelConfig, batch_size: usize) -> TaskConfig {
    let name = family.name().to_owned();
    TaskConfig { name, data, model, loss: Loss::NextToken, batch_size, augmentations: Vec::new() }
}

/// Recurrent language models.
pub(super) struct Recurrent;

impl TaskFamily for Recurrent {
    fn name(&self) -> &str {
        "recurrent"
    }

    fn summary(&self) -> &str {
        "language models of vanilla, GRU and LSTM cells on procedural sequences"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("recurrent") });
        let data = sequences(&mut draws);
        let layers = draws.choose([1, 1, 2]);
        let model = RecurrentConfig {
            cell: draws.choose([CellKind::Vanilla, CellKind::Gru, CellKind::Lstm]),
            embedding: draws.log_uniform_integer(4, 32),
            hidden: (0..layers).map(|_| draws.log_uniform_integer(8, 48)).collect(),
            init_gain: init_gain(&mut draws),
            output_scale: output_scale(&mut draws),
        };
        // An LSTM has most: four gates, each from the input and the state.
        let (mut inputs, mut per_token) = (model.embedding, 0);
        for &width in &model.hidden {
            per_token += 4 * width * (inputs + width);
            inputs = width;
        }
        let batch_size = affordable_batch(&mut draws, MOST_TOKENS * (per_token + inputs * MOST_DIFFERENT));
        task(self, data, ModelConfig::Recurrent(model), batch_size)
    }
}

/// Causal transformers.
pub(super) struct Transformer;

impl TaskFamily for Transformer {
    fn name(&self) -> &str {
        "transformer"
    }

    fn summary(&self) -> &str {
        "causal transformers of one or two blocks on procedural sequences"
    }

    fn sample(&self, seed: u64) -> TaskConfig {
        let mut draws = Draws::new(seed, const { stream_number("transformer") });
        let data = sequences(&mut draws);
        let model = transformer(&mut draws);
        let per_token = block_cost(&model, MOST_TOKENS) + model.width * MOST_DIFFERENT;
        let batch_size = affordable_batch(&mut draws, MOST_TOKENS * per_token);
        task(self, data, ModelConfig::Transformer(model), batch_size)
    }
}
