//! Fits of non-negative coefficients to measured times.

/// Coefficients of one fit.
const N: usize = 3;

/// The coefficients `c ≥ 0` that make `Σ ((features · c) / measured - 1)²` smallest: relative errors, so that short times count as
/// much as long ones.
///
/// With three coefficients every subset that may be above zero is tried.
pub(super) fn fit(samples: &[([f64; N], f64)]) -> [f64; N] {
    let scaled: Vec<[f64; N]> = samples.iter().map(|(features, measured)| features.map(|x| x / measured)).collect();
    let error = |c: &[f64; N]| -> f64 {
        scaled.iter().map(|x| x.iter().zip(c).map(|(x, c)| x * c).sum::<f64>() - 1.0).map(|e| e * e).sum()
    };
    let candidates = (1usize..1 << N).filter_map(|subset| solve(&scaled, subset));
    let sound = candidates.filter(|c| c.iter().all(|&c| c >= 0.0 && c.is_finite()));
    sound.min_by(|a, b| error(a).total_cmp(&error(b))).unwrap_or([0.0; N])
}

/// The normal equations for the coefficients in `subset`, by Gaussian elimination; `None` where they are singular.
fn solve(scaled: &[[f64; N]], subset: usize) -> Option<[f64; N]> {
    let active: Vec<usize> = (0..N).filter(|i| subset >> i & 1 == 1).collect();
    let n = active.len();
    // Columns of very different sizes are brought to length one.
    let length: Vec<f64> = active.iter().map(|&i| scaled.iter().map(|x| x[i] * x[i]).sum::<f64>().sqrt()).collect();
    if length.contains(&0.0) {
        return None;
    }
    let mut rows: Vec<Vec<f64>> = (0..n)
        .map(|a| {
            let column = |x: &[f64; N], k: usize| x[active[k]] / length[k];
            let products = (0..n).map(|b| scaled.iter().map(|x| column(x, a) * column(x, b)).sum());
            products.chain([scaled.iter().map(|x| column(x, a)).sum()]).collect()
        })
        .collect();
    for pivot in 0..n {
        let best = (pivot..n).max_by(|&a, &b| rows[a][pivot].abs().total_cmp(&rows[b][pivot].abs()))?;
        rows.swap(pivot, best);
        if rows[pivot][pivot].abs() < 1e-9 {
            return None;
        }
        let (above, below) = rows.split_at_mut(pivot + 1);
        for row in below {
            let factor = row[pivot] / above[pivot][pivot];
            row.iter_mut().zip(&above[pivot]).for_each(|(x, p)| *x -= factor * p);
        }
    }
    let mut solution = vec![0.0; n];
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| rows[row][k] * solution[k]).sum();
        solution[row] = (rows[row][n] - known) / rows[row][row];
    }
    let mut coefficients = [0.0; N];
    active.iter().zip(solution.iter().zip(&length)).for_each(|(&i, (x, length))| coefficients[i] = x / length);
    Some(coefficients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_times_give_their_coefficients_back() {
        let truth = [2e-6, 3e-11, 1e-9];
        let samples: Vec<_> = (0..20)
            .map(|i| {
                let features = [1.0, 1e4 * f64::from(1 + i * i), 100.0 * f64::from(1 + (i * 7) % 13)];
                (features, features.iter().zip(truth).map(|(x, c)| x * c).sum())
            })
            .collect();
        for (found, truth) in fit(&samples).iter().zip(truth) {
            assert!((found / truth - 1.0).abs() < 1e-6, "{found} against {truth}");
        }
    }

    #[test]
    fn no_coefficient_is_negative_and_a_useless_feature_gets_none() {
        // The time falls with the second feature, and the third is always zero.
        let samples: Vec<_> = (1..10).map(|i| ([1.0, f64::from(i), 0.0], 1.0 / f64::from(i))).collect();
        let [constant, second, third] = fit(&samples);
        assert!(constant > 0.0 && second == 0.0 && third == 0.0);
    }
}
