//! The contract of every optimizer here, learned or designed by hand.

use crate::{Error, ParamLayout, Schedule};

/// What one call of [`Optimizer::step`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// Parameters and state were updated.
    Applied,
    /// The gradients were taken in; the parameters move at a later call ([`Accumulated`](crate::Accumulated)).
    Accumulated,
    /// The gradients (or a loss that the rule reads) were not finite: nothing changed, the skip was counted.
    Skipped,
}

/// What to do when a gradient, or a loss that the rule reads, is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonFinitePolicy {
    /// Leave parameters and state as they are and count the skipped step.
    #[default]
    Skip,
    /// Leave everything as it is and return [`Error::NonFiniteGradient`].
    Error,
}

/// Updates parameters in place from their gradients.
///
/// Parameters and gradients are flat slices described by one [`ParamLayout`]. The effective step is
/// `step_multiplier · schedule(t, horizon)` times the rule's own rate; weight decay is decoupled and
/// scaled by the same rate. Nothing is allocated in [`step`](Self::step).
pub trait Optimizer: Send {
    /// Names, shapes and ranges of the parameters.
    fn layout(&self) -> &ParamLayout;

    /// The name of the rule, as configuration files spell it.
    fn name(&self) -> &str;

    /// One update. `loss` is the scalar training loss at `params`; rules that do not read it ignore it.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when a slice does not fit the layout; [`Error::NonFiniteGradient`] under
    /// [`NonFinitePolicy::Error`]. On an error nothing has changed.
    fn step(&mut self, params: &mut [f32], grads: &[f32], loss: f32) -> Result<StepOutcome, Error>;

    /// Whether [`step`](Self::step) reads the loss: if not, it may be anything.
    fn reads_loss(&self) -> bool;

    /// Calls of `step` that were not skipped so far: updates, unless gradients are accumulated.
    fn steps_taken(&self) -> u64;

    /// Calls of `step` that changed nothing because something was not finite.
    fn steps_skipped(&self) -> u64;

    /// The factor that users call the learning rate of a learned optimizer; `1.0` is native.
    fn step_multiplier(&self) -> f32;

    /// Sets [`step_multiplier`](Self::step_multiplier).
    fn set_step_multiplier(&mut self, multiplier: f32);

    /// The coefficient of decoupled weight decay.
    fn weight_decay(&self) -> f32;

    /// Sets [`weight_decay`](Self::weight_decay).
    fn set_weight_decay(&mut self, coefficient: f32);

    /// Steps planned in total, if declared.
    fn horizon(&self) -> Option<u64>;

    /// Declares the number of steps planned in total.
    fn set_horizon(&mut self, horizon: Option<u64>);

    /// The schedule of the step multiplier.
    fn schedule(&self) -> Schedule;

    /// Sets the schedule.
    fn set_schedule(&mut self, schedule: Schedule);

    /// What happens on NaN or infinite gradients.
    fn set_non_finite_policy(&mut self, policy: NonFinitePolicy);

    /// Writes the parameters to evaluate with into `out`: `params` themselves, except for rules that
    /// average (such as Schedule-Free, or anything inside [`Averaged`](crate::Averaged)).
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when a slice does not fit the layout.
    fn evaluation_params(&self, params: &[f32], out: &mut [f32]) -> Result<(), Error>;

    /// Bytes of state kept between steps.
    fn state_bytes(&self) -> usize;

    /// The complete state as a safetensors file, keyed by tensor name: loading it into an optimizer of the
    /// same rule and layout continues bit for bit.
    fn save_state(&self) -> Vec<u8>;

    /// Restores what [`save_state`](Self::save_state) wrote. The order of tensors may differ.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `bytes` is not such a file, or of another rule or layout; nothing has
    /// changed then.
    fn load_state(&mut self, bytes: &[u8]) -> Result<(), Error>;
}
