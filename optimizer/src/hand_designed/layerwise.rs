//! What the rules with one rate per tensor share: walking over tensors, and the trust ratio.

use std::ops::Range;

use super::reductions::sum_of_squares;
use crate::ParamLayout;

/// The tensors of a layout as ranges, and room for a direction as long as the longest.
#[derive(Debug, Clone)]
pub(super) struct Layerwise {
    /// The elements of every tensor that has any.
    pub tensors: Vec<Range<usize>>,
    /// Scratch for one tensor.
    pub direction: Vec<f32>,
}

impl Layerwise {
    pub fn new(layout: &ParamLayout) -> Self {
        let tensors = layout.tensors().iter().filter(|tensor| !tensor.is_empty());
        let tensors: Vec<_> = tensors.map(|tensor| tensor.range.clone()).collect();
        let longest = tensors.iter().map(Range::len).max().unwrap_or(0);
        Self { tensors, direction: vec![0.0; longest] }
    }
}

/// `coefficient · ‖p‖ / ‖u‖`, and one where either norm is zero: such a tensor would never move.
pub(super) fn trust_ratio(params: &[f32], direction: &[f32], coefficient: f32) -> f32 {
    let (params, direction) = (sum_of_squares(params).sqrt(), sum_of_squares(direction).sqrt());
    if params == 0.0 || direction == 0.0 { 1.0 } else { coefficient * (params / direction) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_of_zeros_is_trusted_fully() {
        assert_eq!(trust_ratio(&[0.0, 0.0], &[3.0, 4.0], 0.5), 1.0);
        assert_eq!(trust_ratio(&[3.0, 4.0], &[0.0, 0.0], 0.5), 1.0);
        assert_eq!(trust_ratio(&[3.0, 4.0], &[0.0, 2.0], 0.5), 1.25);
    }
}
