//! The published scores, each with its formula, from finished trials alone.
//!
//! Loss ratios, interquartile means and their intervals are those of [`velo_comparison::score`]; here is what only a
//! benchmark needs.

pub mod improvement;
pub mod saturation;
pub mod sensitivity;
pub mod speed_up;
pub mod time_to_target;

use velo_comparison::{Role, Trial};

/// The reported trials of a contender on a problem.
pub(crate) fn reported<'a>(trials: &'a [Trial], problem: &str, contender: &str) -> Vec<&'a Trial> {
    let own = |trial: &&Trial| trial.role == Role::Report && trial.task == problem && trial.contender == contender;
    trials.iter().filter(own).collect()
}

/// The middle value, or the mean of the two in the middle; none without values.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use velo_comparison::trial::{CurvePoint, Measurement};

    use super::*;

    /// A reported trial with a curve of training and validation losses, a point every ten steps.
    pub(crate) fn trial(task: &str, contender: &str, seed: u64, train: &[f32], validation: &[f32]) -> Trial {
        let curve = train.iter().zip(validation).zip(1..);
        let curve = curve.map(|((&loss, &held_out), point)| CurvePoint {
            step: 10 * point,
            loss,
            validation_loss: Some(held_out),
        });
        let last = |values: &[f32]| *values.last().expect("a curve has a point");
        Trial {
            task: task.to_owned(),
            contender: contender.to_owned(),
            setting: "as is".to_owned(),
            settings_tried: 1,
            rate: None,
            role: Role::Report,
            seed,
            steps: 10 * train.len() as u64,
            outcome: Ok(Measurement {
                parameters: 10,
                state_bytes: 80,
                reference_loss: 1.0,
                train_loss: last(train),
                validation_loss: last(validation),
                test_loss: Some(last(validation)),
                train_accuracy: None,
                validation_accuracy: None,
                test_accuracy: None,
                diverged_at: None,
                seconds: 0.5,
                optimizer_seconds: Some(1e-6),
                curve: curve.collect(),
            }),
        }
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, f64::INFINITY]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
