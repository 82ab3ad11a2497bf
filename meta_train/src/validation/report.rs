//! Standings and the choice as tables and sections of a page.

use velo_comparison::figure::{Curves, Interval, Point, Scale, Series};
use velo_comparison::score::ScoreRules;
use velo_comparison::table::{Align, Cell, Table};
use velo_comparison::{Metric, Page, report};

use super::judge::NORMALISED_ADAM;
use super::standing::{Standing, TUNED, ranked};
use super::validator::Choice;
use crate::Error;

/// Rows of the table of a run that goes on.
const MOST_ROWS: usize = 10;

const CAPTION: &str = "Interquartile mean over the validation tasks and seeds of the final loss of AdamW with warm-up and \
    cosine, tuned per task for the loss in question, divided by that of the snapshot, which is not tuned. Above one is \
    better; band: 95 % bootstrap interval.";

impl Choice {
    /// The candidates on fresh seeds, the chosen one first, and normalised Adam.
    pub fn table(&self) -> Table {
        table("validation on fresh seeds", &self.candidates, Some(&self.normalised_adam))
    }

    /// The sections about validation.
    ///
    /// # Errors
    /// When a figure cannot be drawn.
    pub fn add_sections(&self, page: Page) -> Result<Page, Error> {
        let rules = ScoreRules::default();
        let mut page = page
            .section("Validation")
            .paragraph(
                "Snapshots of theta on tasks whose generators training never draws from. The candidates with the best \
                 lower bounds ran again on fresh seeds; the first row was frozen.",
            )
            .figure(curves(&self.standings, Some(&self.normalised_adam)).to_svg()?, CAPTION)
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

/// The section about validation of a run that goes on, with the `standings` of the snapshots judged so far, oldest
/// first, and normalised Adam where it is known.
///
/// # Errors
/// When a figure cannot be drawn.
pub(crate) fn add_section_so_far(
    page: Page,
    standings: &[Standing],
    normalised_adam: Option<&Standing>,
) -> Result<Page, Error> {
    let page = page.section("Validation");
    let Some(newest) = standings.last() else {
        return Ok(page.paragraph("No snapshot has been judged yet; first the baselines are tuned."));
    };
    let best: Vec<Standing> = ranked(standings.to_vec()).into_iter().take(MOST_ROWS).collect();
    let paragraph = format!(
        "Snapshots of theta on tasks whose generators training never draws from, {} so far, the newest after outer step {}. \
         The table shows those with the best lower bounds, best first; the choice falls in the end, on fresh seeds.",
        standings.len(),
        newest.generation
    );
    Ok(page.paragraph(paragraph).figure(curves(standings, normalised_adam).to_svg()?, CAPTION).table(&table(
        "validation so far",
        &best,
        normalised_adam,
    )))
}

/// A curve of one ratio of the snapshots of a run.
pub(crate) fn over_outer_steps(label: String, standings: &[Standing], ratio: fn(&Standing) -> Interval) -> Series {
    let point = |standing: &Standing| {
        let Interval { value, low, high } = ratio(standing);
        Point { x: standing.generation as f64, y: value, low, high }
    };
    Series { label, points: standings.iter().map(point).collect() }
}

/// One row per standing, in their order, and normalised Adam below.
fn table(head: &str, standings: &[Standing], normalised_adam: Option<&Standing>) -> Table {
    let mut table = Table::new([
        (head, Align::Left),
        ("training ratio", Align::Right),
        ("95 % interval", Align::Right),
        ("validation ratio", Align::Right),
        ("95 % interval", Align::Right),
        ("lower bound of both", Align::Right),
    ]);
    let mut row = |name: String, standing: &Standing| {
        let mut cells = vec![Cell::from(name)];
        for Interval { value, low, high } in [standing.train, standing.validation] {
            cells.push(Cell::number(value, format!("{value:.3}")));
            cells.push(Cell::number(low, format!("{low:.3} to {high:.3}")));
        }
        cells.push(Cell::number(standing.both.low, format!("{:.3}", standing.both.low)));
        table.push(cells);
    };
    for standing in standings {
        row(format!("after {} outer steps", standing.generation), standing);
    }
    if let Some(standing) = normalised_adam {
        row(NORMALISED_ADAM.to_owned(), standing);
    }
    table
}

/// Both ratios over meta-training, with the levels of normalised Adam.
fn curves(standings: &[Standing], normalised_adam: Option<&Standing>) -> Curves {
    type Ratio = fn(&Standing) -> Interval;
    let training: Ratio = |standing| standing.train;
    let validation: Ratio = |standing| standing.validation;
    let losses = [("training loss", training), ("validation loss", validation)];
    let mut series = losses.map(|(label, ratio)| over_outer_steps(label.to_owned(), standings, ratio)).to_vec();
    let ends = [standings.first(), standings.last()];
    if let Some(standing) = normalised_adam {
        series.extend(losses.map(|(label, ratio)| {
            Series {
                label: format!("{NORMALISED_ADAM}, {label}"),
                points: ends
                    .map(|end| Point::bare(end.map_or(0.0, |end| end.generation as f64), ratio(standing).value))
                    .to_vec(),
            }
        }));
    }
    Curves {
        title: "Validation over meta-training".to_owned(),
        x_label: "outer steps".to_owned(),
        y_label: format!("ratio to {TUNED}"),
        scale: Scale::Linear,
        y_limit: None,
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validation::standing::tests::standing;

    #[test]
    fn a_run_that_goes_on_shows_its_snapshots_best_first_and_normalised_adam_once_it_is_known() {
        let standings = [standing(0, 0.5, 1.0), standing(500, 0.75, 1.25), standing(1000, 0.25, 1.5)];
        let render =
            |standings: &[Standing], adam| add_section_so_far(Page::new("t"), standings, adam).unwrap().render();
        let page = render(&standings, None);
        let places = ["after 500 outer", "after 0 outer", "after 1000 outer"].map(|row| page.find(row).expect(row));
        assert!(places.is_sorted(), "{places:?}");
        assert!(page.contains("3 so far, the newest after outer step 1000") && !page.contains(NORMALISED_ADAM));
        assert_eq!(page.matches("<svg").count(), 1);
        let page = render(&standings, Some(&standing(0, 0.9, 1.0)));
        assert!(page.contains("normalised Adam</td>") && page.contains("normalised Adam, validation loss"));
    }

    #[test]
    fn before_the_first_judgement_the_section_says_so_and_draws_nothing() {
        let page = add_section_so_far(Page::new("t"), &[], None).unwrap().render();
        assert!(page.contains("No snapshot has been judged yet") && !page.contains("<svg"));
    }

    #[test]
    fn a_long_run_shows_the_ten_best_in_its_table_and_all_in_its_figure() {
        let standings: Vec<Standing> = (0..40).map(|index| standing(index * 500, 0.5, 1.0)).collect();
        let page = add_section_so_far(Page::new("t"), &standings, None).unwrap().render();
        assert_eq!(page.matches("outer steps</td>").count(), 10);
        assert_eq!(over_outer_steps("all".to_owned(), &standings, |standing| standing.train).points.len(), 40);
    }
}
