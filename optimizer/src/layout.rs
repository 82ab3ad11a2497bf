//! Where each named tensor lives inside one flat `[f32]`.
//!
//! Every optimizer, task, checkpoint and adapter describes its parameters with a [`ParamLayout`]: the
//! tensors in order, back to back, row-major. It is checked when it is built and trusted afterwards.

use std::collections::HashSet;
use std::ops::Range;

use crate::Error;

/// One tensor of a [`ParamLayout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorLayout {
    /// Unique name, for example `dense_0/kernel`. State is keyed by it.
    pub name: String,
    /// Axis lengths, row-major; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements of the flat slice that belong to this tensor.
    pub range: Range<usize>,
}

impl TensorLayout {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// True when some axis has length zero.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

/// Names, shapes and ranges of the tensors inside one flat `[f32]`.
///
/// ```
/// use velo_optimizer::ParamLayout;
/// let layout = ParamLayout::new([("dense/kernel", vec![784, 10]), ("dense/bias", vec![10])])?;
/// assert_eq!(layout.len(), 7850);
/// assert_eq!(layout.tensors()[1].range, 7840..7850);
/// # Ok::<(), velo_optimizer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParamLayout {
    tensors: Vec<TensorLayout>,
    len: usize,
}

impl ParamLayout {
    /// Lays the tensors out back to back in the order given.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`] for a name that occurs twice, [`Error::TensorTooLarge`] when the
    /// number of elements does not fit in memory addressing.
    pub fn new<N: Into<String>>(tensors: impl IntoIterator<Item = (N, Vec<usize>)>) -> Result<Self, Error> {
        let mut layout = Self::default();
        let mut seen = HashSet::new();
        for (name, shape) in tensors {
            let name = name.into();
            if !seen.insert(name.clone()) {
                return Err(Error::DuplicateTensor { name });
            }
            let end = shape
                .iter()
                .try_fold(1usize, |product, &axis| product.checked_mul(axis))
                .and_then(|elements| layout.len.checked_add(elements))
                .filter(|&end| end <= isize::MAX as usize / size_of::<f32>());
            let Some(end) = end else {
                return Err(Error::TensorTooLarge { name, shape });
            };
            layout.tensors.push(TensorLayout { name, shape, range: layout.len..end });
            layout.len = end;
        }
        Ok(layout)
    }

    /// The tensors, in the order of the flat slice.
    pub fn tensors(&self) -> &[TensorLayout] {
        &self.tensors
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&TensorLayout> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Total number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The ranges of the tensors in the order of their names: sums over them in this order have the same bits
    /// in whatever order the tensors lie.
    pub(crate) fn ranges_by_name(&self) -> Vec<Range<usize>> {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by_key(|tensor| &tensor.name);
        tensors.into_iter().map(|tensor| tensor.range.clone()).collect()
    }

    /// Refuses a slice of another length, called `what` in the error.
    pub(crate) fn check_len(&self, what: &'static str, found: usize) -> Result<(), Error> {
        let expected = self.len;
        if found == expected { Ok(()) } else { Err(Error::LengthMismatch { what, found, expected }) }
    }

    /// True when there is no element at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_list_of_tensors_is_laid_out_without_gaps_or_refused(
            tensors in prop::collection::vec(("[a-c]{1,2}", prop::collection::vec(0usize..5, 0..5)), 0..8),
        ) {
            let names: HashSet<_> = tensors.iter().map(|(name, _)| name).collect();
            let Ok(layout) = ParamLayout::new(tensors.clone()) else {
                prop_assert!(names.len() < tensors.len());
                return Ok(());
            };
            prop_assert_eq!(names.len(), tensors.len());
            let mut end = 0;
            for ((name, shape), tensor) in tensors.iter().zip(layout.tensors()) {
                prop_assert_eq!((&tensor.name, &tensor.shape), (name, shape));
                prop_assert_eq!(&tensor.range, &(end..end + shape.iter().product::<usize>()));
                prop_assert_eq!(layout.get(name), Some(tensor));
                end = tensor.range.end;
            }
            prop_assert_eq!((layout.len(), layout.is_empty()), (end, end == 0));
        }

        #[test]
        fn axes_of_any_length_are_laid_out_or_refused(shape in prop::collection::vec(any::<usize>(), 0..4)) {
            let exact = shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
            match ParamLayout::new([("w", shape)]) {
                Ok(layout) => prop_assert_eq!(Some(layout.len()), exact),
                Err(error) => prop_assert!(matches!(error, Error::TensorTooLarge { .. }), "{}", error),
            }
        }
    }

    #[test]
    fn tensors_lie_back_to_back_in_the_order_given() {
        let layout = ParamLayout::new([("b", vec![2, 3]), ("a", vec![]), ("empty", vec![0, 7])]).unwrap();
        let ranges: Vec<_> = layout.tensors().iter().map(|tensor| tensor.range.clone()).collect();
        assert_eq!(ranges, [0..6, 6..7, 7..7]);
        assert_eq!(layout.get("a").unwrap().range, 6..7);
        assert_eq!(layout.len(), 7);
    }

    #[test]
    fn a_name_used_twice_is_an_error_that_names_it() {
        let error = ParamLayout::new([("w", vec![1]), ("w", vec![2])]).unwrap_err();
        assert_eq!(error.to_string(), "tensor name \"w\" is used twice; names must be unique");
    }

    #[test]
    fn a_shape_that_cannot_be_addressed_is_an_error() {
        let error = ParamLayout::new([("w", vec![usize::MAX, 2])]).unwrap_err();
        assert!(matches!(error, Error::TensorTooLarge { .. }));
    }
}
