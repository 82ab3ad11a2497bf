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
    /// Whether the optimizer is told the horizon.
    HideHorizon = 11,
    /// Tasks of the pool.
    Pool = 12,
    /// Whether a particle returns to a saved state.
    Resume = 13,
    /// Runs of the tuned optimizer that a meta-loss is relative to.
    Reference = 14,
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
///
/// With [`orthogonal`](Self::orthogonal) blocks, the perturbations of the same number of neighbouring particles
/// are orthogonal to each other. Each is still standard normal by itself: its direction is what Gram-Schmidt leaves
/// of a normal vector's, and its length is that vector's, which is independent of the direction. So estimates stay
/// unbiased, while together the block covers more of the space than independent draws.
///
/// What a block is worth depends on what the number counts, because only perturbations that meet in the gradient of
/// one outer step can cover the space together:
///
/// * With truncated ES and PES it is the window. All particles of a synchronous population share it at any time, so
///   the fresh perturbations of every outer step are orthogonal within blocks. For truncated ES these are the
///   directions. Those of PES are sums since the reset: orthogonal in the first window of an episode, and later
///   only without the products of the same window, `i` of `i²` after `i` windows.
/// * With NRES and full-length ES it is how many episodes the particle had before. Where all horizons are equal,
///   neighbours have the same number but for the share of an episode by which they are staggered. Where horizons
///   are drawn, the counts of neighbours drift apart as random walks do: perturbations of the same number meet in one
///   outer step by accident only, and those that meet are as good as independent. Then nothing is won, and nothing is
///   lost but the time that it takes. Full-length ES speaks at the end of an episode, so a block would have to end in
///   the same window, too.
#[derive(Debug, Clone)]
pub struct Noise {
    seed: u64,
    learned: Vec<bool>,
    block: usize,
}

impl Noise {
    /// Independent perturbations for the run `seed`; entries of theta that are not `learned` are never perturbed.
    pub fn new(seed: u64, learned: Vec<bool>) -> Self {
        Self { seed, learned, block: 1 }
    }

    /// The same with blocks of `particles` orthogonal perturbations, as far as there are dimensions.
    #[must_use]
    pub fn orthogonal(mut self, particles: Option<usize>) -> Self {
        let dimensions = self.learned.iter().filter(|&&learned| learned).count();
        self.block = particles.unwrap_or(1).min(dimensions).max(1);
        self
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
        self.write_independent(out, particle, index);
        let first = particle - particle % self.block as u64;
        if first < particle {
            self.make_orthogonal(out, first..particle, index);
        }
    }

    fn write_independent(&self, out: &mut [f32], particle: u64, index: u64) {
        rng::normals(bits(self.seed, Purpose::Perturbation, particle, index), 0, 0, out);
        for (n, _) in out.iter_mut().zip(&self.learned).filter(|(_, learned)| !**learned) {
            *n = 0.0;
        }
    }

    /// Takes the parts of `out` that lie along the perturbations of `earlier` particles away, and gives it its
    /// length back.
    fn make_orthogonal(&self, out: &mut [f32], earlier: std::ops::Range<u64>, index: u64) {
        let length = dot(out, out).sqrt();
        let mut basis: Vec<Vec<f32>> = Vec::with_capacity(self.block);
        for particle in earlier {
            let mut next = vec![0.0; out.len()];
            self.write_independent(&mut next, particle, index);
            project_out(&mut next, &basis);
            scale_to(&mut next, 1.0);
            basis.push(next);
        }
        project_out(out, &basis);
        scale_to(out, length);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Twice, because one pass leaves what rounding made of the first.
fn project_out(vector: &mut [f32], basis: &[Vec<f32>]) {
    for unit in basis.iter().chain(basis) {
        let along = dot(vector, unit) as f32;
        vector.iter_mut().zip(unit).for_each(|(value, unit)| *value -= along * unit);
    }
}

fn scale_to(vector: &mut [f32], length: f64) {
    let now = dot(vector, vector).sqrt();
    if now > 0.0 {
        let factor = (length / now) as f32;
        vector.iter_mut().for_each(|value| *value *= factor);
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
    fn a_block_is_orthogonal_and_keeps_the_lengths_of_independent_draws() {
        let learned: Vec<bool> = (0..40).map(|index| index % 4 > 0).collect();
        let write = |noise: &Noise, particle| {
            let mut out = vec![0.0; 40];
            noise.write(&mut out, particle, 3);
            out
        };
        let independent = Noise::new(5, learned.clone());
        let blocks = independent.clone().orthogonal(Some(8));
        let vectors: Vec<Vec<f32>> = (0..16).map(|particle| write(&blocks, particle)).collect();
        for (i, a) in vectors.iter().enumerate() {
            let free = write(&independent, i as u64);
            assert!((dot(a, a).sqrt() - dot(&free, &free).sqrt()).abs() < 1e-4);
            assert!(a.iter().zip(&learned).all(|(n, learned)| *learned || *n == 0.0));
            for (j, b) in vectors.iter().enumerate().filter(|(j, _)| *j != i) {
                assert_eq!(dot(a, b).abs() < 1e-3, i / 8 == j / 8, "{i} {j}: {}", dot(a, b));
            }
        }
        let all = independent.orthogonal(Some(1000));
        assert_eq!(all.block, 30, "no more than there are dimensions");
    }

    #[test]
    fn entries_that_are_not_learned_stay_put() {
        let mut out = [9.0; 3];
        Noise::new(1, vec![true, false, true]).write(&mut out, 0, 0);
        assert!(out[0] != 0.0 && out[1] == 0.0 && out[2] != 0.0);
    }
}
