//! Curves and grey levels as characters.

/// Rows of a curve.
const HEIGHT: usize = 12;

/// From dark to bright.
const SHADES: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// A curve, one column for each value, on a logarithmic axis where all values are positive and far apart.
pub fn curve(values: &[f32]) -> String {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite().fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return "no finite value\n".to_owned();
    }
    let axis = Axis::new(low, high);
    let mut rows = vec![vec![' '; values.len()]; HEIGHT];
    for (column, &value) in values.iter().enumerate() {
        let level = if value.is_finite() { axis.place(value) } else { 1.0 };
        let row = ((1.0 - level) * (HEIGHT - 1) as f32).round() as usize;
        rows[row.min(HEIGHT - 1)][column] = if value.is_finite() { '•' } else { '!' };
    }
    let mut text = String::new();
    for (row, cells) in rows.iter().enumerate() {
        let label = match row {
            0 => format!("{high:.4}"),
            row if row == HEIGHT - 1 => format!("{low:.4}"),
            _ => String::new(),
        };
        let cells: String = cells.iter().collect();
        text.push_str(&format!("{label:>12} │{}\n", cells.trim_end()));
    }
    text
}

/// The vertical axis of a curve.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f32,
    high: f32,
    logarithmic: bool,
}

impl Axis {
    /// An axis from `low` to `high`; logarithmic when both are positive and a factor of 20 apart.
    pub fn new(low: f32, high: f32) -> Self {
        Self { low, high, logarithmic: low > 0.0 && high > 20.0 * low }
    }

    /// Where a value lies, from 0 to 1.
    pub fn place(self, value: f32) -> f32 {
        let scale = |x: f32| if self.logarithmic { x.ln() } else { x };
        let (low, high) = (scale(self.low), scale(self.high));
        if high > low { ((scale(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// Grey levels from 0 to 1 as lines of two characters a pixel.
pub fn grey(pixels: &[f32], width: usize) -> Vec<String> {
    let shade = |level: f32| SHADES[((level.clamp(0.0, 1.0) * (SHADES.len() - 1) as f32).round()) as usize];
    pixels.chunks(width).map(|row| row.iter().flat_map(|&level| [shade(level); 2]).collect()).collect()
}

/// Blocks of lines next to each other.
pub fn beside(blocks: &[Vec<String>]) -> String {
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let mut text = String::new();
    for line in 0..height {
        let parts = blocks.iter().map(|block| {
            let width = block.iter().map(|line| line.chars().count()).max().unwrap_or(0);
            format!("{:<width$}", block.get(line).map_or("", String::as_str))
        });
        text.push_str(parts.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_curve_starts_at_the_top_and_ends_at_the_bottom() {
        let text = curve(&[4.0, 3.0, 2.0, 1.0]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), HEIGHT);
        assert_eq!((lines[0], lines[HEIGHT - 1]), ("      4.0000 │•", "      1.0000 │   •"));
        assert!(curve(&[1.0, f32::NAN]).contains('!'));
        assert_eq!(curve(&[f32::NAN]), "no finite value\n");
    }

    #[test]
    fn values_far_apart_get_a_logarithmic_axis() {
        assert_eq!(Axis::new(1.0, 10_000.0).place(100.0), 0.5);
        assert_eq!(Axis::new(1.0, 3.0).place(2.0), 0.5);
        assert_eq!(Axis::new(2.0, 2.0).place(2.0), 0.5);
    }

    #[test]
    fn images_stand_side_by_side() {
        let [dark, bright] = [0.0, 1.0].map(|level| grey(&[level; 4], 2));
        assert_eq!(beside(&[bright, dark.clone(), vec!["x".to_owned()]]), "@@@@        x\n@@@@\n");
    }
}
