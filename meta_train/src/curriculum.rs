//! The stages of a run, as configuration files spell them.
//!
//! A stage takes a share of the outer steps; what it does not mention is as in the rest of the configuration. A
//! run without stages is one stage whose outer rate falls from the peak to `outer.floor`.

use serde::{Deserialize, Serialize};
use velo_tasks::family::Component;

use crate::Error;
use crate::config::{Config, InnerConfig};
use crate::estimator::Method;
use crate::families::{Families, MixtureSource};
use crate::noise::Noise;
use crate::objective::{Objective, Transform};
use crate::parts;
use crate::resume::Resume;
use crate::setting::Stage;
use crate::truncation::Truncation;

/// One part of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageConfig {
    /// Share of the outer steps, relative to the other stages.
    pub share: f64,
    /// Factors on the peak outer learning rate at the beginning and the end, with half a cosine between them.
    pub rate: (f32, f32),
    /// In place of `estimator.pairs`.
    pub pairs: Option<u64>,
    /// In place of `learn`.
    pub learn: Option<Vec<String>>,
    /// In place of `families` and `mixture`.
    pub families: Option<Vec<Component>>,
    /// Likewise.
    pub mixture: Option<MixtureSource>,
    /// In place of `truncation`.
    pub truncation: Option<Truncation>,
    /// In place of `inner`.
    pub inner: Option<InnerConfig>,
    /// In place of `objective`.
    pub objective: Option<Objective>,
    /// In place of `resume`.
    pub resume: Option<Resume>,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            share: 1.0,
            rate: (1.0, 1.0),
            pairs: None,
            learn: None,
            families: None,
            mixture: None,
            truncation: None,
            inner: None,
            objective: None,
            resume: None,
        }
    }
}

/// The configured stages, or the one that stands for a run without any.
fn configured(config: &Config) -> Vec<StageConfig> {
    match config.stages.is_empty() {
        true => vec![StageConfig { rate: (1.0, config.outer.floor), ..StageConfig::default() }],
        false => config.stages.clone(),
    }
}

/// The stages in checked form.
///
/// # Errors
/// [`Error::Config`] naming the field, with the number of its stage if there are several.
pub fn stages(config: &Config) -> Result<Vec<Stage>, Error> {
    let configured = configured(config);
    for (number, stage) in configured.iter().enumerate() {
        check(stage).map_err(|error| in_stage(error, number, configured.len()))?;
    }
    let total: f64 = configured.iter().map(|stage| stage.share).sum();
    let boundary = |shares: f64| (config.budget.outer_steps as f64 * shares / total).round() as u64;
    let mut done = 0.0;
    let mut stages = Vec::with_capacity(configured.len());
    for (number, stage) in configured.iter().enumerate() {
        let first = boundary(done);
        done += stage.share;
        if boundary(done) == first {
            let expected = format!("a share that makes at least one of {} outer steps", config.budget.outer_steps);
            return Err(in_stage(Error::config("share", stage.share, expected), number, configured.len()));
        }
        let checked = checked(config, stage, first, boundary(done));
        stages.push(checked.map_err(|error| in_stage(error, number, configured.len()))?);
    }
    Ok(stages)
}

/// The mixture of every stage.
///
/// # Errors
/// Those of [`Families::new`].
pub fn tasks(config: &Config) -> Result<Families, Error> {
    let whole = source(&config.families, config.mixture.as_ref());
    let sources = configured(config).into_iter().map(|stage| match (&stage.families, &stage.mixture) {
        (None, None) => whole.clone(),
        (families, mixture) => source(families.as_deref().unwrap_or_default(), mixture.as_ref()),
    });
    Families::new(&sources.collect::<Vec<_>>(), config.pool.is_some())
}

/// The mixture if there is one, else the families.
fn source(families: &[Component], mixture: Option<&MixtureSource>) -> MixtureSource {
    mixture.cloned().unwrap_or_else(|| MixtureSource::families(families))
}

fn check(stage: &StageConfig) -> Result<(), Error> {
    if !(stage.share > 0.0 && stage.share.is_finite()) {
        return Err(Error::config("share", stage.share, "a finite number above 0"));
    }
    for value in [stage.rate.0, stage.rate.1] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::config("rate", value, "a finite number, 0 or above"));
        }
    }
    one_source(stage.families.as_deref().unwrap_or_default(), stage.mixture.as_ref())
}

/// Rejects families beside a mixture, which has its own.
///
/// # Errors
/// [`Error::Config`].
pub fn one_source(families: &[Component], mixture: Option<&MixtureSource>) -> Result<(), Error> {
    if mixture.is_some() && !families.is_empty() {
        return Err(Error::config("families", "set", "none beside `mixture`, which names its own"));
    }
    Ok(())
}

fn checked(config: &Config, stage: &StageConfig, first: u64, end: u64) -> Result<Stage, Error> {
    let truncation = stage.truncation.unwrap_or(config.truncation);
    let objective = stage.objective.unwrap_or(config.objective);
    let inner = stage.inner.as_ref().unwrap_or(&config.inner);
    truncation.check()?;
    objective.check()?;
    inner.check()?;
    if objective.transform == Transform::Tuned && config.pool.is_none() {
        return Err(Error::config("pool", "None", "a number of tasks where objective.transform is Tuned"));
    }
    let resume = stage.resume.or(config.resume);
    if let Some(resume) = &resume {
        resume.check()?;
        if config.estimator.method != Method::Nres {
            let expected = "Nres where `resume` is set: only one perturbation per run can be taken up again";
            return Err(Error::config("estimator.method", format!("{:?}", config.estimator.method), expected));
        }
    }
    let patterns = stage.learn.as_ref().unwrap_or(&config.learn);
    let learned = parts::learned("learn", &config.architecture, patterns)?;
    let estimator = &config.estimator;
    Ok(Stage {
        first,
        end,
        rate: stage.rate,
        pairs: stage.pairs.unwrap_or(estimator.pairs),
        sigmas: parts::sigmas(&config.architecture, &learned, estimator.sigma, &estimator.part_sigmas)?,
        noise: Noise::new(config.seed, learned).orthogonal(estimator.orthogonal),
        truncation,
        objective,
        step_multiplier: inner.step_multiplier,
        schedules: inner.schedules.clone(),
        weight_decays: inner.weight_decays.clone(),
        hide_horizon: inner.hide_horizon,
        resume,
    })
}

fn in_stage(error: Error, number: usize, stages: usize) -> Error {
    match error {
        Error::Config { field, found, expected } if stages > 1 => {
            Error::Config { field: format!("stages[{number}].{field}"), found, expected }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_stages() -> Config {
        let truncation = Truncation { longest: 5000, ..Truncation::default() };
        let mut config = Config {
            stages: vec![
                StageConfig { share: 1.0, rate: (1.0, 0.5), ..StageConfig::default() },
                StageConfig { share: 2.0, rate: (0.5, 0.1), pairs: Some(3), ..StageConfig::default() },
                StageConfig { truncation: Some(truncation), ..StageConfig::default() },
            ],
            ..Config::default()
        };
        config.budget.outer_steps = 400;
        config
    }

    #[test]
    fn the_outer_step_alone_decides_which_stage_is_on() {
        let setting = three_stages().check().unwrap().setting;
        let on: Vec<usize> = [0, 99, 100, 299, 300, 10_000].map(|step| setting.stage_number(step)).to_vec();
        assert_eq!(on, [0, 0, 1, 1, 2, 2]);
        assert_eq!((setting.stage(150).pairs, setting.stage(350).pairs, setting.particles), (3, 16, 16));
        assert_eq!(setting.stage(350).truncation.longest, 5000);
    }

    #[test]
    fn the_outer_rate_moves_from_the_first_to_the_last_factor_of_its_stage() {
        let setting = three_stages().check().unwrap().setting;
        let rate = |step| setting.stage(step).rate_factor(step);
        assert_eq!((rate(0), rate(100), rate(300)), (1.0, 0.5, 1.0));
        assert!((rate(200) - 0.3).abs() < 1e-6);
        assert!((rate(299) - 0.1).abs() < 1e-3);
    }

    #[test]
    fn a_stage_that_would_be_skipped_is_refused() {
        let mut config = three_stages();
        config.stages[1].share = 1e-3;
        let error = config.check().map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "stages[1].share is 0.001, expected a share that makes at least one of 400 outer steps");
    }

    #[test]
    fn a_bad_field_is_named_with_its_stage() {
        let mut config = three_stages();
        config.stages[1].truncation = Some(Truncation { window: 0, ..Truncation::default() });
        let error = config.check().map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "stages[1].truncation.window is 0, expected at least 1");
    }
}
