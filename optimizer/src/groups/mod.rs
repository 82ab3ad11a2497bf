//! Parameter groups: other rates, decays or rules for some of the tensors, or none at all.
//!
//! A tensor belongs to the first group that [selects](Selector) it, otherwise to the inner optimizer. Every group has
//! an optimizer of its own, over a layout of its own tensors:
//!
//! ```text
//! params, grads ─▶ gather by group ─▶ step with rate · step multiplier ─▶ scatter
//! ```
//!
//! So whatever an optimizer computes across tensors (a norm, VeLO's tensor features) it computes within a group.
//! In a configuration file:
//!
//! ```text
//! Grouped(
//!     groups: [
//!         (tensors: Named("^backbone/"), frozen: true),
//!         (tensors: Embeddings, rate: 0.1, weight_decay: 0.0),
//!         (tensors: Matrices, optimizer: Muon(learning_rate: 0.02)),
//!     ],
//!     inner: AdamW(learning_rate: 0.003),
//! )
//! ```

mod grouped;

use serde::{Deserialize, Serialize};

pub use grouped::Grouped;

use crate::hand_designed::checks;
use crate::registry::OptimizerConfig;
use crate::{Error, Optimizer, ParamLayout, TensorLayout};

/// Which tensors belong to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Selector {
    /// Rank two or more, embeddings excepted.
    Matrices,
    /// Rank one or zero (biases, scales), embeddings excepted.
    Vectors,
    /// Tensors whose name has `embed` in it, in capitals or not.
    Embeddings,
    /// Tensors in whose name this regular expression is found.
    Named(String),
}

impl Selector {
    /// A function that tells the tensors of this group.
    fn predicate(&self) -> Result<impl Fn(&TensorLayout) -> bool, Error> {
        let pattern = match self {
            Self::Named(pattern) => Some(regex_lite::Regex::new(pattern).map_err(|error| {
                let (found, expected) = (format!("{pattern:?} ({error})"), "a regular expression");
                Error::InvalidHyperParameter { field: "tensors", found, expected }
            })?),
            _ => None,
        };
        Ok(move |tensor: &TensorLayout| {
            let embedding = || tensor.name.to_ascii_lowercase().contains("embed");
            match (&pattern, self) {
                (Some(pattern), _) => pattern.is_match(&tensor.name),
                (None, Self::Embeddings) => embedding(),
                (None, Self::Matrices) => tensor.shape.len() >= 2 && !embedding(),
                (None, _) => tensor.shape.len() < 2 && !embedding(),
            }
        })
    }
}

/// How some of the tensors are treated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Which tensors.
    pub tensors: Selector,
    /// Factor on their steps.
    #[serde(default = "native")]
    pub rate: f32,
    /// Their coefficient of decoupled weight decay, whatever is set for the others; `None` follows the others.
    #[serde(default)]
    pub weight_decay: Option<f32>,
    /// Leaves them as they are.
    #[serde(default)]
    pub frozen: bool,
    /// Their optimizer, if it is not the inner one.
    #[serde(default)]
    pub optimizer: Option<OptimizerConfig>,
}

fn native() -> f32 {
    1.0
}

impl Group {
    /// A group that is treated like all others.
    pub fn new(tensors: Selector) -> Self {
        Self { tensors, rate: native(), weight_decay: None, frozen: false, optimizer: None }
    }

    fn check(&self) -> Result<(), Error> {
        checks::non_negative("rate", self.rate)?;
        checks::non_negative("weight_decay", self.weight_decay.unwrap_or(0.0))
    }
}

/// An entry of a configuration file: groups, and the optimizer of everything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupedConfig {
    /// Groups; the first that selects a tensor has it.
    pub groups: Vec<Group>,
    /// The optimizer of tensors outside the groups, and of groups that name none.
    pub inner: Box<OptimizerConfig>,
}

impl GroupedConfig {
    pub(crate) fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        Ok(Box::new(Grouped::new(layout, &self.groups, |layout| {
            self.inner.build(layout).map_err(|error| error.in_part("inner"))
        })?))
    }
}
