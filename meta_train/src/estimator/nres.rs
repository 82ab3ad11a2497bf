//! NRES (Li et al., arXiv 2304.12180), also known as ES-Single (Vicol, arXiv 2304.11153).
//!
//! One perturbation lasts for a whole episode, so a window's gap already contains what the perturbation did
//! to all windows before it, and `d = n`. Nothing is accumulated. Summed over the windows of an episode this
//! is the antithetic full-length estimate, delivered piece by piece.

use super::{GradientEstimator, Position};
use crate::noise::Noise;

/// One perturbation per episode.
#[derive(Debug, Clone, Copy)]
pub struct Nres;

impl GradientEstimator for Nres {
    fn perturbation(&self, out: &mut [f32], position: Position, noise: &Noise) {
        noise.write(out, position.particle, position.episode);
    }

    fn direction(&self, out: &mut [f32], position: Position, noise: &Noise) {
        self.perturbation(out, position, noise);
    }
}
