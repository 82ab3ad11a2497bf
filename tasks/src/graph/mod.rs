//! Static computation graphs: a model is compiled once per task, then executed forward and backward over buffers that
//! never move.
//!
//! ```text
//! GraphBuilder ──finish──▶ Graph ──loss_and_grad(params, examples)──▶ loss, grads
//!   nodes: matrices of (examples × rows) × width, row-major        buffers: one value and one gradient a node
//!   steps: operations with hand-written forward and backward       terms: losses on nodes, added up
//! ```
//!
//! Shapes are known when a graph is built, so there is no tape and no allocation per gradient. A node holds `rows` rows of
//! `width` numbers for each example; that covers images (`rows` pixels of `width` channels), sequences (`rows` tokens) and
//! plain vectors, and lets a reshape be another view of the same buffer. Each operation is one file in `operations`
//! with its formula; the same code runs in `f32` on the widest vectors, and in `f64`, where the tests compare every
//! gradient with finite differences. Every tensor of parameters belongs to exactly one operation, which overwrites its gradient.

mod activation;
mod builder;
mod elementary;
mod execution;
mod loss_terms;
mod matrix_product;
mod operation;
mod operations;
mod parameter;
pub(crate) mod peak;
mod real;
mod simd;

#[cfg(test)]
mod check;

pub use activation::Activation;
pub(crate) use builder::{GraphBuilder, Node};
pub(crate) use execution::Graph;
pub(crate) use loss_terms::{Contrast, Regression, Score, TargetSource};
pub(crate) use operation::Examples;
pub(crate) use operations::{Attention, Dense, Norm, Patches, Window};
pub use operations::{CellKind, SmoothActivation};
pub(crate) use parameter::{Initial, initialise};
pub(crate) use real::Real;
