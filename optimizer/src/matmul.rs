//! Small dense matrix products on row-major slices, for orthogonalisation and matrix preconditioners.
//!
//! `C ← α A B + β C`. The depth is cut so that a strip of `B`, two vectors wide, is packed into the first-level cache,
//! and the rows so that the part of `A` in use stays in the second; a register tile of six rows (twelve with the
//! registers of AVX-512) by two vectors runs over them. Where the product is known to be symmetric only the tiles on
//! and below the diagonal are computed. Blocks of rows are divided among threads with the feature `rayon`. Nothing is
//! allocated.

use crate::accumulators::{get, put};
use crate::parallel::{Shared, for_each_part};
use crate::simd::{Kernel, Processor, Simd};

/// Depth of a packed strip.
const DEPTH: usize = 256;

/// Columns of a packed strip at most: two vectors of sixteen lanes.
const STRIP: usize = 32;

/// Rows of `C` that are computed with one packed strip: a multiple of both tile heights.
const ROWS: usize = 96;

/// The shape of a product: `A` is `rows × depth`, `B` is `depth × cols`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dims {
    pub rows: usize,
    pub depth: usize,
    pub cols: usize,
}

/// `C ← alpha · A B + beta · C`, all row-major and contiguous.
pub(crate) fn matmul(c: &mut [f32], a: &[f32], b: &[f32], dims: Dims, alpha: f32, beta: f32) {
    multiply(Processor::widest(), c, (a, b), dims, (alpha, beta), Part::All);
}

/// The same for a square `C` that is symmetric before and after: half the work.
pub(crate) fn symmetric_matmul(c: &mut [f32], a: &[f32], b: &[f32], dims: Dims, alpha: f32, beta: f32) {
    assert!(dims.rows == dims.cols);
    multiply(Processor::widest(), c, (a, b), dims, (alpha, beta), Part::Lower);
    mirror(c, dims.rows);
}

/// `to ← fromᵀ`, where `from` is `rows × cols`.
pub(crate) fn transpose(to: &mut [f32], from: &[f32], rows: usize, cols: usize) {
    const TILE: usize = 8;
    assert!(to.len() == rows * cols && from.len() == rows * cols);
    for i0 in (0..rows).step_by(TILE) {
        for j0 in (0..cols).step_by(TILE) {
            if i0 + TILE <= rows && j0 + TILE <= cols {
                let mut tile = [[0.0; TILE]; TILE];
                for (i, row) in tile.iter_mut().enumerate() {
                    row.copy_from_slice(&from[(i0 + i) * cols + j0..][..TILE]);
                }
                for j in 0..TILE {
                    let column: [f32; TILE] = std::array::from_fn(|i| tile[i][j]);
                    to[(j0 + j) * rows + i0..][..TILE].copy_from_slice(&column);
                }
                continue;
            }
            for i in i0..(i0 + TILE).min(rows) {
                for j in j0..(j0 + TILE).min(cols) {
                    to[j * rows + i] = from[i * cols + j];
                }
            }
        }
    }
}

/// Copies what is below the diagonal to above it.
fn mirror(c: &mut [f32], n: usize) {
    const TILE: usize = 16;
    for i0 in (0..n).step_by(TILE) {
        for j0 in (0..=i0).step_by(TILE) {
            for i in i0..(i0 + TILE).min(n) {
                for j in j0..(j0 + TILE).min(i) {
                    c[j * n + i] = c[i * n + j];
                }
            }
        }
    }
}

/// Which elements of `C` are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// Those on and below the diagonal; some of the others are written too.
    Lower,
}

fn multiply(
    processor: Processor,
    c: &mut [f32],
    (a, b): (&[f32], &[f32]),
    dims: Dims,
    factors: (f32, f32),
    part: Part,
) {
    assert!(c.len() == dims.rows * dims.cols && a.len() == dims.rows * dims.depth && b.len() == dims.depth * dims.cols);
    let c = Shared::new(c);
    for_each_part(dims.rows.div_ceil(ROWS), |block| {
        let rows = block * ROWS..((block + 1) * ROWS).min(dims.rows);
        // SAFETY: the rows of one block.
        let c = unsafe { c.part(rows.start * dims.cols..rows.end * dims.cols) };
        let a = &a[rows.start * dims.depth..rows.end * dims.depth];
        let cols = if part == Part::Lower { rows.end } else { dims.cols };
        processor.run(Product { c, a, b, dims: Dims { rows: rows.len(), ..dims }, cols, factors });
    });
}

/// A block of rows of a product, up to a column.
struct Product<'a> {
    c: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
    dims: Dims,
    cols: usize,
    factors: (f32, f32),
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        // Clearing room for a long strip takes longer than a small product.
        match self.dims.depth {
            0..=32 => self.by_strips::<V, 32>(),
            33..=64 => self.by_strips::<V, 64>(),
            _ => self.by_strips::<V, DEPTH>(),
        }
    }
}

impl Product<'_> {
    /// With strips of at most `D` rows.
    #[inline(always)]
    fn by_strips<V: Simd, const D: usize>(self) {
        let Self { c, a, b, dims, cols, factors: (alpha, beta) } = self;
        if beta != 1.0 {
            c.iter_mut().for_each(|value| *value = if beta == 0.0 { 0.0 } else { *value * beta });
        }
        let width = 2 * V::LANES;
        let mut strip = [[0.0f32; STRIP]; D];
        let strip = strip.as_flattened_mut();
        for k0 in (0..dims.depth).step_by(D) {
            let depth = D.min(dims.depth - k0);
            for j in (0..cols).step_by(width) {
                let count = width.min(dims.cols - j);
                for (k, packed) in strip.chunks_exact_mut(width).take(depth).enumerate() {
                    let row = &b[(k0 + k) * dims.cols + j..][..count];
                    if count == width {
                        V::load(row).store(packed);
                        V::load(&row[V::LANES..]).store(&mut packed[V::LANES..]);
                    } else {
                        packed[..count].copy_from_slice(row);
                        packed[count..].fill(0.0);
                    }
                }
                let mut tile = Tile { c: &mut *c, a, strip, dims, j, count, k0, depth, alpha };
                if V::LANES == 16 {
                    tile.rows::<V, 12>();
                } else {
                    tile.rows::<V, 6>();
                }
            }
        }
    }
}

/// One packed strip of `B` against all rows of the block.
struct Tile<'a> {
    c: &'a mut [f32],
    a: &'a [f32],
    strip: &'a [f32],
    dims: Dims,
    j: usize,
    count: usize,
    k0: usize,
    depth: usize,
    alpha: f32,
}

impl Tile<'_> {
    #[inline(always)]
    fn rows<V: Simd, const R: usize>(&mut self) {
        let mut i = 0;
        while i + R <= self.dims.rows {
            self.tile::<V, R>(i);
            i += R;
        }
        // What is left, which is most of a small matrix, by powers of two: a row alone would wait for each of its sums
        // before it adds the next product.
        let left = self.dims.rows - i;
        if left & 8 != 0 {
            self.tile::<V, 8>(i);
            i += 8;
        }
        if left & 4 != 0 {
            self.tile::<V, 4>(i);
            i += 4;
        }
        if left & 2 != 0 {
            self.tile::<V, 2>(i);
            i += 2;
        }
        if left & 1 != 0 {
            self.tile::<V, 1>(i);
        }
    }

    /// Adds the product to `R` rows from `i`.
    #[inline(always)]
    fn tile<V: Simd, const R: usize>(&mut self, i: usize) {
        let mut rows: [&[f32]; R] = [&[]; R];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = &self.a[(i + r) * self.dims.depth + self.k0..][..self.depth];
        }
        let mut sums = [[V::splat(0.0); 2]; R];
        for (k, packed) in self.strip.chunks_exact(2 * V::LANES).take(self.depth).enumerate() {
            let b = [V::load(packed), V::load(&packed[V::LANES..])];
            for r in 0..R {
                // SAFETY: every row was cut to `depth` elements, and so many strips are taken.
                let a = V::splat(unsafe { *rows[r].get_unchecked(k) });
                sums[r][0] = b[0].mul_add(a, sums[r][0]);
                sums[r][1] = b[1].mul_add(a, sums[r][1]);
            }
        }
        let counts = [self.count.min(V::LANES), self.count.saturating_sub(V::LANES)];
        for (r, sums) in sums.iter().enumerate() {
            for n in 0..2 {
                if counts[n] > 0 {
                    let at = (i + r) * self.dims.cols + self.j + n * V::LANES;
                    let old: V = get(self.c, at, counts[n]);
                    put(sums[n].mul_add(V::splat(self.alpha), old), self.c, at, counts[n]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, phase: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 0.7 + phase).sin()).collect()
    }

    #[test]
    fn products_of_any_shape_agree_with_the_definition() {
        for (rows, depth, cols) in [(1, 1, 1), (3, 5, 7), (4, 300, 33), (100, 2, 17), (6, 8, 16), (13, 3, 40)] {
            let (a, b, c) = (wave(rows * depth, 0.1), wave(depth * cols, 0.2), wave(rows * cols, 0.3));
            let dims = Dims { rows, depth, cols };
            for processor in Processor::all() {
                let mut product = c.clone();
                multiply(processor, &mut product, (&a, &b), dims, (1.5, 0.5), Part::All);
                for i in 0..rows {
                    for j in 0..cols {
                        let sum: f64 =
                            (0..depth).map(|k| f64::from(a[i * depth + k]) * f64::from(b[k * cols + j])).sum();
                        let expected = 1.5 * sum + 0.5 * f64::from(c[i * cols + j]);
                        let got = f64::from(product[i * cols + j]);
                        assert!((got - expected).abs() < 1e-4, "{processor:?} {dims:?} at {i},{j}: {got} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn half_of_a_symmetric_product_is_the_whole() {
        for (rows, depth) in [(1, 3), (7, 40), (130, 9)] {
            let a = wave(rows * depth, 0.1);
            let mut transposed = a.clone();
            transpose(&mut transposed, &a, rows, depth);
            let dims = Dims { rows, depth, cols: rows };
            let (mut half, mut whole) = (vec![0.0; rows * rows], vec![0.0; rows * rows]);
            matmul(&mut whole, &a, &transposed, dims, 1.0, 0.0);
            symmetric_matmul(&mut half, &a, &transposed, dims, 1.0, 0.0);
            for (index, (half, whole)) in half.iter().zip(&whole).enumerate() {
                assert!((half - whole).abs() < 1e-4, "{rows}×{depth} at {index}: {half} {whole}");
            }
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
