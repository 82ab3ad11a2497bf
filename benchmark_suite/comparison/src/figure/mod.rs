//! Figures as SVG text: curves with bands over seeds, and intervals per row.
//!
//! Axes, labels and legend are drawn in `currentColor`, so a figure is readable on a light and on a dark page
//! alike and in a paper; series take the colours of a palette that colour-blind readers can tell apart.

mod axis;
mod canvas;
mod curves;
mod intervals;
mod ticks;

pub use curves::{Curves, Point, Scale, Series};
pub use intervals::{Interval, IntervalSeries, Intervals};
