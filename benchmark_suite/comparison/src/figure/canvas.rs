//! The sheet under every figure: size, fonts, palette, heading and legend.
//!
//! The drawing backend rounds coordinates to whole numbers. The sheet is therefore [`SCALE`] times larger inside
//! than its `viewBox` will be shown, and every length here goes through [`px`].

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ticks;
use crate::Error;

/// Inner units per unit of the shown figure.
pub(super) const SCALE: u32 = 4;

/// Width of every figure in shown units: a half of a wide page, the whole of a narrow one.
pub(super) const WIDTH: u32 = 520;

/// Width of the line of a series, in shown units.
pub(super) const LINE: u32 = 2;

/// Width of a line in the legend.
const LEGEND_LINE: u32 = 4;

/// Stands for the colour of text, and becomes `currentColor`.
const INK: RGBColor = RGBColor(1, 2, 3);

/// Blue, orange, teal, magenta, cyan, red, olive, grey: apart in hue or lightness under every common colour
/// vision deficiency, and visible on white and on near-black.
const PALETTE: [RGBColor; 8] = [
    RGBColor(0x00, 0x77, 0xbb),
    RGBColor(0xee, 0x77, 0x33),
    RGBColor(0x00, 0x99, 0x88),
    RGBColor(0xc4, 0x4f, 0xb4),
    RGBColor(0x33, 0xbb, 0xee),
    RGBColor(0xcc, 0x33, 0x11),
    RGBColor(0x99, 0x99, 0x33),
    RGBColor(0x88, 0x88, 0x88),
];

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Any error of the drawing backend, as text.
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Shown units as inner ones.
pub(super) fn px(units: f64) -> i32 {
    (units * f64::from(SCALE)).round() as i32
}

/// The colour of series number `index`; the palette begins again when it is used up.
pub(super) fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

/// Widths of dashed and dotted lines differ from that of a whole one by one and two inner units: that is how [`figure`] tells them.
const PATTERNS: [(u32, &str); 2] = [(1, "28 16"), (2, "8 12")];

/// The line of series number `index`, `width` shown units wide: whole while the palette lasts, then dashed, then dotted.
pub(super) fn line(index: usize, width: u32) -> ShapeStyle {
    let round = (index / PALETTE.len()).min(PATTERNS.len()) as u32;
    colour(index).stroke_width(width * SCALE + round)
}

/// Whole lines, dashes and dots in place of the widths that stand for them.
fn with_patterns(svg: String, widths: [u32; 2]) -> String {
    let each = widths.into_iter().flat_map(|width| PATTERNS.map(|pattern| (width * SCALE, pattern)));
    each.fold(svg, |svg, (width, (more, dashes))| {
        let to = format!("stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\"");
        svg.replace(&format!("stroke-width=\"{}\"", width + more), &to)
    })
}

/// Text and axes.
pub(super) fn ink(opacity: f64) -> RGBAColor {
    INK.mix(opacity)
}

/// A font of `size` shown units.
pub(super) fn font(size: f64, opacity: f64, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    // The backend divides sizes by 1.24 to imitate the metrics of bitmap fonts.
    let family = "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif";
    let font = (family, size * f64::from(SCALE) * 1.24).into_font();
    TextStyle { font, color: ink(opacity).to_backend_color(), pos: Pos::new(horizontal, vertical) }
}

/// Width that `text` takes at `size`, in shown units; fonts are not measured, this errs to the wide side.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}

/// Draws a figure of the given height: heading and legend on top, the rest by `body`. A legend entry is the number of
/// a series, which decides its colour, and its name.
pub(super) fn figure(
    title: &str,
    labels: &[(usize, &str)],
    plot_height: u32,
    body: impl FnOnce(Area) -> Drawn,
) -> Result<String, Error> {
    let legend = place_legend(labels);
    let head = 30.0 + 19.0 * legend.last().map_or(0.0, |&(_, row)| row + 1.0);
    let height = head as u32 + plot_height;
    let mut svg = String::new();
    let size = (WIDTH * SCALE, height * SCALE);
    let drawn = draw(&mut svg, size, title, labels, &legend, head, body);
    drawn.map_err(|error| Error::Figure { title: title.to_owned(), problem: error.to_string() })?;
    let outer = format!("width=\"{}\" height=\"{}\" viewBox", size.0, size.1);
    let shown = format!("width=\"{WIDTH}\" height=\"{height}\" role=\"img\" viewBox");
    let ink = format!("#{:02X}{:02X}{:02X}", INK.0, INK.1, INK.2);
    Ok(with_patterns(svg.replacen(&outer, &shown, 1).replace(&ink, "currentColor"), [LINE, LEGEND_LINE]))
}

fn draw(
    svg: &mut String,
    size: (u32, u32),
    title: &str,
    labels: &[(usize, &str)],
    legend: &[(f64, f64)],
    head: f64,
    body: impl FnOnce(Area) -> Drawn,
) -> Drawn {
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    let bold = font(15.0, 1.0, HPos::Left, VPos::Center);
    let bold = TextStyle { font: bold.font.style(FontStyle::Bold), ..bold };
    root.draw(&Text::new(title.to_owned(), (px(10.0), px(15.0)), bold))?;
    for (&(index, label), &(x, row)) in labels.iter().zip(legend) {
        let y = 38.0 + 19.0 * row;
        let ends = [(px(x), px(y)), (px(x + 16.0), px(y))];
        root.draw(&PathElement::new(ends, line(index, LEGEND_LINE)))?;
        let place = (px(x + 21.0), px(y));
        root.draw(&Text::new(label.to_owned(), place, font(12.5, 0.9, HPos::Left, VPos::Center)))?;
    }
    let (_, plot) = root.split_vertically(px(head));
    body(plot)?;
    root.present()?;
    Ok(())
}

/// Left edge and row of each legend entry, flowing like words.
fn place_legend(labels: &[(usize, &str)]) -> Vec<(f64, f64)> {
    let (mut x, mut row) = (10.0, 0.0);
    let place = |&(_, label): &(usize, &str)| {
        let width = 21.0 + text_width(label, 12.5) + 14.0;
        if x > 10.0 && x + width > f64::from(WIDTH) {
            (x, row) = (10.0, row + 1.0);
        }
        let left = x;
        x += width;
        (left, row)
    };
    labels.iter().map(place).collect()
}

/// The widest of the labels that `values` get on an axis, in shown units.
pub(super) fn widest_label(values: &[f64], size: f64) -> f64 {
    values.iter().map(|&value| text_width(&ticks::label(value), size)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legend_entries_never_overlap_or_leave_the_figure() {
        let names = ["AdamW + cosine", "learned", "RMS-normalised Adam, same schedule", "Adam", "SGD with momentum"];
        let labels: Vec<(usize, &str)> = names.into_iter().enumerate().collect();
        let places = place_legend(&labels);
        for ((&(_, label), &(x, row)), next) in labels.iter().zip(&places).zip(places.iter().skip(1)) {
            let end = x + 21.0 + text_width(label, 12.5);
            assert!(end <= f64::from(WIDTH), "{label} ends at {end}");
            assert!(next.1 > row || next.0 >= end, "{label} runs into the next entry");
        }
    }

    #[test]
    fn series_with_one_colour_differ_in_their_lines() {
        let labels = [(0, "whole"), (8, "dashed"), (16, "dotted")];
        let svg = figure("lines", &labels, 100, |_| Ok(())).unwrap();
        let lines: Vec<&str> = svg.lines().filter(|line| line.starts_with("<polyline")).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.contains("#0077BB") && line.contains("stroke-width=\"16\"")), "{lines:?}");
        assert!(!lines[0].contains("dasharray") && lines[1].contains("\"28 16\"") && lines[2].contains("\"8 12\""));
    }

    #[test]
    fn text_is_drawn_in_the_colour_of_the_page() {
        let svg = figure("losses < 1", &[(0, "a")], 100, |_| Ok(())).unwrap();
        assert!(svg.contains("currentColor") && !svg.contains("#010203"), "{svg}");
        assert!(svg.contains("losses &lt; 1"), "{svg}");
    }
}
