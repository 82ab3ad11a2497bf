//! From a change to gradients or parameters to a full [`Optimizer`] around another one.
//!
//! A [`Wrapper`] says what happens in one call and which numbers it keeps; [`Wrapped`] adds once what all of them
//! share: checks, counters, the settings of the inner optimizer, and a state file in which that of the inner
//! optimizer is nested under `inner/`.

use crate::denormals::FlushDenormals;
use crate::registry::OptimizerConfig;
use crate::state::{self, Header, StateLayout};
use crate::{Error, NonFinitePolicy, Optimizer, ParamLayout, Schedule, StepOutcome};

/// The name under which the inner state is nested. No array of a wrapper may begin with it.
const INNER: &str = "inner";

/// One call of [`Optimizer::step`] on its way through a wrapper. The slices have the lengths of the layouts.
#[derive(Debug)]
pub struct Call<'a> {
    /// Parameters of the task.
    pub params: &'a mut [f32],
    /// Their gradients, which need not be finite: the inner optimizer judges what it gets.
    pub grads: &'a [f32],
    /// The training loss.
    pub loss: f32,
    /// The numbers that the wrapper keeps.
    pub state: &'a mut [f32],
    /// Calls skipped before this one.
    pub skipped: u64,
    /// What to do if something is not finite.
    pub policy: NonFinitePolicy,
}

/// What is done around the steps of an inner optimizer.
pub trait Wrapper: Send + Sized {
    /// What there is to choose.
    type Settings;

    /// The name used in configuration files and state files.
    const NAME: &'static str;

    /// Checks the settings, lays out the state (all zero before the first call), sizes the scratch.
    ///
    /// # Errors
    /// [`Error::InvalidHyperParameter`] naming the field.
    fn build(settings: Self::Settings, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error>;

    /// One call. Nothing may allocate.
    ///
    /// # Errors
    /// Those of [`Optimizer::step`].
    fn step(&mut self, inner: &mut dyn Optimizer, call: Call<'_>) -> Result<StepOutcome, Error>;

    /// Calls that make one update of the inner optimizer.
    fn calls_per_update(&self) -> u64 {
        1
    }

    /// See [`Optimizer::evaluation_params`].
    ///
    /// # Errors
    /// Those of the inner optimizer.
    fn evaluation_params(
        &self,
        inner: &dyn Optimizer,
        params: &[f32],
        _state: &[f32],
        out: &mut [f32],
    ) -> Result<(), Error> {
        inner.evaluation_params(params, out)
    }
}

/// The optimizer that a configuration names as the inner one.
pub(super) fn inner(config: &OptimizerConfig, layout: &ParamLayout) -> Result<Box<dyn Optimizer>, Error> {
    config.build(layout).map_err(|error| error.in_part(INNER))
}

/// Checks a number of calls or updates that is counted in a 32-bit float of the state.
pub(super) fn check_period(field: &'static str, period: u64) -> Result<(), Error> {
    if (1..=1 << f32::MANTISSA_DIGITS).contains(&period) {
        return Ok(());
    }
    let expected = "a number from 1 to 16777216";
    Err(Error::InvalidHyperParameter { field, found: period.to_string(), expected })
}

/// An optimizer inside a [`Wrapper`].
pub struct Wrapped<W> {
    wrapper: W,
    inner: Box<dyn Optimizer>,
    state_layout: StateLayout,
    state: Vec<f32>,
    steps_taken: u64,
    steps_skipped: u64,
    horizon: Option<u64>,
    policy: NonFinitePolicy,
}

impl<W: Wrapper> Wrapped<W> {
    /// A wrapper around an optimizer that has not stepped yet.
    ///
    /// # Errors
    /// [`Error::InvalidHyperParameter`] naming the field of the settings.
    pub fn new(inner: Box<dyn Optimizer>, settings: W::Settings) -> Result<Self, Error> {
        let mut state_layout = StateLayout::default();
        let wrapper = W::build(settings, inner.layout(), &mut state_layout)?;
        Ok(Self {
            state: vec![0.0; state_layout.len()],
            horizon: inner.horizon().map(|updates| updates.saturating_mul(wrapper.calls_per_update())),
            wrapper,
            inner,
            state_layout,
            steps_taken: 0,
            steps_skipped: 0,
            policy: NonFinitePolicy::default(),
        })
    }

    /// What is around it.
    pub fn wrapper(&self) -> &W {
        &self.wrapper
    }

    /// The optimizer inside.
    pub fn inner(&self) -> &dyn Optimizer {
        self.inner.as_ref()
    }
}

impl<W: Wrapper> Optimizer for Wrapped<W> {
    fn layout(&self) -> &ParamLayout {
        self.inner.layout()
    }

    fn name(&self) -> &str {
        W::NAME
    }

    fn step(&mut self, params: &mut [f32], grads: &[f32], loss: f32) -> Result<StepOutcome, Error> {
        self.layout().check_len("params", params.len())?;
        self.layout().check_len("grads", grads.len())?;
        let _flush = FlushDenormals::new();
        let (state, skipped, policy) = (self.state.as_mut_slice(), self.steps_skipped, self.policy);
        let call = Call { params, grads, loss, state, skipped, policy };
        let outcome = self.wrapper.step(self.inner.as_mut(), call)?;
        match outcome {
            StepOutcome::Skipped => self.steps_skipped += 1,
            StepOutcome::Applied | StepOutcome::Accumulated => self.steps_taken += 1,
        }
        Ok(outcome)
    }

    fn reads_loss(&self) -> bool {
        self.inner.reads_loss()
    }

    fn steps_taken(&self) -> u64 {
        self.steps_taken
    }

    fn steps_skipped(&self) -> u64 {
        self.steps_skipped
    }

    fn step_multiplier(&self) -> f32 {
        self.inner.step_multiplier()
    }

    fn set_step_multiplier(&mut self, multiplier: f32) {
        self.inner.set_step_multiplier(multiplier);
    }

    fn weight_decay(&self) -> f32 {
        self.inner.weight_decay()
    }

    fn set_weight_decay(&mut self, coefficient: f32) {
        self.inner.set_weight_decay(coefficient);
    }

    fn horizon(&self) -> Option<u64> {
        self.horizon
    }

    fn set_horizon(&mut self, horizon: Option<u64>) {
        self.horizon = horizon;
        self.inner.set_horizon(horizon.map(|calls| calls / self.wrapper.calls_per_update()));
    }

    fn schedule(&self) -> Schedule {
        self.inner.schedule()
    }

    fn set_schedule(&mut self, schedule: Schedule) {
        self.inner.set_schedule(schedule);
    }

    fn set_non_finite_policy(&mut self, policy: NonFinitePolicy) {
        self.policy = policy;
        self.inner.set_non_finite_policy(policy);
    }

    fn evaluation_params(&self, params: &[f32], out: &mut [f32]) -> Result<(), Error> {
        self.layout().check_len("params", params.len())?;
        self.layout().check_len("out", out.len())?;
        self.wrapper.evaluation_params(self.inner.as_ref(), params, &self.state, out)
    }

    fn state_bytes(&self) -> usize {
        size_of_val(self.state.as_slice()) + self.inner.state_bytes()
    }

    fn save_state(&self) -> Vec<u8> {
        let header = Header {
            rule: W::NAME.to_owned(),
            steps_taken: self.steps_taken,
            steps_skipped: self.steps_skipped,
            step_multiplier: self.step_multiplier(),
            weight_decay: self.weight_decay(),
            horizon: self.horizon,
            schedule: self.schedule(),
        };
        let mut file = state::write(&header, &self.state_layout, &self.state);
        let inner = state::open(&self.inner.save_state()).expect("an optimizer can read what it saves");
        file.nest(INNER, inner);
        file.to_bytes()
    }

    fn load_state(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut file = state::open(bytes)?;
        let inner = file.take_nested(INNER);
        let (header, state) = state::read(&file, W::NAME, &self.state_layout)?;
        self.inner.load_state(&inner.to_bytes())?;
        self.state = state;
        self.steps_taken = header.steps_taken;
        self.steps_skipped = header.steps_skipped;
        self.horizon = header.horizon;
        Ok(())
    }
}
