//! What is compared: optimizers, each with the settings that it may be tuned over.

use std::fmt::Debug;
use std::sync::Arc;

use velo_optimizer::{Optimizer, OptimizerConfig, ParamLayout, Schedule};

use crate::trial::Metric;
use crate::{Error, fingerprint};

/// Where an optimizer comes from: a configuration of this workspace, or code of a user's own.
pub trait OptimizerSource: Debug + Send + Sync {
    /// A new optimizer for parameters of that layout.
    ///
    /// # Errors
    /// Whatever makes the optimizer impossible.
    fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error>;

    /// A text that two sources share only if they build the same optimizer, the contents of files of weights included.
    /// It is part of the key under which finished trials are kept.
    ///
    /// # Errors
    /// When a file of weights cannot be read.
    fn fingerprint(&self) -> Result<String, Error>;

    /// The learning rate, or what stands for it.
    fn learning_rate(&self) -> Option<f32>;
}

impl OptimizerSource for OptimizerConfig {
    fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        Ok(Self::build(self, layout)?)
    }

    fn fingerprint(&self) -> Result<String, Error> {
        fingerprint::of_optimizer(self)
    }

    fn learning_rate(&self) -> Option<f32> {
        Some(Self::learning_rate(self))
    }
}

/// One way to run an optimizer: the rule, its schedule, and what overrides the rule's own choices.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Short name, unique within its contender, such as `rate 0.003`.
    pub label: String,
    /// The rule with its hyper-parameters.
    pub optimizer: Arc<dyn OptimizerSource>,
    /// Schedule over the declared horizon.
    pub schedule: Schedule,
    /// Replaces the rule's coefficient of decoupled weight decay.
    pub weight_decay: Option<f32>,
    /// Replaces the native step multiplier, `1`.
    pub step_multiplier: Option<f32>,
    /// What the optimizer is told about the number of steps.
    pub horizon: Declared,
}

/// What an optimizer is told about the number of steps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Declared {
    /// The truth.
    #[default]
    True,
    /// This multiple of the truth.
    Scaled(f64),
    /// Nothing.
    Hidden,
}

impl Declared {
    /// What is declared of `steps` steps.
    pub fn horizon(self, steps: u64) -> Option<u64> {
        match self {
            Self::True => Some(steps),
            Self::Scaled(factor) => Some(((steps as f64 * factor).round() as u64).max(1)),
            Self::Hidden => None,
        }
    }
}

impl Setting {
    /// An optimizer with its own weight decay and step multiplier.
    pub fn new(label: impl Into<String>, optimizer: OptimizerConfig, schedule: Schedule) -> Self {
        Self::from_source(label, Arc::new(optimizer), schedule)
    }

    /// The same for an optimizer of any source.
    pub fn from_source(label: impl Into<String>, optimizer: Arc<dyn OptimizerSource>, schedule: Schedule) -> Self {
        let (weight_decay, step_multiplier, horizon) = (None, None, Declared::True);
        Self { label: label.into(), optimizer, schedule, weight_decay, step_multiplier, horizon }
    }

    /// The optimizer for parameters of that layout and a run of `steps` steps.
    ///
    /// # Errors
    /// [`Error::Optimizer`] for a hyper-parameter outside its domain or weights that cannot be read.
    pub fn build(&self, layout: &ParamLayout, steps: u64) -> Result<Box<dyn Optimizer>, Error> {
        self.schedule.check()?;
        let mut optimizer = self.optimizer.build(layout)?;
        optimizer.set_schedule(self.schedule);
        optimizer.set_horizon(self.horizon.horizon(steps));
        if let Some(coefficient) = self.weight_decay {
            optimizer.set_weight_decay(coefficient);
        }
        if let Some(multiplier) = self.step_multiplier {
            optimizer.set_step_multiplier(multiplier);
        }
        Ok(optimizer)
    }

    /// A text that two settings share only if they train alike.
    ///
    /// # Errors
    /// When a file of weights cannot be read.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let Self { label: _, optimizer, schedule, weight_decay, step_multiplier, horizon } = self;
        let optimizer = optimizer.fingerprint()?;
        Ok(format!("{optimizer}\n{schedule:?} {weight_decay:?} {step_multiplier:?} {horizon:?}"))
    }

    /// The learning rate times the step multiplier, where there is a rate.
    pub fn rate(&self) -> Option<f32> {
        Some(self.optimizer.learning_rate()? * self.step_multiplier.unwrap_or(1.0))
    }

    /// Whether both are one and the same setting, under whatever labels.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.optimizer, &other.optimizer)
            && self.schedule == other.schedule
            && self.horizon == other.horizon
            && (self.weight_decay, self.step_multiplier) == (other.weight_decay, other.step_multiplier)
    }
}

/// An optimizer as it stands in a table. With several settings it is tuned: per task, the best one on the tuning
/// seeds is what the report shows, on other seeds; the number of settings stands beside every score.
#[derive(Debug, Clone)]
pub struct Contender {
    /// Name in tables and figures.
    pub label: String,
    /// At least one.
    pub settings: Vec<Setting>,
    /// The loss by which its setting is chosen; that of the comparison if there is none.
    pub select_by: Option<Metric>,
}

impl Contender {
    /// A contender that is run as it is, without any tuning.
    pub fn fixed(label: impl Into<String>, optimizer: OptimizerConfig, schedule: Schedule) -> Self {
        Self { label: label.into(), settings: vec![Setting::new("as is", optimizer, schedule)], select_by: None }
    }

    /// A contender tuned over learning rates.
    pub fn over_rates(
        label: impl Into<String>,
        optimizer: &OptimizerConfig,
        schedule: Schedule,
        learning_rates: &[f32],
    ) -> Self {
        let at_rate =
            |&rate: &f32| Setting::new(format!("rate {rate}"), optimizer.clone().with_learning_rate(rate), schedule);
        Self { label: label.into(), settings: learning_rates.iter().map(at_rate).collect(), select_by: None }
    }

    /// Whether both choose among the same settings, the very same, as [`selected_by`](Self::selected_by) makes them.
    pub(crate) fn shares_settings_with(&self, other: &Self) -> bool {
        self.settings.len() == other.settings.len() && self.settings.iter().zip(&other.settings).all(|(a, b)| a.is(b))
    }

    /// The same settings chosen by another loss, under another name: the tuning trials are run once for both.
    #[must_use]
    pub fn selected_by(&self, metric: Metric, label: impl Into<String>) -> Self {
        Self { label: label.into(), select_by: Some(metric), ..self.clone() }
    }

    /// Every setting of this contender combined with each of the weight decays; none leaves it as it is.
    #[must_use]
    pub fn times_weight_decays(self, weight_decays: &[f32]) -> Self {
        self.times(weight_decays, "decay", |setting, value| setting.weight_decay = Some(value))
    }

    /// Every setting of this contender combined with each of the step multipliers; none leaves it as it is.
    #[must_use]
    pub fn times_step_multipliers(self, step_multipliers: &[f32]) -> Self {
        self.times(step_multipliers, "multiplier", |setting, value| setting.step_multiplier = Some(value))
    }

    /// The same settings, told that about the number of steps.
    #[must_use]
    pub fn declaring(mut self, horizon: Declared) -> Self {
        self.settings.iter_mut().for_each(|setting| setting.horizon = horizon);
        self
    }

    fn times(mut self, values: &[f32], word: &str, set: impl Fn(&mut Setting, f32)) -> Self {
        if values.is_empty() {
            return self;
        }
        let single = self.settings.len() == 1;
        let combined = |setting: &Setting| {
            let set = &set;
            let setting = setting.clone();
            values.iter().map(move |&value| {
                let mut setting = setting.clone();
                let label = format!("{word} {value}");
                setting.label = if single { label } else { format!("{}, {label}", setting.label) };
                set(&mut setting, value);
                setting
            })
        };
        self.settings = self.settings.iter().flat_map(combined).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_one_labelled_setting_per_combination() {
        let adamw = OptimizerConfig::from_name("adamw").unwrap();
        let contender =
            Contender::over_rates("tuned", &adamw, Schedule::Constant, &[1e-3, 1e-2]).times_weight_decays(&[0.0, 0.1]);
        let labels: Vec<&str> = contender.settings.iter().map(|setting| setting.label.as_str()).collect();
        let expected = ["rate 0.001, decay 0", "rate 0.001, decay 0.1", "rate 0.01, decay 0", "rate 0.01, decay 0.1"];
        assert_eq!(labels, expected);
        assert_eq!(contender.settings[2].rate(), Some(1e-2));
        assert_eq!(contender.settings[1].weight_decay, Some(0.1));
    }

    #[test]
    fn a_setting_hands_its_overrides_to_the_optimizer() {
        let layout = ParamLayout::new([("w", vec![3])]).unwrap();
        let adamw = OptimizerConfig::from_name("adamw").unwrap();
        let schedule = Schedule::Cosine { warmup: 0.1, floor: 0.0 };
        let contender = Contender::fixed("one", adamw, schedule).times_step_multipliers(&[0.5]);
        let optimizer = contender.settings[0].build(&layout, 70).unwrap();
        assert_eq!((optimizer.step_multiplier(), optimizer.horizon(), optimizer.schedule()), (0.5, Some(70), schedule));
        assert_eq!(contender.settings[0].label, "multiplier 0.5");
    }

    #[test]
    fn an_optimizer_can_be_told_the_wrong_horizon_or_none() {
        let layout = ParamLayout::new([("w", vec![3])]).unwrap();
        let setting = Setting::new("as is", OptimizerConfig::from_name("adamw").unwrap(), Schedule::Constant);
        let told = |horizon| Setting { horizon, ..setting.clone() }.build(&layout, 70).unwrap().horizon();
        assert_eq!([Declared::True, Declared::Scaled(0.5), Declared::Hidden].map(told), [Some(70), Some(35), None]);
        assert_ne!(
            Setting { horizon: Declared::Hidden, ..setting.clone() }.fingerprint().unwrap(),
            setting.fingerprint().unwrap()
        );
    }
}
