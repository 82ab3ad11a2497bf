//! Dots with intervals, one row per task: ratios of several contenders against a baseline, on a scale of factors.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use serde::{Deserialize, Serialize};

use super::axis::Axis;
use super::canvas::{self, Area, Drawn, px};
use super::ticks;
use crate::Error;

/// A value with the interval around it. All three are positive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The dot.
    pub value: f64,
    /// Left end of the line.
    pub low: f64,
    /// Right end of the line.
    pub high: f64,
}

/// What one contender got in every row.
#[derive(Debug, Clone, PartialEq)]
pub struct IntervalSeries {
    /// Name in the legend.
    pub label: String,
    /// One entry per row, `None` where there is nothing to show.
    pub intervals: Vec<Option<Interval>>,
}

/// A figure of intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervals {
    /// Heading.
    pub title: String,
    /// Name of the horizontal axis.
    pub x_label: String,
    /// Where a vertical line stands, such as `1` for a ratio.
    pub reference: f64,
    /// Names of the rows, from the top.
    pub rows: Vec<String>,
    /// The contenders; the position decides the colour and the pattern.
    pub series: Vec<IntervalSeries>,
}

const ROW_FONT: f64 = 12.5;

impl Intervals {
    /// The figure as SVG text.
    ///
    /// # Errors
    /// [`Error::Figure`] when a value is not positive and finite, or when there is none.
    pub fn to_svg(&self) -> Result<String, Error> {
        let refuse = |problem: &str| Error::Figure { title: self.title.clone(), problem: problem.to_owned() };
        let shown = || self.series.iter().flat_map(|series| series.intervals.iter().flatten());
        if shown().next().is_none() {
            return Err(refuse("has no interval to draw"));
        }
        if shown().flat_map(|i| [i.low, i.value, i.high]).any(|end| !(end > 0.0 && end.is_finite())) {
            return Err(refuse("has an interval that is not positive and finite"));
        }
        let ends = shown().flat_map(|interval| [interval.low, interval.value, interval.high]);
        let (low, high) = ends.fold((self.reference, self.reference), |(low, high), end| (low.min(end), high.max(end)));
        // At least a factor of 1.2 to both sides of the extremes keeps dots off the frame.
        let (low, high) = (low / 1.2, high * 1.2);
        // A series without any interval, such as the baseline itself, keeps its colour but needs no entry.
        let entries = self.series.iter().enumerate().filter(|(_, series)| series.intervals.iter().any(Option::is_some));
        let labels: Vec<_> = entries.map(|(index, series)| (index, series.label.as_str())).collect();
        let row_height = 12.0 * self.series.len() as f64 + 10.0;
        let height = row_height.max(24.0) * self.rows.len() as f64 + 64.0;
        canvas::figure(&self.title, &labels, height as u32, |area| self.plot(&area, low, high))
    }

    fn plot(&self, area: &Area, low: f64, high: f64) -> Drawn {
        let rows = self.rows.len() as f64;
        let longest = self.rows.iter().map(|row| canvas::text_width(row, ROW_FONT)).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .margin_top(px(8.0))
            .margin_right(px(18.0))
            .margin_bottom(px(4.0))
            .x_label_area_size(px(42.0))
            .y_label_area_size(px(longest.min(240.0) + 16.0))
            .build_cartesian_2d(Axis::logarithmic(low, high), rows..0.0)?;
        for row in (0..self.rows.len()).step_by(2) {
            let corners = [(low, row as f64), (high, row as f64 + 1.0)];
            chart.draw_series([Rectangle::new(corners, canvas::ink(0.04).filled())])?;
        }
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .bold_line_style(canvas::ink(0.13).stroke_width(canvas::SCALE))
            .light_line_style(canvas::ink(0.0))
            .axis_style(canvas::ink(0.5).stroke_width(canvas::SCALE))
            .label_style(canvas::font(12.0, 0.8, HPos::Left, VPos::Top))
            .axis_desc_style(canvas::font(12.5, 0.9, HPos::Left, VPos::Top))
            .x_desc(self.x_label.as_str())
            .x_label_formatter(&|value| ticks::label(*value))
            .set_all_tick_mark_size(px(4.0))
            .draw()?;
        let reference = canvas::ink(0.6).stroke_width(canvas::SCALE * 3 / 2);
        chart.draw_series([PathElement::new([(self.reference, 0.0), (self.reference, rows)], reference)])?;
        for (index, series) in self.series.iter().enumerate() {
            let style = canvas::line(index, canvas::LINE);
            let share = (index as f64 + 1.0) / (self.series.len() as f64 + 1.0);
            for (row, interval) in series.intervals.iter().enumerate() {
                let Some(interval) = interval else { continue };
                let y = row as f64 + share;
                chart.draw_series([PathElement::new([(interval.low, y), (interval.high, y)], style)])?;
                chart.draw_series([Circle::new((interval.value, y), px(4.0), canvas::colour(index).filled())])?;
            }
        }
        for (row, name) in self.rows.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(low, row as f64 + 0.5));
            let (left, top) = area.get_base_pixel();
            let place = (x - left - px(8.0), y - top);
            area.draw(&Text::new(name.clone(), place, canvas::font(ROW_FONT, 0.9, HPos::Right, VPos::Center)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(value: f64) -> Intervals {
        Intervals {
            title: "ratios".to_owned(),
            x_label: "loss of the baseline / loss".to_owned(),
            reference: 1.0,
            rows: vec!["digits_mlp".to_owned(), "wine_mlp".to_owned()],
            series: vec![IntervalSeries {
                label: "learned".to_owned(),
                intervals: vec![Some(Interval { value, low: value * 0.8, high: value * 1.3 }), None],
            }],
        }
    }

    #[test]
    fn every_row_is_named_also_an_empty_one() {
        let svg = ratios(1.4).to_svg().unwrap();
        assert!(svg.contains("digits_mlp") && svg.contains("wine_mlp") && svg.contains("learned"));
    }

    #[test]
    fn a_series_without_intervals_has_no_legend_entry() {
        let mut figure = ratios(1.4);
        figure.series.push(IntervalSeries { label: "baseline".to_owned(), intervals: vec![None, None] });
        assert!(!figure.to_svg().unwrap().contains("\nbaseline\n"));
    }

    #[test]
    fn a_ratio_of_zero_cannot_stand_on_a_scale_of_factors() {
        let error = ratios(0.0).to_svg().unwrap_err();
        assert_eq!(error.to_string(), "figure \"ratios\": has an interval that is not positive and finite");
    }
}
