//! Tables of text: columns as wide as their widest cell, numbers to the right.

/// A table under construction.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table, a line for each row. Columns in which every cell begins with a digit or a sign are aligned to the right.
    pub fn to_text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let is_numeric = |column| {
            let is_number = |text: &str| text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            self.rows[1..].iter().all(|row| is_number(&cell(row, column)))
        };
        let numeric: Vec<bool> = (0..columns).map(is_numeric).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = (0..columns).map(|column| {
                let (content, width) = (cell(row, column), widths[column]);
                if numeric[column] { format!("{content:>width$}") } else { format!("{content:<width$}") }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Seconds with a unit that leaves one to three digits before the point.
pub fn seconds(value: f64) -> String {
    let (factor, unit) = match value {
        value if value < 1e-6 => (1e9, "ns"),
        value if value < 1e-3 => (1e6, "µs"),
        value if value < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    let scaled = value * factor;
    if scaled < 10.0 { format!("{scaled:.2} {unit}") } else { format!("{scaled:.0} {unit}") }
}

/// A whole number with commas between thousands.
pub fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_names_to_the_left() {
        let mut table = Table::new(&["name", "n"]);
        table.push(["ab".to_owned(), "5".to_owned()]);
        table.push(["c".to_owned(), "1,234".to_owned()]);
        assert_eq!(table.to_text(), "name      n\nab        5\nc     1,234\n");
    }

    #[test]
    fn sizes_are_easy_to_read() {
        assert_eq!([7, 1234, 1_000_000].map(thousands), ["7", "1,234", "1,000,000"]);
        assert_eq!([2.5e-9, 1.234e-5, 0.0456, 12.0].map(seconds), ["2.50 ns", "12 µs", "46 ms", "12 s"]);
    }
}
