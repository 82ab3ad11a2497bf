//! The learned scheduler of Celo: an LSTM that turns progress and loss into one step multiplier,
//! `s = 0.1 exp(step head)`.

use crate::ParamLayout;
use crate::loss_features::{LOSS_FEATURES, LossFeatures};
use crate::progress::{DEFAULT_HORIZON, PROGRESS, progress_features};
use crate::rule::StepContext;
use crate::state::StateLayout;
use crate::tensor_lstm::{LstmSizes, TensorLstm};

const INPUTS: usize = PROGRESS + LOSS_FEATURES;

/// Sizes of a scheduler of this width with a control head of `controls` outputs (zero: none).
pub(crate) fn scheduler_sizes(width: usize, controls: usize) -> LstmSizes {
    LstmSizes { inputs: INPUTS, width, controls }
}

/// The scheduler. As its inputs are the same for all tensors, one row of recurrent state serves them all.
#[derive(Debug, Clone)]
pub(crate) struct LearnedScheduler {
    loss: LossFeatures,
    pub lstm: TensorLstm,
    /// The inputs of the recurrent network at the last update.
    pub features: [f32; INPUTS],
}

impl LearnedScheduler {
    /// Lays out the running loss and the recurrent state.
    pub fn new(width: usize, controls: usize, state: &mut StateLayout) -> Self {
        let loss = LossFeatures::new(state);
        let lstm = TensorLstm::new(scheduler_sizes(width, controls), ["all"].into_iter(), state);
        Self { loss, lstm, features: [0.0; INPUTS] }
    }

    /// Replaces the weights by those of `theta`.
    pub fn set_theta(&mut self, theta: &[f32], layout: &ParamLayout) {
        self.lstm.set_theta(theta, layout);
    }

    /// Takes in the loss and returns the step multiplier.
    pub fn update(&mut self, state: &mut [f32], context: &StepContext) -> f32 {
        let horizon = context.horizon.unwrap_or(DEFAULT_HORIZON);
        if context.step == 0 {
            self.lstm.reset(state);
        }
        let (progress, loss) = self.features.split_at_mut(PROGRESS);
        progress.copy_from_slice(&progress_features(context.step, horizon));
        loss.copy_from_slice(&self.loss.update(state, context.loss, context.step, horizon));
        self.lstm.update(state, &self.features, true);
        0.1 * self.lstm.steps[0].exp()
    }

    /// The output of the control head at the last update.
    pub fn controls(&self) -> &[f32] {
        &self.lstm.controls
    }
}
