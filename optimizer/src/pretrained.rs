//! The weights that come with the crate.
//!
//! The file `pretrained/paced.safetensors` holds weights of the [paced](crate::PacedConfig) architecture, meta-trained on
//! procedural tasks of twenty families: the snapshot that validation chose in `results/2026-11-26-long-paced`, where its
//! scores stand. The facts are in the file: `LearnedWeights::pretrained().provenance()`.
//!
//! `pretrained/orthogonal.safetensors` holds those of the same architecture with orthogonalised steps, from
//! `results/2026-11-27-plateaus`, where they were chosen by the standard suite: better on validation tasks, and several times as dear.

use crate::{Error, LearnedOptimizer, LearnedWeights, Optimizer, ParamLayout};

const FILE: &[u8] = include_bytes!("../pretrained/paced.safetensors");
const ORTHOGONAL: &[u8] = include_bytes!("../pretrained/orthogonal.safetensors");

impl LearnedWeights {
    /// The weights that come with the crate.
    pub fn pretrained() -> Self {
        Self::from_bytes(FILE).expect("the file that was compiled in is tested")
    }

    /// Those whose steps of matrices are orthogonalised: lower losses on validation tasks, for the price of Muon's step
    /// (the cost table of the README). For gradients that are dear beside a step: large batches, long sequences.
    pub fn pretrained_orthogonal() -> Self {
        Self::from_bytes(ORTHOGONAL).expect("the file that was compiled in is tested")
    }
}

impl LearnedOptimizer {
    /// The optimizer that comes with the crate: no learning rate, no decay, no schedule to choose. Declare as `horizon`
    /// how many steps you will take, if you know it: the steps then become small towards its end, and zero at it. If you do
    /// not, [`Averaged::open_ended`](crate::Averaged::open_ended) makes up for about half of what that costs in
    /// training loss, and nearly all in validation loss.
    ///
    /// ```
    /// use velo_optimizer::{LearnedOptimizer, Optimizer, ParamLayout};
    ///
    /// let layout = ParamLayout::new([("kernel", vec![3, 2]), ("bias", vec![2])])?;
    /// let mut optimizer = LearnedOptimizer::pretrained(&layout, Some(1000))?;
    /// let (mut params, grads, loss) = (vec![0.1; 8], vec![0.5; 8], 1.0);
    /// optimizer.step(&mut params, &grads, loss)?;
    /// # Ok::<(), velo_optimizer::Error>(())
    /// ```
    ///
    /// # Errors
    /// None today; those of [`RuleOptimizer::new`](crate::rule::RuleOptimizer::new).
    pub fn pretrained(layout: &ParamLayout, horizon: Option<u64>) -> Result<Self, Error> {
        Self::with_horizon(layout, LearnedWeights::pretrained(), horizon)
    }

    /// As [`pretrained`](Self::pretrained), with the weights of [`LearnedWeights::pretrained_orthogonal`].
    ///
    /// # Errors
    /// As for [`pretrained`](Self::pretrained).
    pub fn pretrained_orthogonal(layout: &ParamLayout, horizon: Option<u64>) -> Result<Self, Error> {
        Self::with_horizon(layout, LearnedWeights::pretrained_orthogonal(), horizon)
    }

    fn with_horizon(layout: &ParamLayout, weights: LearnedWeights, horizon: Option<u64>) -> Result<Self, Error> {
        let mut optimizer = Self::new(layout, weights)?;
        optimizer.set_horizon(horizon);
        Ok(optimizer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_that_come_along_say_what_they_are() {
        for weights in [LearnedWeights::pretrained(), LearnedWeights::pretrained_orthogonal()] {
            assert_eq!(weights.architecture().name(), "paced");
            for fact in ["provenance", "licence", "training_run", "record", "validation"] {
                assert!(weights.provenance().contains_key(fact), "{fact}: {:?}", weights.provenance());
            }
        }
    }

    #[test]
    fn nothing_needs_to_be_chosen_and_a_horizon_may_be_declared() {
        let layout = ParamLayout::new([("w", vec![2, 3])]).unwrap();
        for horizon in [None, Some(100)] {
            for make in [LearnedOptimizer::pretrained, LearnedOptimizer::pretrained_orthogonal] {
                let optimizer = make(&layout, horizon).unwrap();
                assert_eq!((optimizer.horizon(), optimizer.step_multiplier()), (horizon, 1.0));
                assert_eq!((optimizer.weight_decay(), optimizer.reads_loss()), (0.0, true));
            }
        }
    }
}
