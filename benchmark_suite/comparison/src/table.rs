//! One table, three forms: aligned text for a terminal, Markdown for a README, HTML for a report.

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// For names.
    Left,
    /// For numbers.
    Right,
}

/// One cell: what is shown, whether it is the best of its group, and what sorting compares.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// Text as shown.
    pub text: String,
    /// Marked: with `*` in text, bold elsewhere.
    pub best: bool,
    /// The number behind the text, by which the HTML form sorts.
    pub value: Option<f64>,
}

impl Cell {
    /// A number, with the text that shows it.
    pub fn number(value: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), best: false, value: Some(value) }
    }

    /// The same cell, marked as the best when `best`.
    pub fn marked(mut self, best: bool) -> Self {
        self.best = best;
        self
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    align: Align,
}

/// Columns and rows of cells.
///
/// ```
/// use velo_comparison::table::{Align, Cell, Table};
/// let mut table = Table::new([("task", Align::Left), ("loss", Align::Right)]);
/// table.push(vec!["digits_mlp".into(), Cell::number(0.25, "0.250").marked(true)]);
/// assert_eq!(table.to_text(), "task         loss\n----------  ------\ndigits_mlp  0.250*\n");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = (N, Align)>) -> Self {
        let columns = columns.into_iter().map(|(name, align)| Column { name: name.into(), align }).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If the row has another number of cells than the table has columns: the caller builds both.
    pub fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "a row has one cell per column");
        self.rows.push(row);
    }

    /// The rows, in order.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// Aligned text with a rule under the head. The mark of the best cell has a place of its own in a column of
    /// numbers, so that digits stay below digits.
    pub fn to_text(&self) -> String {
        let marks: Vec<bool> =
            (0..self.columns.len()).map(|column| self.rows.iter().any(|row| row[column].best)).collect();
        let shown = |column: usize, cell: &Cell| match (cell.best, marks[column]) {
            (true, _) => format!("{}*", cell.text),
            (false, true) => format!("{} ", cell.text),
            (false, false) => cell.text.clone(),
        };
        let heads = self.columns.iter().enumerate().map(|(column, head)| shown(column, &Cell::from(&head.name)));
        let mut lines: Vec<Vec<String>> = vec![heads.collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().enumerate().map(|(i, cell)| shown(i, cell)).collect()));
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        lines.insert(1, widths.iter().map(|&width| "-".repeat(width)).collect());
        let mut text = String::new();
        for line in lines {
            let cells: Vec<String> = (line.iter().zip(&self.columns).zip(&widths))
                .map(|((cell, column), &width)| match column.align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                })
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// A Markdown table, the best cells bold.
    pub fn to_markdown(&self) -> String {
        let escaped = |text: &str| text.replace('|', "\\|");
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = row(self.columns.iter().map(|column| escaped(&column.name)).collect());
        let rules = self.columns.iter().map(|column| match column.align {
            Align::Left => "---".to_owned(),
            Align::Right => "---:".to_owned(),
        });
        text.push_str(&row(rules.collect()));
        for cells in &self.rows {
            let shown = cells.iter().map(|cell| match cell.best {
                true => format!("**{}**", escaped(&cell.text)),
                false => escaped(&cell.text),
            });
            text.push_str(&row(shown.collect()));
        }
        text
    }

    /// An HTML table. Numbers carry their value in `data-value`, by which a page may sort.
    pub fn to_html(&self) -> String {
        let class = |column: &Column| if column.align == Align::Right { " class=\"number\"" } else { "" };
        let mut html = String::from("<table>\n<thead><tr>");
        for column in &self.columns {
            html.push_str(&format!("<th scope=\"col\"{}>{}</th>", class(column), escape_html(&column.name)));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            html.push_str("<tr>");
            for (cell, column) in row.iter().zip(&self.columns) {
                let value = cell.value.map_or(String::new(), |value| format!(" data-value=\"{value}\""));
                let text = escape_html(&cell.text);
                let text = if cell.best { format!("<strong>{text}</strong>") } else { text };
                html.push_str(&format!("<td{}{value}>{text}</td>", class(column)));
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table>\n");
        html
    }
}

/// `text` with the characters replaced that mean something in HTML or SVG.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses() -> Table {
        let mut table = Table::new([("task", Align::Left), ("loss", Align::Right), ("trials", Align::Right)]);
        table.push(vec!["digits_mlp".into(), Cell::number(0.25, "0.25").marked(true), "1".into()]);
        table.push(vec!["a|b <i>".into(), Cell::number(10.5, "10.50"), "32".into()]);
        table
    }

    #[test]
    fn text_keeps_digits_below_digits_beside_a_mark() {
        let expected = "\
task         loss   trials
----------  ------  ------
digits_mlp   0.25*       1
a|b <i>     10.50       32
";
        assert_eq!(losses().to_text(), expected);
    }

    #[test]
    fn markdown_aligns_numbers_and_escapes_bars() {
        let expected = "\
| task | loss | trials |
| --- | ---: | ---: |
| digits_mlp | **0.25** | 1 |
| a\\|b <i> | 10.50 | 32 |
";
        assert_eq!(losses().to_markdown(), expected);
    }

    #[test]
    fn html_escapes_names_and_carries_values() {
        let html = losses().to_html();
        assert!(html.contains("<td>a|b &lt;i&gt;</td>"), "{html}");
        assert!(html.contains("<td class=\"number\" data-value=\"0.25\"><strong>0.25</strong></td>"), "{html}");
    }
}
