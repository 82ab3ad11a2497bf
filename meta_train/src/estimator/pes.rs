//! Persistent evolution strategies (Vicol, Metz and Sohl-Dickstein 2021, arXiv 2112.13835).
//!
//! Every window has its own perturbation. The state at its start was shaped by all perturbations since the
//! reset, so the direction is their sum:
//!
//! ```text
//! d = n_s + n_{s+1} + … + n_k        s: window of the reset, k: this window
//! ```
//!
//! When a reset falls inside window `k`, the steps before it use the sum and the steps after it use `n_k`
//! alone, with which the next sum begins. The sum is recomputed from the noise counters instead of being
//! kept: nothing to save, and a resumed run cannot disagree with it.

use super::{GradientEstimator, Position};
use crate::noise::Noise;

/// One perturbation per window, accumulated over the episode.
#[derive(Debug, Clone, Copy)]
pub struct Pes;

impl GradientEstimator for Pes {
    fn perturbation(&self, out: &mut [f32], position: Position, noise: &Noise) {
        noise.write(out, position.particle, position.window);
    }

    fn direction(&self, out: &mut [f32], position: Position, noise: &Noise) {
        out.fill(0.0);
        let mut fresh = vec![0.0; out.len()];
        for window in position.episode_start..=position.window {
            noise.write(&mut fresh, position.particle, window);
            for (sum, n) in out.iter_mut().zip(&fresh) {
                *sum += n;
            }
        }
    }
}
