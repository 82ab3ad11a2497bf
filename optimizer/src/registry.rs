//! From a name in a configuration file to an optimizer.
//!
//! [`OptimizerConfig`] is one enum over every optimizer of this crate with its hyper-parameters, made for
//! serde. In RON with the extension `unwrap_variant_newtypes` an entry reads `AdamW(learning_rate: 0.003)`;
//! fields that are left out have their defaults, fields that do not exist are errors. Variants may also be
//! spelled like [`name`](OptimizerConfig::name), in snake case.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::groups::GroupedConfig;
use crate::hand_designed::{checks, *};
use crate::rule::{RuleOptimizer, UpdateRule};
use crate::wrappers::{AccumulatedConfig, AveragedConfig, ClippedConfig, L2RegularisedConfig, LookaheadConfig};
use crate::{AccumulatorStorage, Error, LearnedOptimizer, LearnedWeights, Optimizer, ParamLayout};

/// Declares the enum and the matches over it from one table, so that a new rule is one line here.
macro_rules! registry {
    (
        rules { $($(#[$doc:meta])* $variant:ident($config:ty) = $rule:ty, $name:literal;)* }
        wrappers { $($(#[$wrapper_doc:meta])* $wrapper:ident($wrapper_config:ty), $wrapper_name:literal;)* }
    ) => {
        /// Any optimizer of this crate, with its hyper-parameters.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum OptimizerConfig {
            $($(#[$doc])* #[serde(alias = $name)] $variant($config),)*
            /// A frozen learned optimizer.
            #[serde(alias = "learned")]
            Learned(LearnedConfig),
            /// The learned optimizer that comes with the crate.
            #[serde(alias = "pretrained")]
            Pretrained(PretrainedConfig),
            $($(#[$wrapper_doc])* #[serde(alias = $wrapper_name)] $wrapper($wrapper_config),)*
        }

        impl OptimizerConfig {
            /// The names of all hand-designed rules, which have defaults, in the order of the documentation.
            pub const NAMES: &[&str] = &[$($name),*];

            /// An optimizer for parameters of that layout.
            ///
            /// # Errors
            /// [`Error::InvalidHyperParameter`] naming the field; for a learned optimizer also what
            /// [`LearnedWeights::load`] returns.
            pub fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
                match self {
                    $(Self::$variant(config) => boxed::<$rule>(layout, config),)*
                    Self::Learned(config) => config.build(layout),
                    Self::Pretrained(config) => config.build(layout),
                    $(Self::$wrapper(config) => config.build(layout),)*
                }
            }

            /// The name of the rule; for a learned optimizer, whose architecture is in its file, `learned` or
            /// `pretrained`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                    Self::Learned(_) => LEARNED,
                    Self::Pretrained(_) => PRETRAINED,
                    $(Self::$wrapper(_) => $wrapper_name,)*
                }
            }

            /// The learning rate, before schedule and step multiplier; the multiplier of a learned optimizer; that
            /// of the inner optimizer of a wrapper.
            pub fn learning_rate(&self) -> f32 {
                match self {
                    $(Self::$variant(config) => config.learning_rate,)*
                    Self::Learned(config) => config.step_multiplier,
                    Self::Pretrained(config) => config.step_multiplier,
                    $(Self::$wrapper(config) => config.inner.learning_rate(),)*
                }
            }

            /// The same optimizer with another [learning rate](Self::learning_rate). Groups that name an optimizer
            /// keep its own.
            #[must_use]
            pub fn with_learning_rate(mut self, learning_rate: f32) -> Self {
                self.set_learning_rate(learning_rate);
                self
            }

            fn set_learning_rate(&mut self, learning_rate: f32) {
                match self {
                    $(Self::$variant(config) => config.learning_rate = learning_rate,)*
                    Self::Learned(config) => config.step_multiplier = learning_rate,
                    Self::Pretrained(config) => config.step_multiplier = learning_rate,
                    $(Self::$wrapper(config) => config.inner.set_learning_rate(learning_rate),)*
                }
            }

            /// The names of everything that needs an inner optimizer.
            const WRAPPERS: &[&str] = &[$($wrapper_name),*];

            fn with_defaults(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant(<$config>::default())),)*
                    _ => None,
                }
            }
        }
    };
}

registry! {
    rules {
        /// Gradient descent with optional momentum.
        Sgd(SgdConfig) = SgdRule, "sgd";
        /// Adam.
        Adam(AdamConfig) = AdamRule, "adam";
        /// Adam with decoupled weight decay.
        AdamW(AdamWConfig) = AdamWRule, "adamw";
        /// Adam with a running maximum of the mean square.
        AmsGrad(AmsGradConfig) = AmsGradRule, "amsgrad";
        /// Adam with a decaying maximum of gradient magnitudes.
        Adamax(AdamaxConfig) = AdamaxRule, "adamax";
        /// Adam with Nesterov momentum.
        NAdam(NAdamConfig) = NAdamRule, "nadam";
        /// NAdam with decoupled weight decay.
        NAdamW(NAdamWConfig) = NAdamWRule, "nadamw";
        /// NAdamW of the list of optimizers.
        OptListNAdamW(OptListNAdamWConfig) = OptListNAdamWRule, "opt_list_nadamw";
        /// Rectified Adam.
        RAdam(RAdamConfig) = RAdamRule, "radam";
        /// Adam with the mean squared surprise in place of the mean square.
        AdaBelief(AdaBeliefConfig) = AdaBeliefRule, "adabelief";
        /// Adam with additive control of the mean square.
        Yogi(YogiConfig) = YogiRule, "yogi";
        /// Adaptive Nesterov momentum.
        Adan(AdanConfig) = AdanRule, "adan";
        /// Adam with a fast and a slow momentum.
        AdEmaMix(AdEmaMixConfig) = AdEmaMixRule, "ademamix";
        /// Adam whose mean square is one step behind.
        Adopt(AdoptConfig) = AdoptRule, "adopt";
        /// Gradient descent scaled by the root of the sum of squares.
        AdaGrad(AdaGradConfig) = AdaGradRule, "adagrad";
        /// Gradient descent with the ratio of two running root mean squares as its rate.
        AdaDelta(AdaDeltaConfig) = AdaDeltaRule, "adadelta";
        /// The sign of a momentum.
        Lion(LionConfig) = LionRule, "lion";
        /// RMSProp, optionally centred and with momentum.
        RmsProp(RmsPropConfig) = RmsPropRule, "rmsprop";
        /// Adam with factored second moments and relative steps.
        Adafactor(AdafactorConfig) = AdafactorRule, "adafactor";
        /// Adam with a trust ratio per tensor.
        Lamb(LambConfig) = LambRule, "lamb";
        /// Momentum with a trust ratio per tensor.
        Lars(LarsConfig) = LarsRule, "lars";
        /// Momentum of gradients normalised tensor by tensor.
        NovoGrad(NovoGradConfig) = NovoGradRule, "novograd";
        /// AdaGrad with covers of rows and columns.
        Sm3(Sm3Config) = Sm3Rule, "sm3";
        /// Orthogonalised momentum for matrices, Adam for the rest.
        Muon(MuonConfig) = MuonRule, "muon";
        /// Axis-wise preconditioning with a grafted step length.
        Shampoo(ShampooConfig) = ShampooRule, "shampoo";
        /// Adam in Shampoo's eigenbasis.
        Soap(SoapConfig) = SoapRule, "soap";
        /// Adam with an estimated step size.
        Prodigy(ProdigyConfig) = ProdigyRule, "prodigy";
        /// AdamW with an estimated step size.
        DAdaptAdamW(DAdaptAdamWConfig) = DAdaptAdamWRule, "dadapt_adamw";
        /// Gradient descent with averaging in place of a schedule.
        ScheduleFreeSgd(ScheduleFreeSgdConfig) = ScheduleFreeSgdRule, "schedule_free_sgd";
        /// AdamW with averaging in place of momentum and schedule.
        ScheduleFreeAdamW(ScheduleFreeAdamWConfig) = ScheduleFreeAdamWRule, "schedule_free_adamw";
        /// Adam whose steps have a root mean square of one.
        NormalisedAdam(NormalisedAdamConfig) = NormalisedAdamRule, "normalised_adam";
    }
    wrappers {
        /// Clipped gradients.
        Clipped(ClippedConfig), "clipped";
        /// The mean of several gradients.
        Accumulated(AccumulatedConfig), "accumulated";
        /// Slow parameters that follow the fast ones.
        Lookahead(LookaheadConfig), "lookahead";
        /// A running average of the parameters, to evaluate with.
        Averaged(AveragedConfig), "averaged";
        /// Weight decay through the gradient.
        L2Regularised(L2RegularisedConfig), "l2_regularised";
        /// Parameter groups.
        Grouped(GroupedConfig), "grouped";
    }
}

/// The name of all learned optimizers in configuration files.
const LEARNED: &str = "learned";

/// The name of the one that comes with the crate.
const PRETRAINED: &str = "pretrained";

/// A frozen learned optimizer from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedConfig {
    /// Safetensors file of the weights.
    pub weights: PathBuf,
    /// Factor on every step; `1.0` is native.
    #[serde(default = "native")]
    pub step_multiplier: f32,
    /// Coefficient of decoupled weight decay; the one in the file if left out.
    #[serde(default)]
    pub weight_decay: Option<f32>,
    /// How momenta and mean squares are stored: `Bf16` halves what a per-parameter network keeps of them.
    #[serde(default)]
    pub accumulators: AccumulatorStorage,
}

fn native() -> f32 {
    1.0
}

impl LearnedConfig {
    /// Weights from a file, as they are.
    pub fn new(weights: impl Into<PathBuf>) -> Self {
        let accumulators = AccumulatorStorage::default();
        Self { weights: weights.into(), step_multiplier: native(), weight_decay: None, accumulators }
    }

    fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        checks::non_negative("step_multiplier", self.step_multiplier)?;
        let weights = LearnedWeights::load(&self.weights)?;
        let mut optimizer = LearnedOptimizer::with_accumulators(layout, weights, self.accumulators)?;
        optimizer.set_step_multiplier(self.step_multiplier);
        if let Some(coefficient) = self.weight_decay {
            checks::non_negative("weight_decay", coefficient)?;
            optimizer.set_weight_decay(coefficient);
        }
        Ok(Box::new(optimizer))
    }
}

/// The learned optimizer that comes with the crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PretrainedConfig {
    /// The weights with orthogonalised steps, [`LearnedWeights::pretrained_orthogonal`].
    pub orthogonal: bool,
    /// Factor on every step; `1.0` is native.
    pub step_multiplier: f32,
    /// Coefficient of decoupled weight decay, on top of what the optimizer chooses itself.
    pub weight_decay: f32,
    /// How momenta and mean squares are stored: `Bf16` halves what is kept of them.
    pub accumulators: AccumulatorStorage,
}

impl Default for PretrainedConfig {
    fn default() -> Self {
        Self { orthogonal: false, step_multiplier: native(), weight_decay: 0.0, accumulators: AccumulatorStorage::F32 }
    }
}

impl PretrainedConfig {
    fn build(&self, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
        checks::non_negative("step_multiplier", self.step_multiplier)?;
        checks::non_negative("weight_decay", self.weight_decay)?;
        let weights = match self.orthogonal {
            true => LearnedWeights::pretrained_orthogonal(),
            false => LearnedWeights::pretrained(),
        };
        let mut optimizer = LearnedOptimizer::with_accumulators(layout, weights, self.accumulators)?;
        optimizer.set_step_multiplier(self.step_multiplier);
        optimizer.set_weight_decay(self.weight_decay);
        Ok(Box::new(optimizer))
    }
}

fn boxed<R>(layout: &ParamLayout, config: &R::Config) -> Result<Box<dyn Optimizer>, Error>
where
    R: UpdateRule + 'static,
    R::Config: Clone,
{
    Ok(Box::new(RuleOptimizer::<R>::new(layout, config.clone())?))
}

impl OptimizerConfig {
    /// The optimizer of that name with default hyper-parameters. Case, `-` and `_` do not matter.
    ///
    /// # Errors
    /// [`Error::UnknownOptimizer`] with the nearest name; [`Error::InvalidHyperParameter`] for `learned`, which has no
    /// default file of weights, and for wrappers, which have no default inner optimizer.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        let wanted = plain(name);
        if wanted == LEARNED {
            let expected = "the path of a file of learned weights";
            return Err(Error::InvalidHyperParameter { field: "weights", found: "missing".to_owned(), expected });
        }
        if wanted == PRETRAINED {
            return Ok(Self::Pretrained(PretrainedConfig::default()));
        }
        if Self::WRAPPERS.iter().any(|wrapper| plain(wrapper) == wanted) {
            let expected = "the optimizer to wrap";
            return Err(Error::InvalidHyperParameter { field: "inner", found: "missing".to_owned(), expected });
        }
        let known = Self::NAMES.iter().find(|known| plain(known) == wanted);
        known.and_then(|known| Self::with_defaults(known)).ok_or_else(|| {
            let all = Self::NAMES.iter().chain(Self::WRAPPERS).chain([&LEARNED]);
            let nearest = all.min_by_key(|known| edit_distance(&plain(known), &wanted));
            Error::UnknownOptimizer { name: name.to_owned(), nearest: nearest.map_or("", |name| name) }
        })
    }
}

/// The letters and digits of a name, lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions and substitutions between two short words (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, a) in from.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, b) in to.chars().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::{Group, Selector};
    use crate::wrappers::Limit;

    fn layout() -> ParamLayout {
        ParamLayout::new([("w", vec![2, 3]), ("b", vec![3])]).unwrap()
    }

    #[test]
    fn every_name_builds_an_optimizer_that_answers_to_it() {
        for name in OptimizerConfig::NAMES {
            let config = OptimizerConfig::from_name(name).unwrap();
            assert_eq!((config.name(), config.build(&layout()).unwrap().name()), (*name, *name));
        }
    }

    #[test]
    fn case_and_separators_of_a_name_do_not_matter() {
        assert_eq!(OptimizerConfig::from_name("AdamW").unwrap().name(), "adamw");
        assert_eq!(OptimizerConfig::from_name("Normalised-Adam").unwrap().name(), "normalised_adam");
    }

    #[test]
    fn a_misspelt_name_is_refused_with_the_nearest_one() {
        let error = OptimizerConfig::from_name("adamm_w").unwrap_err();
        assert_eq!(error.to_string(), "unknown optimizer \"adamm_w\"; did you mean \"adamw\"?");
        let error = OptimizerConfig::from_name("lookhead").unwrap_err();
        assert_eq!(error.to_string(), "unknown optimizer \"lookhead\"; did you mean \"lookahead\"?");
    }

    #[test]
    fn a_learned_optimizer_needs_a_file_that_exists() {
        let error = OptimizerConfig::from_name("learned").unwrap_err();
        assert_eq!(error.to_string(), "weights is missing, expected the path of a file of learned weights");
        let config: OptimizerConfig = serde_json::from_str(r#"{"learned": {"weights": "no/such.file"}}"#).unwrap();
        assert_eq!((config.name(), config.learning_rate()), ("learned", 1.0));
        let error = config.build(&layout()).err().unwrap();
        assert!(error.to_string().starts_with("no/such.file: "), "{error}");
    }

    #[test]
    fn the_pretrained_optimizer_needs_no_file() {
        let config = OptimizerConfig::from_name("pretrained").unwrap();
        assert_eq!((config.name(), config.learning_rate()), ("pretrained", 1.0));
        assert_eq!(config.build(&layout()).unwrap().name(), "paced");
        let error = config.with_learning_rate(-1.0).build(&layout()).err().unwrap();
        assert!(error.to_string().starts_with("step_multiplier is -1"), "{error}");
        let decayed = PretrainedConfig { weight_decay: 0.1, ..PretrainedConfig::default() };
        assert_eq!(from_ron("pretrained(weight_decay: 0.1)"), OptimizerConfig::Pretrained(decayed));
    }

    #[test]
    fn a_wrapper_needs_something_to_wrap() {
        let error = OptimizerConfig::from_name("clipped").unwrap_err();
        assert_eq!(error.to_string(), "inner is missing, expected the optimizer to wrap");
    }

    #[test]
    fn the_learning_rate_of_nested_wrappers_is_that_of_the_innermost() {
        let nested = r#"{"averaged": {"inner": {"accumulated": {"calls": 2, "inner": {"sgd": {}}}}}}"#;
        let config: OptimizerConfig = serde_json::from_str(nested).unwrap();
        assert_eq!((config.name(), config.with_learning_rate(0.25).learning_rate()), ("averaged", 0.25));
    }

    #[test]
    fn a_refused_hyper_parameter_of_a_nested_optimizer_is_named_with_its_path() {
        let refused = |text: &str| from_ron(text).build(&layout()).err().unwrap().to_string();
        let clipped = refused("Clipped(by: Norm(1.0), inner: Averaged(inner: AdamW(beta1: 2.0)))");
        assert_eq!(clipped, "inner.inner.beta1 is 2, expected a decay in [0, 1)");
        let grouped = refused("Grouped(groups: [(tensors: Matrices, optimizer: Sgd(momentum: 1.0))], inner: Adam())");
        assert_eq!(grouped, "groups[0].optimizer.momentum is 1, expected a decay in [0, 1)");
        let rate = refused("Grouped(groups: [(tensors: Matrices, rate: -1.0)], inner: Adam())");
        assert_eq!(rate, "groups[0].rate is -1, expected a finite number of at least 0");
    }

    #[test]
    fn edit_distance_counts_single_letter_changes() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }

    #[test]
    fn learning_rates_below_zero_are_refused_by_every_rule() {
        for name in OptimizerConfig::NAMES {
            let config = OptimizerConfig::from_name(name).unwrap().with_learning_rate(-1.0);
            assert_eq!(config.learning_rate(), -1.0);
            let error = config.build(&layout()).err().expect(name);
            assert_eq!(error.to_string(), "learning_rate is -1, expected a finite number of at least 0", "{name}");
        }
    }

    #[test]
    fn every_configuration_survives_being_written_and_read() {
        for name in OptimizerConfig::NAMES {
            let config = OptimizerConfig::from_name(name).unwrap().with_learning_rate(0.125);
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<OptimizerConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn a_field_that_does_not_exist_is_refused() {
        let error = serde_json::from_str::<OptimizerConfig>(r#"{"AdamW": {"learnin_rate": 0.1}}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `learnin_rate`"), "{error}");
    }

    /// RON as configuration files are read.
    fn from_ron(text: &str) -> OptimizerConfig {
        use ron::extensions::Extensions;
        let extensions = Extensions::UNWRAP_VARIANT_NEWTYPES | Extensions::IMPLICIT_SOME;
        ron::Options::default().with_default_extension(extensions).from_str(text).unwrap()
    }

    #[test]
    fn ron_reads_a_variant_with_its_fields_and_defaults() {
        let adamw = OptimizerConfig::AdamW(AdamWConfig { learning_rate: 0.003, ..Default::default() });
        assert_eq!(from_ron("AdamW(learning_rate: 0.003)"), adamw);
        let normalised = OptimizerConfig::NormalisedAdam(NormalisedAdamConfig::default());
        assert_eq!(from_ron("normalised_adam()"), normalised);
    }

    #[test]
    fn ron_reads_wrappers_and_groups_around_an_optimizer() {
        let adamw = Box::new(OptimizerConfig::AdamW(AdamWConfig { learning_rate: 0.003, ..Default::default() }));
        let clipped = OptimizerConfig::Clipped(ClippedConfig { by: Limit::Norm(1.0), inner: adamw.clone() });
        assert_eq!(from_ron("Clipped(by: Norm(1.0), inner: AdamW(learning_rate: 0.003))"), clipped);

        let text = r#"Grouped(
            groups: [
                (tensors: Named("^backbone/"), frozen: true),
                (tensors: Embeddings, rate: 0.1, weight_decay: 0.0),
                (tensors: Matrices, optimizer: Muon(learning_rate: 0.02)),
            ],
            inner: AdamW(learning_rate: 0.003),
        )"#;
        let muon = OptimizerConfig::Muon(MuonConfig { learning_rate: 0.02, ..Default::default() });
        let groups = vec![
            Group { frozen: true, ..Group::new(Selector::Named("^backbone/".into())) },
            Group { rate: 0.1, weight_decay: Some(0.0), ..Group::new(Selector::Embeddings) },
            Group { optimizer: Some(muon), ..Group::new(Selector::Matrices) },
        ];
        assert_eq!(from_ron(text), OptimizerConfig::Grouped(GroupedConfig { groups, inner: adamw }));
    }
}
