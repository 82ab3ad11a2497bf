//! Tiles of sums in registers.
//!
//! A tile of `ROWS × 16` sums, or twice as wide, stays in registers over all rows of a panel; every element of the product is one
//! sum in the order of `k`, whatever the tile.

use super::panels::{HALF, Matrix, PANEL, Panels, copy_short};
use crate::graph::real::Real;
use crate::graph::simd::{Instructions, Kernel};

/// Rows of a tile of half a panel, whose sums are half as long.
const HALF_ROWS: usize = 8;

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

/// `out = left · right + start`; the rows of `out` are `out_stride` apart.
#[inline(always)]
pub(crate) fn multiply<T: Real, I: Instructions>(
    out: &mut [T],
    out_stride: usize,
    left: Matrix<'_, T>,
    right: Panels<'_, T>,
    start: Start<'_, T>,
) {
    I::call(Multiply { out, out_stride, left, right, start });
}

/// A function of its own: it is most of the code of every kernel that multiplies, and some do so several times.
struct Multiply<'a, T> {
    out: &'a mut [T],
    out_stride: usize,
    left: Matrix<'a, T>,
    right: Panels<'a, T>,
    start: Start<'a, T>,
}

impl<T: Real> Kernel for Multiply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions, const ROWS: usize>(self) {
        let Self { out, out_stride, left, right, start } = self;
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
