//! The single bridge between flat slices and the autodiff library.
//!
//! A [`Bridge`] owns one tensor for each entry of a [`ParamLayout`]. Parameters are copied into them, a function builds the loss from them,
//! and the gradients are copied out; a parameter that the loss does not depend on has a gradient of zero. Shapes are known
//! at run time only. Each bridge has a device of its own, because a device is a lock and a cache.

use dfdx::prelude::*;
use velo_optimizer::ParamLayout;

/// A matrix on the device, with or without a tape.
pub(crate) type Matrix<T = NoneTape> = Tensor<(usize, usize), f32, Cpu, T>;

/// A vector on the device.
pub(crate) type Vector = Tensor<(usize,), f32, Cpu>;

/// The loss at the end of a tape.
pub(crate) type TracedLoss = Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>>;

/// A parameter tensor of one or two axes.
enum Leaf {
    Matrix(Matrix),
    Vector(Vector),
}

/// The parameters of one model on a device of its own.
pub(crate) struct Bridge {
    device: Cpu,
    layout: ParamLayout,
    leaves: Vec<Leaf>,
}

impl Bridge {
    /// Tensors for `layout`; of a shape of several axes, all but the last become one.
    pub(crate) fn new(layout: &ParamLayout) -> Self {
        let device = Cpu::default();
        let leaf = |shape: &[usize]| match *shape {
            [length] => Leaf::Vector(device.zeros_like(&(length,))),
            [ref rows @ .., columns] => Leaf::Matrix(device.zeros_like(&(rows.iter().product(), columns))),
            [] => unreachable!("a parameter has an axis"),
        };
        let leaves = layout.tensors().iter().map(|tensor| leaf(&tensor.shape)).collect();
        Self { device, layout: layout.clone(), leaves }
    }

    /// Copies parameters in.
    pub(crate) fn set_params(&mut self, params: &[f32]) {
        for (leaf, tensor) in self.leaves.iter_mut().zip(self.layout.tensors()) {
            let values = &params[tensor.range.clone()];
            match leaf {
                Leaf::Matrix(matrix) => matrix.copy_from(values),
                Leaf::Vector(vector) => vector.copy_from(values),
            }
        }
    }

    /// The number of the parameter of that name.
    pub(crate) fn index(&self, name: &str) -> usize {
        let found = self.layout.tensors().iter().position(|tensor| tensor.name == name);
        found.unwrap_or_else(|| unreachable!("the graph of this model has a parameter {name:?}"))
    }

    /// Parameter number `index` of the layout, which has several axes.
    pub(crate) fn matrix(&self, index: usize) -> Matrix {
        match &self.leaves[index] {
            Leaf::Matrix(matrix) => matrix.clone(),
            Leaf::Vector(_) => unreachable!("parameter {index} is a vector"),
        }
    }

    /// Parameter number `index` of the layout, which has one axis.
    pub(crate) fn vector(&self, index: usize) -> Vector {
        match &self.leaves[index] {
            Leaf::Vector(vector) => vector.clone(),
            Leaf::Matrix(_) => unreachable!("parameter {index} is a matrix"),
        }
    }

    /// A constant.
    pub(crate) fn constant(&self, values: &[f32], rows: usize, columns: usize) -> Matrix {
        let mut tensor: Matrix = self.device.zeros_like(&(rows, columns));
        tensor.copy_from(values);
        tensor
    }

    /// A row of `classes` numbers for each label: one at the label, zero elsewhere.
    pub(crate) fn one_hot(&self, labels: impl ExactSizeIterator<Item = usize>, classes: usize) -> Matrix {
        let rows = labels.len();
        let mut values = vec![0.0; rows * classes];
        labels.enumerate().for_each(|(row, label)| values[row * classes + label] = 1.0);
        self.constant(&values, rows, classes)
    }

    /// Runs the tape of `loss` backwards, writes the gradients of the parameters to `grads` and gives the loss.
    pub(crate) fn backward(&self, loss: TracedLoss, grads: &mut [f32]) -> f32 {
        let value = loss.array();
        let mut found = loss.backward();
        for (leaf, tensor) in self.leaves.iter().zip(self.layout.tensors()) {
            let out = &mut grads[tensor.range.clone()];
            // A tensor that the tape never met has no entry, and asking for it would panic: make a zero one.
            match leaf {
                Leaf::Matrix(matrix) => match found.try_alloc_for(matrix) {
                    Ok(()) => found.get(matrix).copy_into(out),
                    Err(_) => out.fill(0.0),
                },
                Leaf::Vector(vector) => match found.try_alloc_for(vector) {
                    Ok(()) => found.get(vector).copy_into(out),
                    Err(_) => out.fill(0.0),
                },
            }
        }
        value
    }
}

/// How many rows of `outputs` are largest at their label.
pub(crate) fn count_correct(outputs: &Matrix, labels: impl Iterator<Item = usize>) -> usize {
    let largest = |row: &[f32]| (1..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best });
    outputs.as_vec().chunks_exact(outputs.shape().1).zip(labels).filter(|(row, label)| largest(row) == *label).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_the_loss_ignores_has_a_gradient_of_zero() {
        let layout = ParamLayout::new([("used", vec![2, 1]), ("ignored", vec![3])]).unwrap();
        let mut bridge = Bridge::new(&layout);
        bridge.set_params(&[2.0, 5.0, 1.0, 1.0, 1.0]);
        let inputs = bridge.constant(&[3.0, -1.0], 1, 2);
        let loss = inputs.leaky_trace().matmul(bridge.matrix(0)).mean();
        let mut grads = [f32::NAN; 5];
        assert_eq!(bridge.backward(loss, &mut grads), 1.0);
        assert_eq!(grads, [3.0, -1.0, 0.0, 0.0, 0.0]);
    }
}
