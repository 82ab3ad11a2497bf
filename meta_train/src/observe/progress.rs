//! The progress bars on standard error; invisible when that is not a terminal.
//!
//! One bar for the whole run, with what its newest outer steps were like, and one for each worker, or for each group
//! of neighbours where there are many, with the share of time that it is busy.

use std::collections::VecDeque;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::metrics::Record;
use super::summary::{Mark, NEWEST, Summary, duration};

/// Bars over outer steps and workers.
pub struct Progress {
    bars: MultiProgress,
    whole: ProgressBar,
    workers: Vec<ProgressBar>,
    total: u64,
    before: Mark,
    newest: VecDeque<Record>,
}

impl Progress {
    /// Bars of a run that stands at `now`, of `total` outer steps.
    pub fn new(now: Mark, total: u64) -> Self {
        let bars = MultiProgress::new();
        let whole = bars.add(ProgressBar::new(total));
        let template = "meta-training {bar:20} {pos}/{len} outer steps, {msg}";
        whole.set_style(ProgressStyle::with_template(template).expect("the template is constant"));
        whole.set_position(now.generation);
        Self { bars, whole, workers: Vec::new(), total, before: now, newest: VecDeque::new() }
    }

    /// Moves the bars.
    pub fn update(&mut self, record: &Record) {
        if self.newest.len() == NEWEST
            && let Some(oldest) = self.newest.pop_front()
        {
            self.before = Mark::from(&oldest);
        }
        self.newest.push_back(record.clone());
        let summary = Summary::of(self.before, self.newest.make_contiguous());
        self.whole.set_position(record.generation);
        self.whole.set_message(message(&summary, self.total.saturating_sub(record.generation)));
        while self.workers.len() < summary.groups.len() {
            let bar = self.bars.add(ProgressBar::no_length());
            bar.set_style(ProgressStyle::with_template("  {msg}").expect("the template is constant"));
            self.workers.push(bar);
        }
        for (bar, group) in self.workers.iter().zip(&summary.groups) {
            bar.set_message(group.line());
        }
    }

    /// Says something without disturbing the bars.
    pub fn say(&self, line: &str) {
        if self.bars.is_hidden() {
            eprintln!("{line}");
        } else {
            // A terminal that is gone has nobody to tell.
            let _ = self.bars.println(line);
        }
    }

    /// Leaves the bars as they stand.
    pub fn finish(&self) {
        self.whole.abandon();
        self.workers.iter().for_each(ProgressBar::abandon);
    }
}

/// What stands behind the bar and below it, no line wider than a terminal of 80.
fn message(summary: &Summary, left: u64) -> String {
    format!(
        "{} left\n  {:.0} inner steps/s, {:.2} outer steps/s\n  meta-loss {:.3}, signal to noise {:.3}, stale {:.1} %, \
         diverged {:.1} %",
        duration(summary.seconds_for(left)),
        summary.inner_steps_per_second,
        summary.outer_steps_per_second,
        summary.meta_loss,
        summary.signal_to_noise,
        100.0 * summary.stale_share,
        100.0 * summary.diverged_share,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_of_a_run_fit_a_terminal_of_eighty_columns() {
        let summary = Summary {
            meta_loss: -12.345,
            signal_to_noise: -0.123,
            inner_steps_per_second: 123_456.0,
            outer_steps_per_second: 12.34,
            stale_share: 0.012,
            diverged_share: 1.0,
            groups: Vec::new(),
        };
        let message = message(&summary, 1234);
        let told =
            ["1 min 40 s left", "123456 inner steps/s", "12.34 outer", "-12.345", "-0.123", "stale 1.2 %", "100.0 %"];
        assert!(told.iter().all(|part| message.contains(part)), "{message}");
        assert!(message.lines().all(|line| line.chars().count() <= 80), "{message}");
    }
}
