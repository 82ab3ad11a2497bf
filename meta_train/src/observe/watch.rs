//! What `meta_train watch` shows: a run in a few lines of text.
//!
//! Made from the lines of `metrics.jsonl` and `validation/standings.jsonl`. Numbers are those of the newest outer steps,
//! the strips of blocks run over the whole of training.

use super::metrics::Record;
use super::summary::{Summary, bar, duration};
use crate::validation::standing::with_interval;
use crate::validation::{Standing, TUNED, ranked};

/// Blocks of a strip.
const WIDTH: usize = 60;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A picture of the run after its `records`, of `total` outer steps, with the `standings` of its snapshots.
pub fn picture(records: &[Record], standings: &[Standing], total: u64) -> String {
    let Some(last) = records.last() else {
        return "no outer step is done yet\n".to_owned();
    };
    let summary = Summary::of_run(records);
    let sum = |value: fn(&Record) -> u32| records.iter().map(|record| u64::from(value(record))).sum::<u64>();
    let rolled_back = records.iter().filter(|record| record.rolled_back).count();
    let mut text = format!(
        "{} {}/{total} outer steps, {} left\n\n",
        bar(last.generation as f64 / total.max(1) as f64, WIDTH),
        last.generation,
        duration(summary.seconds_for(total.saturating_sub(last.generation)))
    );
    type Value = fn(&Record) -> f64;
    let gradient_norm: Value = |record| f64::from(record.gradient_norm);
    let rows: [(&str, f64, Value); 4] = [
        ("meta-loss", summary.meta_loss, |record| f64::from(record.meta_loss)),
        ("signal to noise", summary.signal_to_noise, |record| f64::from(record.signal_to_noise)),
        ("gradient norm", gradient_norm(last), gradient_norm),
        ("inner steps/s", summary.inner_steps_per_second, |record| record.inner_steps_per_second),
    ];
    for (name, newest, value) in rows {
        text.push_str(&format!("{name:16} {:>10}  {}\n", number(newest), strip(records, value)));
    }
    text.push_str(&format!(
        "outer steps/s    {:>10}\nstale            {:>8.1} %\ndiverged         {:>8.1} %\n",
        number(summary.outer_steps_per_second),
        100.0 * summary.stale_share,
        100.0 * summary.diverged_share,
    ));
    if !summary.groups.is_empty() {
        text.push('\n');
    }
    for group in &summary.groups {
        text.push_str(&format!("{}\n", group.line()));
    }
    text.push_str(&format!(
        "\n{} inner steps in {}; diverged {} of {} inner runs, stale {}, dropped {}, lost {}, workers replaced {}, rolled \
         back {rolled_back}\n",
        last.inner_steps,
        duration(last.seconds),
        sum(|record| record.diverged),
        sum(|record| record.ended),
        sum(|record| record.stale),
        sum(|record| record.dropped),
        sum(|record| record.lost),
        sum(|record| record.replaced),
    ));
    if !last.hopeless.is_empty() {
        text.push_str(&format!("all newest runs diverged in: {}\n", last.hopeless.join(", ")));
    }
    text.push_str(&validation(standings));
    text
}

/// The newest snapshot that is judged and the one with the best lower bound; nothing before there is one.
fn validation(standings: &[Standing]) -> String {
    let (Some(newest), Some(best)) = (standings.last(), ranked(standings.to_vec()).into_iter().next()) else {
        return String::new();
    };
    let line = |which: &str, standing: &Standing| {
        let [train, validation] = [standing.train, standing.validation].map(with_interval);
        format!("{which:<7} training {train}, validation {validation} after outer step {}\n", standing.generation)
    };
    let mut text = format!("\nvalidation, ratio to {TUNED}, above one is better:\n{}", line("newest", newest));
    match newest.generation == best.generation {
        true => text.push_str("it is the best so far\n"),
        false => text.push_str(&line("best", &best)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::WorkerRecord;
    use crate::observe::metrics::tests::record;
    use crate::validation::standing::tests::standing;

    #[test]
    fn a_picture_tells_progress_time_left_and_a_falling_loss() {
        let records: Vec<Record> = (1..=8)
            .map(|step| Record { meta_loss: -(step as f32), seconds: step as f64 * 10.0, ..record(step) })
            .collect();
        let picture = picture(&records, &[], 20);
        assert!(picture.contains("8/20 outer steps, 2 min 0 s left"), "{picture}");
        assert!(picture.contains("meta-loss            -4.500  █▇▆▅▄▃▂▁"), "{picture}");
        assert!(picture.contains("outer steps/s         0.100\nstale                 0.0 %"), "{picture}");
        assert!(picture.contains("diverged 0 of 16 inner runs, stale 0,"), "{picture}");
    }

    #[test]
    fn workers_stale_reports_and_hopeless_families_are_shown() {
        let workers = vec![WorkerRecord { inner_steps: 5, busy_seconds: 0.05 }; 2];
        let hopeless = vec!["mlp_teacher".to_owned()];
        let picture = picture(&[Record { workers, stale: 3, stale_share: 0.25, hopeless, ..record(1) }], &[], 2);
        assert!(picture.contains("stale                25.0 %") && picture.contains("stale 3,"), "{picture}");
        assert!(picture.contains("worker 2      ██████████░░░░░░░░░░  50 % busy, 50 inner steps/s"), "{picture}");
        assert!(picture.contains("all newest runs diverged in: mlp_teacher"), "{picture}");
    }

    #[test]
    fn a_run_that_has_just_begun_has_a_picture_too() {
        assert_eq!(picture(&[], &[], 20), "no outer step is done yet\n");
        let picture = picture(&[Record { meta_loss: f32::NAN, ..record(1) }], &[], 1);
        assert!(picture.contains("1/1 outer steps") && !picture.contains("validation"), "{picture}");
    }

    #[test]
    fn the_newest_snapshot_is_shown_beside_the_one_with_the_best_lower_bound() {
        // The last one has the larger ratio, the first is surer of its own.
        let standings = [standing(0, 0.94, 0.95), standing(500, 0.5, 0.6), standing(1000, 0.9, 1.1)];
        let shown = picture(&[record(1)], &standings, 2000);
        let newest =
            "newest  training 1.100 (0.900 to 1.300), validation 1.100 (0.900 to 1.300) after outer step 1000\n";
        let best = "best    training 0.950 (0.940 to 0.960), validation 0.950 (0.940 to 0.960) after outer step 0\n";
        assert!(shown.contains(&format!("{newest}{best}")), "{shown}");
        let shown = picture(&[record(1)], &standings[..1], 2000);
        assert!(shown.ends_with("after outer step 0\nit is the best so far\n"), "{shown}");
    }
}
