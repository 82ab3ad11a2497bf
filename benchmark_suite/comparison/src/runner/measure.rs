//! One trial: from a job to what was measured, or why it failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use velo_tasks::training::Training;

use super::comparison::Job;
use crate::trial::{CurvePoint, Measurement, Trial};
use crate::{Error, fingerprint};

/// What one trial may take before it is given up and recorded as failed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds of wall-clock time.
    pub seconds: f64,
    /// Bytes of parameters, gradients and optimizer state together.
    pub memory_bytes: u64,
}

impl Default for Limits {
    /// An hour and four gigabytes.
    fn default() -> Self {
        Self { seconds: 3600.0, memory_bytes: 4 << 30 }
    }
}

impl Job<'_> {
    fn training(&self, limits: &Limits) -> Training {
        let problem = self.problem;
        Training {
            seed: self.seed,
            steps: problem.steps * self.factor,
            record_every: problem.record_every * self.factor,
            // A longer run is there for its training curve.
            validate_every: problem.validate_every.filter(|_| self.factor == 1),
            time_limit: Some(Duration::try_from_secs_f64(limits.seconds).unwrap_or(Duration::MAX)),
        }
    }

    /// The parts of the trial's key: everything that it depends on.
    pub(super) fn identity(&self) -> Result<Vec<String>, Error> {
        let Training { seed, steps, record_every, validate_every, time_limit: _ } = self.training(&Limits::default());
        let numbers =
            format!("seed {seed}, {steps} steps, a point every {record_every}, validated every {validate_every:?}");
        let (task, setting) = (self.problem.task.fingerprint(), self.setting.fingerprint()?);
        Ok(vec![fingerprint::CODE.to_owned(), task, setting, numbers])
    }

    /// The trial with this outcome.
    pub(super) fn trial(&self, outcome: Result<Measurement, String>) -> Trial {
        Trial {
            task: self.problem.name.clone(),
            contender: self.contender.label.clone(),
            setting: self.setting.label.clone(),
            settings_tried: self.contender.settings.len(),
            rate: self.setting.rate(),
            role: self.role,
            seed: self.seed,
            steps: self.problem.steps * self.factor,
            outcome,
        }
    }

    /// Runs it; an error or a panic becomes a text.
    pub(super) fn run(&self, limits: &Limits) -> Result<Measurement, String> {
        match catch_unwind(AssertUnwindSafe(|| self.measure(limits))) {
            Ok(measured) => measured.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("panicked: {}", panic_message(panic.as_ref()))),
        }
    }

    fn measure(&self, limits: &Limits) -> Result<Measurement, Error> {
        let mut task = self.problem.task.build()?;
        let training = self.training(limits);
        let mut optimizer = self.setting.build(task.layout(), training.steps)?;
        let parameters = task.layout().len();
        let bytes = (2 * size_of::<f32>() * parameters + optimizer.state_bytes()) as u64;
        if bytes > limits.memory_bytes {
            let problem = format!("a trial needs {bytes} bytes, the limit is {}", limits.memory_bytes);
            return Err(Error::InvalidField { field: "limits.memory_bytes".to_owned(), problem });
        }
        let start = Instant::now();
        let (curve, optimizer_time) = training.run_timed(task.as_mut(), optimizer.as_mut())?;
        let seconds = start.elapsed().as_secs_f64();
        let points = curve.steps.iter().zip(&curve.train_loss).zip(&curve.validation_loss);
        let points = points.map(|((&step, &loss), &validation_loss)| CurvePoint { step, loss, validation_loss });
        Ok(Measurement {
            parameters,
            state_bytes: optimizer.state_bytes(),
            reference_loss: task.reference_loss(),
            train_loss: curve.train.loss,
            validation_loss: curve.validation.loss,
            test_loss: Some(curve.test.loss),
            train_accuracy: curve.train.accuracy,
            validation_accuracy: curve.validation.accuracy,
            test_accuracy: curve.test.accuracy,
            diverged_at: curve.diverged,
            seconds,
            optimizer_seconds: Some(optimizer_time.as_secs_f64()),
            curve: points.collect(),
        })
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
