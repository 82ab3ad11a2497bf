//! Recurrent networks over tokens.
//!
//! ```text
//! tokens ─▶ table ─▶ cells, one layer on the other ─▶ next token at every position, or a class at the last
//! ```

use serde::{Deserialize, Serialize};

use super::{CellKind, Gains};
use crate::Error;
use crate::error::check_range;
use crate::graph::{Dense, GraphBuilder, Node, Real};

/// Shape and initialisation of a recurrent network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecurrentConfig {
    /// The cell.
    pub cell: CellKind,
    /// Width of a token, 1 to 1024.
    pub embedding: usize,
    /// Numbers in the state of each layer, at most 8 layers of 1 to 1024.
    pub hidden: Vec<usize>,
    /// Factor on all initial kernels, 0.01 to 100.
    pub init_gain: f32,
    /// Further factor on the last kernel, 0 to 10.
    pub output_scale: f32,
}

impl Default for RecurrentConfig {
    fn default() -> Self {
        Self { cell: CellKind::Gru, embedding: 16, hidden: vec![32], init_gain: 1.0, output_scale: 1.0 }
    }
}

impl RecurrentConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.embedding", self.embedding, 1..=1024)?;
        check_range("model.hidden: number of layers", self.hidden.len(), 1..=8)?;
        for (layer, &width) in self.hidden.iter().enumerate() {
            check_range(format!("model.hidden[{layer}]"), width, 1..=1024)?;
        }
        self.gains().check()
    }

    fn gains(&self) -> Gains {
        Gains { init_gain: self.init_gain, output_scale: self.output_scale }
    }

    /// A model of tokens: outputs at every position but the last, or one row at the end.
    pub(super) fn build<T: Real>(
        &self,
        g: &mut GraphBuilder<T>,
        vocabulary: usize,
        length: usize,
        every_position: bool,
        outputs: usize,
    ) -> Node {
        let tokens = 0..if every_position { length - 1 } else { length };
        let x = g.embedding("tokens", tokens, vocabulary, self.embedding, self.init_gain);
        let x =
            self.hidden.iter().enumerate().fold(x, |x, (layer, &width)| {
                g.recurrent(&format!("cell_{layer}"), x, self.cell, width, self.init_gain)
            });
        let x = if every_position { x } else { g.last_row(x) };
        g.dense("outputs", x, Dense::linear(outputs, self.gains().output_deviation(x.width, 1.0)))
    }
}
