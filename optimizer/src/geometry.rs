//! How one tensor is cut into blocks, rows and columns, and where its factored statistics lie.
//!
//! A kernel sees every tensor as `blocks × rows × cols`: the last two axes are a matrix, the leading ones count
//! blocks. Factored second moments (Adafactor, arXiv 1804.04235) are averages over the longest axis `d0` (the
//! "row" statistic `R`) and over the second longest `d1` (the "column" statistic `C`). For an element in row `i`
//! and column `j` of block `b`, either statistic is found at `base[b] + i · row_stride + j · col_stride`, and
//! `col_stride` is 0 or 1, so along a row it is one number or one contiguous slice. Threads share a tensor by [`Cut`].

use std::ops::Range;

use crate::cut::Cut;

/// Vectors are cut into rows of this length, so that sums stay accurate and work can be divided.
const VECTOR_ROW: usize = 4096;

/// The cut of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Geometry {
    /// Number of elements.
    pub len: usize,
    /// Matrices in the tensor; zero for an empty one.
    pub blocks: usize,
    /// Rows of a block.
    pub rows: usize,
    /// Columns of a block.
    pub cols: usize,
    /// The two factored statistics, for tensors of rank two or more.
    pub factors: Option<Factors>,
    /// How it is divided among threads.
    pub cut: Cut,
}

/// The layout of the factored second moments of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factors {
    /// `R`: the average over the longest axis.
    pub row: FactorMap,
    /// `C`: the average over the second longest axis.
    pub col: FactorMap,
    /// `R` seen as `outer × len × inner` around the axis that `C` averages away.
    pub centre: (usize, usize, usize),
}

/// Where the entries of one factored statistic lie.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FactorMap {
    /// Shape of the statistic: that of the tensor without the averaged axis.
    pub shape: Vec<usize>,
    /// Number of entries.
    pub len: usize,
    /// Length of the axis that is averaged over.
    pub averaged: usize,
    base: Vec<usize>,
    row_stride: usize,
    /// 0: one entry for a whole row; 1: one entry for every column.
    pub col_stride: usize,
    /// Every row has one entry of its own, in the order of rows through all blocks.
    pub is_per_row: bool,
}

impl FactorMap {
    fn new(shape: &[usize], averaged_axis: usize) -> Self {
        let rank = shape.len();
        let mut stride = vec![0; rank];
        let mut len = 1;
        for axis in (0..rank).rev().filter(|&axis| axis != averaged_axis) {
            stride[axis] = len;
            len *= shape[axis];
        }
        let leading = &shape[..rank - 2];
        let base = (0..leading.iter().product())
            .map(|block| {
                let (mut rest, mut base) = (block, 0);
                for axis in (0..rank - 2).rev() {
                    base += rest % shape[axis] * stride[axis];
                    rest /= shape[axis];
                }
                base
            })
            .collect();
        let mut reduced = shape.to_vec();
        reduced.remove(averaged_axis);
        Self {
            shape: reduced,
            len,
            averaged: shape[averaged_axis],
            base,
            row_stride: stride[rank - 2],
            col_stride: stride[rank - 1],
            is_per_row: averaged_axis == rank - 1,
        }
    }

    /// The entry for the first column of a row.
    #[inline(always)]
    pub fn at(&self, block: usize, row: usize) -> usize {
        self.base[block] + row * self.row_stride
    }

    /// True when every row of a block reads the same entries.
    #[inline(always)]
    pub fn same_for_all_rows(&self) -> bool {
        self.row_stride == 0
    }

    /// The entries that a block reads, when they are contiguous and each serves one whole row or column.
    pub fn entries(&self, block: usize, rows: usize, cols: usize) -> Option<Range<usize>> {
        let start = self.base[block];
        match (self.row_stride, self.col_stride) {
            (0, 1) => Some(start..start + cols),
            (1, 0) => Some(start..start + rows),
            _ => None,
        }
    }
}

impl Geometry {
    /// The cut of a tensor of this shape.
    pub fn new(shape: &[usize]) -> Self {
        let len: usize = shape.iter().product();
        let rank = shape.len();
        if rank < 2 {
            let cols = len.min(VECTOR_ROW);
            let rows = if len == 0 { 0 } else { len.div_ceil(VECTOR_ROW) };
            let blocks = usize::from(len > 0);
            return Self { len, blocks, rows, cols, factors: None, cut: Cut::new([blocks, rows, cols], None) };
        }
        let (d1, d0) = longest_axes(shape);
        let (row, col) = (FactorMap::new(shape, d0), FactorMap::new(shape, d1));
        // Inside R, the axis d1 has moved down by one if the removed axis d0 was before it.
        let axis = if d1 > d0 { d1 - 1 } else { d1 };
        let centre = (row.shape[..axis].iter().product(), row.shape[axis], row.shape[axis + 1..].iter().product());
        let blocks = if len == 0 { 0 } else { shape[..rank - 2].iter().product() };
        let [rows, cols] = [shape[rank - 2], shape[rank - 1]];
        let shared = [&row, &col].into_iter().filter(|map| !map.is_per_row).map(|map| map.len).sum();
        let cut = Cut::new([blocks, rows, cols], Some(shared));
        Self { len, blocks, rows, cols, factors: Some(Factors { row, col, centre }), cut }
    }

    /// The elements of one block.
    #[inline(always)]
    pub fn block(&self, block: usize) -> Range<usize> {
        let size = self.rows * self.cols;
        block * size..((block + 1) * size).min(self.len)
    }

    /// The elements of consecutive rows, counted through all blocks.
    #[inline(always)]
    pub fn rows_through(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.cols..(rows.end * self.cols).min(self.len)
    }

    /// The elements of one row. Only the last row of a vector is shorter than `cols`.
    #[inline(always)]
    pub fn row(&self, block: usize, row: usize) -> Range<usize> {
        let start = (block * self.rows + row) * self.cols;
        start..(start + self.cols).min(self.len)
    }
}

/// The second longest and the longest axis `(d1, d0)`; of equal axes the later one counts as longer.
fn longest_axes(shape: &[usize]) -> (usize, usize) {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    order.sort_by_key(|&axis| shape[axis]);
    (order[order.len() - 2], order[order.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_between_axes_go_to_the_later_one() {
        assert_eq!(longest_axes(&[4, 4]), (0, 1));
        assert_eq!(longest_axes(&[7, 5]), (1, 0));
        assert_eq!(longest_axes(&[3, 3, 2, 4]), (1, 3));
        assert_eq!(longest_axes(&[16, 16, 3, 3]), (0, 1));
    }

    #[test]
    fn every_element_of_any_rank_finds_its_statistics() {
        for shape in [vec![3, 9], vec![9, 3], vec![2, 3, 4], vec![3, 3, 2, 4], vec![5, 4, 3, 2], vec![1, 6]] {
            let geometry = Geometry::new(&shape);
            let factors = geometry.factors.as_ref().unwrap();
            let (d1, d0) = longest_axes(&shape);
            for (map, axis) in [(&factors.row, d0), (&factors.col, d1)] {
                for flat in 0..geometry.len {
                    let mut index = vec![0; shape.len()];
                    let mut rest = flat;
                    for axis in (0..shape.len()).rev() {
                        index[axis] = rest % shape[axis];
                        rest /= shape[axis];
                    }
                    let expected = (0..shape.len())
                        .filter(|&other| other != axis)
                        .fold(0, |offset, other| offset * shape[other] + index[other]);
                    let per_block = geometry.rows * geometry.cols;
                    let (block, within) = (flat / per_block, flat % per_block);
                    let (row, col) = (within / geometry.cols, within % geometry.cols);
                    assert_eq!(map.at(block, row) + col * map.col_stride, expected, "{shape:?} at {index:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_vector_is_cut_into_rows_and_an_empty_one_has_none() {
        let geometry = Geometry::new(&[10_000]);
        assert_eq!((geometry.rows, geometry.row(0, 2)), (3, 8192..10_000));
        assert_eq!(Geometry::new(&[0]).blocks, 0);
        assert_eq!(Geometry::new(&[]).row(0, 0), 0..1);
        assert_eq!(Geometry::new(&[3, 0]).blocks, 0);
    }
}
