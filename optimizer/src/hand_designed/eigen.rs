//! Eigenvectors of small symmetric matrices, for preconditioners.
//!
//! The cyclic method of Jacobi in `f64`: every rotation zeroes one off-diagonal pair, and sweeps over all pairs are
//! repeated until nothing is left. Slow beside a tridiagonal method, but short, exact to the last digits also for
//! small eigenvalues, and started from a nearly diagonal matrix it needs one or two sweeps.

const SWEEPS: usize = 30;
/// Off-diagonal weight, relative to the whole matrix, that counts as nothing.
const NEGLIGIBLE: f64 = 1e-30;

/// Turns the symmetric `n × n` matrix into a diagonal one, in place, and multiplies `vectors` from the right by the
/// rotation that does it: afterwards `matrix = Vᵀ A V` for `vectors = V₀ V`.
pub(super) fn diagonalise(matrix: &mut [f64], vectors: &mut [f64], n: usize) {
    let total: f64 = matrix.iter().map(|x| x * x).sum();
    for _ in 0..SWEEPS {
        let mut off_diagonal = 0.0;
        for row in 0..n {
            off_diagonal += matrix[row * n..row * n + row].iter().map(|x| x * x).sum::<f64>();
        }
        if off_diagonal <= NEGLIGIBLE * total {
            return;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate_away(matrix, vectors, n, p, q);
            }
        }
    }
}

/// The rotation in the plane of `p` and `q` that zeroes their off-diagonal pair.
fn rotate_away(matrix: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let pair = matrix[p * n + q];
    if pair == 0.0 {
        return;
    }
    let slope = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * pair);
    // The smaller of the two angles; for a huge slope its tangent is zero rather than an overflow.
    let tangent = slope.signum() / (slope.abs() + slope.hypot(1.0));
    let cosine = tangent.hypot(1.0).recip();
    let sine = tangent * cosine;
    for row in 0..n {
        rotate_pair(matrix, row * n + p, row * n + q, cosine, sine);
        rotate_pair(vectors, row * n + p, row * n + q, cosine, sine);
    }
    for col in 0..n {
        rotate_pair(matrix, p * n + col, q * n + col, cosine, sine);
    }
    matrix[p * n + q] = 0.0;
    matrix[q * n + p] = 0.0;
}

#[inline(always)]
fn rotate_pair(values: &mut [f64], first: usize, second: usize, cosine: f64, sine: f64) {
    let (x, y) = (values[first], values[second]);
    values[first] = cosine * x - sine * y;
    values[second] = sine * x + cosine * y;
}

/// Writes the identity.
pub(super) fn set_identity(matrix: &mut [f64], n: usize) {
    matrix.fill(0.0);
    (0..n).for_each(|i| matrix[i * n + i] = 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symmetric_matrix_is_rebuilt_from_its_eigenvectors() {
        let n = 7;
        let entry = |i: usize, j: usize| ((i * j) as f64 + (i + j) as f64 * 0.37).sin();
        let original: Vec<f64> = (0..n * n).map(|at| entry(at / n, at % n) + entry(at % n, at / n)).collect();
        let (mut matrix, mut vectors) = (original.clone(), vec![0.0; n * n]);
        set_identity(&mut vectors, n);
        diagonalise(&mut matrix, &mut vectors, n);
        for i in 0..n {
            for j in 0..n {
                let rebuilt: f64 = (0..n).map(|k| vectors[i * n + k] * matrix[k * n + k] * vectors[j * n + k]).sum();
                assert!((rebuilt - original[i * n + j]).abs() < 1e-12, "{i}, {j}");
                let gram: f64 = (0..n).map(|k| vectors[k * n + i] * vectors[k * n + j]).sum();
                assert!((gram - f64::from(u8::from(i == j))).abs() < 1e-12, "{i}, {j}");
            }
        }
    }

    #[test]
    fn a_matrix_of_zeros_keeps_its_vectors() {
        let (mut matrix, mut vectors) = ([0.0; 9], [0.0; 9]);
        set_identity(&mut vectors, 3);
        diagonalise(&mut matrix, &mut vectors, 3);
        assert_eq!(vectors, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
