//! From the gap between two oppositely perturbed runs to a gradient of the meta-loss.
//!
//! A particle trains the same task twice, once under `θ + σ n` and once under `θ - σ n`, on the same batches.
//! A window of that pair gives a gap `D = mean(L⁺ - L⁻)`; with the direction `d` that the method assigns to
//! the window, its contribution is
//!
//! ```text
//! g = (σ d) D / (2 σ²) = d D / (2 σ)
//! ```
//!
//! entry by entry, as `σ` may differ between parts of theta. With `d = n` and whole runs this is antithetic evolution
//! strategies (Salimans et al., arXiv 1703.03864); the `2` is there because both sides are measured.
//!
//! The methods differ in one thing only, when `n` is redrawn and what `d` is:
//!
//! | method | `n` is redrawn | direction `d` |
//! | --- | --- | --- |
//! | [`nres`] | at every reset of the inner run | `n` |
//! | [`pes`] | at every window | sum of all `n` since the reset |
//! | [`full_es`] | at every reset of the inner run | `n`, once per run, at its end |
//! | [`truncated_es`] | at every window | `n` (biased: forgets what earlier windows did) |

pub mod full_es;
pub mod nres;
pub mod pes;
pub mod truncated_es;

use serde::{Deserialize, Serialize};

use crate::noise::Noise;

/// Names a stretch of one particle's life that lies in one window and one episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The particle.
    pub particle: u64,
    /// How many times the particle was reset before.
    pub episode: u64,
    /// Windows that the particle finished before this one.
    pub window: u64,
    /// The window in which this episode began.
    pub episode_start: u64,
    /// Number of the stage in which it began, whose perturbations it has.
    pub stage: usize,
}

/// Chooses perturbations, and what a gap is correlated with.
pub trait GradientEstimator: Sync {
    /// Writes the standard-normal `n` under which theta runs at `position`.
    fn perturbation(&self, out: &mut [f32], position: Position, noise: &Noise);

    /// Writes the direction `d` that the gap at `position` is multiplied with.
    fn direction(&self, out: &mut [f32], position: Position, noise: &Noise);

    /// Whether an episode contributes once, when it is over, instead of after every window.
    fn waits_for_the_end(&self) -> bool {
        false
    }
}

/// The method, as configuration files spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Method {
    /// One perturbation per episode.
    #[default]
    Nres,
    /// A fresh perturbation per window, accumulated.
    Pes,
    /// One perturbation and one contribution per episode.
    FullEs,
    /// A fresh perturbation per window, forgotten afterwards.
    TruncatedEs,
}

impl Method {
    /// The estimator of that name.
    pub fn estimator(self) -> &'static dyn GradientEstimator {
        match self {
            Self::Nres => &nres::Nres,
            Self::Pes => &pes::Pes,
            Self::FullEs => &full_es::FullEs,
            Self::TruncatedEs => &truncated_es::TruncatedEs,
        }
    }
}

/// Adds `d · gap / (2 σ)` to `gradient`, entry by entry; entries with a `σ` of zero are not learned.
pub fn add_contribution(gradient: &mut [f32], direction: &[f32], gap: f32, sigmas: &[f32]) {
    for ((sum, d), sigma) in gradient.iter_mut().zip(direction).zip(sigmas) {
        if *sigma > 0.0 {
            *sum += d * (gap / (2.0 * sigma));
        }
    }
}
