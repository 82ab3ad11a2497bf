//! Line curves with bands: a value over steps for several series, such as the loss of each optimizer over seeds.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::Axis;
use super::canvas::{self, Area, Drawn, px};
use super::ticks;
use crate::Error;

/// How the vertical axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By factors; a figure with a value that is not positive is drawn evenly instead.
    Logarithmic,
}

/// One point of a curve with its band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Horizontal value, usually a step.
    pub x: f64,
    /// The line.
    pub y: f64,
    /// Lower edge of the band; equal to `y` for none.
    pub low: f64,
    /// Upper edge of the band.
    pub high: f64,
}

impl Point {
    /// A point without a band.
    pub fn bare(x: f64, y: f64) -> Self {
        Self { x, y, low: y, high: y }
    }

    fn is_finite(&self) -> bool {
        [self.x, self.y, self.low, self.high].iter().all(|value| value.is_finite())
    }
}

/// One curve. Points that are not finite are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub label: String,
    /// Points by ascending `x`.
    pub points: Vec<Point>,
}

/// A figure of curves over a common horizontal axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Heading.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// Division of the vertical axis.
    pub scale: Scale,
    /// Values above are drawn at this height, so that one diverged run does not flatten all others.
    pub y_limit: Option<f64>,
    /// The curves; the position decides the colour and the pattern.
    pub series: Vec<Series>,
}

const PLOT_HEIGHT: u32 = 290;
const TICK_FONT: f64 = 12.0;

impl Curves {
    /// The figure as SVG text.
    ///
    /// # Errors
    /// [`Error::Figure`] when no series has a finite point.
    pub fn to_svg(&self) -> Result<String, Error> {
        let limit = self.y_limit.unwrap_or(f64::INFINITY);
        let finite = |series: &Series| -> Vec<Point> {
            let points = series.points.iter().filter(|point| point.is_finite());
            points
                .map(|point| Point {
                    y: point.y.min(limit),
                    low: point.low.min(limit),
                    high: point.high.min(limit),
                    ..*point
                })
                .collect()
        };
        let series: Vec<Vec<Point>> = self.series.iter().map(finite).collect();
        let all = || series.iter().flatten();
        if all().next().is_none() {
            return Err(Error::Figure { title: self.title.clone(), problem: "has no finite point to draw".to_owned() });
        }
        let x = widen(range(all().map(|point| point.x)), 0.0);
        let y = range(all().flat_map(|point| [point.low, point.high]));
        let labels: Vec<_> = self.series.iter().map(|series| series.label.as_str()).enumerate().collect();
        // A legend of one entry would only repeat the label of the axis.
        let labels = if labels.len() > 1 { labels } else { Vec::new() };
        let logarithmic = self.scale == Scale::Logarithmic && y.0 > 0.0;
        canvas::figure(&self.title, &labels, PLOT_HEIGHT, |area| {
            let x_axis = Axis::linear(x.0, x.1, 5);
            let y_axis = if logarithmic {
                let (low, high) = widen((y.0.log10(), y.1.log10()), 0.03);
                Axis::logarithmic(10f64.powf(low), 10f64.powf(high))
            } else {
                let (low, high) = widen(y, 0.03);
                Axis::linear(low, high, 5)
            };
            self.plot(&area, &series, x_axis, y_axis)
        })
    }

    fn plot(&self, area: &Area, series: &[Vec<Point>], x_axis: Axis, y_axis: Axis) -> Drawn {
        let label_width = canvas::widest_label(y_axis.ticks(), TICK_FONT) + 34.0;
        let mut chart = ChartBuilder::on(area)
            .margin_top(px(8.0))
            .margin_right(px(18.0))
            .margin_left(px(4.0))
            .margin_bottom(px(4.0))
            .x_label_area_size(px(42.0))
            .y_label_area_size(px(label_width))
            .build_cartesian_2d(x_axis, y_axis)?;
        chart
            .configure_mesh()
            .bold_line_style(canvas::ink(0.13).stroke_width(canvas::SCALE))
            .light_line_style(canvas::ink(0.0))
            .axis_style(canvas::ink(0.5).stroke_width(canvas::SCALE))
            .label_style(canvas::font(TICK_FONT, 0.8, HPos::Left, VPos::Top))
            .axis_desc_style(canvas::font(12.5, 0.9, HPos::Left, VPos::Top))
            .x_desc(self.x_label.as_str())
            .y_desc(self.y_label.as_str())
            .x_label_formatter(&|value| ticks::label(*value))
            .y_label_formatter(&|value| ticks::label(*value))
            .set_all_tick_mark_size(px(4.0))
            .draw()?;
        for (index, points) in series.iter().enumerate() {
            if points.iter().any(|point| point.low < point.high) {
                let upper = points.iter().map(|point| (point.x, point.high));
                let lower = points.iter().rev().map(|point| (point.x, point.low));
                let outline: Vec<_> = upper.chain(lower).collect();
                chart.draw_series([Polygon::new(outline, canvas::colour(index).mix(0.16).filled())])?;
            }
        }
        for (index, points) in series.iter().enumerate() {
            let style = canvas::line(index, canvas::LINE);
            let line = points.iter().map(|point| (point.x, point.y)).collect::<Vec<_>>();
            chart.draw_series([PathElement::new(line, style)])?;
        }
        Ok(())
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// The range with `share` of its length added at both ends; a range without length gets one.
fn widen((low, high): (f64, f64), share: f64) -> (f64, f64) {
    if high > low {
        (low - share * (high - low), high + share * (high - low))
    } else {
        let half = if low == 0.0 { 0.5 } else { low.abs() * 0.1 };
        (low - half, high + half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(values: &[f64]) -> Curves {
        let points =
            values.iter().enumerate().map(|(step, &y)| Point { x: step as f64, y, low: y * 0.9, high: y * 1.1 });
        Curves {
            title: "loss".to_owned(),
            x_label: "step".to_owned(),
            y_label: "training loss".to_owned(),
            scale: Scale::Logarithmic,
            y_limit: None,
            series: vec![
                Series { label: "first".to_owned(), points: points.clone().collect() },
                Series { label: "second".to_owned(), points: points.collect() },
            ],
        }
    }

    #[test]
    fn a_figure_names_its_axes_and_series() {
        let svg = curves(&[2.0, 1.0, 0.02]).to_svg().unwrap();
        for text in ["training loss", "step", "first", "second", "<polygon", "0.1"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }

    #[test]
    fn points_that_are_not_finite_are_left_out() {
        let svg = curves(&[1.0, f64::NAN, 0.5, f64::INFINITY]).to_svg().unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let error = curves(&[f64::NAN]).to_svg().unwrap_err();
        assert_eq!(error.to_string(), "figure \"loss\": has no finite point to draw");
    }

    #[test]
    fn values_that_are_not_positive_are_drawn_on_an_even_axis() {
        assert!(curves(&[1.0, -1.0]).to_svg().unwrap().contains("\n-1\n"));
    }

    #[test]
    fn one_point_still_gives_a_figure() {
        curves(&[1.0]).to_svg().unwrap();
    }
}
