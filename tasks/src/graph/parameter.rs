//! Parameters of a graph: names, shapes and initial values.
//!
//! Kernels are normal with a deviation that the operation's fan-in and the model's gain decide; everything else starts at a
//! constant. Normal tensor number `i` takes its values from stream `"mlp init" + i` of the seed, so they are the same
//! whatever constant tensors lie between; the stream has the name of the first model that used it, and initial
//! parameters of the fixed tasks hang on it.

use velo_optimizer::ParamLayout;

use crate::rng::{Stream, stream_number};

/// How a tensor starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Initial {
    /// Independent normals with this standard deviation.
    Normal(f32),
    /// The same number everywhere.
    Constant(f32),
}

/// Writes initial parameters, one [`Initial`] for each tensor of `layout`: a pure function of its arguments.
pub(crate) fn initialise(params: &mut [f32], layout: &ParamLayout, initials: &[Initial], seed: u64) {
    let mut normals = 0;
    for (tensor, initial) in layout.tensors().iter().zip(initials) {
        let values = &mut params[tensor.range.clone()];
        match *initial {
            Initial::Constant(value) => values.fill(value),
            Initial::Normal(deviation) => {
                Stream::new(seed, const { stream_number("mlp init") }.wrapping_add(normals)).normals(0, values);
                values.iter_mut().for_each(|value| *value *= deviation);
                normals += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_tensors_do_not_depend_on_constant_ones_between_them() {
        let with = ParamLayout::new([("a", vec![3]), ("gain", vec![2]), ("b", vec![4])]).unwrap();
        let without = ParamLayout::new([("a", vec![3]), ("b", vec![4])]).unwrap();
        let (mut x, mut y) = ([0.0; 9], [0.0; 7]);
        initialise(&mut x, &with, &[Initial::Normal(2.0), Initial::Constant(1.0), Initial::Normal(0.5)], 5);
        initialise(&mut y, &without, &[Initial::Normal(2.0), Initial::Normal(0.5)], 5);
        assert_eq!((&x[..3], &x[5..]), (&y[..3], &y[3..]));
        assert_eq!(x[3..5], [1.0, 1.0]);
    }
}
