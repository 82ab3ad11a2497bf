//! Matrix factorisation (Koren et al. 2009): a rating from a vector and a bias of its user and of its item.
//!
//! ```text
//! r(u, i) = p_u · q_i + b_u + c_i
//! ```
//!
//! A batch touches few rows of the tables: most of each gradient is zero.

use serde::{Deserialize, Serialize};

use super::Gains;
use crate::Error;
use crate::error::check_range;
use crate::graph::{GraphBuilder, Node, Real};

/// Shape and initialisation of a factorisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FactorisationConfig {
    /// Numbers of a vector, 1 to 256.
    pub rank: usize,
    /// Factor on the initial vectors, whose products have variance one without it, 0.01 to 100.
    pub init_gain: f32,
}

impl Default for FactorisationConfig {
    fn default() -> Self {
        Self { rank: 8, init_gain: 0.5 }
    }
}

impl FactorisationConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("model.rank", self.rank, 1..=256)?;
        Gains { init_gain: self.init_gain, output_scale: 1.0 }.check()
    }

    /// The rating of a row of two tokens, a user and an item, both numbered in one vocabulary.
    pub(super) fn build<T: Real>(&self, g: &mut GraphBuilder<T>, vocabulary: usize) -> Node {
        // The product of two vectors of `rank` normals of variance v² has variance rank · v⁴.
        let deviation = self.init_gain * (self.rank as f32).powf(-0.25);
        let both = |g: &mut GraphBuilder<T>, name, width, deviation| {
            let rows = g.embedding(name, 0..2, vocabulary, width, deviation);
            let row = g.reshape(rows, 2 * width);
            (g.columns(row, 0..width), g.columns(row, width..2 * width))
        };
        let (user, item) = both(g, "factors", self.rank, deviation);
        let product = g.inner_product(user, item);
        let (user, item) = both(g, "biases", 1, 0.0);
        let bias = g.add(user, item);
        g.add(product, bias)
    }
}
