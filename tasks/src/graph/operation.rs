//! The contract of an operation: one step of a graph, forward and backward.

use super::real::Real;

/// Inputs of an operation at most.
pub(crate) const MAX_INPUTS: usize = 2;

/// The rows that a pass runs over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Examples<'a, T> {
    /// `examples × input width`.
    pub inputs: &'a [T],
    /// A class for each example; their number is that of the examples.
    pub labels: &'a [u32],
    /// `examples × value width`.
    pub values: &'a [T],
    /// What random operations draw from: the same number, the same noise.
    pub noise_seed: u64,
}

impl<T> Examples<'_, T> {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Numbers in the input of one example.
    pub(crate) fn input_width(&self) -> usize {
        self.inputs.len() / self.len()
    }
}

/// What a forward pass reads.
pub(crate) struct Forward<'a, T> {
    /// All parameters of the graph.
    pub params: &'a [T],
    /// Values of the input nodes; empty where there is none.
    pub inputs: [&'a [T]; MAX_INPUTS],
    /// The rows at hand.
    pub examples: Examples<'a, T>,
    /// Room for packed matrices.
    pub panels: &'a mut Vec<T>,
}

/// What a backward pass reads and writes.
pub(crate) struct Backward<'a, T> {
    /// All parameters of the graph.
    pub params: &'a [T],
    /// Gradient of all parameters: an operation overwrites that of its own.
    pub grads: &'a mut [T],
    /// Values of the input nodes.
    pub inputs: [&'a [T]; MAX_INPUTS],
    /// Values of the output node.
    pub output: &'a [T],
    /// Gradient of the output node, which nobody reads afterwards: free to use as scratch.
    pub output_gradient: &'a mut [T],
    /// Gradients of the input nodes, to be overwritten; `None` where nobody asks.
    pub input_gradients: [Option<&'a mut [T]>; MAX_INPUTS],
    /// The rows at hand.
    pub examples: Examples<'a, T>,
    /// Room for packed matrices.
    pub panels: &'a mut Vec<T>,
}

/// A step of a graph. `backward` always follows the `forward` of the same examples, so what the latter keeps is there.
pub(crate) trait Operation<T: Real>: Send {
    /// Computes the output.
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]);

    /// Computes the gradients of inputs and parameters from that of the output.
    fn backward(&mut self, pass: Backward<'_, T>);

    /// Floating-point operations of the matrix products in one forward pass over one example; a backward pass takes
    /// about twice as many.
    fn flops(&self) -> u64 {
        0
    }
}
