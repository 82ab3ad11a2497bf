//! The progress bar on standard error; invisible when that is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::metrics::Record;

/// Decay of the smoothed numbers beside the bar.
const SMOOTHING: f64 = 0.95;

/// A bar over outer steps, with rate, meta-loss and share of diverged runs.
pub struct Progress {
    bar: ProgressBar,
    meta_loss: Smoothed,
    rate: Smoothed,
    diverged: f64,
    ended: f64,
}

/// An exponential average whose first value counts fully.
#[derive(Default)]
struct Smoothed {
    sum: f64,
    weight: f64,
}

impl Smoothed {
    fn add(&mut self, value: f64) {
        self.sum = SMOOTHING * self.sum + (1.0 - SMOOTHING) * value;
        self.weight = SMOOTHING * self.weight + (1.0 - SMOOTHING);
    }

    fn value(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

impl Progress {
    /// A bar that stands at `done` of `total` outer steps.
    pub fn new(done: u64, total: u64) -> Self {
        let bar = ProgressBar::new(total);
        let template = "meta-training {bar:28} {pos}/{len} outer steps, {eta} left | {msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is constant"));
        bar.set_position(done);
        bar.reset_eta();
        Self { bar, meta_loss: Smoothed::default(), rate: Smoothed::default(), diverged: 0.0, ended: 0.0 }
    }

    /// Moves the bar.
    pub fn update(&mut self, record: &Record) {
        self.meta_loss.add(f64::from(record.meta_loss));
        self.rate.add(record.inner_steps_per_second);
        self.diverged = SMOOTHING * self.diverged + f64::from(record.diverged);
        self.ended = SMOOTHING * self.ended + f64::from(record.ended);
        self.bar.set_position(record.generation);
        self.bar.set_message(format!(
            "{:.0} inner steps/s, meta-loss {:.3}, {:.1} % diverged",
            self.rate.value(),
            self.meta_loss.value(),
            100.0 * self.diverged / self.ended.max(1.0)
        ));
    }

    /// Says something without disturbing the bar.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Leaves the bar as it stands.
    pub fn finish(&self) {
        self.bar.abandon();
    }
}
