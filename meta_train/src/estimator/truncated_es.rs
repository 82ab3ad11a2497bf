//! Truncated evolution strategies: what PES would be without its memory.
//!
//! Antithetic evolution strategies (Salimans et al., arXiv 1703.03864) over truncated unrolls, whose bias is analysed by
//! Vicol, Metz and Sohl-Dickstein ("Unbiased gradient estimation in unrolled computation graphs with persistent
//! evolution strategies", arXiv 2112.13835).
//!
//! The gap of a window is blamed on that window's perturbation alone. The estimate misses how theta acts
//! through earlier windows, so it is biased towards what pays off at once; it is kept as the baseline that
//! shows why the other two exist.

use super::{GradientEstimator, Position, pes::Pes};
use crate::noise::Noise;

/// One perturbation per window, forgotten afterwards.
#[derive(Debug, Clone, Copy)]
pub struct TruncatedEs;

impl GradientEstimator for TruncatedEs {
    fn perturbation(&self, out: &mut [f32], position: Position, noise: &Noise) {
        Pes.perturbation(out, position, noise);
    }

    fn direction(&self, out: &mut [f32], position: Position, noise: &Noise) {
        self.perturbation(out, position, noise);
    }
}
