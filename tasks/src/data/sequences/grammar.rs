//! Sentences of a small random context-free grammar with probabilities, one after the other until the row is full.
//!
//! Token 0 ends a sentence, tokens from 1 on are words. Nonterminal `A` has a few rules with random weights:
//!
//! ```text
//! A → word                              for half of the weight, so that sentences end
//! A → word B      A → B word C          for the rest, B and C any nonterminals but the first
//! ```
//!
//! A sentence is the first nonterminal, in which single words have a tenth of the weight only. Words belong to
//! nonterminals (each has a few of its own), so that a model that finds out the state of the parse knows what can follow.
//! A sentence that grows too deep takes the first rules, which end it.

use serde::{Deserialize, Serialize};

use super::MAX_LENGTH;
use crate::Error;
use crate::data::alias::AliasTable;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, stream_number};

/// Symbols that wait to be expanded at most.
const MAX_PENDING: usize = 64;

/// Symbols on the right of a rule at most.
const MAX_SYMBOLS: usize = 3;

/// A random grammar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrammarConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Nonterminals, 1 to 32.
    pub nonterminals: usize,
    /// Rules of each nonterminal, 2 to 16.
    pub rules: usize,
    /// Words, 1 to 255.
    pub words: usize,
    /// Tokens of a row, 2 to 1024.
    pub length: usize,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for GrammarConfig {
    fn default() -> Self {
        Self { seed: 0, nonterminals: 6, rules: 4, words: 24, length: 32, rows: RowCount::Fresh }
    }
}

impl GrammarConfig {
    /// A grammar of random difficulty.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            nonterminals: draws.log_uniform_integer(2, 16),
            rules: draws.log_uniform_integer(2, 8),
            words: draws.log_uniform_integer(8, 63),
            length: draws.log_uniform_integer(8, 64),
            rows: RowCount::sample(draws),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.nonterminals", self.nonterminals, 1..=32)?;
        check_range("data.rules", self.rules, 2..=16)?;
        check_range("data.words", self.words, 1..=255)?;
        check_range("data.length", self.length, 2..=MAX_LENGTH)?;
        self.rows.check("data.rows", self.length)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::Tokens { vocabulary: self.words + 1, length: self.length };
        (inputs, TargetKind::NextToken)
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Grammar::new(self), self.kinds(), self.rows)
    }
}

/// What stands on the right of a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Symbol {
    Word(u8),
    Nonterminal(u8),
}

/// `symbols[..count]`, the last one first: as they are pushed.
#[derive(Debug, Clone, Copy)]
struct Rule {
    symbols: [Symbol; MAX_SYMBOLS],
    count: usize,
}

/// The drawn grammar.
struct Grammar {
    seed: u64,
    rules_each: usize,
    /// `nonterminal × rule`; the first rule of each is a single word.
    rules: Vec<Rule>,
    /// Which rule, for each nonterminal.
    choices: Vec<AliasTable>,
}

impl Grammar {
    fn new(config: &GrammarConfig) -> Self {
        let mut draws = Draws::new(config.seed, const { stream_number("grammar rules") });
        let mut rules = Vec::with_capacity(config.nonterminals * config.rules);
        let mut choices = Vec::with_capacity(config.nonterminals);
        // A single nonterminal has nothing but itself.
        let first_inner = u64::from(config.nonterminals > 1);
        let inner = config.nonterminals as u64 - first_inner;
        for nonterminal in 0..config.nonterminals {
            let word_weight = if nonterminal as u64 >= first_inner { 0.5 } else { 0.1 };
            // Half of the rules, rounded up, are words.
            let word_rules = config.rules.div_ceil(2);
            let mut weights = Vec::with_capacity(config.rules);
            for rule in 0..config.rules {
                // Words are dealt out in turn, so that each nonterminal has its own as far as they last.
                let own = draws.bits() as usize % config.rules * config.nonterminals + nonterminal;
                let word = Symbol::Word((1 + own % config.words) as u8);
                let mut other = || Symbol::Nonterminal((first_inner + draws.bits() % inner) as u8);
                let (first, second) = (other(), other());
                let longer = if draws.chance(0.5) { [second, word, first] } else { [first, word, word] };
                let count = match (rule < word_rules, longer[1] == longer[2]) {
                    (true, _) => 1,
                    (false, true) => 2,
                    (false, false) => 3,
                };
                rules.push(Rule { symbols: if count == 1 { [word; 3] } else { longer }, count });
                weights.push(draws.uniform(0.5, 1.5));
            }
            for (part, share) in [(0..word_rules, word_weight), (word_rules..config.rules, 1.0 - word_weight)] {
                let sum: f64 = weights[part.clone()].iter().sum();
                weights[part].iter_mut().for_each(|weight| *weight *= share / sum);
            }
            choices.push(AliasTable::new(&weights));
        }
        Self { seed: config.seed, rules_each: config.rules, rules, choices }
    }
}

impl Generator for Grammar {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let stream = Stream::new(derive_seed(self.seed, id), const { stream_number("grammar row") });
        let mut pending = [Symbol::Word(0); MAX_PENDING];
        let (mut count, mut index, mut filled) = (0, 0, 0);
        while filled < inputs.len() {
            if count == 0 {
                // The end of the sentence lies below its start.
                pending[..2].copy_from_slice(&[Symbol::Word(0), Symbol::Nonterminal(0)]);
                count = 2;
            }
            count -= 1;
            match pending[count] {
                Symbol::Word(word) => {
                    inputs[filled] = f32::from(word);
                    filled += 1;
                }
                Symbol::Nonterminal(nonterminal) => {
                    let nonterminal = usize::from(nonterminal);
                    let has_room = count + MAX_SYMBOLS <= MAX_PENDING;
                    let choice = if has_room { self.choices[nonterminal].outcome(stream.bits(index)) } else { 0 };
                    index += 1;
                    let rule = &self.rules[nonterminal * self.rules_each + choice];
                    pending[count..][..rule.count].copy_from_slice(&rule.symbols[..rule.count]);
                    count += rule.count;
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

    /// True when `words` can be derived from the pending symbols (the last one first).
    fn derives(grammar: &Grammar, pending: &[Symbol], words: &[u8]) -> bool {
        // Every rule begins with or contains a word, so more pending symbols than words cannot succeed.
        if pending.len() > words.len() {
            return false;
        }
        match pending.split_last() {
            None => words.is_empty(),
            Some((&Symbol::Word(word), rest)) => words[0] == word && derives(grammar, rest, &words[1..]),
            Some((&Symbol::Nonterminal(nonterminal), rest)) => {
                let rules = &grammar.rules[usize::from(nonterminal) * grammar.rules_each..][..grammar.rules_each];
                rules.iter().any(|rule| {
                    let expanded: Vec<_> = rest.iter().chain(&rule.symbols[..rule.count]).copied().collect();
                    derives(grammar, &expanded, words)
                })
            }
        }
    }

    #[test]
    fn every_whole_sentence_follows_the_rules_and_changed_ones_rarely_do() {
        let config = GrammarConfig { seed: 5, length: 40, rows: RowCount::Fixed(200), ..Default::default() };
        let (grammar, dataset) = (Grammar::new(&config), config.generate());
        let (mut sentences, mut changed_pass) = (0, 0);
        for row in dataset.rows(Split::Train).inputs.chunks(40) {
            let words: Vec<_> = row.iter().map(|&token| token as u8).collect();
            let mut whole: Vec<_> = words.split(|&word| word == 0).collect();
            whole.pop();
            for sentence in whole.into_iter().filter(|sentence| sentence.len() < 10) {
                assert!(derives(&grammar, &[Symbol::Nonterminal(0)], sentence), "{sentence:?}");
                let mut changed = sentence.to_vec();
                changed[0] = 1 + changed[0] % 24;
                changed_pass += usize::from(derives(&grammar, &[Symbol::Nonterminal(0)], &changed));
                sentences += 1;
            }
        }
        assert!(
            sentences > 500 && changed_pass * 2 < sentences,
            "{sentences} sentences, {changed_pass} survive a change"
        );
    }

    #[test]
    fn sentences_are_neither_all_single_words_nor_endless() {
        for seed in 0..20 {
            let config = GrammarConfig { seed, rows: RowCount::Fixed(400), length: 64, ..Default::default() };
            let dataset = config.generate();
            let tokens = &dataset.rows(Split::Train).inputs;
            let ends = tokens.iter().filter(|&&token| token == 0.0).count();
            let mean = tokens.len() as f64 / ends as f64;
            assert!((3.0..30.0).contains(&mean), "seed {seed}: {mean} tokens a sentence");
        }
    }
}
