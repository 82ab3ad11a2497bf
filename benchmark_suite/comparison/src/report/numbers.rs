//! Means, deviations and how numbers are written in tables.

/// Mean and sample standard deviation (zero for one value); `None` for no values.
pub(super) fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, (squares / (count - 1.0).max(1.0)).sqrt()))
}

/// Three significant digits: `0.0123`, `1.23`, `1230`, `1.23e-5`.
pub(super) fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return "failed".to_owned();
    }
    let power = value.abs().log10().floor() as i32;
    if !(-4..6).contains(&power) {
        return format!("{value:.2e}");
    }
    format!("{value:.*}", (2 - power).max(0) as usize)
}

/// `0.0123 ± 0.0011`: the deviation with as many decimal places as the mean.
pub(super) fn with_deviation(mean: f64, deviation: f64) -> String {
    let text = significant(mean);
    if text.contains('e') {
        return format!("{text} ± {deviation:.1e}");
    }
    let places = text.split_once('.').map_or(0, |(_, places)| places.len());
    format!("{text} ± {deviation:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_divides_by_one_less_than_the_count() {
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), Some((2.0, 2f64.sqrt())));
        assert_eq!(mean_and_deviation(&[4.0]), Some((4.0, 0.0)));
        assert_eq!(mean_and_deviation(&[]), None);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let shown = [0.012345, 1.0, 1234.5, 1.5e-7, 0.0, f64::INFINITY].map(significant);
        assert_eq!(shown, ["0.0123", "1.00", "1234", "1.50e-7", "0", "failed"]);
        assert_eq!(with_deviation(0.012345, 0.00056), "0.0123 ± 0.0006");
        assert_eq!(with_deviation(1.5e-7, 2e-8), "1.50e-7 ± 2.0e-8");
    }
}
