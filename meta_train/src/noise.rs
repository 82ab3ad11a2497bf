//! Everything random in a run, regenerated from counters and never stored.
//!
//! A number depends on the seed of the run, the purpose it is drawn for, and where it is used (particle,
//! episode or window). Workers, thread counts and interruptions therefore cannot change it, and a checkpoint
//! holds no generator.

use velo_tasks::rng::{self, Stream, derive_seed};

/// What a number is drawn for; keeps the streams of one run apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The initial theta.
    Theta = 1,
    /// Perturbations of theta.
    Perturbation = 2,
    /// Which task a particle trains.
    Task = 3,
    /// Initial parameters of the inner run.
    Initialisation = 4,
    /// Batches of the inner run.
    Batches = 5,
    /// Length of the inner run.
    Horizon = 6,
    /// Step multiplier of the inner run.
    StepMultiplier = 7,
    /// Schedule of the inner run.
    Schedule = 8,
    /// Weight decay of the inner run.
    WeightDecay = 9,
    /// Tasks on which the native rate is selected.
    Selection = 10,
}

/// 64 bits for `purpose`, particle `a` and episode `b`.
pub fn bits(seed: u64, purpose: Purpose, a: u64, b: u64) -> u64 {
    derive_seed(derive_seed(derive_seed(seed, purpose as u64), a), b)
}

/// A uniform number in `[0, 1)`.
pub fn uniform(seed: u64, purpose: Purpose, a: u64, b: u64) -> f64 {
    Stream::new(bits(seed, purpose, a, b), 0).uniform(0)
}

/// Standard-normal perturbations of theta.
#[derive(Debug, Clone)]
pub struct Noise {
    seed: u64,
    learned: Vec<bool>,
}

impl Noise {
    /// Perturbations for the run `seed`; entries of theta that are not `learned` are never perturbed.
    pub fn new(seed: u64, learned: Vec<bool>) -> Self {
        Self { seed, learned }
    }

    /// Entries of theta that are perturbed.
    pub fn learned(&self) -> &[bool] {
        &self.learned
    }

    /// Writes the perturbation of `particle` with number `index`.
    ///
    /// # Panics
    /// If `out` has not the length of theta.
    pub fn write(&self, out: &mut [f32], particle: u64, index: u64) {
        assert_eq!(out.len(), self.learned.len(), "a perturbation has the length of theta");
        rng::normals(bits(self.seed, Purpose::Perturbation, particle, index), 0, 0, out);
        for (n, _) in out.iter_mut().zip(&self.learned).filter(|(_, learned)| !**learned) {
            *n = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particles_and_episodes_have_unrelated_perturbations() {
        let noise = Noise::new(7, vec![true; 4096]);
        let draw = |particle, index| {
            let mut out = vec![0.0; 4096];
            noise.write(&mut out, particle, index);
            out
        };
        let correlation = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>() / a.len() as f32;
        let first = draw(0, 0);
        assert_eq!(first, draw(0, 0));
        assert!((correlation(&first, &first) - 1.0).abs() < 0.1);
        for (particle, index) in [(0, 1), (1, 0), (1, 1)] {
            assert!(correlation(&first, &draw(particle, index)).abs() < 0.08, "({particle}, {index})");
        }
    }

    #[test]
    fn entries_that_are_not_learned_stay_put() {
        let mut out = [9.0; 3];
        Noise::new(1, vec![true, false, true]).write(&mut out, 0, 0);
        assert!(out[0] != 0.0 && out[1] == 0.0 && out[2] != 0.0);
    }
}
