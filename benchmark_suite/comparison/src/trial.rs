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
}

/// The loss by which settings are chosen and contenders are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// Final mean loss over all training rows.
    TrainLoss,
    /// Final mean loss over all held-out rows.
    ValidationLoss,
}

impl Metric {
    /// As tables say it.
    pub fn label(self) -> &'static str {
        match self {
            Self::TrainLoss => "training loss",
            Self::ValidationLoss => "validation loss",
        }
    }
}

/// One recorded point of a learning curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Steps done.
    pub step: u64,
    /// Mean of the training batch losses since the point before.
    pub loss: f32,
}

/// What a finished trial measured. A diverged one has the task's bounded worst losses.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Parameters of the task.
    pub parameters: usize,
    /// Bytes of state that the optimizer keeps.
    pub state_bytes: usize,
    /// Loss of a model that knows only the mean of its targets.
    pub reference_loss: f32,
    /// Final loss over all training rows.
    pub train_loss: f32,
    /// Final loss over all held-out rows.
    pub validation_loss: f32,
    /// Share of training rows classified correctly.
    pub train_accuracy: Option<f32>,
    /// Share of held-out rows classified correctly.
    pub validation_accuracy: Option<f32>,
    /// The step at which the run diverged.
    pub diverged_at: Option<u64>,
    /// Wall-clock time with the final evaluation.
    pub seconds: f64,
    /// The learning curve.
    pub curve: Vec<CurvePoint>,
}

impl Measurement {
    /// The loss that `metric` means.
    pub fn loss(&self, metric: Metric) -> f64 {
        f64::from(match metric {
            Metric::TrainLoss => self.train_loss,
            Metric::ValidationLoss => self.validation_loss,
        })
    }
}

/// A training run: who, on what, with which seed, and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Name of the task.
    pub task: String,
    /// Label of the contender.
    pub contender: String,
    /// Label of the setting.
    pub setting: String,
    /// How many settings the contender may choose from.
    pub settings_tried: usize,
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
    role: Role,
    seed: u64,
    steps: u64,
    parameters: Option<usize>,
    state_bytes: Option<usize>,
    reference_loss: Option<f32>,
    train_loss: Option<f32>,
    validation_loss: Option<f32>,
    train_accuracy: Option<f32>,
    validation_accuracy: Option<f32>,
    diverged_at: Option<u64>,
    seconds: Option<f64>,
    failure: Option<String>,
}

/// A row of `curves.csv`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurveRow {
    task: String,
    contender: String,
    seed: u64,
    step: u64,
    train_loss: f32,
}

impl From<&Trial> for TrialRow {
    fn from(trial: &Trial) -> Self {
        let measured = trial.outcome.as_ref().ok();
        Self {
            task: trial.task.clone(),
            contender: trial.contender.clone(),
            setting: trial.setting.clone(),
            settings_tried: trial.settings_tried,
            role: trial.role,
            seed: trial.seed,
            steps: trial.steps,
            parameters: measured.map(|m| m.parameters),
            state_bytes: measured.map(|m| m.state_bytes),
            reference_loss: measured.map(|m| m.reference_loss),
            train_loss: measured.map(|m| m.train_loss),
            validation_loss: measured.map(|m| m.validation_loss),
            train_accuracy: measured.and_then(|m| m.train_accuracy),
            validation_accuracy: measured.and_then(|m| m.validation_accuracy),
            diverged_at: measured.and_then(|m| m.diverged_at),
            seconds: measured.map(|m| m.seconds),
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
                train_accuracy: self.train_accuracy,
                validation_accuracy: self.validation_accuracy,
                diverged_at: self.diverged_at,
                seconds: self.seconds.ok_or("seconds")?,
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
            role: self.role,
            seed: self.seed,
            steps: self.steps,
            outcome,
        })
    }
}

/// Writes `trials.csv` and `curves.csv` into `folder`.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write_tables(folder: impl AsRef<Path>, trials: &[Trial]) -> Result<(), Error> {
    let folder = folder.as_ref();
    atomic_file::write(folder.join("trials.csv"), to_csv(trials.iter().map(TrialRow::from)))?;
    let reported = trials.iter().filter(|trial| trial.role == Role::Report);
    let points = reported.filter_map(|trial| Some((trial, trial.outcome.as_ref().ok()?)));
    let rows = points.flat_map(|(trial, measured)| {
        measured.curve.iter().map(|point| CurveRow {
            task: trial.task.clone(),
            contender: trial.contender.clone(),
            seed: trial.seed,
            step: point.step,
            train_loss: point.loss,
        })
    });
    atomic_file::write(folder.join("curves.csv"), to_csv(rows))
}

/// Reads what [`write_tables`] wrote. Curves come back for reported trials only.
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
    for (_, row) in from_csv::<CurveRow>(&folder.join("curves.csv"))? {
        let owner = trials.iter_mut().find(|trial| {
            trial.role == Role::Report
                && (trial.seed, &trial.task, &trial.contender) == (row.seed, &row.task, &row.contender)
        });
        if let Some(measured) = owner.and_then(|trial| trial.outcome.as_mut().ok()) {
            measured.curve.push(CurvePoint { step: row.step, loss: row.train_loss });
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
            role: Role::Report,
            seed,
            steps: 20,
            outcome: Ok(Measurement {
                parameters: 10,
                state_bytes: 80,
                reference_loss: 1.0,
                train_loss,
                validation_loss,
                train_accuracy: None,
                validation_accuracy: Some(0.5),
                diverged_at: None,
                seconds: 0.25,
                curve: vec![CurvePoint { step: 10, loss: 1.0 }, CurvePoint { step: 20, loss: train_loss }],
            }),
        }
    }

    #[test]
    fn tables_are_read_back_without_loss() {
        let folder = tempfile::tempdir().unwrap();
        let mut failed = trial("wine, red", "learned \"x\"", 2, 0.0, 0.0);
        failed.outcome = Err("panicked: index 3\nout of range".to_owned());
        let trials = vec![trial("digits", "adam", 1, 0.1, 1.0 / 3.0), failed, trial("digits", "adam", 2, 1e-7, 0.2)];
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
        assert!(message.contains("trials.csv: line 2: ") && message.contains("field 10"), "{message}");
    }
}
