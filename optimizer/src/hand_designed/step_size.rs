//! The last stage of every rule here: a direction becomes a step.
//!
//! ```text
//! p ← p - α (u + λ p),    α = learning_rate · rate
//! ```

use crate::rule::StepContext;

/// What the parameters and the direction are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepSize {
    /// `α`, the factor of the direction.
    pub rate: f32,
    /// `1 - α λ`, the factor of the parameters.
    pub shrink: f32,
}

impl StepSize {
    /// The step size of this moment.
    pub fn new(learning_rate: f32, context: &StepContext) -> Self {
        let rate = learning_rate * context.rate;
        Self { rate, shrink: 1.0 - rate * context.weight_decay }
    }

    /// One parameter after the step.
    #[inline(always)]
    pub fn moved(self, param: f32, direction: f32) -> f32 {
        self.shrink * param - self.rate * direction
    }
}
