//! Procedural sequences of tokens for language models: every token is to be predicted from those before it.
//!
//! How much of a sequence can be predicted differs: all but chance for a Markov chain or a grammar, closing brackets
//! only, the second half of a copy, the last token of a sum, all but the first generation of an automaton.

mod automaton;
mod brackets;
mod grammar;
mod markov;
mod modular;
mod recall;

pub use automaton::AutomatonConfig;
pub use brackets::BracketsConfig;
pub use grammar::GrammarConfig;
pub use markov::MarkovConfig;
pub use modular::{ModularArithmeticConfig, Operation};
pub use recall::{RecallConfig, RecallKind};

/// Tokens of a row at most.
const MAX_LENGTH: usize = 1024;
