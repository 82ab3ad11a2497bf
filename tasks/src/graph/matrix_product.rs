//! Products of small matrices: `C = A B + start`, over panels of sixteen columns of `B`.
//!
//! A tile of `ROWS × 16` sums, or twice as wide, stays in registers over a block of `k`; every element of `C` is one sum in the order of `k`,
//! whatever the tile and the block. Panels are read where `B` lies if its rows are contiguous and small enough to stay in
//! the nearest cache; otherwise they are packed: for each `k`, the sixteen values `B[k, 16 p ..]` side by side. The last
//! panel is filled up with anything, to eight columns if they are enough: what comes of it is not stored.
//!
//! [`product`] is the whole operation on matrices in memory; [`arrange`] and [`multiply`] are its halves, for kernels that
//! use one arranged matrix several times.

use std::ops::Range;

use super::real::Real;
use super::simd::{Instructions, LANES, kernel};

/// Columns of a panel.
const PANEL: usize = LANES;

/// Columns of half a panel.
const HALF: usize = LANES / 2;

/// Rows of a tile of half a panel, whose sums are half as long.
const HALF_ROWS: usize = 8;

/// Rows and columns of the block of a large right factor that is packed at once, and stays in the nearest cache.
const BLOCK_TERMS: usize = 128;
const BLOCK_COLUMNS: usize = 2 * PANEL;

/// Elements from the first row of a matrix to its last, up to which its panels are read in place.
const IN_PLACE: usize = 4096;

/// Elements of room for the panels of a matrix of `depth` rows and `columns` columns.
pub(crate) fn packed_len(depth: usize, columns: usize) -> usize {
    depth * columns.next_multiple_of(HALF)
}

/// A factor of a product: element `(i, j)` is `values[i · row_stride + j · column_stride]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
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
    fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let first = rows.start * self.row_stride + columns.start * self.column_stride;
        Self { values: &self.values[first..], rows: rows.len(), columns: columns.len(), ..self }
    }

    /// Whether its panels are read where they are.
    #[inline(always)]
    fn stays_in_place(self) -> bool {
        self.column_stride == 1 && self.rows * self.row_stride <= IN_PLACE
    }
}

/// What a product is added to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a, T> {
    /// Nothing.
    Zero,
    /// The same row in every row.
    Row(&'a [T]),
    /// What the output holds.
    Output,
}

/// A right factor, ready for [`multiply`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panels<'a, T> {
    depth: usize,
    columns: usize,
    /// Whole panels: row `k` of panel `p` begins at `p · panel_stride + k · row_stride`.
    whole: &'a [T],
    panel_stride: usize,
    row_stride: usize,
    /// What is left of the columns, packed.
    last: &'a [T],
}

kernel! {
    /// `out = left · right + start`; the rows of `out` are `out_stride` apart, `panels` is room for parts of `right`.
    pub(crate) fn product<T, I, ROWS>(
        out: &'a mut [T],
        out_stride: usize,
        left: Matrix<'a, T>,
        right: Matrix<'a, T>,
        start: Start<'a, T>,
        panels: &'a mut Vec<T>,
    ) {
        by_blocks::<T, I, ROWS>(out, out_stride, left, right, start, panels, None);
    }
}

kernel! {
    /// `out = leftᵀ · right` and `sums = Σ_rows right`: the gradients of a kernel and of its bias.
    pub(crate) fn product_and_sums<T, I, ROWS>(
        out: &'a mut [T],
        sums: &'a mut [T],
        left: Matrix<'a, T>,
        right: Matrix<'a, T>,
        panels: &'a mut Vec<T>,
    ) {
        by_blocks::<T, I, ROWS>(out, right.columns, left.transposed(), right, Start::Zero, panels, Some(sums));
    }
}

/// The product, block by block of a large right factor; `sums` become those of its columns.
#[inline(always)]
fn by_blocks<T: Real, I: Instructions, const ROWS: usize>(
    out: &mut [T],
    out_stride: usize,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    start: Start<'_, T>,
    panels: &mut Vec<T>,
    mut sums: Option<&mut [T]>,
) {
    let (most_terms, most_columns) =
        if right.stays_in_place() { (right.rows, right.columns) } else { (BLOCK_TERMS, BLOCK_COLUMNS) };
    let panels = room(panels, packed_len(most_terms.min(right.rows), most_columns.min(right.columns)));
    for first_column in (0..right.columns).step_by(most_columns.max(1)) {
        let columns = first_column..(first_column + most_columns).min(right.columns);
        // A product over nothing is its start, which one block of no terms writes.
        for first_term in (0..right.rows.max(1)).step_by(most_terms.max(1)) {
            let terms = first_term..(first_term + most_terms).min(right.rows);
            let start = match start {
                _ if first_term > 0 => Start::Output,
                Start::Row(row) => Start::Row(&row[columns.clone()]),
                start => start,
            };
            let block = arrange::<T, I>(panels, right.part(terms.clone(), columns.clone()));
            let left = left.part(0..left.rows, terms);
            multiply::<T, I, ROWS>(&mut out[columns.start..], out_stride, left, block, start);
            if let Some(sums) = &mut sums {
                add_column_sums::<T, I>(&mut sums[columns.clone()], block, first_term == 0);
            }
        }
    }
}

/// Adds the sums of the columns of `block` to `sums`, or writes them if this is the first block.
#[inline(always)]
fn add_column_sums<T: Real, I: Instructions>(sums: &mut [T], block: Panels<'_, T>, first: bool) {
    if first {
        sums.fill(T::ZERO);
    }
    let (whole, rest) = sums.as_chunks_mut::<PANEL>();
    for (p, sums) in whole.iter_mut().enumerate() {
        add_rows::<T, I, PANEL>(sums, &block.whole[p * block.panel_stride..], block.row_stride, block.depth);
    }
    if rest.len() > HALF {
        add_rows::<T, I, PANEL>(rest, block.last, PANEL, block.depth);
    } else if !rest.is_empty() {
        add_rows::<T, I, HALF>(rest, block.last, HALF, block.depth);
    }
}

/// Adds `depth` rows, `stride` apart.
#[inline(always)]
fn add_rows<T: Real, I: Instructions, const W: usize>(sums: &mut [T], rows: &[T], stride: usize, depth: usize) {
    let mut start = [T::ZERO; W];
    copy_short(&mut start, sums);
    let mut totals = start;
    for k in 0..depth {
        let row = rows[k * stride..].first_chunk().expect("a row of a panel is as wide as the panel");
        T::add_scaled::<I, W>(&mut totals, T::ONE, row);
    }
    let width = sums.len();
    copy_short(sums, &totals[..width]);
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

/// `out = left · right + start`; the rows of `out` are `out_stride` apart.
#[inline(always)]
pub(crate) fn multiply<T: Real, I: Instructions, const ROWS: usize>(
    out: &mut [T],
    out_stride: usize,
    left: Matrix<'_, T>,
    right: Panels<'_, T>,
    start: Start<'_, T>,
) {
    let Panels { depth, columns, whole, panel_stride, row_stride, last } = right;
    assert_eq!(left.columns, depth);
    assert!(left.rows == 0 || out.len() >= (left.rows - 1) * out_stride + columns);
    let whole_panel = |first: usize| Panel {
        values: &whole[first / PANEL * panel_stride..],
        row_stride,
        panel_stride,
        first,
        width: PANEL,
    };
    let mut paired = 0;
    // A branch, which the compiler drops with all that is in it where there are no pairs: a loop over nothing would be compiled.
    if I::PAIRS {
        paired = columns / (2 * PANEL) * (2 * PANEL);
        for first in (0..paired).step_by(2 * PANEL) {
            rows::<T, I, ROWS, 2, PANEL>(out, out_stride, left, whole_panel(first), start);
        }
    }
    for first in (paired..columns / PANEL * PANEL).step_by(PANEL) {
        rows::<T, I, ROWS, 1, PANEL>(out, out_stride, left, whole_panel(first), start);
    }
    let width = columns % PANEL;
    let first = columns - width;
    if width > HALF {
        let panel = Panel { values: last, row_stride: PANEL, panel_stride, first, width };
        rows::<T, I, ROWS, 1, PANEL>(out, out_stride, left, panel, start);
    } else if width > 0 {
        let panel = Panel { values: last, row_stride: HALF, panel_stride, first, width };
        rows::<T, I, HALF_ROWS, 1, HALF>(out, out_stride, left, panel, start);
    }
}

/// One panel: the columns from `first` on, `width` of them; or the first of two whole ones.
#[derive(Clone, Copy)]
struct Panel<'a, T> {
    values: &'a [T],
    row_stride: usize,
    /// Elements from here to the next panel.
    panel_stride: usize,
    first: usize,
    width: usize,
}

/// All rows of the product over `P` panels of `W` columns.
#[inline(always)]
fn rows<T: Real, I: Instructions, const ROWS: usize, const P: usize, const W: usize>(
    out: &mut [T],
    out_stride: usize,
    left: Matrix<'_, T>,
    panel: Panel<'_, T>,
    start: Start<'_, T>,
) {
    let mut start_row = [[T::ZERO; W]; P];
    if let Start::Row(start) = start {
        for (p, row) in start_row.iter_mut().enumerate() {
            row[..panel.width].copy_from_slice(&start[panel.first + p * W..][..panel.width]);
        }
    }
    let add = matches!(start, Start::Output);
    let mut row = 0;
    // One or two rows alone wait for their sums; they are better off in smaller tiles with the rows before them.
    while left.rows - row == ROWS || left.rows - row > ROWS + 2 {
        let out = &mut out[row * out_stride + panel.first..];
        row += tile::<T, I, ROWS, P, W>(out, out_stride, left, row, panel, start_row, add);
    }
    while row < left.rows {
        let out = &mut out[row * out_stride + panel.first..];
        row += match left.rows - row {
            1 => tile::<T, I, 1, P, W>(out, out_stride, left, row, panel, start_row, add),
            2 => tile::<T, I, 2, P, W>(out, out_stride, left, row, panel, start_row, add),
            3 => tile::<T, I, 3, P, W>(out, out_stride, left, row, panel, start_row, add),
            _ => tile::<T, I, 4, P, W>(out, out_stride, left, row, panel, start_row, add),
        };
    }
}

/// `R` rows of the product, from `row` on; gives `R`.
#[inline(always)]
fn tile<T: Real, I: Instructions, const R: usize, const P: usize, const W: usize>(
    out: &mut [T],
    out_stride: usize,
    left: Matrix<'_, T>,
    row: usize,
    panel: Panel<'_, T>,
    start: [[T; W]; P],
    add: bool,
) -> usize {
    let Matrix { values, columns: depth, row_stride, column_stride, .. } = left;
    let width = panel.width;
    if let Some(last) = depth.checked_sub(1) {
        assert!((row + R - 1) * row_stride + last * column_stride < values.len());
        assert!((P - 1) * panel.panel_stride + last * panel.row_stride + W <= panel.values.len());
    }
    let mut sums = [start; R];
    if add {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (p, sums) in sums.iter_mut().enumerate() {
                let mut row = [T::ZERO; W];
                copy_short(&mut row, &out[r * out_stride + p * W..][..width]);
                *sums = row;
            }
        }
    }
    for k in 0..depth {
        let mut right = [&start[0]; P];
        for (p, right) in right.iter_mut().enumerate() {
            let first = p * panel.panel_stride + k * panel.row_stride;
            // SAFETY: the last row of the last panel, asserted above to be in bounds, lies behind this one.
            *right = unsafe { &*panel.values.as_ptr().add(first).cast::<[T; W]>() };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: r < R and k < depth, so the index is at most the one asserted above to be in bounds.
            let factor = unsafe { *values.get_unchecked((row + r) * row_stride + k * column_stride) };
            for (sums, right) in sums.iter_mut().zip(&right) {
                T::add_scaled::<I, W>(sums, factor, right);
            }
        }
    }
    if P > 1 || width == W {
        for (r, sums) in sums.iter().enumerate() {
            for (p, sums) in sums.iter().enumerate() {
                let out = out[r * out_stride + p * W..].first_chunk_mut();
                *out.expect("a tile lies inside the output") = *sums;
            }
        }
    } else {
        // By way of a second array: the sums themselves would not stay in registers if a length that varies cut them.
        let mut rows = [[T::ZERO; W]; R];
        for (row, sums) in rows.iter_mut().zip(&sums) {
            *row = sums[0];
        }
        for (r, row) in rows.iter().enumerate() {
            copy_short(&mut out[r * out_stride..], &row[..width]);
        }
    }
    R
}

/// Copies at most sixteen elements, in a few moves of fixed length: a call that copies any number takes longer.
#[inline(always)]
fn copy_short<T: Real>(to: &mut [T], from: &[T]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::normals;

    fn random(seed: u64, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        normals(seed, 0, 0, &mut values);
        values
    }

    fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
        let rows = values.len() / columns;
        (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
    }

    #[test]
    fn products_of_all_small_shapes_agree_with_the_definition() {
        for (rows, depth, columns) in
            [(1, 1, 1), (3, 2, 5), (8, 7, 16), (9, 3, 17), (23, 31, 40), (64, 64, 32), (7, 300, 24), (5, 140, 50)]
        {
            let (a, b, bias) = (random(1, rows * depth), random(2, depth * columns), random(3, columns));
            let (a_transposed, b_transposed) = (transpose(&a, depth), transpose(&b, columns));
            let mut panels = Vec::new();
            let (mut out, mut other) = (vec![f32::NAN; rows * columns], vec![f32::NAN; rows * columns]);
            let (left, right) = (Matrix::rows(&a, depth), Matrix::rows(&b, columns));
            product(&mut out, columns, left, right, Start::Row(&bias), &mut panels);
            let left = Matrix::rows(&a_transposed, rows).transposed();
            let right = Matrix::rows(&b_transposed, depth).transposed();
            product(&mut other, columns, left, right, Start::Row(&bias), &mut panels);
            assert_eq!(out, other, "one order of summation, whatever the strides");
            let (first, last) = other.split_at_mut(rows / 2 * columns);
            for part in [first, last] {
                part.chunks_mut(columns).for_each(|row| row.copy_from_slice(&bias));
            }
            product(&mut other, columns, left, right, Start::Output, &mut panels);
            assert_eq!(out, other, "one order of summation, whatever the start");
            for (i, &value) in out.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let products = (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(b[k * columns + column]));
                let exact = f64::from(bias[column]) + products.sum::<f64>();
                assert!(
                    (f64::from(value) - exact).abs() < 1e-5 * (depth as f64).sqrt(),
                    "{rows}×{depth}×{columns}, element {i}"
                );
            }
        }
    }

    #[test]
    fn strided_rows_leave_what_lies_between_them_alone() {
        let (a, b) = (random(1, 3 * 10), random(2, 4 * 5));
        let mut out = vec![7.0; 3 * 8];
        let mut panels = Vec::new();
        product(&mut out, 8, Matrix::strided(&a, 3, 4, 10), Matrix::rows(&b, 5), Start::Zero, &mut panels);
        for row in 0..3 {
            for column in 0..5 {
                let exact: f32 = (0..4).map(|k| a[row * 10 + k] * b[k * 5 + column]).sum();
                assert!((out[row * 8 + column] - exact).abs() < 1e-5);
            }
            assert_eq!(out[row * 8 + 5..][..3], [7.0; 3]);
        }
    }

    #[test]
    fn the_gradient_of_a_bias_comes_with_that_of_its_kernel() {
        let (rows, inputs, outputs) = (13, 6, 19);
        let (x, delta) = (random(1, rows * inputs), random(2, rows * outputs));
        let (mut kernel, mut bias) = (vec![0.0; inputs * outputs], vec![0.0; outputs]);
        let (left, right) = (Matrix::rows(&x, inputs), Matrix::rows(&delta, outputs));
        product_and_sums(&mut kernel, &mut bias, left, right, &mut Vec::new());
        for j in 0..outputs {
            let sum: f32 = delta.iter().skip(j).step_by(outputs).sum();
            assert!((bias[j] - sum).abs() < 1e-5);
            let first: f32 = (0..rows).map(|row| x[row * inputs] * delta[row * outputs + j]).sum();
            assert!((kernel[j] - first).abs() < 1e-5);
        }
    }
}
