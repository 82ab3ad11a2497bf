//! Losses on the nodes of a graph: each gives a mean over the examples and the gradient of the nodes it looks at.
//!
//! A graph adds its terms up; a term that counts hits (the right class, the right token) says so in its [`Score`].

mod classification;
mod contrast;
mod divergence;
mod regression;

use super::operation::{Examples, MAX_INPUTS};
use super::real::Real;

pub(crate) use contrast::Contrast;
pub(crate) use regression::{Regression, TargetSource};

/// What a loss term found.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Targets met.
    pub correct: usize,
    /// Targets that can be met.
    pub counted: usize,
}

impl Score {
    /// The score of the sum of two losses.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            loss: self.loss + other.loss,
            correct: self.correct + other.correct,
            counted: self.counted + other.counted,
        }
    }
}

/// A differentiable loss.
pub(super) trait LossTerm<T: Real>: Send {
    /// The mean loss of the nodes' `values`; their gradients are overwritten.
    fn loss_and_grad(
        &mut self,
        values: [&[T]; MAX_INPUTS],
        gradients: [Option<&mut [T]>; MAX_INPUTS],
        examples: Examples<'_, T>,
    ) -> Score;
}

/// The gradient of a node that depends on parameters.
fn wanted<T>(gradient: Option<&mut [T]>) -> &mut [T] {
    gradient.expect("a loss looks at what depends on parameters")
}
