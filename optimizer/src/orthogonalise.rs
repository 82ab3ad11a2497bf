//! Newton–Schulz iteration towards the nearest matrix with orthonormal rows or columns, as in Muon.
//!
//! ```text
//! X ← U / (‖U‖_F + 1e-8),  transposed unless it has more rows than columns
//! five times:  A = Xᵀ X,  X ← a X + X (b A + c A²)        a, b, c = 3.4445, -4.7750, 2.0315
//! ```
//!
//! The coefficients (K. Jordan, Muon, 2024) move every singular value into about `[0.7, 1.2]` quickly rather
//! than to one exactly.

use crate::matmul::{Addend, Dims, Left, gram, matmul, transpose};
use crate::step::sum_of_squares;

const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
const ITERATIONS: usize = 5;
const NORM_FLOOR: f32 = 1e-8;

/// Numbers of scratch needed for a `rows × cols` matrix.
pub(crate) fn scratch_len(rows: usize, cols: usize) -> usize {
    let (short, long) = (rows.min(cols), rows.max(cols));
    2 * short * long + 2 * short * short
}

/// Orthogonalises the row-major `rows × cols` matrix in place.
pub(crate) fn orthogonalise(matrix: &mut [f32], rows: usize, cols: usize, scratch: &mut [f32]) {
    let norm = sum_of_squares(matrix).sqrt() as f32;
    let scale = 1.0 / (norm + NORM_FLOOR);
    let (short, long) = (rows.min(cols), rows.max(cols));
    let (mut x, rest) = scratch.split_at_mut(short * long);
    let (mut next, rest) = rest.split_at_mut(short * long);
    let (square, rest) = rest.split_at_mut(short * short);
    let factor = &mut rest[..short * short];
    if rows <= cols {
        transpose(x, matrix, rows, cols);
    } else {
        x.copy_from_slice(matrix);
    }
    x.iter_mut().for_each(|x| *x *= scale);
    let [a, b, c] = COEFFICIENTS;
    let dims = Dims { rows: long, depth: short, cols: short };
    for _ in 0..ITERATIONS {
        gram(square, x, [long, short], 1.0, Addend::Nothing);
        // A symmetric matrix is its own transpose.
        gram(factor, square, [short, short], c, Addend::Matrix(square, b));
        matmul(next, Left::Plain(x), factor, dims, 1.0, Addend::Matrix(x, a));
        std::mem::swap(&mut x, &mut next);
    }
    if rows <= cols {
        transpose(matrix, x, cols, rows);
    } else {
        matrix.copy_from_slice(x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_values_end_near_one() {
        for (rows, cols) in [(3, 8), (8, 3), (5, 5)] {
            let mut matrix: Vec<f32> = (0..rows * cols).map(|i| (i as f32 * 1.3).sin()).collect();
            orthogonalise(&mut matrix, rows, cols, &mut vec![0.0; scratch_len(rows, cols)]);
            // The squares of the singular values sum to the squared norm: between 0.6² and 1.3² for each.
            let short = rows.min(cols) as f32;
            let squared: f32 = matrix.iter().map(|x| x * x).sum();
            assert!(squared > 0.36 * short && squared < 1.69 * short, "{rows}×{cols}: {squared}");
        }
    }

    #[test]
    fn a_zero_matrix_stays_zero() {
        let mut matrix = [0.0; 6];
        orthogonalise(&mut matrix, 2, 3, &mut vec![0.0; scratch_len(2, 3)]);
        assert_eq!(matrix, [0.0; 6]);
    }
}
