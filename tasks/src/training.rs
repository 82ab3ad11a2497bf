//! The one plain training loop: what evaluation and benchmark mean by "train this task with that optimizer".
//!
//! Step `t` computes loss and gradient of training batch `t` of the run's seed and lets the optimizer step. A run diverges
//! when a batch loss is not finite, or above `1000 · max(reference loss, first batch loss)`. Diverging is an ordinary
//! event: the run ends there, and everything reported about it is bounded by the [`worst_loss`], ten times the
//! reference loss.

use velo_optimizer::{FlushDenormals, Optimizer};

use crate::Error;
use crate::error::check_range;
use crate::task::{Batch, Metrics, Split, Task};

/// A batch loss that far above where the run started has run away.
const RUNAWAY_FACTOR: f32 = 1000.0;

/// Worst loss that is ever reported, relative to the reference loss.
const WORST_FACTOR: f32 = 10.0;

/// How a training run went.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingCurve {
    /// Steps done at each recorded point: every `record_every`, and the last.
    pub steps: Vec<u64>,
    /// Mean of the batch losses since the point before, at most the worst loss; the worst loss once diverged.
    pub train_loss: Vec<f32>,
    /// The step at which the run diverged.
    pub diverged: Option<u64>,
    /// Final metrics over the whole training split, bounded.
    pub train: Metrics,
    /// Final metrics over the whole held-out split, bounded.
    pub validation: Metrics,
}

/// The bound of every loss that is reported about `task`.
pub fn worst_loss(task: &dyn Task) -> f32 {
    WORST_FACTOR * task.reference_loss()
}

/// Trains `task` from `task.init(seed)` for `steps` steps.
///
/// The optimizer comes freshly made for the task's layout; its horizon and schedule are the caller's business. Curves
/// of equal `steps` and `record_every` have equal lengths, diverged or not.
///
/// # Errors
/// [`Error::InvalidField`] when `steps` or `record_every` is zero; [`Error::Optimizer`] when the optimizer refuses a
/// step, which skipping non-finite gradients is not.
pub fn train(
    task: &mut dyn Task,
    optimizer: &mut dyn Optimizer,
    seed: u64,
    steps: u64,
    record_every: u64,
) -> Result<TrainingCurve, Error> {
    check_range("steps", steps, 1..=u64::MAX)?;
    check_range("record_every", record_every, 1..=u64::MAX)?;
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
        recorder.push(loss);
        optimizer.step(&mut params, &grads, loss)?;
    }
    recorder.fill_with_worst();

    optimizer.evaluation_params(&params, &mut grads)?;
    let mut bounded = |split| match diverged {
        Some(_) => Metrics { loss: worst, accuracy: task.evaluate(&params, split).accuracy.map(|_| 0.0) },
        None => bound(task.evaluate(&grads, split), worst),
    };
    let (train, validation) = (bounded(Split::Train), bounded(Split::Validation));
    Ok(TrainingCurve { steps: recorder.steps, train_loss: recorder.losses, diverged, train, validation })
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
    done: u64,
    sum: f64,
    count: u64,
}

impl Recorder {
    fn new(total_steps: u64, record_every: u64, worst: f32) -> Self {
        Self { total_steps, record_every, worst, steps: Vec::new(), losses: Vec::new(), done: 0, sum: 0.0, count: 0 }
    }

    fn push(&mut self, loss: f32) {
        self.sum += f64::from(loss);
        self.count += 1;
        self.done += 1;
        if self.done.is_multiple_of(self.record_every) || self.done == self.total_steps {
            self.steps.push(self.done);
            self.losses.push(((self.sum / self.count as f64) as f32).min(self.worst));
            (self.sum, self.count) = (0.0, 0);
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
        assert!(curve.train.loss < 0.05 && curve.validation.accuracy.unwrap() > 0.9, "{curve:?}");
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
    fn zero_steps_are_refused() {
        let mut task = named("wine_mlp").unwrap().build().unwrap();
        let mut optimizer = Adam::new(task.layout(), AdamConfig::default()).unwrap();
        let error = train(task.as_mut(), &mut optimizer, 0, 0, 1).unwrap_err();
        assert!(error.to_string().starts_with("steps is 0, expected 1 to "), "{error}");
    }
}
