//! The one plain training loop: what evaluation and benchmark mean by "train this task with that optimizer".
//!
//! Step `t` computes loss and gradient of training batch `t` of the run's seed and lets the optimizer step. A run diverges
//! when a batch loss is not finite, or above `1000 · max(reference loss, first batch loss)`. Diverging is an ordinary
//! event: the run ends there, and everything reported about it is bounded by the [`worst_loss`], ten times the
//! reference loss.

use std::time::{Duration, Instant};

use velo_optimizer::{FlushDenormals, Optimizer};

use crate::Error;
use crate::error::check_range;
use crate::task::{Batch, Metrics, Split, Task};

/// A batch loss that far above where the run started has run away.
const RUNAWAY_FACTOR: f32 = 1000.0;

/// Worst loss that is ever reported, relative to the reference loss.
const WORST_FACTOR: f32 = 10.0;

/// Steps from one whose time is taken to the next: the clock is read too rarely to cost anything.
pub const TIMED_EVERY: u64 = 8;

/// A training run that is to be made, from `task.init(seed)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Training {
    /// Seed of initial parameters and batches.
    pub seed: u64,
    /// Steps in total.
    pub steps: u64,
    /// Steps between two points of the learning curve.
    pub record_every: u64,
    /// Points of the learning curve between two evaluations on the validation split; none before the end if left out.
    pub validate_every: Option<u64>,
    /// Wall-clock time after which the run is given up.
    pub time_limit: Option<Duration>,
}

/// How a training run went.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingCurve {
    /// Steps done at each recorded point: every `record_every`, and the last.
    pub steps: Vec<u64>,
    /// Mean of the batch losses since the point before, at most the worst loss; the worst loss once diverged.
    pub train_loss: Vec<f32>,
    /// Loss over the whole validation split at the points where it was asked for, bounded; none once diverged.
    pub validation_loss: Vec<Option<f32>>,
    /// The step at which the run diverged.
    pub diverged: Option<u64>,
    /// Final metrics over the whole training split, bounded.
    pub train: Metrics,
    /// Final metrics over the whole validation split, bounded.
    pub validation: Metrics,
    /// Final metrics over the whole test split, bounded.
    pub test: Metrics,
}

/// The bound of every loss that is reported about `task`.
pub fn worst_loss(task: &dyn Task) -> f32 {
    WORST_FACTOR * task.reference_loss()
}

/// Trains `task` from `task.init(seed)` for `steps` steps, without a look at held-out rows before the end.
///
/// # Errors
/// Those of [`Training::run`].
pub fn train(
    task: &mut dyn Task,
    optimizer: &mut dyn Optimizer,
    seed: u64,
    steps: u64,
    record_every: u64,
) -> Result<TrainingCurve, Error> {
    Training { seed, steps, record_every, validate_every: None, time_limit: None }.run(task, optimizer)
}

impl Training {
    /// Trains `task`.
    ///
    /// The optimizer comes freshly made for the task's layout; its horizon and schedule are the caller's business.
    /// Curves of equal `steps` and `record_every` have equal lengths, diverged or not.
    ///
    /// # Errors
    /// [`Error::InvalidField`] when a number of steps is zero; [`Error::Optimizer`] when the optimizer refuses a step,
    /// which skipping non-finite gradients is not; [`Error::OutOfTime`].
    pub fn run(&self, task: &mut dyn Task, optimizer: &mut dyn Optimizer) -> Result<TrainingCurve, Error> {
        Ok(self.run_timed(task, optimizer)?.0)
    }

    /// The same, and what a step of the optimizer alone took on average, measured every [`TIMED_EVERY`] steps.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn run_timed(
        &self,
        task: &mut dyn Task,
        optimizer: &mut dyn Optimizer,
    ) -> Result<(TrainingCurve, Duration), Error> {
        let Self { seed, steps, record_every, validate_every, time_limit } = *self;
        let start = Instant::now();
        let (mut timed, mut timings) = (Duration::ZERO, 0);
        check_range("steps", steps, 1..=u64::MAX)?;
        check_range("record_every", record_every, 1..=u64::MAX)?;
        check_range("validate_every", validate_every.unwrap_or(1), 1..=u64::MAX)?;
        let _flush = FlushDenormals::new();
        let worst = worst_loss(task);
        let mut params = vec![0.0; task.layout().len()];
        let mut grads = vec![0.0; params.len()];
        task.init(seed, &mut params);

        let mut recorder = Recorder::new(steps, record_every, worst);
        let mut runaway = f32::INFINITY;
        let mut diverged = None;
        for step in 0..steps {
            let loss = task.loss_and_grad(&params, Batch { seed, split: Split::Train, index: step }, &mut grads);
            if step == 0 {
                runaway = RUNAWAY_FACTOR * task.reference_loss().max(loss);
            }
            // Not `loss > runaway`: a NaN has to end up here too.
            if !(loss.is_finite() && loss <= runaway) {
                diverged = Some(step);
                break;
            }
            let recorded = recorder.push(loss);
            if step.is_multiple_of(TIMED_EVERY) {
                let before = Instant::now();
                optimizer.step(&mut params, &grads, loss)?;
                (timed, timings) = (timed + before.elapsed(), timings + 1);
                let (spent, limit) = (start.elapsed(), time_limit.unwrap_or(Duration::MAX));
                if spent > limit {
                    let [seconds, limit] = [spent, limit].map(|time| time.as_secs_f64());
                    return Err(Error::OutOfTime { seconds, limit, step: step + 1, steps });
                }
            } else {
                optimizer.step(&mut params, &grads, loss)?;
            }
            if recorded && validate_every.is_some_and(|every| (recorder.steps.len() as u64).is_multiple_of(every)) {
                optimizer.evaluation_params(&params, &mut grads)?;
                recorder.validated(task.evaluate(&grads, Split::Validation).loss);
            }
        }
        recorder.fill_with_worst();

        optimizer.evaluation_params(&params, &mut grads)?;
        let mut bounded = |split| match diverged {
            Some(_) => Metrics { loss: worst, accuracy: task.evaluate(&params, split).accuracy.map(|_| 0.0) },
            None => bound(task.evaluate(&grads, split), worst),
        };
        let [train, validation, test] = [Split::Train, Split::Validation, Split::Test].map(&mut bounded);
        let Recorder { steps, losses: train_loss, validation_losses: validation_loss, .. } = recorder;
        let curve = TrainingCurve { steps, train_loss, validation_loss, diverged, train, validation, test };
        Ok((curve, timed / timings.max(1)))
    }
}

/// A loss that is finite and at most `worst`.
fn bound(metrics: Metrics, worst: f32) -> Metrics {
    // `min` prefers a number to a NaN.
    Metrics { loss: metrics.loss.min(worst), ..metrics }
}

/// Averages batch losses between recorded points.
struct Recorder {
    total_steps: u64,
    record_every: u64,
    worst: f32,
    steps: Vec<u64>,
    losses: Vec<f32>,
    validation_losses: Vec<Option<f32>>,
    done: u64,
    sum: f64,
    count: u64,
}

impl Recorder {
    fn new(total_steps: u64, record_every: u64, worst: f32) -> Self {
        let (steps, losses, validation_losses) = (Vec::new(), Vec::new(), Vec::new());
        Self { total_steps, record_every, worst, steps, losses, validation_losses, done: 0, sum: 0.0, count: 0 }
    }

    /// Counts a step; true when it made a point.
    fn push(&mut self, loss: f32) -> bool {
        self.sum += f64::from(loss);
        self.count += 1;
        self.done += 1;
        let makes_point = self.done.is_multiple_of(self.record_every) || self.done == self.total_steps;
        if makes_point {
            self.steps.push(self.done);
            self.losses.push(((self.sum / self.count as f64) as f32).min(self.worst));
            self.validation_losses.push(None);
            (self.sum, self.count) = (0.0, 0);
        }
        makes_point
    }

    /// Adds the loss over held-out rows to the last point.
    fn validated(&mut self, loss: f32) {
        if let Some(last) = self.validation_losses.last_mut() {
            *last = Some(loss.min(self.worst));
        }
    }

    /// What is left of a run that diverged; nothing of one that did not.
    fn fill_with_worst(&mut self) {
        (self.sum, self.count) = (0.0, 0);
        while self.done < self.total_steps {
            self.push(self.worst);
        }
    }
}

#[cfg(test)]
mod tests {
    use velo_optimizer::hand_designed::{Adam, AdamConfig};

    use super::*;
    use crate::registry::named;

    const TWO_HUNDRED: Training =
        Training { seed: 1, steps: 200, record_every: 40, validate_every: None, time_limit: None };

    fn run(learning_rate: f32, seed: u64, steps: u64) -> TrainingCurve {
        let mut task = named("wine_mlp").unwrap().build().unwrap();
        let config = AdamConfig { learning_rate, ..AdamConfig::default() };
        let mut optimizer = Adam::new(task.layout(), config).unwrap();
        train(task.as_mut(), &mut optimizer, seed, steps, 40).unwrap()
    }

    #[test]
    fn adam_learns_wine_and_the_same_run_gives_the_same_bits() {
        let curve = run(1e-2, 1, 200);
        assert_eq!(curve.steps, [40, 80, 120, 160, 200]);
        assert_eq!(curve.diverged, None);
        // Both held-out parts have 18 rows.
        let held_out = (curve.validation.accuracy.unwrap() + curve.test.accuracy.unwrap()) / 2.0;
        assert!(curve.train.loss < 0.05 && held_out > 0.9, "{curve:?}");
        assert!(curve.train_loss.is_sorted_by(|before, after| before >= after), "{curve:?}");
        assert_eq!(curve, run(1e-2, 1, 200));
        assert_ne!(curve, run(1e-2, 2, 200));
    }

    #[test]
    fn a_senseless_rate_diverges_to_a_bounded_loss_on_a_curve_of_full_length() {
        let curve = run(1e6, 1, 100);
        let worst = worst_loss(named("wine_mlp").unwrap().build().unwrap().as_ref());
        assert!(curve.diverged.is_some(), "{curve:?}");
        assert_eq!(curve.steps, [40, 80, 100]);
        assert_eq!(curve.train_loss, [worst; 3]);
        assert_eq!((curve.train.loss, curve.validation.accuracy), (worst, Some(0.0)));
    }

    #[test]
    fn a_look_at_held_out_rows_changes_nothing_but_what_is_seen() {
        let mut task = named("wine_mlp").unwrap().build().unwrap();
        let mut optimizer =
            Adam::new(task.layout(), AdamConfig { learning_rate: 1e-2, ..AdamConfig::default() }).unwrap();
        let training = Training { validate_every: Some(2), ..TWO_HUNDRED };
        let watched = training.run(task.as_mut(), &mut optimizer).unwrap();
        let seen: Vec<bool> = watched.validation_loss.iter().map(Option::is_some).collect();
        assert_eq!(seen, [false, true, false, true, false]);
        assert_ne!(watched.validation_loss[3], watched.validation_loss[1], "{watched:?}");
        let blind = run(1e-2, 1, 200);
        assert_eq!(blind.validation_loss, [None; 5]);
        assert_eq!((watched.train_loss, watched.test), (blind.train_loss, blind.test));
        assert_ne!(watched.validation, watched.test, "other rows");
    }

    #[test]
    fn a_run_that_takes_too_long_is_given_up_and_says_where() {
        let mut task = named("wine_mlp").unwrap().build().unwrap();
        let mut optimizer = Adam::new(task.layout(), AdamConfig::default()).unwrap();
        let training = Training { time_limit: Some(Duration::ZERO), ..TWO_HUNDRED };
        let message = training.run(task.as_mut(), &mut optimizer).unwrap_err().to_string();
        assert!(message.contains("at step 1 of 200: the limit of a run is 0.0 s"), "{message}");
    }

    #[test]
    fn zero_steps_are_refused() {
        let mut task = named("wine_mlp").unwrap().build().unwrap();
        let mut optimizer = Adam::new(task.layout(), AdamConfig::default()).unwrap();
        let error = train(task.as_mut(), &mut optimizer, 0, 0, 1).unwrap_err();
        assert!(error.to_string().starts_with("steps is 0, expected 1 to "), "{error}");
    }
}
