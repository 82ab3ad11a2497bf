//! Products of small matrices: `C = A B + start`, with `B` repacked into panels of sixteen columns.
//!
//! A panel holds, for each `k`, the sixteen values `B[k, 16 p ..]`, padded with zeros. A tile of `ROWS × 16` sums stays in
//! registers over all `k`; every element of `C` is one sum in the order of `k`, whatever the tile.

use super::simd::{Instructions, LANES};

/// Columns of a panel.
const PANEL: usize = LANES;

/// Elements of the panels of a matrix of `depth` rows and `columns` columns.
pub(super) fn packed_len(depth: usize, columns: usize) -> usize {
    depth * columns.next_multiple_of(PANEL)
}

/// Packs a row-major matrix of `columns` columns; `panels` has its [`packed_len`].
#[inline(always)]
pub(super) fn pack(matrix: &[f32], columns: usize, panels: &mut [f32]) {
    let depth = matrix.len() / columns;
    for (p, panel) in panels.chunks_exact_mut(depth * PANEL).enumerate() {
        let width = PANEL.min(columns - p * PANEL);
        for (row, packed) in matrix.chunks_exact(columns).zip(panel.as_chunks_mut::<PANEL>().0) {
            match row[p * PANEL..].first_chunk::<PANEL>() {
                Some(full) => *packed = *full,
                None => {
                    *packed = [0.0; PANEL];
                    packed[..width].copy_from_slice(&row[p * PANEL..]);
                }
            }
        }
    }
}

/// Packs the transpose of a row-major matrix of `depth` columns; `panels` has its [`packed_len`].
#[inline(always)]
pub(super) fn pack_transposed(matrix: &[f32], depth: usize, panels: &mut [f32]) {
    for (panel, rows) in panels.chunks_exact_mut(depth * PANEL).zip(matrix.chunks(depth * PANEL)) {
        panel.fill(0.0);
        for (j, row) in rows.chunks_exact(depth).enumerate() {
            for (packed, &value) in panel.as_chunks_mut::<PANEL>().0.iter_mut().zip(row) {
                packed[j] = value;
            }
        }
    }
}

/// The left factor: element `(i, k)` is `values[i · row_stride + k · depth_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    values: &'a [f32],
    rows: usize,
    depth: usize,
    row_stride: usize,
    depth_stride: usize,
}

impl<'a> Left<'a> {
    /// A row-major matrix of `depth` columns.
    #[inline(always)]
    pub(super) fn rows(values: &'a [f32], depth: usize) -> Self {
        Self { values, rows: values.len() / depth, depth, row_stride: depth, depth_stride: 1 }
    }

    /// The transpose of a row-major matrix of `rows` columns.
    #[inline(always)]
    pub(super) fn transposed(values: &'a [f32], rows: usize) -> Self {
        Self { values, rows, depth: values.len() / rows, row_stride: 1, depth_stride: rows }
    }
}

/// `out = left · B + start`, where `start` is one row, or nothing for zeros.
///
/// `panels` are those of `B`; `out` is row-major of `columns` columns.
#[inline(always)]
pub(super) fn multiply<I: Instructions, const ROWS: usize>(
    left: Left<'_>,
    panels: &[f32],
    columns: usize,
    start: Option<&[f32]>,
    out: &mut [f32],
) {
    assert_eq!(panels.len(), packed_len(left.depth, columns));
    assert_eq!(out.len(), left.rows * columns);
    for (p, panel) in panels.chunks_exact(left.depth * PANEL).enumerate() {
        let first_column = p * PANEL;
        let mut start_row = [0.0; PANEL];
        if let Some(start) = start {
            for (to, from) in start_row.iter_mut().zip(&start[first_column..]) {
                *to = *from;
            }
        }
        let mut row = 0;
        while row + ROWS <= left.rows {
            let sums = tile::<I, ROWS>(left, row, panel, start_row);
            store(&sums, &mut out[row * columns..], columns, first_column);
            row += ROWS;
        }
        while row + 2 <= left.rows {
            let sums = tile::<I, 2>(left, row, panel, start_row);
            store(&sums, &mut out[row * columns..], columns, first_column);
            row += 2;
        }
        if row < left.rows {
            let sums = tile::<I, 1>(left, row, panel, start_row);
            store(&sums, &mut out[row * columns..], columns, first_column);
        }
    }
}

/// `R` rows of the product, from `row` on, over the columns of one panel.
#[inline(always)]
fn tile<I: Instructions, const R: usize>(
    left: Left<'_>,
    row: usize,
    panel: &[f32],
    start: [f32; PANEL],
) -> [[f32; PANEL]; R] {
    let Left { values, depth, row_stride, depth_stride, .. } = left;
    let (packed, _) = panel.as_chunks::<PANEL>();
    assert_eq!(packed.len(), depth);
    assert!((row + R - 1) * row_stride + depth.saturating_sub(1) * depth_stride < values.len());
    let mut sums = [start; R];
    for (k, right) in packed.iter().enumerate() {
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: r < R and k < depth, so the index is at most the one asserted above to be in bounds.
            let factor = unsafe { *values.get_unchecked((row + r) * row_stride + k * depth_stride) };
            I::add_scaled(sums, factor, right);
        }
    }
    sums
}

/// Writes a tile to the rows of `out`, leaving out the padding.
#[inline(always)]
fn store(sums: &[[f32; PANEL]], out: &mut [f32], columns: usize, first_column: usize) {
    for (sums, row) in sums.iter().zip(out.chunks_exact_mut(columns)) {
        let row = &mut row[first_column..];
        match row.first_chunk_mut::<PANEL>() {
            Some(full) => *full = *sums,
            None => {
                for (to, from) in row.iter_mut().zip(sums) {
                    *to = *from;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::Fused;
    use super::*;
    use crate::rng::normals;

    fn random(seed: u64, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        normals(seed, 0, 0, &mut values);
        values
    }

    #[test]
    fn products_of_all_small_shapes_agree_with_the_definition() {
        for (rows, depth, columns) in [(1, 1, 1), (3, 2, 5), (8, 7, 16), (9, 3, 17), (23, 31, 40), (64, 64, 32)] {
            let (a, b, bias) = (random(1, rows * depth), random(2, depth * columns), random(3, columns));
            let (mut a_transposed, mut b_transposed) = (vec![0.0; a.len()], vec![0.0; b.len()]);
            (0..a.len()).for_each(|i| a_transposed[i % depth * rows + i / depth] = a[i]);
            (0..b.len()).for_each(|i| b_transposed[i % columns * depth + i / columns] = b[i]);
            let (mut panels, mut other_panels) = (vec![f32::NAN; packed_len(depth, columns)], Vec::new());
            other_panels.clone_from(&panels);
            pack(&b, columns, &mut panels);
            pack_transposed(&b_transposed, depth, &mut other_panels);
            assert_eq!(panels, other_panels);

            let (mut out, mut from_transposed) = (vec![f32::NAN; rows * columns], vec![f32::NAN; rows * columns]);
            multiply::<Fused, 8>(Left::rows(&a, depth), &panels, columns, Some(&bias), &mut out);
            multiply::<Fused, 4>(
                Left::transposed(&a_transposed, rows),
                &panels,
                columns,
                Some(&bias),
                &mut from_transposed,
            );
            assert_eq!(out, from_transposed, "one order of summation, whatever the tile and the strides");
            for (i, &value) in out.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let products = (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(b[k * columns + column]));
                let exact = f64::from(bias[column]) + products.sum::<f64>();
                assert!((f64::from(value) - exact).abs() < 1e-5, "{rows}×{depth}×{columns}, element {i}");
            }
        }
    }
}
