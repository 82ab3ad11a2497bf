//! Puts a graph together: nodes, parameters, steps and losses, in the order in which they are computed.
//!
//! The operations add their own methods to [`GraphBuilder`], each in its file, so that a model reads as a sequence of
//! layers.

use std::ops::Range;

use velo_optimizer::ParamLayout;

use super::Initial;
use super::execution::{Buffer, Edge, Graph, Step, Term};
use super::loss_terms::LossTerm;
use super::operation::{MAX_INPUTS, Operation};
use super::real::Real;
use crate::Error;

/// A matrix of `rows` rows and `width` columns for each example: a view of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    /// Rows for each example.
    pub rows: usize,
    /// Columns.
    pub width: usize,
    buffer: usize,
}

/// A graph under construction, for batches of at most `most_examples`.
pub(crate) struct GraphBuilder<T> {
    most_examples: usize,
    buffers: Vec<Buffer>,
    parameters: Vec<(String, Vec<usize>)>,
    parameter_count: usize,
    initials: Vec<Initial>,
    steps: Vec<Step<T>>,
    terms: Vec<Term<T>>,
}

impl<T: Real> GraphBuilder<T> {
    /// An empty graph; its input is one row of `input_width` numbers.
    pub(crate) fn new(most_examples: usize, input_width: usize) -> Self {
        Self {
            most_examples,
            buffers: vec![Buffer { elements: input_width, needs_gradient: false }],
            parameters: Vec::new(),
            parameter_count: 0,
            initials: Vec::new(),
            steps: Vec::new(),
            terms: Vec::new(),
        }
    }

    /// The inputs of the examples.
    pub(crate) fn input(&self) -> Node {
        Node { rows: 1, width: self.buffers[0].elements, buffer: 0 }
    }

    /// Examples of a batch at most.
    pub(crate) fn most_examples(&self) -> usize {
        self.most_examples
    }

    /// The same numbers as rows of another width, which divides the elements of the node.
    pub(crate) fn reshape(&self, node: Node, width: usize) -> Node {
        let elements = node.rows * node.width;
        assert_eq!(elements % width, 0, "a reshape keeps the number of elements");
        Node { rows: elements / width, width, buffer: node.buffer }
    }

    /// A zeroed buffer with room for the values of `node`, for what an operation keeps from forward to backward.
    pub(super) fn kept(&self, node: Node) -> Vec<T> {
        vec![T::ZERO; self.most_examples * node.rows * node.width]
    }

    /// A new tensor of parameters: where it lies among all of them.
    pub(super) fn parameter(&mut self, name: String, shape: Vec<usize>, initial: Initial) -> Range<usize> {
        let first = self.parameter_count;
        self.parameter_count += shape.iter().product::<usize>();
        self.parameters.push((name, shape));
        self.initials.push(initial);
        first..self.parameter_count
    }

    /// A step that computes a node of that shape from `inputs`; `learns` when it has parameters.
    pub(super) fn step(
        &mut self,
        operation: impl Operation<T> + 'static,
        inputs: &[Node],
        (rows, width): (usize, usize),
        learns: bool,
    ) -> Node {
        assert!(inputs.len() <= MAX_INPUTS);
        let needs_gradient = learns || inputs.iter().any(|node| self.buffers[node.buffer].needs_gradient);
        let output = self.buffers.len();
        self.buffers.push(Buffer { elements: rows * width, needs_gradient });
        let edges = std::array::from_fn(|slot| inputs.get(slot).map(|node| Edge { buffer: node.buffer, first: false }));
        self.steps.push(Step { operation: Box::new(operation), inputs: edges, output });
        Node { rows, width, buffer: output }
    }

    /// Adds a loss to the total.
    pub(super) fn term(&mut self, term: impl LossTerm<T> + 'static, nodes: &[Node]) {
        assert!(nodes.len() <= MAX_INPUTS);
        let edges = std::array::from_fn(|slot| nodes.get(slot).map(|node| Edge { buffer: node.buffer, first: false }));
        self.terms.push(Term { term: Box::new(term), nodes: edges });
    }

    /// The graph, with the layout of its parameters and their initial values.
    ///
    /// # Errors
    /// [`Error::Optimizer`] when the parameters are too many to be addressed.
    pub(crate) fn finish(mut self) -> Result<(Graph<T>, ParamLayout, Vec<Initial>), Error> {
        let layout = ParamLayout::new(self.parameters)?;
        self.buffers[0].needs_gradient = false;
        // In the order of the backward pass, whoever meets a buffer first overwrites its gradient, the others add.
        let mut met = vec![false; self.buffers.len()];
        let backwards =
            self.terms.iter_mut().map(|term| &mut term.nodes).chain(self.steps.iter_mut().rev().map(|s| &mut s.inputs));
        for edge in backwards.flatten().flatten() {
            edge.first = !std::mem::replace(&mut met[edge.buffer], true);
        }
        Ok((Graph::new(self.most_examples, self.buffers, self.steps, self.terms), layout, self.initials))
    }
}
