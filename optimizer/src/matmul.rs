//! Small dense matrix products on row-major slices, for orthogonalisation and matrix preconditioners.
//!
//! `C ← α A B + β D`, where `A` may be stored transposed. The depth is cut so that a strip of `B`, two vectors wide,
//! stays in the first-level cache, and the rows so that the part of `A` in use stays in the second; a register tile of
//! six rows (twelve with the registers of AVX-512) by two vectors runs over them. A strip is packed only where rows of
//! `B` are long or end inside it. Of a large symmetric product strips start at the diagonal. Blocks of rows are divided
//! among threads with the feature `rayon`. Nothing is allocated.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::accumulators::{get, put};
use crate::parallel::{Shared, for_each_part};
use crate::simd::{Kernel, Processor, Simd};

/// Depth of a strip of `B`.
const DEPTH: usize = 256;

/// Columns of a strip at most: two vectors of sixteen lanes.
const STRIP: usize = 32;

/// Rows of `C` that are computed with one strip: a multiple of both tile heights.
const ROWS: usize = 96;

/// Columns of `B` up to which a full strip is read where it lies.
const NEAR: usize = 256;

/// The shape of a product: `A` is `rows × depth`, `B` is `depth × cols`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dims {
    pub rows: usize,
    pub depth: usize,
    pub cols: usize,
}

/// The factor on the left.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left<'a> {
    /// `A`, `rows × depth`.
    Plain(&'a [f32]),
    /// `Aᵀ`, `depth × rows`.
    Transposed(&'a [f32]),
}

/// What is added to a product.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Addend<'a> {
    Nothing,
    /// What `C` was, times a factor.
    Before(f32),
    /// Another matrix, times a factor.
    Matrix(&'a [f32], f32),
}

/// `C ← alpha · A B + addend`.
pub(crate) fn matmul(c: &mut [f32], a: Left, b: &[f32], dims: Dims, alpha: f32, addend: Addend) {
    multiply(Processor::widest(), c, (a, b), dims, (alpha, addend), Part::All);
}

/// `C ← alpha · Aᵀ A + addend` of a `rows × cols` matrix and a symmetric addend.
pub(crate) fn gram(c: &mut [f32], a: &[f32], [rows, cols]: [usize; 2], alpha: f32, addend: Addend) {
    let dims = Dims { rows: cols, depth: rows, cols };
    // A product of one strip is done in one go: its halves come out equal.
    let part = if cols <= STRIP { Part::All } else { Part::Lower };
    multiply(Processor::widest(), c, (Left::Transposed(a), a), dims, (alpha, addend), part);
    if part == Part::Lower {
        mirror(c, cols);
    }
}

/// `to ← fromᵀ`, where `from` is `rows × cols`.
pub(crate) fn transpose(to: &mut [f32], from: &[f32], rows: usize, cols: usize) {
    assert!(to.len() == rows * cols && from.len() == rows * cols);
    for i0 in (0..rows).step_by(TILE) {
        for j0 in (0..cols).step_by(TILE) {
            if i0 + TILE <= rows && j0 + TILE <= cols {
                let tile = read_tile(from, i0 * cols + j0, cols);
                write_transposed(&tile, to, j0 * rows + i0, rows);
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
    for i0 in (0..n).step_by(TILE) {
        for j0 in (0..=i0).step_by(TILE) {
            if i0 + TILE <= n && j0 < i0 {
                let tile = read_tile(c, i0 * n + j0, n);
                write_transposed(&tile, c, j0 * n + i0, n);
                continue;
            }
            for i in i0..(i0 + TILE).min(n) {
                for j in j0..(j0 + TILE).min(i) {
                    c[j * n + i] = c[i * n + j];
                }
            }
        }
    }
}

/// Rows and columns that are transposed in registers.
const TILE: usize = 8;

#[inline(always)]
fn read_tile(from: &[f32], at: usize, stride: usize) -> [[f32; TILE]; TILE] {
    let mut tile = [[0.0; TILE]; TILE];
    for (i, row) in tile.iter_mut().enumerate() {
        row.copy_from_slice(&from[at + i * stride..][..TILE]);
    }
    tile
}

#[inline(always)]
fn write_transposed(tile: &[[f32; TILE]; TILE], to: &mut [f32], at: usize, stride: usize) {
    for j in 0..TILE {
        let column: [f32; TILE] = std::array::from_fn(|i| tile[i][j]);
        to[at + j * stride..][..TILE].copy_from_slice(&column);
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
    (a, b): (Left, &[f32]),
    dims: Dims,
    (alpha, addend): (f32, Addend),
    part: Part,
) {
    let (Left::Plain(values) | Left::Transposed(values)) = a;
    assert!(c.len() == dims.rows * dims.cols && b.len() == dims.depth * dims.cols);
    assert!(values.len() == dims.rows * dims.depth);
    assert!(if let Addend::Matrix(d, _) = addend { d.len() == c.len() } else { true });
    let c = Shared::new(c);
    for_each_part(dims.rows.div_ceil(ROWS), |block| {
        let rows = block * ROWS..((block + 1) * ROWS).min(dims.rows);
        // SAFETY: the rows of one block.
        let c = unsafe { c.part(rows.start * dims.cols..rows.end * dims.cols) };
        processor.run(Product { c, block: rows, a, b, dims, alpha, addend, part });
    });
}

/// A block of rows of a product.
struct Product<'a> {
    /// The block.
    c: &'a mut [f32],
    /// Its rows.
    block: Range<usize>,
    a: Left<'a>,
    b: &'a [f32],
    /// Of the whole product.
    dims: Dims,
    alpha: f32,
    addend: Addend<'a>,
    part: Part,
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(mut self) {
        let Self { b, dims, part, .. } = self;
        let wanted = if part == Part::Lower { self.block.end } else { dims.cols };
        let width = 2 * V::LANES;
        let mut room = [const { MaybeUninit::uninit() }; STRIP * DEPTH];
        // A product without depth is its addend.
        for k0 in (0..dims.depth.max(1)).step_by(DEPTH) {
            let depth = DEPTH.min(dims.depth - k0);
            for j in (0..wanted).step_by(width) {
                let count = width.min(dims.cols - j);
                let vectors = count.div_ceil(V::LANES);
                let near = count == vectors * V::LANES && dims.cols <= NEAR;
                let (values, stride) = match &b[(k0 * dims.cols + j).min(b.len())..] {
                    near_b if near => (near_b, dims.cols),
                    far_b => (pack::<V>(&mut room, far_b, [depth, count], dims.cols), vectors * V::LANES),
                };
                let strip = Strip { values, stride, k0, depth, j, count };
                let rows = if part == Part::Lower { j.max(self.block.start) } else { self.block.start }..self.block.end;
                match (vectors, self.a) {
                    (2, Left::Plain(a)) => self.rows::<V, 2, false>(a, &strip, rows),
                    (2, Left::Transposed(a)) => self.rows::<V, 2, true>(a, &strip, rows),
                    (_, Left::Plain(a)) => self.rows::<V, 1, false>(a, &strip, rows),
                    (_, Left::Transposed(a)) => self.rows::<V, 1, true>(a, &strip, rows),
                }
            }
        }
    }
}

/// Some columns and a part of the depth of `B`: as many vectors as they need, zero behind the columns.
struct Strip<'a> {
    values: &'a [f32],
    /// From one row to the next.
    stride: usize,
    /// Where the rows begin, and how many there are.
    k0: usize,
    depth: usize,
    /// Where the columns begin, and how many there are.
    j: usize,
    count: usize,
}

/// Copies `depth` rows of `count` elements, `stride` apart, into whole vectors, with zeros behind them.
#[inline(always)]
fn pack<'a, V: Simd>(
    room: &'a mut [MaybeUninit<f32>; STRIP * DEPTH],
    b: &[f32],
    [depth, count]: [usize; 2],
    stride: usize,
) -> &'a [f32] {
    const { assert!(size_of::<V>() == V::LANES * size_of::<f32>(), "a vector is its lanes") };
    let width = count.next_multiple_of(V::LANES);
    assert!(depth <= DEPTH && width <= STRIP);
    let room: *mut f32 = room.as_mut_ptr().cast();
    for k in 0..depth {
        let row = &b[k * stride..][..count];
        for at in (0..count).step_by(V::LANES) {
            let vector: V = get(row, at, V::LANES.min(count - at));
            // SAFETY: `at + V::LANES ≤ width`, so the lanes lie in row `k` of `depth · width ≤ STRIP · DEPTH` elements.
            unsafe { room.add(k * width + at).cast::<V>().write_unaligned(vector) };
        }
    }
    // SAFETY: the loops have written every element.
    unsafe { std::slice::from_raw_parts(room, depth * width) }
}

impl Product<'_> {
    /// One strip of `N` vectors against some rows of the block.
    #[inline(always)]
    fn rows<V: Simd, const N: usize, const TRANSPOSED: bool>(&mut self, a: &[f32], strip: &Strip, rows: Range<usize>) {
        // Tiles of nearly equal height: a low one would wait for each of its sums before it adds the next product.
        let tallest = if V::LANES == 16 { 12 } else { 6 };
        let mut i = rows.start;
        while i < rows.end {
            let left = rows.end - i;
            let height = left.div_ceil(left.div_ceil(tallest));
            macro_rules! tile_of {
                ($($rows:literal)*) => {
                    match height {
                        $($rows => self.tile::<V, $rows, N, TRANSPOSED>(a, strip, i),)*
                        _ => unreachable!("no tile is that tall"),
                    }
                };
            }
            if V::LANES == 16 {
                tile_of!(1 2 3 4 5 6 7 8 9 10 11 12);
            } else {
                tile_of!(1 2 3 4 5 6);
            }
            i += height;
        }
    }

    /// `R` rows from `i`.
    #[inline(always)]
    fn tile<V: Simd, const R: usize, const N: usize, const TRANSPOSED: bool>(
        &mut self,
        a: &[f32],
        strip: &Strip,
        i: usize,
    ) {
        let dims = self.dims;
        let mut sums = [[V::splat(0.0); N]; R];
        let mut add = |k: usize, column: [f32; R]| {
            let b: [V; N] = std::array::from_fn(|n| V::load(&strip.values[k * strip.stride + n * V::LANES..]));
            for (sums, a) in sums.iter_mut().zip(column) {
                let a = V::splat(a);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = b.mul_add(a, *sum);
                }
            }
        };
        if TRANSPOSED {
            for k in 0..strip.depth {
                let column = a[(strip.k0 + k) * dims.rows + i..].first_chunk();
                add(k, *column.expect("the tile lies inside the matrix"));
            }
        } else {
            let rows: [&[f32]; R] = std::array::from_fn(|r| &a[(i + r) * dims.depth + strip.k0..][..strip.depth]);
            for k in 0..strip.depth {
                // SAFETY: every row was cut to `depth` elements.
                add(k, std::array::from_fn(|r| unsafe { *rows[r].get_unchecked(k) }));
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                let count = V::LANES.min(strip.count - n * V::LANES);
                let at = (i + r) * dims.cols + strip.j + n * V::LANES;
                let at_block = at - self.block.start * dims.cols;
                let addend = match self.addend {
                    // What earlier parts of the depth have left.
                    _ if strip.k0 > 0 => get(self.c, at_block, count),
                    Addend::Nothing => V::splat(0.0),
                    Addend::Before(factor) => get::<V>(self.c, at_block, count).mul(V::splat(factor)),
                    Addend::Matrix(d, factor) => get::<V>(d, at, count).mul(V::splat(factor)),
                };
                put(sum.mul_add(V::splat(self.alpha), addend), self.c, at_block, count);
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
            let mut turned = a.clone();
            transpose(&mut turned, &a, rows, depth);
            let dims = Dims { rows, depth, cols };
            for processor in Processor::all() {
                for (left, addend, share) in [
                    (Left::Plain(&a), Addend::Nothing, 0.0),
                    (Left::Plain(&a), Addend::Before(0.5), 0.5),
                    (Left::Transposed(&turned), Addend::Before(1.0), 1.0),
                    (Left::Transposed(&turned), Addend::Matrix(&c, -2.0), -2.0),
                ] {
                    let mut product = c.clone();
                    multiply(processor, &mut product, (left, &b), dims, (1.5, addend), Part::All);
                    for i in 0..rows {
                        for j in 0..cols {
                            let sum: f64 =
                                (0..depth).map(|k| f64::from(a[i * depth + k]) * f64::from(b[k * cols + j])).sum();
                            let expected = 1.5 * sum + share * f64::from(c[i * cols + j]);
                            let got = f64::from(product[i * cols + j]);
                            let what = format!("{processor:?} {dims:?} {addend:?} at {i},{j}");
                            assert!((got - expected).abs() < 1e-4, "{what}: {got} {expected}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_product_without_depth_is_its_addend() {
        let mut c = wave(6, 0.3);
        let dims = Dims { rows: 2, depth: 0, cols: 3 };
        matmul(&mut c, Left::Plain(&[]), &[], dims, 1.0, Addend::Matrix(&wave(6, 0.1), 2.0));
        assert!(c.iter().zip(wave(6, 0.1)).all(|(c, d)| *c == 2.0 * d), "{c:?}");
        matmul(&mut c, Left::Transposed(&[]), &[], dims, 1.0, Addend::Nothing);
        assert_eq!(c, [0.0; 6]);
    }

    #[test]
    fn gram_matrices_are_products_with_the_transpose_and_exactly_symmetric() {
        for (rows, cols) in [(3, 1), (40, 7), (9, 130), (300, 45)] {
            let a = wave(rows * cols, 0.1);
            let mut turned = a.clone();
            transpose(&mut turned, &a, rows, cols);
            let dims = Dims { rows: cols, depth: rows, cols };
            let (mut half, mut whole) = (vec![0.0; cols * cols], vec![0.0; cols * cols]);
            matmul(&mut whole, Left::Plain(&turned), &a, dims, 1.0, Addend::Nothing);
            gram(&mut half, &a, [rows, cols], 1.0, Addend::Nothing);
            assert_eq!(half, whole, "{rows}×{cols}");
            for processor in Processor::all() {
                let (mut half, mut whole) = (vec![0.0; cols * cols], vec![0.0; cols * cols]);
                for (product, part) in [(&mut half, Part::Lower), (&mut whole, Part::All)] {
                    let factors = (Left::Transposed(&a), &a[..]);
                    multiply(processor, product, factors, dims, (1.0, Addend::Nothing), part);
                }
                mirror(&mut half, cols);
                assert_eq!(half, whole, "{processor:?} {rows}×{cols}");
            }
            let mut turned = half.clone();
            transpose(&mut turned, &half, cols, cols);
            assert_eq!(half, turned, "{rows}×{cols}");
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
