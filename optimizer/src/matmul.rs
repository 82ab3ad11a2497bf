//! Small dense matrix products on row-major slices, for orthogonalisation and matrix preconditioners.
//!
//! `C ← α A B + β C` with a register tile of four rows by two vectors, the depth cut so that the strip of `B`
//! in use stays in the first-level cache. Nothing is allocated. Not a replacement for a tuned BLAS on huge
//! matrices; within a step it shares the dispatch of the other kernels.

use crate::accumulators::{get, put};
use crate::simd::{Kernel, Simd, dispatch};

const TILE_ROWS: usize = 4;
const DEPTH: usize = 256;

/// The shape of a product: `A` is `rows × depth`, `B` is `depth × cols`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dims {
    pub rows: usize,
    pub depth: usize,
    pub cols: usize,
}

/// `C ← alpha · A B + beta · C`, all row-major and contiguous.
pub(crate) fn matmul(c: &mut [f32], a: &[f32], b: &[f32], dims: Dims, alpha: f32, beta: f32) {
    assert!(c.len() == dims.rows * dims.cols && a.len() == dims.rows * dims.depth && b.len() == dims.depth * dims.cols);
    dispatch(Product { c, a, b, dims, alpha, beta });
}

/// `to ← fromᵀ`, where `from` is `rows × cols`.
pub(crate) fn transpose(to: &mut [f32], from: &[f32], rows: usize, cols: usize) {
    const TILE: usize = 16;
    for i0 in (0..rows).step_by(TILE) {
        for j0 in (0..cols).step_by(TILE) {
            for i in i0..(i0 + TILE).min(rows) {
                for j in j0..(j0 + TILE).min(cols) {
                    to[j * rows + i] = from[i * cols + j];
                }
            }
        }
    }
}

struct Product<'a> {
    c: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
    dims: Dims,
    alpha: f32,
    beta: f32,
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { c, a, b, dims, alpha, beta } = self;
        if beta != 1.0 {
            c.iter_mut().for_each(|value| *value = if beta == 0.0 { 0.0 } else { *value * beta });
        }
        for k0 in (0..dims.depth).step_by(DEPTH) {
            let k1 = (k0 + DEPTH).min(dims.depth);
            let mut j = 0;
            while j < dims.cols {
                let count = (dims.cols - j).min(2 * V::LANES);
                let full = dims.rows / TILE_ROWS * TILE_ROWS;
                for i in (0..full).step_by(TILE_ROWS) {
                    tile::<V, TILE_ROWS>(c, a, b, dims, i, j, count, k0..k1, alpha);
                }
                for i in full..dims.rows {
                    tile::<V, 1>(c, a, b, dims, i, j, count, k0..k1, alpha);
                }
                j += count;
            }
        }
    }
}

/// Adds the product over the depth range `k` to `R` rows from `i` and up to two vectors of columns from `j`.
#[inline(always)]
fn tile<V: Simd, const R: usize>(
    c: &mut [f32],
    a: &[f32],
    b: &[f32],
    dims: Dims,
    i: usize,
    j: usize,
    count: usize,
    k: std::ops::Range<usize>,
    alpha: f32,
) {
    let counts = [count.min(V::LANES), count.saturating_sub(V::LANES)];
    if counts == [V::LANES; 2] {
        tile_of::<V, R, 2>(c, a, b, dims, i, j, [V::LANES; 2], k, alpha);
    } else if counts[1] == 0 {
        tile_of::<V, R, 1>(c, a, b, dims, i, j, [counts[0]], k, alpha);
    } else {
        tile_of::<V, R, 2>(c, a, b, dims, i, j, counts, k, alpha);
    }
}

#[inline(always)]
fn tile_of<V: Simd, const R: usize, const N: usize>(
    c: &mut [f32],
    a: &[f32],
    b: &[f32],
    dims: Dims,
    i: usize,
    j: usize,
    counts: [usize; N],
    k: std::ops::Range<usize>,
    alpha: f32,
) {
    let mut sums = [[V::splat(0.0); N]; R];
    let mut rows: [&[f32]; R] = [&[]; R];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = &a[(i + r) * dims.depth..][..dims.depth];
    }
    for k in k {
        for n in 0..N {
            let b: V = get(b, k * dims.cols + j + n * V::LANES, counts[n]);
            for r in 0..R {
                sums[r][n] = b.mul_add(V::splat(rows[r][k]), sums[r][n]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (n, sum) in sums.iter().enumerate() {
            let at = (i + r) * dims.cols + j + n * V::LANES;
            let old: V = get(c, at, counts[n]);
            put(sum.mul_add(V::splat(alpha), old), c, at, counts[n]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::on_every_set;

    fn wave(len: usize, phase: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 0.7 + phase).sin()).collect()
    }

    #[test]
    fn products_of_any_shape_agree_with_the_definition() {
        for (rows, depth, cols) in [(1, 1, 1), (3, 5, 7), (4, 300, 33), (9, 2, 17), (6, 8, 16), (5, 3, 40)] {
            let (a, b, c) = (wave(rows * depth, 0.1), wave(depth * cols, 0.2), wave(rows * cols, 0.3));
            let dims = Dims { rows, depth, cols };
            for (set, product) in on_every_set(|| Boxed { a: &a, b: &b, c: &c, dims }) {
                for i in 0..rows {
                    for j in 0..cols {
                        let sum: f64 =
                            (0..depth).map(|k| f64::from(a[i * depth + k]) * f64::from(b[k * cols + j])).sum();
                        let expected = 1.5 * sum + 0.5 * f64::from(c[i * cols + j]);
                        let got = f64::from(product[i * cols + j]);
                        assert!((got - expected).abs() < 1e-4, "{set:?} {dims:?} at {i},{j}: {got} {expected}");
                    }
                }
            }
        }
    }

    /// A product that returns its result.
    struct Boxed<'a> {
        a: &'a [f32],
        b: &'a [f32],
        c: &'a [f32],
        dims: Dims,
    }

    impl Kernel for Boxed<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<V: Simd>(self) -> Vec<f32> {
            let mut c = self.c.to_vec();
            Product { c: &mut c, a: self.a, b: self.b, dims: self.dims, alpha: 1.5, beta: 0.5 }.run::<V>();
            c
        }
    }

    #[test]
    fn a_transpose_swaps_rows_and_columns() {
        let from = wave(18 * 35, 0.0);
        let mut to = vec![0.0; from.len()];
        transpose(&mut to, &from, 18, 35);
        assert!((0..18).all(|i| (0..35).all(|j| to[j * 18 + i] == from[i * 35 + j])));
    }
}
