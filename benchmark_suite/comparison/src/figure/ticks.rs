//! Round numbers for axes, and how they are written.

/// About `count` multiples of 1, 2 or 5 times a power of ten that lie in `low..=high`.
pub(super) fn linear(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return vec![low];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil() as i64;
    (first..).map(|multiple| multiple as f64 * step).take_while(|&tick| tick <= high + step * 1e-9).collect()
}

/// Powers of ten in `low..=high`, with twos and fives between them when there are fewer than three powers.
pub(super) fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let ticks = |factors: &[f64]| -> Vec<f64> {
        (first..=last)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
            .filter(|tick| (low * 0.999..=high * 1.001).contains(tick))
            .collect()
    };
    let powers = ticks(&[1.0]);
    if powers.len() >= 3 {
        let every = powers.len().div_ceil(7);
        return powers.into_iter().step_by(every).collect();
    }
    let mixed = ticks(&[1.0, 2.0, 5.0]);
    if mixed.len() >= 3 { mixed } else { linear(low, high, 5) }
}

/// A tick as short as it can be read: `2000`, `0.05`, `1e-4`.
pub(super) fn label(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e5).contains(&size) {
        let text = format!("{value:.1e}");
        return text.replace(".0e", "e");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_inside() {
        assert_eq!(linear(0.0, 500.0, 5), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!(linear(-0.3, 0.9, 4), [0.0, 0.5]);
        assert_eq!(linear(3.0, 3.0, 4), [3.0]);
    }

    #[test]
    fn logarithmic_ticks_are_powers_when_there_are_enough() {
        assert_eq!(logarithmic(0.001, 1.0).len(), 4);
        assert_eq!(logarithmic(0.3, 6.0), [0.5, 1.0, 2.0, 5.0]);
        assert_eq!(logarithmic(0.61, 0.69).len(), 4, "{:?}", logarithmic(0.61, 0.69));
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([2000.0, 0.05, 1e-4, -2.5, 3e6, 0.0].map(label), ["2000", "0.05", "1e-4", "-2.5", "3e6", "0"]);
    }
}
