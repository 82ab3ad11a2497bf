//! Products of small matrices: `C = A B + start`, over panels of sixteen columns of `B`.
//!
//! [`product`] is the whole operation on matrices in memory; [`arrange`], which makes [panels], and [`multiply`], which runs
//! [tiles](tile) over them, are its halves, for kernels that use one arranged matrix several times.

mod panels;
mod tile;

use super::real::Real;
use super::simd::{Instructions, kernel};
use panels::{HALF, PANEL, Panels, copy_short};
pub(crate) use panels::{Matrix, arrange, packed_len, room};
pub(crate) use tile::{Start, multiply};

/// Rows and columns of the block of a large right factor that is packed at once, and stays in the nearest cache.
const BLOCK_TERMS: usize = 128;
const BLOCK_COLUMNS: usize = 2 * PANEL;

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
        by_blocks::<T, I>(out, out_stride, left, right, start, panels, None);
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
        by_blocks::<T, I>(out, right.columns, left.transposed(), right, Start::Zero, panels, Some(sums));
    }
}

/// The product, block by block of a large right factor; `sums` become those of its columns.
#[inline(always)]
fn by_blocks<T: Real, I: Instructions>(
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
            multiply::<T, I>(&mut out[columns.start..], out_stride, left, block, start);
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
