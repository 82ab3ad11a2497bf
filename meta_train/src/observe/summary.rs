//! How a run is doing: the numbers of its newest outer steps, as the progress bars and `watch` show them.

use super::metrics::Record;

/// Outer steps that the numbers are means of.
pub const NEWEST: usize = 50;

/// More workers than this are shown in groups of neighbours.
const MOST_GROUPS: usize = 8;

/// Blocks of a worker's bar.
const WIDTH: usize = 20;

/// Where a run stood at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mark {
    /// Outer steps taken.
    pub generation: u64,
    /// Inner steps trained.
    pub inner_steps: u64,
    /// Seconds spent.
    pub seconds: f64,
}

impl From<&Record> for Mark {
    fn from(record: &Record) -> Self {
        Self { generation: record.generation, inner_steps: record.inner_steps, seconds: record.seconds }
    }
}

/// What some neighbouring workers do.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The number of the first.
    pub first: usize,
    /// The number of the last.
    pub last: usize,
    /// Share of the time that they spend inside windows.
    pub busy_share: f64,
    /// Inner steps per second of all of them.
    pub inner_steps_per_second: f64,
}

impl Group {
    /// One line: `worker 1  ███████████████████░  96 % busy, 21900 inner steps/s`.
    pub fn line(&self) -> String {
        let name = match self.first == self.last {
            true => format!("worker {}", self.first + 1),
            false => format!("workers {}-{}", self.first + 1, self.last + 1),
        };
        format!(
            "{name:<13} {} {:>3.0} % busy, {:.0} inner steps/s",
            bar(self.busy_share, WIDTH),
            100.0 * self.busy_share,
            self.inner_steps_per_second
        )
    }
}

/// Means over the newest outer steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Mean meta-loss.
    pub meta_loss: f64,
    /// Mean signal-to-noise of the meta-gradient.
    pub signal_to_noise: f64,
    /// Inner steps per second of all workers.
    pub inner_steps_per_second: f64,
    /// Outer steps per second.
    pub outer_steps_per_second: f64,
    /// Share of stale reports among those that came in.
    pub stale_share: f64,
    /// Share of diverged runs among those that ended.
    pub diverged_share: f64,
    /// The workers.
    pub groups: Vec<Group>,
}

impl Summary {
    /// Of `newest`, before which the run stood at `before`; nothing is known of none.
    pub fn of(before: Mark, newest: &[Record]) -> Self {
        let Some(last) = newest.last() else {
            return Self::default();
        };
        let count = newest.len() as f64;
        let mean =
            |value: fn(&Record) -> f32| newest.iter().map(|record| f64::from(value(record))).sum::<f64>() / count;
        let sum = |value: fn(&Record) -> u32| newest.iter().map(|record| f64::from(value(record))).sum::<f64>();
        let seconds = last.seconds - before.seconds;
        // Seconds that were edited, or that no clock saw, give no rate.
        let rate = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        Self {
            meta_loss: mean(|record| record.meta_loss),
            signal_to_noise: mean(|record| record.signal_to_noise),
            inner_steps_per_second: rate(last.inner_steps.saturating_sub(before.inner_steps) as f64),
            outer_steps_per_second: rate(last.generation.saturating_sub(before.generation) as f64),
            stale_share: mean(|record| record.stale_share),
            diverged_share: sum(|record| record.diverged) / sum(|record| record.ended).max(1.0),
            groups: groups(newest, rate),
        }
    }

    /// Of the newest of all records of a run.
    pub fn of_run(records: &[Record]) -> Self {
        let (earlier, newest) = records.split_at(records.len().saturating_sub(NEWEST));
        Self::of(earlier.last().map(Mark::from).unwrap_or_default(), newest)
    }

    /// Seconds until `outer_steps` more are done.
    pub fn seconds_for(&self, outer_steps: u64) -> f64 {
        if self.outer_steps_per_second > 0.0 { outer_steps as f64 / self.outer_steps_per_second } else { 0.0 }
    }
}

fn groups(newest: &[Record], rate: impl Fn(f64) -> f64) -> Vec<Group> {
    let workers = newest.iter().map(|record| record.workers.len()).max().unwrap_or(0);
    let size = workers.div_ceil(MOST_GROUPS).max(1);
    let group = |first: usize| {
        let last = (first + size).min(workers) - 1;
        let members = || newest.iter().flat_map(|record| record.workers.iter().take(last + 1).skip(first));
        let busy = rate(members().map(|worker| worker.busy_seconds).sum());
        Group {
            first,
            last,
            busy_share: (busy / (last + 1 - first) as f64).clamp(0.0, 1.0),
            inner_steps_per_second: rate(members().map(|worker| worker.inner_steps as f64).sum()),
        }
    };
    (0..workers).step_by(size).map(group).collect()
}

/// A bar of `width` blocks, of which `share` is full.
pub fn bar(share: f64, width: usize) -> String {
    let full = ((share * width as f64).round() as usize).min(width);
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// Hours, minutes and seconds.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::WorkerRecord;
    use crate::observe::metrics::tests::record;

    fn with_workers(step: u64, workers: usize) -> Record {
        let worker = WorkerRecord { inner_steps: 100, busy_seconds: 1.5 };
        let inner_steps = 100 * workers as u64 * step;
        Record { seconds: 2.0 * step as f64, inner_steps, workers: vec![worker; workers], ..record(step) }
    }

    #[test]
    fn rates_are_those_of_the_newest_steps_and_busy_time_is_a_share_of_theirs() {
        let records: Vec<Record> = (1..=120).map(|step| with_workers(step, 2)).collect();
        let summary = Summary::of_run(&records);
        assert_eq!((summary.inner_steps_per_second, summary.outer_steps_per_second), (100.0, 0.5));
        let alone = |first| Group { first, last: first, busy_share: 0.75, inner_steps_per_second: 50.0 };
        assert_eq!(summary.groups, [alone(0), alone(1)]);
        assert_eq!(summary.groups[1].line(), "worker 2      ███████████████░░░░░  75 % busy, 50 inner steps/s");
        assert_eq!(summary.seconds_for(30), 60.0);
    }

    #[test]
    fn many_workers_are_shown_in_groups() {
        let summary = Summary::of(Mark::default(), &[with_workers(1, 20)]);
        let ends: Vec<(usize, usize)> = summary.groups.iter().map(|group| (group.first, group.last)).collect();
        assert_eq!(ends, [(0, 2), (3, 5), (6, 8), (9, 11), (12, 14), (15, 17), (18, 19)]);
        assert!(summary.groups[6].line().starts_with("workers 19-20 "));
        assert_eq!(summary.groups[6].inner_steps_per_second, 100.0);
    }

    #[test]
    fn a_clock_that_jumped_gives_no_rate_and_no_nonsense() {
        let jumped = Record { seconds: 1.0, ..with_workers(2, 1) };
        let summary = Summary::of(Mark::from(&with_workers(1, 1)), &[jumped]);
        assert_eq!((summary.inner_steps_per_second, summary.seconds_for(10)), (0.0, 0.0));
        assert_eq!(summary.groups[0].busy_share, 0.0);
        assert_eq!(Summary::of(Mark::default(), &[]), Summary::default());
    }
}
