//! Full-length antithetic evolution strategies (Salimans et al., arXiv 1703.03864), as VeLO was trained (Metz et al.,
//! arXiv 2211.09760).
//!
//! One perturbation per episode, as in [`super::nres`], but nothing is said before the end: a finished run
//! contributes once, with its mean meta-loss or its final one over all windows. The sum over an episode is that of
//! NRES; what differs is that theta hears of it late. Windows still publish the newest theta to both sides.

use super::{GradientEstimator, Position, nres::Nres};
use crate::noise::Noise;

/// One perturbation and one contribution per episode.
#[derive(Debug, Clone, Copy)]
pub struct FullEs;

impl GradientEstimator for FullEs {
    fn perturbation(&self, out: &mut [f32], position: Position, noise: &Noise) {
        Nres.perturbation(out, position, noise);
    }

    fn direction(&self, out: &mut [f32], position: Position, noise: &Noise) {
        Nres.direction(out, position, noise);
    }

    fn waits_for_the_end(&self) -> bool {
        true
    }
}
