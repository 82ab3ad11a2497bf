//! The speed-up of VeLOdrome (arXiv 2211.09760): how many steps tuned Adam needs for the loss that a contender ends with.
//!
//! From longer runs of the envelope's contender, for each of its settings the mean over seeds of the training loss:
//!
//! ```text
//! Lᵣ(t)  smoothed along its points:  E ← 0.95 E + 0.05 L        (the first point begins it)
//! A(t) = running minimum over t of  min over settings r of Lᵣ(t)
//! speed-up = A⁻¹(L) / T,  L = mean over seeds of the contender's loss at its last step T, smoothed alike
//! ```
//!
//! `A⁻¹` interpolates linearly between points. A loss below all of `A` gives the length of the longer runs over `T`, which
//! is the cap; one above all of it gives what lies before the first point, at most. A loss that is not finite gives zero.
//!
//! `A` is constant-rate Adam with the best rate *for each point in time*: a schedule alone gains on it (by 1.39 at 10,000
//! steps, by the published envelopes, see the tests). So this score says little without the ratio to tuned AdamW beside it.

use velo_comparison::{Role, Trial};

/// Smoothing of curves.
const DECAY: f64 = 0.95;

/// The decreasing curve `A`.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Steps and losses, both monotone.
    points: Vec<(f64, f64)>,
}

impl Envelope {
    /// The running minimum of a curve of steps, ascending, and losses.
    pub fn new(curve: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut lowest = f64::INFINITY;
        let running = |(step, loss): (f64, f64)| {
            lowest = if loss.is_finite() { lowest.min(loss) } else { lowest };
            (step, lowest)
        };
        Self { points: curve.into_iter().map(running).filter(|(_, loss)| loss.is_finite()).collect() }
    }

    /// That of the longer runs on a problem; none when there are none.
    pub fn of(trials: &[Trial], problem: &str) -> Option<Self> {
        let longer = |trial: &&Trial| trial.role == Role::Envelope && trial.task == problem;
        let mut settings: Vec<&str> = trials.iter().filter(longer).map(|trial| trial.setting.as_str()).collect();
        settings.dedup();
        let curves: Vec<Vec<(f64, f64)>> = settings
            .iter()
            .filter_map(|setting| {
                let runs: Vec<&Trial> =
                    trials.iter().filter(longer).filter(|trial| trial.setting == *setting).collect();
                mean_curve(&runs)
            })
            .collect();
        let length = curves.iter().map(Vec::len).min()?;
        let lowest = |at: usize| {
            let losses = curves.iter().map(|curve| curve[at].1).filter(|loss| loss.is_finite());
            (curves[0][at].0, losses.fold(f64::INFINITY, f64::min))
        };
        Some(Self::new((0..length).map(lowest)))
    }

    /// `A⁻¹`: the step at which the envelope is as low as `loss`.
    pub fn steps_to(&self, loss: f64) -> f64 {
        if !loss.is_finite() {
            return 0.0;
        }
        let Some(at) = self.points.iter().position(|&(_, envelope)| envelope <= loss) else {
            return self.points.last().map_or(0.0, |&(step, _)| step);
        };
        let (step, envelope) = self.points[at];
        match at.checked_sub(1).map(|before| self.points[before]) {
            None => step,
            Some((step_before, envelope_before)) => {
                step_before + (step - step_before) * (envelope_before - loss) / (envelope_before - envelope)
            }
        }
    }

    /// The step of the last point.
    pub fn length(&self) -> f64 {
        self.points.last().map_or(0.0, |&(step, _)| step)
    }
}

/// The smoothed mean over runs of the training loss; none when a run failed.
fn mean_curve(runs: &[&Trial]) -> Option<Vec<(f64, f64)>> {
    let curves = runs.iter().map(|trial| Some(&trial.outcome.as_ref().ok()?.curve)).collect::<Option<Vec<_>>>()?;
    let length = curves.iter().map(|curve| curve.len()).min().filter(|&length| length > 0)?;
    let mut average = None;
    let smoothed = |at: usize| {
        let loss = curves.iter().map(|curve| f64::from(curve[at].loss)).sum::<f64>() / curves.len() as f64;
        let value = average.map_or(loss, |before: f64| DECAY * before + (1.0 - DECAY) * loss);
        average = Some(value);
        (curves[0][at].step as f64, value)
    };
    Some((0..length).map(smoothed).collect())
}

/// The speed-up of a contender on a problem, from its reported runs; zero where one of them failed.
pub fn speed_up(envelope: &Envelope, runs: &[&Trial]) -> f64 {
    match mean_curve(runs).and_then(|curve| curve.last().copied()) {
        Some((steps, loss)) => envelope.steps_to(loss) / steps,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use velo_comparison::score::interquartile_mean;

    use super::*;
    use crate::score::tests::trial;

    #[test]
    fn the_inverse_interpolates_and_is_capped_at_both_ends() {
        // The rise to 5 is no loss that was reached: the running minimum stays at 2.
        let envelope = Envelope::new([(10.0, 4.0), (20.0, 2.0), (30.0, 5.0), (40.0, 1.0)]);
        assert_eq!(envelope.steps_to(3.0), 15.0);
        assert_eq!(envelope.steps_to(2.0), 20.0);
        assert_eq!(envelope.steps_to(1.5), 35.0);
        assert_eq!(envelope.steps_to(9.0), 10.0);
        assert_eq!(envelope.steps_to(0.5), 40.0);
        assert_eq!(envelope.steps_to(f64::NAN), 0.0);
    }

    #[test]
    fn a_contender_that_is_twice_as_fast_has_a_speed_up_of_two() {
        let longer = |setting: &str, losses: &[f32]| Trial {
            role: Role::Envelope,
            setting: setting.to_owned(),
            ..trial("a", "adam", 0, losses, losses)
        };
        let smoothed = |losses: &[f32]| {
            let mut value = f64::from(losses[0]);
            losses[1..].iter().for_each(|&loss| value = DECAY * value + (1.0 - DECAY) * f64::from(loss));
            value
        };
        let slow = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0];
        let trials = [longer("bad", &[9.0; 6]), longer("good", &slow)];
        let envelope = Envelope::of(&trials, "a").unwrap();
        assert_eq!(envelope.length(), 60.0);
        // A run of three points whose smoothed end is what the envelope has after six.
        let last = ((smoothed(&slow) - DECAY * DECAY * 8.0 - DECAY * (1.0 - DECAY) * 7.0) / (1.0 - DECAY)) as f32;
        let run = trial("a", "new", 0, &[8.0, 7.0, last], &[1.0; 3]);
        assert!((speed_up(&envelope, &[&run]) - 2.0).abs() < 1e-4);
        let itself = trial("a", "new", 0, &slow, &[1.0; 6]);
        assert!((speed_up(&envelope, &[&itself]) - 1.0).abs() < 1e-9);
        let failed = Trial { outcome: Err("panicked".to_owned()), ..run };
        assert_eq!(speed_up(&envelope, &[&failed]), 0.0);
        assert_eq!(Envelope::of(&trials, "b"), None);
    }

    /// Envelopes of Adam alone and of Adam with three kinds of schedule, by task; see `tests/data/README.md`.
    fn published() -> Vec<(Envelope, Envelope)> {
        let text = include_str!("../../tests/data/velodrome_baseline_envelopes.csv");
        let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| line.split(',').collect());
        let curve = |fields: &[&str], steps: &[f64]| {
            Envelope::new(steps.iter().copied().zip(fields.iter().map(|field| field.parse().unwrap())))
        };
        let steps = [0.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5];
        let with_adam = rows.filter(|row: &Vec<&str>| !row[11].is_empty());
        with_adam.map(|row| (curve(&row[3..11], &steps), curve(&row[11..18], &steps[1..]))).collect()
    }

    #[test]
    fn published_envelopes_are_inverted_to_the_steps_they_were_published_at() {
        let envelopes = published();
        assert_eq!(envelopes.len(), 75);
        for (multiple, adam) in &envelopes {
            for envelope in [multiple, adam] {
                for (at, &(step, loss)) in envelope.points.iter().enumerate() {
                    let first = at == 0 || envelope.points[at - 1].1 > loss;
                    assert!(!first || (envelope.steps_to(loss) - step).abs() <= 1e-9 * step, "{envelope:?}");
                }
            }
        }
    }

    #[test]
    fn schedules_alone_gain_on_the_envelope_of_constant_rates() {
        // Interquartile means over 75 tasks: 1.28, 1.39 and 1.48 on the unthinned curves. Between the eight points left
        // of 512, a straight line lies above a convex curve, so that the gains here are larger, by up to a seventh.
        let envelopes = published();
        let gain = |steps: f64| {
            let ratios: Vec<f64> = envelopes
                .iter()
                .map(|(multiple, adam)| {
                    let (_, loss) = *multiple.points.iter().find(|(step, _)| *step == steps).unwrap();
                    adam.steps_to(loss) / steps
                })
                .collect();
            interquartile_mean(&ratios)
        };
        for (steps, expected) in [(5e3, 1.28), (1e4, 1.39), (2e4, 1.48)] {
            let surplus = gain(steps) / expected;
            assert!((1.0..1.0 + 1.0 / 7.0).contains(&surplus), "{} after {steps} steps for {expected}", gain(steps));
        }
    }
}
