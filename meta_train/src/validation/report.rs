//! The choice as a table and as sections of a page.

use velo_comparison::figure::{Curves, Interval, Point, Scale, Series};
use velo_comparison::score::ScoreRules;
use velo_comparison::table::{Align, Cell, Table};
use velo_comparison::{Metric, Page, report};

use super::judge::NORMALISED_ADAM;
use super::standing::{Standing, TUNED};
use super::validator::Choice;
use crate::Error;

impl Choice {
    /// The candidates on fresh seeds, the chosen one first, and normalised Adam.
    pub fn table(&self) -> Table {
        let mut table = Table::new([
            ("validation on fresh seeds", Align::Left),
            ("training ratio", Align::Right),
            ("95 % interval", Align::Right),
            ("validation ratio", Align::Right),
            ("95 % interval", Align::Right),
            ("lower bound of both", Align::Right),
        ]);
        let mut row = |name: String, standing: &Standing| {
            let mut cells = vec![Cell::from(name.as_str())];
            for Interval { value, low, high } in [standing.train, standing.validation] {
                cells.push(Cell::number(value, format!("{value:.3}")));
                cells.push(Cell::number(low, format!("{low:.3} to {high:.3}")));
            }
            cells.push(Cell::number(standing.both.low, format!("{:.3}", standing.both.low)));
            table.push(cells);
        };
        for candidate in &self.candidates {
            row(format!("after {} outer steps", candidate.generation), candidate);
        }
        row(NORMALISED_ADAM.to_owned(), &self.normalised_adam);
        table
    }

    /// The sections about validation.
    ///
    /// # Errors
    /// When a figure cannot be drawn.
    pub fn add_sections(&self, page: Page) -> Result<Page, Error> {
        let (first, last) = (self.standings.first(), self.standings.last());
        let ends = [first, last].map(|standing| standing.map_or(0.0, |standing| standing.generation as f64));
        let curve = |label: &str, ratio: fn(&Standing) -> Interval| {
            let point = |standing: &Standing| {
                let Interval { value, low, high } = ratio(standing);
                Point { x: standing.generation as f64, y: value, low, high }
            };
            Series { label: label.to_owned(), points: self.standings.iter().map(point).collect() }
        };
        let level = |label: &str, ratio: Interval| Series {
            label: format!("{NORMALISED_ADAM}, {label}"),
            points: ends.map(|x| Point::bare(x, ratio.value)).to_vec(),
        };
        let curves = Curves {
            title: "Validation over meta-training".to_owned(),
            x_label: "outer steps".to_owned(),
            y_label: format!("ratio to {TUNED}"),
            scale: Scale::Linear,
            y_limit: None,
            series: vec![
                curve("training loss", |standing| standing.train),
                curve("validation loss", |standing| standing.validation),
                level("training loss", self.normalised_adam.train),
                level("validation loss", self.normalised_adam.validation),
            ],
        };
        let caption = "Interquartile mean over the validation tasks and seeds of the final loss of AdamW with warm-up \
                       and cosine, tuned per task for the loss in question, divided by that of the snapshot, which is \
                       not tuned. Above one is better; band: 95 % bootstrap interval.";
        let rules = ScoreRules::default();
        let mut page = page
            .section("Validation")
            .paragraph(
                "Snapshots of theta on tasks whose generators training never draws from. The candidates with the best \
                 lower bounds ran again on fresh seeds; the first row was frozen.",
            )
            .figure(curves.to_svg()?, caption)
            .table(&self.table())
            .paragraph("Final losses of the chosen snapshot on the fresh seeds.");
        for metric in [Metric::TrainLoss, Metric::ValidationLoss] {
            if let Some(svg) = report::ratio_figure(&self.trials, TUNED, metric, &rules)? {
                let caption = format!("Final {} of {TUNED} divided by that of each contender.", metric.label());
                page = page.figure(svg, caption);
            }
            page = page.table(&report::loss_table(&self.trials, metric));
        }
        Ok(page)
    }
}
