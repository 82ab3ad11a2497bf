//! One training run of a comparison, and the tables of all of them.
//!
//! `trials.csv` has one row per trial, `curves.csv` one per recorded point of a reported trial. Both are read back
//! without loss, so a report can be made again from its folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, atomic_file};

/// What a trial is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To choose a setting; never part of a score.
    Tuning,
    /// To be reported, on a seed that tuning has not seen.
    Report,
    /// A longer run of the tuned baseline that speed-ups are read from; never part of another score.
    Envelope,
}

/// The loss by which settings are chosen and contenders are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// Final mean loss over all training rows.
    TrainLoss,
    /// Final mean loss over the held-out rows that settings may be chosen by.
    ValidationLoss,
    /// Final mean loss over the held-out rows that nothing is chosen by.
    TestLoss,
}

impl Metric {
    /// As tables say it.
    pub fn label(self) -> &'static str {
        match self {
            Self::TrainLoss => "training loss",
            Self::ValidationLoss => "validation loss",
            Self::TestLoss => "test loss",
        }
    }
}

/// One recorded point of a learning curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps done.
    pub step: u64,
    /// Mean of the training batch losses since the point before.
    pub loss: f32,
    /// Loss over the whole validation split, where it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f32>,
}

/// What a finished trial measured. A diverged one has the task's bounded worst losses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Parameters of the task.
    pub parameters: usize,
    /// Bytes of state that the optimizer keeps.
    pub state_bytes: usize,
    /// Loss of a model that knows only the mean of its targets.
    pub reference_loss: f32,
    /// Final loss over all training rows.
    pub train_loss: f32,
    /// Final loss over the held-out rows to choose by.
    pub validation_loss: f32,
    /// Final loss over the held-out rows to report; tables of older versions lack it.
    pub test_loss: Option<f32>,
    /// Share of training rows classified correctly.
    pub train_accuracy: Option<f32>,
    /// Share of validation rows classified correctly.
    pub validation_accuracy: Option<f32>,
    /// Share of test rows classified correctly.
    pub test_accuracy: Option<f32>,
    /// The step at which the run diverged.
    pub diverged_at: Option<u64>,
    /// Wall-clock time with all evaluations.
    pub seconds: f64,
    /// Mean wall-clock time of the optimizer's part of a step; tables of older versions lack it.
    pub optimizer_seconds: Option<f64>,
    /// The learning curve.
    pub curve: Vec<CurvePoint>,
}

impl Measurement {
    /// The loss that `metric` means; NaN where it was not measured.
    pub fn loss(&self, metric: Metric) -> f64 {
        f64::from(match metric {
            Metric::TrainLoss => self.train_loss,
            Metric::ValidationLoss => self.validation_loss,
            Metric::TestLoss => self.test_loss.unwrap_or(f32::NAN),
        })
    }
}

/// A training run: who, on what, with which seed, and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Name of the problem, which is that of its task where there is one horizon.
    pub task: String,
    /// Label of the contender.
    pub contender: String,
    /// Label of the setting.
    pub setting: String,
    /// How many settings the contender may choose from.
    pub settings_tried: usize,
    /// The setting's learning rate times its step multiplier.
    pub rate: Option<f32>,
    /// What the trial is for.
    pub role: Role,
    /// Seed of initial parameters and batches.
    pub seed: u64,
    /// Steps planned.
    pub steps: u64,
    /// What was measured, or why the trial failed (an error or a panic; diverging is not a failure).
    pub outcome: Result<Measurement, String>,
}

impl Trial {
    /// The final loss; infinite for a failed trial.
    pub fn loss(&self, metric: Metric) -> f64 {
        self.outcome.as_ref().map_or(f64::INFINITY, |measured| measured.loss(metric))
    }

    /// True when the run diverged or failed.
    pub fn is_lost(&self) -> bool {
        self.outcome.as_ref().map_or(true, |measured| measured.diverged_at.is_some())
    }

    /// Nanoseconds of wall-clock time per step, gradient and final evaluation included.
    pub fn ns_per_step(&self) -> Option<f64> {
        self.outcome.as_ref().ok().map(|measured| measured.seconds * 1e9 / self.steps as f64)
    }
}

/// A row of `trials.csv`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialRow {
    task: String,
    contender: String,
    setting: String,
    settings_tried: usize,
    #[serde(default)]
    rate: Option<f32>,
    role: Role,
    seed: u64,
    steps: u64,
    parameters: Option<usize>,
    state_bytes: Option<usize>,
    reference_loss: Option<f32>,
    train_loss: Option<f32>,
    validation_loss: Option<f32>,
    #[serde(default)]
    test_loss: Option<f32>,
    train_accuracy: Option<f32>,
    validation_accuracy: Option<f32>,
    #[serde(default)]
    test_accuracy: Option<f32>,
    diverged_at: Option<u64>,
    seconds: Option<f64>,
    #[serde(default)]
    optimizer_seconds: Option<f64>,
    failure: Option<String>,
}

/// A row of `curves.csv`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurveRow {
    task: String,
    contender: String,
    #[serde(default)]
    setting: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    seed: u64,
    step: u64,
    train_loss: f32,
    #[serde(default)]
    validation_loss: Option<f32>,
}

impl From<&Trial> for TrialRow {
    fn from(trial: &Trial) -> Self {
        let measured = trial.outcome.as_ref().ok();
        Self {
            task: trial.task.clone(),
            contender: trial.contender.clone(),
            setting: trial.setting.clone(),
            settings_tried: trial.settings_tried,
            rate: trial.rate,
            role: trial.role,
            seed: trial.seed,
            steps: trial.steps,
            parameters: measured.map(|m| m.parameters),
            state_bytes: measured.map(|m| m.state_bytes),
            reference_loss: measured.map(|m| m.reference_loss),
            train_loss: measured.map(|m| m.train_loss),
            validation_loss: measured.map(|m| m.validation_loss),
            test_loss: measured.and_then(|m| m.test_loss),
            train_accuracy: measured.and_then(|m| m.train_accuracy),
            validation_accuracy: measured.and_then(|m| m.validation_accuracy),
            test_accuracy: measured.and_then(|m| m.test_accuracy),
            diverged_at: measured.and_then(|m| m.diverged_at),
            seconds: measured.map(|m| m.seconds),
            optimizer_seconds: measured.and_then(|m| m.optimizer_seconds),
            failure: trial.outcome.as_ref().err().cloned(),
        }
    }
}

impl TrialRow {
    /// The trial, still without its curve; or what the row lacks.
    fn into_trial(self) -> Result<Trial, String> {
        let measurement = || -> Result<Measurement, &'static str> {
            Ok(Measurement {
                parameters: self.parameters.ok_or("parameters")?,
                state_bytes: self.state_bytes.ok_or("state_bytes")?,
                reference_loss: self.reference_loss.ok_or("reference_loss")?,
                train_loss: self.train_loss.ok_or("train_loss")?,
                validation_loss: self.validation_loss.ok_or("validation_loss")?,
                test_loss: self.test_loss,
                train_accuracy: self.train_accuracy,
                validation_accuracy: self.validation_accuracy,
                test_accuracy: self.test_accuracy,
                diverged_at: self.diverged_at,
                seconds: self.seconds.ok_or("seconds")?,
                optimizer_seconds: self.optimizer_seconds,
                curve: Vec::new(),
            })
        };
        let outcome = match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(measurement().map_err(|column| format!("{column} is empty in a trial that did not fail"))?),
        };
        Ok(Trial {
            task: self.task,
            contender: self.contender,
            setting: self.setting,
            settings_tried: self.settings_tried,
            rate: self.rate,
            role: self.role,
            seed: self.seed,
            steps: self.steps,
            outcome,
        })
    }
}

/// Writes `trials.csv` and, for all but the tuning trials, `curves.csv` into `folder`.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write_tables(folder: impl AsRef<Path>, trials: &[Trial]) -> Result<(), Error> {
    let folder = folder.as_ref();
    atomic_file::write(folder.join("trials.csv"), to_csv(trials.iter().map(TrialRow::from)))?;
    let shown = trials.iter().filter(|trial| trial.role != Role::Tuning);
    let points = shown.filter_map(|trial| Some((trial, trial.outcome.as_ref().ok()?)));
    let rows = points.flat_map(|(trial, measured)| {
        measured.curve.iter().map(|point| CurveRow {
            task: trial.task.clone(),
            contender: trial.contender.clone(),
            setting: Some(trial.setting.clone()),
            role: Some(trial.role),
            seed: trial.seed,
            step: point.step,
            train_loss: point.loss,
            validation_loss: point.validation_loss,
        })
    });
    atomic_file::write(folder.join("curves.csv"), to_csv(rows))
}

/// Reads what [`write_tables`] wrote. Curves come back for all but the tuning trials.
///
/// # Errors
/// [`Error::Io`] or [`Error::Malformed`] naming file, line and column.
pub fn read_tables(folder: impl AsRef<Path>) -> Result<Vec<Trial>, Error> {
    let folder = folder.as_ref();
    let path = folder.join("trials.csv");
    let mut trials = Vec::new();
    for (line, row) in from_csv::<TrialRow>(&path)? {
        let malformed = |problem| Error::Malformed { path: path.clone(), problem: format!("line {line}: {problem}") };
        trials.push(row.into_trial().map_err(malformed)?);
    }
    let mut owner = 0;
    for (_, row) in from_csv::<CurveRow>(&folder.join("curves.csv"))? {
        let owns = |trial: &Trial| {
            trial.role == row.role.unwrap_or(Role::Report)
                && (trial.seed, &trial.task, &trial.contender) == (row.seed, &row.task, &row.contender)
                && row.setting.as_ref().is_none_or(|setting| *setting == trial.setting)
        };
        // The points of a trial stand together.
        if !trials.get(owner).is_some_and(owns) {
            let Some(found) = trials.iter().position(owns) else { continue };
            owner = found;
        }
        if let Ok(measured) = &mut trials[owner].outcome {
            let CurveRow { step, train_loss: loss, validation_loss, .. } = row;
            measured.curve.push(CurvePoint { step, loss, validation_loss });
        }
    }
    Ok(trials)
}

fn to_csv<R: Serialize>(rows: impl Iterator<Item = R>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).expect("rows are flat and go to memory");
    }
    writer.into_inner().expect("writing to memory does not fail")
}

/// Every row with its line.
fn from_csv<R: for<'de> Deserialize<'de>>(path: &Path) -> Result<Vec<(u64, R)>, Error> {
    let malformed = |error: &csv::Error| {
        let line = error.position().map_or(String::new(), |position| format!("line {}: ", position.line()));
        let problem = match error.kind() {
            csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
            _ => error.to_string(),
        };
        Error::Malformed { path: path.to_owned(), problem: format!("{line}{problem}") }
    };
    let file = std::fs::File::open(path).map_err(|source| Error::io(path, source))?;
    let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
    let headers = reader.headers().map_err(|error| malformed(&error))?.clone();
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| malformed(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        Ok((line, record.deserialize(Some(&headers)).map_err(|error| malformed(&error))?))
    });
    rows.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A reported trial that ended with these losses.
    pub(crate) fn trial(task: &str, contender: &str, seed: u64, train_loss: f32, validation_loss: f32) -> Trial {
        Trial {
            task: task.to_owned(),
            contender: contender.to_owned(),
            setting: "as is".to_owned(),
            settings_tried: 1,
            rate: Some(0.5),
            role: Role::Report,
            seed,
            steps: 20,
            outcome: Ok(Measurement {
                parameters: 10,
                state_bytes: 80,
                reference_loss: 1.0,
                train_loss,
                validation_loss,
                test_loss: Some(validation_loss),
                train_accuracy: None,
                validation_accuracy: Some(0.5),
                test_accuracy: Some(0.25),
                diverged_at: None,
                seconds: 0.25,
                optimizer_seconds: Some(1e-6),
                curve: vec![
                    CurvePoint { step: 10, loss: 1.0, validation_loss: None },
                    CurvePoint { step: 20, loss: train_loss, validation_loss: Some(validation_loss) },
                ],
            }),
        }
    }

    #[test]
    fn tables_are_read_back_without_loss() {
        let folder = tempfile::tempdir().unwrap();
        let mut failed = trial("wine, red", "learned \"x\"", 2, 0.0, 0.0);
        failed.outcome = Err("panicked: index 3\nout of range".to_owned());
        let mut envelope = trial("digits", "adam", 1, 0.3, 0.4);
        envelope.role = Role::Envelope;
        let reported = trial("digits", "adam", 2, 1e-7, 0.2);
        let trials = vec![trial("digits", "adam", 1, 0.1, 1.0 / 3.0), failed, reported, envelope];
        write_tables(folder.path(), &trials).unwrap();
        assert_eq!(read_tables(folder.path()).unwrap(), trials);
    }

    #[test]
    fn a_damaged_table_is_refused_with_file_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        write_tables(folder.path(), &[trial("digits", "adam", 1, 0.25, 0.5)]).unwrap();
        let path = folder.path().join("trials.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("0.25,0.5", "many,0.5")).unwrap();
        let message = read_tables(folder.path()).unwrap_err().to_string();
        assert!(message.contains("trials.csv: line 2: ") && message.contains("field 11"), "{message}");
    }
}
