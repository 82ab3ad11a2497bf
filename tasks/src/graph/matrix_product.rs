//! Products of small matrices: `C = A B + start`, with `B` repacked into panels of sixteen columns.
//!
//! A panel holds, for each `k`, the sixteen values `B[k, 16 p ..]`, padded with zeros. A tile of `ROWS × 16` sums stays in
//! registers over all `k`; every element of `C` is one sum in the order of `k`, whatever the tile.
//!
//! [`product`] is the whole operation on matrices in memory; [`pack`] and [`multiply`] are its halves, for kernels that
//! use one packed matrix several times.

use super::real::Real;
use super::simd::{Instructions, LANES, kernel};

/// Columns of a panel.
pub(crate) const PANEL: usize = LANES;

/// Elements of the panels of a matrix of `depth` rows and `columns` columns.
pub(crate) fn packed_len(depth: usize, columns: usize) -> usize {
    depth * columns.next_multiple_of(PANEL)
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

kernel! {
    /// `out = left · right + start`; the rows of `out` are `out_stride` apart, `panels` is room for `right`.
    pub(crate) fn product<T, I, ROWS>(
        out: &'a mut [T],
        out_stride: usize,
        left: Matrix<'a, T>,
        right: Matrix<'a, T>,
        start: Start<'a, T>,
        panels: &'a mut Vec<T>,
    ) {
        let panels = room(panels, packed_len(right.rows, right.columns));
        pack(panels, right);
        multiply::<T, I, ROWS>(out, out_stride, right.columns, left, panels, start);
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
        let panels = room(panels, packed_len(right.rows, right.columns));
        pack(panels, right);
        multiply::<T, I, ROWS>(out, right.columns, right.columns, left.transposed(), panels, Start::Zero);
        for (panel, sums) in panels.chunks_exact(right.rows * PANEL).zip(sums.chunks_mut(PANEL)) {
            let mut totals = [T::ZERO; PANEL];
            for row in panel.as_chunks::<PANEL>().0 {
                T::add_scaled::<I>(&mut totals, T::ONE, row);
            }
            sums.copy_from_slice(&totals[..sums.len()]);
        }
    }
}

/// The first `len` elements of `buffer`, which grows the first time.
#[inline(always)]
pub(crate) fn room<T: Real>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::ZERO);
    }
    &mut buffer[..len]
}

/// Packs `matrix`; `panels` has its [`packed_len`].
#[inline(always)]
pub(crate) fn pack<T: Real>(panels: &mut [T], matrix: Matrix<'_, T>) {
    let Matrix { values, rows, columns, row_stride, column_stride } = matrix;
    for (p, panel) in panels.chunks_exact_mut(rows * PANEL).enumerate() {
        let (first, width) = (p * PANEL, PANEL.min(columns - p * PANEL));
        let (packed, _) = panel.as_chunks_mut::<PANEL>();
        if column_stride == 1 {
            for (k, packed) in packed.iter_mut().enumerate() {
                let row = &values[k * row_stride + first..][..width];
                match row.first_chunk::<PANEL>() {
                    Some(full) => *packed = *full,
                    None => {
                        *packed = [T::ZERO; PANEL];
                        packed[..width].copy_from_slice(row);
                    }
                }
            }
        } else {
            if width < PANEL {
                for packed in packed.iter_mut() {
                    *packed = [T::ZERO; PANEL];
                }
            }
            for j in 0..width {
                let column = &values[(first + j) * column_stride..];
                for (packed, &value) in packed.iter_mut().zip(column.iter().step_by(row_stride)) {
                    packed[j] = value;
                }
            }
        }
    }
}

/// `out = left · B + start`, where `panels` are those of `B`, which has `columns` columns; the rows of `out` are
/// `out_stride` apart.
#[inline(always)]
pub(crate) fn multiply<T: Real, I: Instructions, const ROWS: usize>(
    out: &mut [T],
    out_stride: usize,
    columns: usize,
    left: Matrix<'_, T>,
    panels: &[T],
    start: Start<'_, T>,
) {
    assert_eq!(panels.len(), packed_len(left.columns, columns));
    assert!(left.rows == 0 || out.len() >= (left.rows - 1) * out_stride + columns);
    for (p, panel) in panels.chunks_exact(left.columns * PANEL).enumerate() {
        let first_column = p * PANEL;
        let width = PANEL.min(columns - first_column);
        let mut start_row = [T::ZERO; PANEL];
        if let Start::Row(start) = start {
            start_row[..width].copy_from_slice(&start[first_column..][..width]);
        }
        let add = matches!(start, Start::Output);
        let mut row = 0;
        while row + ROWS <= left.rows {
            let out = &mut out[row * out_stride + first_column..];
            tile::<T, I, ROWS>(out, out_stride, width, left, row, panel, start_row, add);
            row += ROWS;
        }
        while row + 2 <= left.rows {
            let out = &mut out[row * out_stride + first_column..];
            tile::<T, I, 2>(out, out_stride, width, left, row, panel, start_row, add);
            row += 2;
        }
        if row < left.rows {
            let out = &mut out[row * out_stride + first_column..];
            tile::<T, I, 1>(out, out_stride, width, left, row, panel, start_row, add);
        }
    }
}

/// `R` rows of the product, from `row` on, over the `width` columns of one panel.
#[inline(always)]
fn tile<T: Real, I: Instructions, const R: usize>(
    out: &mut [T],
    out_stride: usize,
    width: usize,
    left: Matrix<'_, T>,
    row: usize,
    panel: &[T],
    start: [T; PANEL],
    add: bool,
) {
    let Matrix { values, columns: depth, row_stride, column_stride, .. } = left;
    let (packed, _) = panel.as_chunks::<PANEL>();
    assert_eq!(packed.len(), depth);
    assert!((row + R - 1) * row_stride + depth.saturating_sub(1) * column_stride < values.len());
    let mut sums = [start; R];
    if add {
        for (r, sums) in sums.iter_mut().enumerate() {
            load(sums, &out[r * out_stride..][..width]);
        }
    }
    for (k, right) in packed.iter().enumerate() {
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: r < R and k < depth, so the index is at most the one asserted above to be in bounds.
            let factor = unsafe { *values.get_unchecked((row + r) * row_stride + k * column_stride) };
            T::add_scaled::<I>(sums, factor, right);
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        store(&mut out[r * out_stride..][..width], sums);
    }
}

/// Reads a row of a tile; what lies beyond its width stays as it is.
#[inline(always)]
fn load<T: Real>(sums: &mut [T; PANEL], row: &[T]) {
    match row.first_chunk::<PANEL>() {
        Some(full) => *sums = *full,
        None => sums[..row.len()].copy_from_slice(row),
    }
}

/// Writes a row of a tile, leaving out the padding.
#[inline(always)]
fn store<T: Real>(row: &mut [T], sums: &[T; PANEL]) {
    match row.first_chunk_mut::<PANEL>() {
        Some(full) => *full = *sums,
        None => {
            for (to, from) in row.iter_mut().zip(sums) {
                *to = *from;
            }
        }
    }
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
        for (rows, depth, columns) in [(1, 1, 1), (3, 2, 5), (8, 7, 16), (9, 3, 17), (23, 31, 40), (64, 64, 32)] {
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
                assert!((f64::from(value) - exact).abs() < 1e-5, "{rows}×{depth}×{columns}, element {i}");
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
