//! Eigenvectors of symmetric matrices and orthonormal bases, for preconditioners.
//!
//! In `f64`, and in the order of rows, so that every inner loop runs along memory. Reflections (Householder) bring the
//! matrix to three diagonals, rotations with shifts (implicit QL) to one: about `8 n³` operations. Eigenvalues are exact
//! to rounding of the largest one.

use crate::simd::{Kernel, Processor, Simd};

/// Rotations over the whole matrix for one eigenvalue, at most; two are usual.
const SWEEPS: usize = 60;

/// Eigenvalues and eigenvectors of the symmetric `n × n` matrix, in descending order: afterwards row `k` of `vectors` belongs to
/// `values[k]`. `matrix` and `work`, `n` numbers, are used up.
pub(super) fn symmetric_eigen(matrix: &mut [f64], vectors: &mut [f64], values: &mut [f64], work: &mut [f64], n: usize) {
    assert!(matrix.len() == n * n && vectors.len() == n * n && values.len() == n && work.len() == n);
    Processor::widest().run(SymmetricEigen { matrix, vectors, values, work, n });
}

/// Turns the `n` rows of `rows` into orthonormal ones in `basis`: row `k` of it lies in the span of the first `k + 1`. Rows
/// that depend on those before them are replaced by others that are orthonormal all the same. `rows` is used up.
pub(super) fn orthonormal_rows(rows: &mut [f64], basis: &mut [f64], n: usize) {
    assert!(rows.len() == n * n && basis.len() == n * n);
    Processor::widest().run(OrthonormalRows { rows, basis, n });
}

struct SymmetricEigen<'a> {
    matrix: &'a mut [f64],
    vectors: &'a mut [f64],
    values: &'a mut [f64],
    work: &'a mut [f64],
    n: usize,
}

impl Kernel for SymmetricEigen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { matrix, vectors, values, work, n } = self;
        tridiagonalise(matrix, vectors, values, work, n);
        diagonalise(values, work, vectors, n);
        sort_descending(values, vectors, n);
    }
}

/// `A = Q T Qᵀ`: writes `Qᵀ` into `vectors`, the diagonal of `T` into `diagonal` and what is beside it into `beside`.
#[inline(always)]
fn tridiagonalise(matrix: &mut [f64], vectors: &mut [f64], diagonal: &mut [f64], beside: &mut [f64], n: usize) {
    for k in 0..n {
        let (done, trailing) = matrix.split_at_mut((k + 1) * n);
        let row = &mut done[k * n..];
        diagonal[k] = row[k];
        let axis = &mut row[k + 1..];
        beside[k] = reflection(axis);
        // A ← H A H = A - v wᵀ - w vᵀ with p = A v, w = p - (pᵀ v / 2) v; the free part of `vectors` holds p and w.
        let direction = &mut vectors[k + 1..n];
        direction.fill(0.0);
        for (row, &v) in trailing.chunks_exact(n).zip(&*axis) {
            add_scaled(direction, &row[k + 1..], v);
        }
        let half = 0.5 * dot(direction, axis);
        add_scaled(direction, axis, -half);
        for ((row, &v), &w) in trailing.chunks_exact_mut(n).zip(&*axis).zip(&*direction) {
            for ((a, &wj), &vj) in row[k + 1..].iter_mut().zip(&*direction).zip(&*axis) {
                *a -= v * wj + w * vj;
            }
        }
    }
    // Qᵀ = … H₁ H₀, from the last reflection, which concerns the smallest part, to the first: rows times H on the right.
    vectors.fill(0.0);
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for k in (0..n).rev() {
        let axis = &matrix[k * n + k + 1..(k + 1) * n];
        reflect_rows(&mut vectors[(k + 1) * n..], axis, n, k + 1);
    }
}

/// The reflection `H = I - v vᵀ` that turns `axis` into a multiple of its first unit vector: `v` takes its place, and the
/// multiple is returned. An axis that is one already keeps the identity, `v = 0`.
#[inline(always)]
fn reflection(axis: &mut [f64]) -> f64 {
    let Some(&first) = axis.first() else { return 0.0 };
    let rest = dot(&axis[1..], &axis[1..]);
    if rest == 0.0 {
        axis.fill(0.0);
        return first;
    }
    let multiple = -(first * first + rest).sqrt().copysign(first);
    // No cancellation: both have the same sign.
    let from = first - multiple;
    let scale = (2.0 / (from * from + rest)).sqrt();
    axis[0] = from;
    axis.iter_mut().for_each(|v| *v *= scale);
    multiple
}

/// Multiplies all rows, from column `begin` on, by the reflection `I - v vᵀ` from the right.
#[inline(always)]
fn reflect_rows(rows: &mut [f64], axis: &[f64], n: usize, begin: usize) {
    for row in rows.chunks_exact_mut(n) {
        let row = &mut row[begin..];
        let along = dot(row, axis);
        add_scaled(row, axis, -along);
    }
}

/// Implicit QL: turns the matrix of three diagonals into one of its eigenvalues, in `diagonal`, and rotates the rows of
/// `vectors` along.
#[inline(always)]
fn diagonalise(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [f64], n: usize) {
    let norm = diagonal.iter().chain(&*beside).fold(0.0f64, |norm, x| norm.max(x.abs()));
    let negligible = |at: usize, diagonal: &[f64], beside: &[f64]| {
        let scale = diagonal[at].abs() + diagonal[at + 1].abs() + f64::EPSILON * norm;
        beside[at].abs() <= f64::EPSILON * scale
    };
    for first in 0..n {
        for _ in 0..SWEEPS {
            let last = (first..n - 1).find(|&at| negligible(at, diagonal, beside)).unwrap_or(n - 1);
            if last == first {
                break;
            }
            // The shift is the eigenvalue of the leading pair that is nearer to the first one.
            let slope = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
            let root = (slope * slope + 1.0).sqrt().copysign(slope);
            let mut bulge = diagonal[last] - diagonal[first] + beside[first] / (slope + root);
            let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
            let mut split = false;
            for at in (first..last).rev() {
                let (off, along) = (sine * beside[at], cosine * beside[at]);
                let length = (off * off + bulge * bulge).sqrt();
                beside[at + 1] = length;
                if length == 0.0 {
                    // The matrix falls apart here.
                    diagonal[at + 1] -= moved;
                    split = true;
                    break;
                }
                (sine, cosine) = (off / length, bulge / length);
                let shifted = diagonal[at + 1] - moved;
                let turned = (diagonal[at] - shifted) * sine + 2.0 * cosine * along;
                moved = sine * turned;
                diagonal[at + 1] = shifted + moved;
                bulge = cosine * turned - along;
                let (upper, lower) = vectors[at * n..(at + 2) * n].split_at_mut(n);
                for (x, y) in upper.iter_mut().zip(lower) {
                    (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
                }
            }
            if !split {
                diagonal[first] -= moved;
                beside[first] = bulge;
            }
            beside[last] = 0.0;
        }
    }
}

#[inline(always)]
fn sort_descending(values: &mut [f64], vectors: &mut [f64], n: usize) {
    for to in 0..n {
        let from = (to..n).fold(to, |best, at| if values[at] > values[best] { at } else { best });
        if from != to {
            values.swap(to, from);
            let (head, tail) = vectors.split_at_mut(from * n);
            head[to * n..][..n].swap_with_slice(&mut tail[..n]);
        }
    }
}

struct OrthonormalRows<'a> {
    rows: &'a mut [f64],
    basis: &'a mut [f64],
    n: usize,
}

impl Kernel for OrthonormalRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { rows, basis, n } = self;
        for k in 0..n {
            let (done, trailing) = rows.split_at_mut((k + 1) * n);
            let axis = &mut done[k * n + k..];
            reflection(axis);
            reflect_rows(trailing, axis, n, k);
        }
        // The rows of the basis are those of the identity under all reflections, the last one first.
        basis.fill(0.0);
        (0..n).for_each(|i| basis[i * n + i] = 1.0);
        for k in (0..n).rev() {
            reflect_rows(&mut basis[k * n..], &rows[k * n + k..(k + 1) * n], n, k);
        }
    }
}

/// In eight sums, which a processor forms side by side.
#[inline(always)]
fn dot(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = x.remainder().iter().zip(y.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in x.zip(y) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[inline(always)]
fn add_scaled(to: &mut [f64], from: &[f64], factor: f64) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `vectors` has orthonormal rows.
    fn assert_orthonormal(vectors: &[f64], n: usize) {
        for i in 0..n {
            for j in 0..n {
                let product = dot(&vectors[i * n..][..n], &vectors[j * n..][..n]);
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12, "{i}, {j}: {product}");
            }
        }
    }

    fn assert_decomposed(original: &[f64], n: usize) {
        let (mut matrix, mut vectors) = (original.to_vec(), vec![0.0; n * n]);
        let (mut values, mut work) = (vec![0.0; n], vec![0.0; n]);
        symmetric_eigen(&mut matrix, &mut vectors, &mut values, &mut work, n);
        assert_orthonormal(&vectors, n);
        assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
        let scale = original.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
        for i in 0..n {
            for j in 0..n {
                let rebuilt: f64 = (0..n).map(|k| vectors[k * n + i] * values[k] * vectors[k * n + j]).sum();
                assert!((rebuilt - original[i * n + j]).abs() <= 1e-13 * n as f64 * scale, "{n}: {i}, {j}");
            }
        }
    }

    #[test]
    fn a_symmetric_matrix_is_rebuilt_from_its_eigenvectors() {
        let entry = |i: usize, j: usize| ((i * j) as f64 + (i + j) as f64 * 0.37).sin();
        for n in [1, 2, 3, 7, 40] {
            let full: Vec<f64> = (0..n * n).map(|at| entry(at / n, at % n) + entry(at % n, at / n)).collect();
            assert_decomposed(&full, n);
            // One direction alone, and blocks that have nothing to do with each other.
            let single: Vec<f64> = (0..n * n).map(|at| entry(1, at / n) * entry(1, at % n) * 1e-20).collect();
            assert_decomposed(&single, n);
            let blocks: Vec<f64> =
                full.iter().enumerate().map(|(at, x)| if at / n / 3 == at % n / 3 { *x } else { 0.0 }).collect();
            assert_decomposed(&blocks, n);
            assert_decomposed(&vec![0.0; n * n], n);
        }
    }

    #[test]
    fn rows_become_orthonormal_in_their_order() {
        for n in [1, 2, 5, 20] {
            let original: Vec<f64> = (0..n * n).map(|at| ((at * at) as f64 * 0.7).sin()).collect();
            let (mut rows, mut basis) = (original.clone(), vec![0.0; n * n]);
            orthonormal_rows(&mut rows, &mut basis, n);
            assert_orthonormal(&basis, n);
            for (k, row) in original.chunks(n).enumerate() {
                // Nothing of a row lies along basis vectors after its own.
                for later in basis.chunks(n).skip(k + 1) {
                    assert!(dot(row, later).abs() < 1e-12, "{n}: {k}");
                }
            }
        }
    }

    #[test]
    fn rows_that_depend_on_others_still_give_a_basis() {
        let mut rows = vec![1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 0.0, 0.0, 0.0];
        let mut basis = vec![0.0; 9];
        orthonormal_rows(&mut rows, &mut basis, 3);
        assert_orthonormal(&basis, 3);
    }
}
