//! A contender as a suite spells it, and the named ones that come along.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use velo_comparison::{Contender, Declared, Metric, Setting, nearest, ron_file};
use velo_optimizer::{OptimizerConfig, Schedule};

use super::space::{RandomSearch, times_field};
use crate::extension::{Extensions, Parameters};

/// An optimizer with the settings that it may choose from, per task: all combinations of the lists, or random draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContenderConfig {
    /// Name in tables and figures.
    pub label: String,
    /// The rule and its hyper-parameters, such as `AdamW(beta2: 0.99)` or `Learned(weights: "learned.safetensors")`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<OptimizerConfig>,
    /// In its place, an optimizer that the running program has registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Schedule over the steps of a trial.
    #[serde(default)]
    pub schedule: Schedule,
    /// Learning rates to choose from; empty for the optimizer's own.
    #[serde(default)]
    pub learning_rates: Vec<f32>,
    /// Weight decays to choose from; empty for the optimizer's own.
    #[serde(default)]
    pub weight_decays: Vec<f32>,
    /// Step multipliers to choose from; empty for the native one.
    #[serde(default)]
    pub step_multipliers: Vec<f32>,
    /// Other fields of the optimizer with values to choose from, as a configuration spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grid: Vec<(String, Vec<String>)>,
    /// In place of all lists: settings drawn from ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<RandomSearch>,
    /// The loss by which its settings are chosen, in place of the suite's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_by: Option<Metric>,
    /// Shown in a section of its own, beside a contender of which it is a variation, and not in the summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tells_horizon: Option<TellsHorizon>,
}

/// An optimizer that the running program has registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The name that it is registered under.
    pub name: String,
    /// Hyper-parameters by name; lists of learning rates set `learning_rate`.
    #[serde(default)]
    pub parameters: Parameters,
}

/// What an optimizer is told about the number of steps, for the sensitivity to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum TellsHorizon {
    /// This multiple of the truth.
    Times(f64),
    /// Nothing.
    Nothing,
}

impl ContenderConfig {
    /// A contender without lists.
    pub fn new(label: &str, optimizer: OptimizerConfig) -> Self {
        Self {
            label: label.to_owned(),
            optimizer: Some(optimizer),
            external: None,
            schedule: Schedule::default(),
            learning_rates: Vec::new(),
            weight_decays: Vec::new(),
            step_multipliers: Vec::new(),
            grid: Vec::new(),
            random: None,
            select_by: None,
            tells_horizon: None,
        }
    }

    /// How many settings it may choose from.
    pub fn settings_tried(&self) -> usize {
        let lists = [self.learning_rates.len(), self.weight_decays.len(), self.step_multipliers.len()];
        let grid = self.grid.iter().map(|(_, values)| values.len());
        let combined = lists.into_iter().chain(grid).map(|length| length.max(1)).product();
        self.random.as_ref().map_or(combined, |random| random.trials as usize)
    }

    /// The contender with all its settings.
    ///
    /// # Errors
    /// Names the field that is missing, in the way, or out of its domain.
    pub(super) fn contender(&self, extensions: &Extensions) -> Result<Contender> {
        let mut contender = match (&self.optimizer, &self.external) {
            (Some(optimizer), None) => self.registered(optimizer)?,
            (None, Some(external)) => self.external(external, extensions)?,
            _ => bail!("expected either an `optimizer` or an `external` one"),
        };
        contender = contender.times_weight_decays(&self.weight_decays).times_step_multipliers(&self.step_multipliers);
        contender.select_by = self.select_by;
        if let Some(tells) = self.tells_horizon {
            let told = match tells {
                TellsHorizon::Times(factor) => {
                    ensure!(factor > 0.0 && factor.is_finite(), "tells_horizon: Times({factor}), expected above 0");
                    Declared::Scaled(factor)
                }
                TellsHorizon::Nothing => Declared::Hidden,
            };
            contender = contender.declaring(told);
        }
        Ok(contender)
    }

    fn registered(&self, optimizer: &OptimizerConfig) -> Result<Contender> {
        if let Some(random) = &self.random {
            let lists = self.learning_rates.len() + self.weight_decays.len() + self.step_multipliers.len();
            ensure!(lists + self.grid.len() == 0, "random: expected no lists beside it");
            return random.contender(&self.label, optimizer, self.schedule);
        }
        if self.grid.is_empty() {
            return Ok(match self.learning_rates.is_empty() {
                true => Contender::fixed(&self.label, optimizer.clone(), self.schedule),
                false => Contender::over_rates(&self.label, optimizer, self.schedule, &self.learning_rates),
            });
        }
        let mut optimizers = vec![(String::new(), optimizer.clone())];
        if !self.learning_rates.is_empty() {
            let at = |&rate: &f32| (format!("rate {rate}"), optimizer.clone().with_learning_rate(rate));
            optimizers = self.learning_rates.iter().map(at).collect();
        }
        for (field, values) in &self.grid {
            optimizers = times_field(&optimizers, field, values)?;
        }
        let settings = optimizers.into_iter().map(|(label, optimizer)| Setting::new(label, optimizer, self.schedule));
        Ok(Contender { label: self.label.clone(), settings: settings.collect(), select_by: None })
    }

    fn external(&self, external: &External, extensions: &Extensions) -> Result<Contender> {
        ensure!(self.random.is_none() && self.grid.is_empty(), "external: expected neither `random` nor `grid`");
        let make = |label: String, parameters: &Parameters| -> Result<Setting> {
            let source = extensions.find_optimizer(&external.name, parameters).context("external")?;
            Ok(Setting::from_source(label, source, self.schedule))
        };
        let settings = if self.learning_rates.is_empty() {
            vec![make("as is".to_owned(), &external.parameters)?]
        } else {
            let at = |&rate: &f32| {
                let mut parameters = external.parameters.clone();
                parameters.insert("learning_rate".to_owned(), f64::from(rate));
                make(format!("rate {rate}"), &parameters)
            };
            self.learning_rates.iter().map(at).collect::<Result<_>>()?
        };
        Ok(Contender { label: self.label.clone(), settings, select_by: None })
    }
}

/// The contenders that suites can name: baselines with their tuning spaces.
pub fn named_contenders() -> Vec<ContenderConfig> {
    ron_file::parse("contenders.ron", include_str!("../../contenders.ron"), &[])
        .unwrap_or_else(|error| panic!("a file of this crate: {error}"))
}

/// The one of that label.
pub(super) fn named_contender(label: &str) -> Result<ContenderConfig> {
    let all = named_contenders();
    let known = || all.iter().map(|contender| contender.label.as_str());
    match all.iter().find(|contender| contender.label == label) {
        Some(contender) => Ok(contender.clone()),
        None => {
            let near = nearest(label, known()).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            let listing = known().collect::<Vec<_>>().join(", ");
            Err(anyhow!("there is no contender {label:?}{near} known: {listing}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contenders_that_come_along_can_be_built_and_have_the_spaces_they_state() {
        let count = |label: &str| named_contender(label).unwrap().contender(&Extensions::new()).unwrap().settings.len();
        assert_eq!(count("Adam"), 15);
        assert_eq!(count("AdamW + cosine"), 32);
        assert_eq!(count("NAdamW list of 100"), 100);
        assert_eq!(count("learned"), 1);
        assert_eq!(count("learned, 7 trials"), 7);
        for config in named_contenders() {
            let built = config.contender(&Extensions::new());
            let contender = built.unwrap_or_else(|error| panic!("{}: {error:#}", config.label));
            assert_eq!(contender.settings.len(), config.settings_tried(), "{}", config.label);
        }
    }

    #[test]
    fn an_unknown_label_is_refused_with_the_nearest() {
        let message = named_contender("AdamW + cosin").unwrap_err().to_string();
        assert!(message.contains("did you mean \"AdamW + cosine\"?"), "{message}");
    }

    #[test]
    fn a_contender_needs_exactly_one_optimizer() {
        let adam = OptimizerConfig::from_name("adam").unwrap();
        let mut contender = ContenderConfig::new("x", adam);
        contender.external = Some(External { name: "mine".to_owned(), parameters: Parameters::new() });
        let message = contender.contender(&Extensions::new()).unwrap_err().to_string();
        assert_eq!(message, "expected either an `optimizer` or an `external` one");
        contender.optimizer = None;
        let message = format!("{:#}", contender.contender(&Extensions::new()).unwrap_err());
        assert_eq!(message, "external: this program has registered no optimizer \"mine\"");
    }
}
