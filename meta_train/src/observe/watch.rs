//! What `meta_train watch` shows: a run in a few lines of text.
//!
//! Made from the lines of `metrics.jsonl`. Numbers are means over the newest outer steps, the strips of blocks run
//! over the whole of training.

use super::metrics::Record;

/// Outer steps that the numbers are means of.
const NEWEST: usize = 50;

/// Blocks of a strip.
const WIDTH: usize = 60;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A picture of the run after its `records`, of `total` outer steps.
pub fn picture(records: &[Record], total: u64) -> String {
    let Some(last) = records.last() else {
        return "no outer step is done yet\n".to_owned();
    };
    let newest = &records[records.len().saturating_sub(NEWEST)..];
    let mean = |value: &dyn Fn(&Record) -> f64| newest.iter().map(value).sum::<f64>() / newest.len() as f64;
    let sum = |value: fn(&Record) -> u32| records.iter().map(|record| u64::from(value(record))).sum::<u64>();
    let seconds_per_step = last.seconds / last.generation.max(1) as f64;
    let left = total.saturating_sub(last.generation) as f64 * seconds_per_step;
    let filled = (WIDTH as u64 * last.generation / total.max(1)) as usize;
    let rolled_back = records.iter().filter(|record| record.rolled_back).count();
    let mut text = format!(
        "{}{} {}/{total} outer steps, {} left\n\n",
        "█".repeat(filled.min(WIDTH)),
        "░".repeat(WIDTH - filled.min(WIDTH)),
        last.generation,
        duration(left)
    );
    for (name, value) in [
        ("meta-loss", (|record| f64::from(record.meta_loss)) as fn(&Record) -> f64),
        ("signal to noise", |record| f64::from(record.signal_to_noise)),
        ("gradient norm", |record| f64::from(record.gradient_norm)),
        ("inner steps/s", |record| record.inner_steps_per_second),
    ] {
        text.push_str(&format!("{name:16} {:>10}  {}\n", number(mean(&value)), strip(records, value)));
    }
    text.push_str(&format!(
        "\n{} inner steps in {}; outer steps/s {:.2}; diverged {} of {} inner runs, dropped {}, lost {}, rolled back \
         {rolled_back}\n",
        last.inner_steps,
        duration(last.seconds),
        1.0 / seconds_per_step.max(1e-9),
        sum(|record| record.diverged),
        sum(|record| record.ended),
        sum(|record| record.dropped),
        sum(|record| record.lost),
    ));
    text
}

/// Means of neighbouring records as blocks between the lowest and the highest of them.
fn strip(records: &[Record], value: fn(&Record) -> f64) -> String {
    let group = records.len().div_ceil(WIDTH).max(1);
    let means: Vec<f64> =
        records.chunks(group).map(|chunk| chunk.iter().map(value).sum::<f64>() / chunk.len() as f64).collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let block = |mean: f64| {
        let place = if high > low { (mean - low) / (high - low) } else { 0.5 };
        // A cast takes NaN to zero.
        BLOCKS[((place * BLOCKS.len() as f64) as usize).min(BLOCKS.len() - 1)]
    };
    means.into_iter().map(block).collect()
}

/// Four significant digits, or none behind the point for large numbers.
fn number(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// Hours, minutes and seconds.
fn duration(seconds: f64) -> String {
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
    use crate::observe::metrics::tests::record;

    #[test]
    fn a_picture_tells_progress_time_left_and_a_falling_loss() {
        let records: Vec<Record> = (1..=8)
            .map(|step| Record { meta_loss: -(step as f32), seconds: step as f64 * 10.0, ..record(step) })
            .collect();
        let picture = picture(&records, 20);
        assert!(picture.contains("8/20 outer steps, 2 min 0 s left"), "{picture}");
        assert!(picture.contains("meta-loss            -4.500  █▇▆▅▄▃▂▁"), "{picture}");
        assert!(picture.contains("outer steps/s 0.10; diverged 0 of 16 inner runs"), "{picture}");
    }

    #[test]
    fn a_run_that_has_just_begun_has_a_picture_too() {
        assert_eq!(picture(&[], 20), "no outer step is done yet\n");
        assert!(picture(&[Record { meta_loss: f32::NAN, ..record(1) }], 1).contains("1/1 outer steps"));
    }
}
