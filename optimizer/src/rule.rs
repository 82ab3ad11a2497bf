//! From a bare update rule to a full [`Optimizer`]: checks, counters, schedule, non-finite policy, state.
//!
//! A rule says only how one checked update is computed and which numbers it keeps ([`UpdateRule`]);
//! [`RuleOptimizer`] adds once what all of them share. A rule's memory is one flat slice of `f32`, all zero
//! before the first update, described by a [`StateLayout`]; saving, loading and cloning need no code in the
//! rule.

use crate::bfloat16::AccumulatorStorage;
use crate::denormals::FlushDenormals;
use crate::finite::all_finite;
use crate::state::{self, Header, StateLayout};
use crate::{Error, NonFinitePolicy, Optimizer, ParamLayout, Schedule, StepOutcome};

/// What a rule may read about the moment of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepContext {
    /// Updates applied before this one.
    pub step: u64,
    /// Calls before this one, whether they were applied or skipped: where a schedule stands.
    pub call: u64,
    /// Training loss at the current parameters; finite if the rule [reads it](UpdateRule::READS_LOSS).
    pub loss: f32,
    /// `step_multiplier · schedule`; the rule multiplies its own learning rate by it.
    pub rate: f32,
    /// Coefficient of decoupled weight decay, to be multiplied by the rule's effective learning rate.
    pub weight_decay: f32,
    /// Steps planned in total, if declared.
    pub horizon: Option<u64>,
}

/// One way of computing an update, on checked input.
pub trait UpdateRule: Send + Sized {
    /// Hyper-parameters (and weights, for a learned rule).
    type Config;

    /// The name used in configuration files and state files.
    const NAME: &'static str;

    /// Whether [`StepContext::loss`] matters.
    const READS_LOSS: bool = false;

    /// Whether this very rule reads the loss, where one type stands for several.
    fn reads_loss(&self) -> bool {
        Self::READS_LOSS
    }

    /// The name of this very rule, where one type stands for several.
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Checks the hyper-parameters, lays out the state, sizes the scratch.
    ///
    /// # Errors
    /// [`Error::InvalidHyperParameter`] naming the field.
    fn build(config: Self::Config, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error>;

    /// The weight decay that the configuration asks for.
    fn configured_weight_decay(&self) -> f32 {
        0.0
    }

    /// One update. The slices have the lengths of the layouts; gradients are finite; nothing may allocate.
    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext);

    /// See [`Optimizer::evaluation_params`].
    fn evaluation_params(&self, params: &[f32], _state: &[f32], _context: &StepContext, out: &mut [f32]) {
        out.copy_from_slice(params);
    }
}

/// An [`Optimizer`] made from an [`UpdateRule`].
#[derive(Debug, Clone)]
pub struct RuleOptimizer<R> {
    rule: R,
    layout: ParamLayout,
    state_layout: StateLayout,
    state: Vec<f32>,
    steps_taken: u64,
    steps_skipped: u64,
    step_multiplier: f32,
    weight_decay: f32,
    horizon: Option<u64>,
    schedule: Schedule,
    policy: NonFinitePolicy,
}

impl<R: UpdateRule> RuleOptimizer<R> {
    /// An optimizer at its first step.
    ///
    /// # Errors
    /// [`Error::InvalidHyperParameter`] naming the field of `config`.
    pub fn new(layout: &ParamLayout, config: R::Config) -> Result<Self, Error> {
        Self::with_accumulators(layout, config, AccumulatorStorage::default())
    }

    /// The same with momenta and mean squares stored in another way. Only rules with a per-parameter network make use of
    /// it; all others keep `f32`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_accumulators(
        layout: &ParamLayout,
        config: R::Config,
        storage: AccumulatorStorage,
    ) -> Result<Self, Error> {
        let mut state_layout = StateLayout::with_accumulators(storage);
        let rule = R::build(config, layout, &mut state_layout)?;
        Ok(Self {
            weight_decay: rule.configured_weight_decay(),
            rule,
            layout: layout.clone(),
            state: vec![0.0; state_layout.len()],
            state_layout,
            steps_taken: 0,
            steps_skipped: 0,
            step_multiplier: 1.0,
            horizon: None,
            schedule: Schedule::Constant,
            policy: NonFinitePolicy::Skip,
        })
    }

    /// The same optimizer with a horizon and a schedule over it.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule, horizon: u64) -> Self {
        (self.schedule, self.horizon) = (schedule, Some(horizon));
        self
    }

    /// The rule itself.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    pub(crate) fn rule_mut(&mut self) -> &mut R {
        &mut self.rule
    }

    /// The numbers kept between steps and their layout.
    pub fn state(&self) -> (&StateLayout, &[f32]) {
        (&self.state_layout, &self.state)
    }

    fn context(&self, loss: f32) -> StepContext {
        // Skipped calls count for the schedule, or a run with some bad batches would end above its floor.
        let call = self.steps_taken + self.steps_skipped;
        StepContext {
            step: self.steps_taken,
            call,
            loss,
            rate: self.step_multiplier * self.schedule.factor(call, self.horizon),
            weight_decay: self.weight_decay,
            horizon: self.horizon,
        }
    }

    fn refuse_non_finite(&mut self, grads: &[f32]) -> Result<StepOutcome, Error> {
        match self.policy {
            NonFinitePolicy::Skip => {
                self.steps_skipped += 1;
                Ok(StepOutcome::Skipped)
            }
            NonFinitePolicy::Error => Err(non_finite(&self.layout, grads, self.steps_taken)),
        }
    }
}

/// The error that names the first tensor whose gradient is not finite, or the loss.
pub(crate) fn non_finite(layout: &ParamLayout, grads: &[f32], step: u64) -> Error {
    let tensor = layout.tensors().iter().find(|tensor| !all_finite(&grads[tensor.range.clone()]));
    let tensor = tensor.map_or_else(|| "(the loss)".to_owned(), |tensor| tensor.name.clone());
    Error::NonFiniteGradient { tensor, step }
}

impl<R: UpdateRule> Optimizer for RuleOptimizer<R> {
    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn step(&mut self, params: &mut [f32], grads: &[f32], loss: f32) -> Result<StepOutcome, Error> {
        self.layout.check_len("params", params.len())?;
        self.layout.check_len("grads", grads.len())?;
        if !all_finite(grads) || (self.rule.reads_loss() && !loss.is_finite()) {
            return self.refuse_non_finite(grads);
        }
        let context = self.context(loss);
        let _flush = FlushDenormals::new();
        self.rule.update(params, grads, &mut self.state, &context);
        self.steps_taken += 1;
        Ok(StepOutcome::Applied)
    }

    fn reads_loss(&self) -> bool {
        self.rule.reads_loss()
    }

    fn steps_taken(&self) -> u64 {
        self.steps_taken
    }

    fn steps_skipped(&self) -> u64 {
        self.steps_skipped
    }

    fn step_multiplier(&self) -> f32 {
        self.step_multiplier
    }

    fn set_step_multiplier(&mut self, multiplier: f32) {
        self.step_multiplier = multiplier;
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn set_weight_decay(&mut self, coefficient: f32) {
        self.weight_decay = coefficient;
    }

    fn horizon(&self) -> Option<u64> {
        self.horizon
    }

    fn set_horizon(&mut self, horizon: Option<u64>) {
        self.horizon = horizon;
    }

    fn schedule(&self) -> Schedule {
        self.schedule
    }

    fn set_schedule(&mut self, schedule: Schedule) {
        self.schedule = schedule;
    }

    fn set_non_finite_policy(&mut self, policy: NonFinitePolicy) {
        self.policy = policy;
    }

    fn evaluation_params(&self, params: &[f32], out: &mut [f32]) -> Result<(), Error> {
        self.layout.check_len("params", params.len())?;
        self.layout.check_len("out", out.len())?;
        self.rule.evaluation_params(params, &self.state, &self.context(0.0), out);
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        size_of_val(self.state.as_slice())
    }

    fn save_state(&self) -> Vec<u8> {
        let header = Header {
            rule: self.rule.name().to_owned(),
            steps_taken: self.steps_taken,
            steps_skipped: self.steps_skipped,
            step_multiplier: self.step_multiplier,
            weight_decay: self.weight_decay,
            horizon: self.horizon,
            schedule: self.schedule,
        };
        state::write(&header, &self.state_layout, &self.state).to_bytes()
    }

    fn load_state(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (header, state) = state::read(&state::open(bytes)?, self.rule.name(), &self.state_layout)?;
        self.state = state;
        self.steps_taken = header.steps_taken;
        self.steps_skipped = header.steps_skipped;
        self.step_multiplier = header.step_multiplier;
        self.weight_decay = header.weight_decay;
        self.horizon = header.horizon;
        self.schedule = header.schedule;
        Ok(())
    }
}
