//! Matrices, and the panels of sixteen columns that a right factor is read in.
//!
//! Panels are read where the matrix lies if its rows are contiguous and small enough to stay in the nearest cache; otherwise
//! they are packed: for each `k`, the sixteen values `B[k, 16 p ..]` side by side. The last panel is filled up with anything,
//! to eight columns if they are enough: what comes of it is not stored.

use std::ops::Range;

use crate::graph::real::Real;
use crate::graph::simd::{Instructions, Kernel, LANES};

/// Columns of a panel.
pub(super) const PANEL: usize = LANES;

/// Columns of half a panel.
pub(super) const HALF: usize = LANES / 2;

/// Elements from the first row of a matrix to its last, up to which its panels are read in place.
const IN_PLACE: usize = 4096;

/// Elements of room for the panels of a matrix of `depth` rows and `columns` columns.
pub(crate) fn packed_len(depth: usize, columns: usize) -> usize {
    depth * columns.next_multiple_of(HALF)
}

/// A factor of a product: element `(i, j)` is `values[i · row_stride + j · column_stride]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(super) values: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix of `columns` columns.
    #[inline(always)]
    pub(crate) fn rows(values: &'a [T], columns: usize) -> Self {
        Self { values, rows: values.len() / columns, columns, row_stride: columns, column_stride: 1 }
    }

    /// `rows` rows of `columns` columns, the rows `row_stride` apart.
    #[inline(always)]
    pub(crate) fn strided(values: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transpose.
    #[inline(always)]
    pub(crate) fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// These rows and columns.
    #[inline(always)]
    pub(super) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let first = rows.start * self.row_stride + columns.start * self.column_stride;
        Self { values: &self.values[first..], rows: rows.len(), columns: columns.len(), ..self }
    }

    /// Whether its panels are read where they are.
    #[inline(always)]
    pub(super) fn stays_in_place(self) -> bool {
        self.column_stride == 1 && self.rows * self.row_stride <= IN_PLACE
    }
}

/// A right factor, ready for [`multiply`](super::multiply).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panels<'a, T> {
    pub(super) depth: usize,
    pub(super) columns: usize,
    /// Whole panels: row `k` of panel `p` begins at `p · panel_stride + k · row_stride`.
    pub(super) whole: &'a [T],
    pub(super) panel_stride: usize,
    pub(super) row_stride: usize,
    /// What is left of the columns, packed.
    pub(super) last: &'a [T],
}

/// The first `len` elements of `buffer`, which grows the first time.
#[inline(always)]
pub(crate) fn room<T: Real>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::ZERO);
    }
    &mut buffer[..len]
}

/// Makes panels of `matrix`; `packed` is room for its [`packed_len`].
#[inline(always)]
pub(crate) fn arrange<'a, T: Real, I: Instructions>(packed: &'a mut [T], matrix: Matrix<'a, T>) -> Panels<'a, T> {
    I::call(Arrange { packed, matrix })
}

/// A function of its own, as the product itself.
struct Arrange<'a, T> {
    packed: &'a mut [T],
    matrix: Matrix<'a, T>,
}

impl<'a, T: Real> Kernel for Arrange<'a, T> {
    type Output = Panels<'a, T>;

    #[inline(always)]
    fn run<I: Instructions, const ROWS: usize>(self) -> Panels<'a, T> {
        let Self { packed, matrix } = self;
        let Matrix { values, rows: depth, columns, row_stride, .. } = matrix;
        let whole_columns = columns / PANEL * PANEL;
        let in_place = matrix.stays_in_place();
        let (whole, last) = packed.split_at_mut(if in_place { 0 } else { depth * whole_columns });
        if !in_place && whole_columns > 0 {
            for (p, panel) in whole.chunks_exact_mut(depth * PANEL).enumerate() {
                pack::<T, I, PANEL>(panel, matrix, p * PANEL);
            }
        }
        let left_over = columns - whole_columns;
        let last = &mut last[..depth * left_over.next_multiple_of(HALF)];
        if left_over > HALF {
            pack::<T, I, PANEL>(last, matrix, whole_columns);
        } else if left_over > 0 {
            pack::<T, I, HALF>(last, matrix, whole_columns);
        }
        match in_place {
            true => Panels { depth, columns, whole: values, panel_stride: PANEL, row_stride, last },
            false => Panels { depth, columns, whole, panel_stride: depth * PANEL, row_stride: PANEL, last },
        }
    }
}

/// Packs the `W` columns of `matrix` from `first` on, or as many as there are, with anything behind them.
#[inline(always)]
fn pack<T: Real, I: Instructions, const W: usize>(panel: &mut [T], matrix: Matrix<'_, T>, first: usize) {
    let Matrix { values, rows, columns, row_stride, column_stride } = matrix;
    let width = W.min(columns - first);
    let (packed, _) = panel.as_chunks_mut::<W>();
    if column_stride == 1 {
        for (k, packed) in packed.iter_mut().enumerate() {
            let row = &values[k * row_stride + first..];
            match row.first_chunk::<W>() {
                // What stands behind a narrow row is multiplied, too, but never stored.
                Some(whole) => *packed = *whole,
                None => copy_short(packed, &row[..width]),
            }
        }
        return;
    }
    // Squares of eight by eight are transposed in registers, the rest element by element.
    let squares = if row_stride == 1 { (rows / HALF * HALF, width / HALF * HALF) } else { (0, 0) };
    for j in (0..squares.1).step_by(HALF) {
        for k in (0..squares.0).step_by(HALF) {
            let zeros = [T::ZERO; HALF];
            let mut square = [&zeros; HALF];
            for (i, column) in square.iter_mut().enumerate() {
                let values = &values[(first + j + i) * column_stride + k..];
                *column = values.first_chunk().expect("a square lies inside the matrix");
            }
            for (packed, row) in packed[k..k + HALF].iter_mut().zip(T::transpose::<I>(square)) {
                packed[j..j + HALF].copy_from_slice(&row);
            }
        }
    }
    for (k, packed) in packed.iter_mut().enumerate() {
        let done = if k < squares.0 { squares.1 } else { 0 };
        for (j, packed) in packed[..width].iter_mut().enumerate().skip(done) {
            *packed = values[(first + j) * column_stride + k * row_stride];
        }
    }
}

/// Copies at most sixteen elements, in a few moves of fixed length: a call that copies any number takes longer.
#[inline(always)]
pub(super) fn copy_short<T: Real>(to: &mut [T], from: &[T]) {
    let mut done = 0;
    if from.len() & 16 != 0 {
        done = copy_chunk::<T, 16>(to, from, done);
    }
    if from.len() & 8 != 0 {
        done = copy_chunk::<T, 8>(to, from, done);
    }
    if from.len() & 4 != 0 {
        done = copy_chunk::<T, 4>(to, from, done);
    }
    if from.len() & 2 != 0 {
        done = copy_chunk::<T, 2>(to, from, done);
    }
    if from.len() & 1 != 0 {
        copy_chunk::<T, 1>(to, from, done);
    }
}

/// Copies `N` elements from `first` on, and gives the end of them.
#[inline(always)]
fn copy_chunk<T: Real, const N: usize>(to: &mut [T], from: &[T], first: usize) -> usize {
    to[first..first + N].copy_from_slice(&from[first..first + N]);
    first + N
}
