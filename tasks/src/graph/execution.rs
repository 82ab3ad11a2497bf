//! Runs a finished graph: forward through its steps, the losses, and backward.
//!
//! The first consumer that the backward pass meets overwrites the gradient of a node; each further one writes to a spare buffer,
//! which is added. So operations never accumulate, and nothing needs to be cleared.

use super::loss_terms::{LossTerm, Score};
use super::operation::{Backward, Examples, Forward, MAX_INPUTS, Operation};
use super::real::Real;

/// The size of a buffer, and whether the loss depends on parameters through it.
pub(super) struct Buffer {
    /// Elements for each example.
    pub elements: usize,
    /// False for data.
    pub needs_gradient: bool,
}

/// A buffer that a step or a loss reads.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    /// Which one.
    pub buffer: usize,
    /// Whether the backward pass meets it here for the first time.
    pub first: bool,
}

/// An operation and what it connects.
pub(super) struct Step<T> {
    /// What is computed.
    pub operation: Box<dyn Operation<T>>,
    /// From what.
    pub inputs: [Option<Edge>; MAX_INPUTS],
    /// To where.
    pub output: usize,
}

/// A loss and what it looks at.
pub(super) struct Term<T> {
    /// What is computed.
    pub term: Box<dyn LossTerm<T>>,
    /// From what.
    pub nodes: [Option<Edge>; MAX_INPUTS],
}

/// A model with its loss, ready to run.
pub(crate) struct Graph<T> {
    buffers: Vec<Buffer>,
    values: Vec<Vec<T>>,
    gradients: Vec<Vec<T>>,
    spare: [Vec<T>; MAX_INPUTS],
    steps: Vec<Step<T>>,
    terms: Vec<Term<T>>,
    panels: Vec<T>,
}

impl<T: Real> Graph<T> {
    pub(super) fn new(most_examples: usize, buffers: Vec<Buffer>, steps: Vec<Step<T>>, terms: Vec<Term<T>>) -> Self {
        let room = |wanted: bool, elements: usize| vec![T::ZERO; if wanted { most_examples * elements } else { 0 }];
        let values = buffers.iter().enumerate().map(|(index, buffer)| room(index > 0, buffer.elements)).collect();
        let gradients = buffers.iter().map(|buffer| room(buffer.needs_gradient, buffer.elements)).collect();
        let mut spare_elements = [0; MAX_INPUTS];
        for inputs in steps.iter().map(|step| &step.inputs).chain(terms.iter().map(|term| &term.nodes)) {
            for (slot, edge) in inputs.iter().enumerate() {
                if let Some(edge) = edge.filter(|edge| !edge.first && buffers[edge.buffer].needs_gradient) {
                    spare_elements[slot] = spare_elements[slot].max(buffers[edge.buffer].elements);
                }
            }
        }
        Self {
            values,
            gradients,
            spare: spare_elements.map(|elements| room(true, elements)),
            buffers,
            steps,
            terms,
            panels: Vec::new(),
        }
    }

    /// Floating-point operations of the matrix products of one gradient over `examples` examples: one pass forward and
    /// twice as much backward.
    pub(crate) fn flops(&self, examples: usize) -> u64 {
        3 * examples as u64 * self.steps.iter().map(|step| step.operation.flops()).sum::<u64>()
    }

    /// Numbers that the operations compute for each example.
    pub(crate) fn values(&self) -> usize {
        self.buffers[1..].iter().map(|buffer| buffer.elements).sum()
    }

    /// The mean loss of `examples` at `params`; its gradient is written to `grads`.
    pub(crate) fn loss_and_grad(&mut self, params: &[T], examples: Examples<'_, T>, grads: &mut [T]) -> T {
        let score = self.score(params, examples);
        for index in (0..self.steps.len()).rev() {
            if self.buffers[self.steps[index].output].needs_gradient {
                self.step_back(index, params, examples, grads);
            }
        }
        T::from_f64(score.loss)
    }

    /// The mean loss of `examples` and how many of their targets are met.
    pub(crate) fn score(&mut self, params: &[T], examples: Examples<'_, T>) -> Score {
        for step in &mut self.steps {
            let mut output = std::mem::take(&mut self.values[step.output]);
            let count = self.buffers[step.output].elements * examples.len();
            let inputs = step.inputs.map(|edge| value(&self.buffers, &self.values, examples, edge));
            let pass = Forward { params, inputs, examples, panels: &mut self.panels };
            step.operation.forward(pass, &mut output[..count]);
            self.values[step.output] = output;
        }
        let mut total = Score::default();
        for Term { term, nodes } in &mut self.terms {
            let mut taken = take(&self.buffers, &mut self.gradients, &mut self.spare, nodes);
            let values = nodes.map(|edge| value(&self.buffers, &self.values, examples, edge));
            let gradients = active(&self.buffers, &mut taken, nodes, examples.len());
            total = total.plus(term.loss_and_grad(values, gradients, examples));
            put_back(&self.buffers, &mut self.gradients, &mut self.spare, nodes, taken, examples.len());
        }
        total
    }

    fn step_back(&mut self, index: usize, params: &[T], examples: Examples<'_, T>, grads: &mut [T]) {
        let Step { operation, inputs: edges, output } = &mut self.steps[index];
        let count = self.buffers[*output].elements * examples.len();
        let mut output_gradient = std::mem::take(&mut self.gradients[*output]);
        let mut taken = take(&self.buffers, &mut self.gradients, &mut self.spare, edges);
        operation.backward(Backward {
            params,
            grads,
            inputs: edges.map(|edge| value(&self.buffers, &self.values, examples, edge)),
            output: &self.values[*output][..count],
            output_gradient: &mut output_gradient[..count],
            input_gradients: active(&self.buffers, &mut taken, edges, examples.len()),
            examples,
            panels: &mut self.panels,
        });
        put_back(&self.buffers, &mut self.gradients, &mut self.spare, edges, taken, examples.len());
        self.gradients[*output] = output_gradient;
    }
}

/// The values at an edge; buffer 0 holds the inputs of the examples, where they are.
fn value<'a, T>(buffers: &[Buffer], values: &'a [Vec<T>], examples: Examples<'a, T>, edge: Option<Edge>) -> &'a [T] {
    match edge {
        None => &[],
        Some(Edge { buffer: 0, .. }) => examples.inputs,
        Some(Edge { buffer, .. }) => &values[buffer][..buffers[buffer].elements * examples.len()],
    }
}

/// Takes the gradients at `edges` out of the graph: their own buffers for a first meeting, else the spare ones.
fn take<T>(
    buffers: &[Buffer],
    gradients: &mut [Vec<T>],
    spare: &mut [Vec<T>; MAX_INPUTS],
    edges: &[Option<Edge>; MAX_INPUTS],
) -> [Vec<T>; MAX_INPUTS] {
    std::array::from_fn(|slot| match edges[slot] {
        Some(edge) if !buffers[edge.buffer].needs_gradient => Vec::new(),
        Some(edge) if edge.first => std::mem::take(&mut gradients[edge.buffer]),
        Some(_) => std::mem::take(&mut spare[slot]),
        None => Vec::new(),
    })
}

/// The taken gradients that somebody asks for, as long as the examples are.
fn active<'a, T>(
    buffers: &[Buffer],
    taken: &'a mut [Vec<T>; MAX_INPUTS],
    edges: &[Option<Edge>; MAX_INPUTS],
    examples: usize,
) -> [Option<&'a mut [T]>; MAX_INPUTS] {
    let mut slots = taken.iter_mut().zip(edges).map(|(gradient, edge)| {
        let buffer = &buffers[edge.as_ref()?.buffer];
        buffer.needs_gradient.then(|| &mut gradient[..buffer.elements * examples])
    });
    std::array::from_fn(|_| slots.next().flatten())
}

/// Puts back what [`take`] took, adding up where a gradient was met before.
fn put_back<T: Real>(
    buffers: &[Buffer],
    gradients: &mut [Vec<T>],
    spare: &mut [Vec<T>; MAX_INPUTS],
    edges: &[Option<Edge>; MAX_INPUTS],
    taken: [Vec<T>; MAX_INPUTS],
    examples: usize,
) {
    // First meetings come first: an operation may read one node twice.
    let mut later = [const { None }; MAX_INPUTS];
    for (slot, (edge, gradient)) in edges.iter().zip(taken).enumerate() {
        match edge.filter(|edge| buffers[edge.buffer].needs_gradient) {
            Some(edge) if edge.first => gradients[edge.buffer] = gradient,
            Some(edge) => later[slot] = Some((edge, gradient)),
            None => {}
        }
    }
    for (slot, later) in later.into_iter().enumerate() {
        if let Some((edge, gradient)) = later {
            let count = buffers[edge.buffer].elements * examples;
            super::operations::add_to(&mut gradients[edge.buffer][..count], &gradient[..count]);
            spare[slot] = gradient;
        }
    }
}
