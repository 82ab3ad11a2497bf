//! Classification of points from Gaussian clusters.
//!
//! Class `c` owns a few clusters; cluster `k` has a centre `separation · z_k` and a spread `σ_k` per axis, `z` standard
//! normal and `σ` log-uniform in `[½, 2)`. A row picks a class and one of its clusters evenly, and is
//! `x = centre + σ ⊙ ε`. With a chance of `label_noise` the label is replaced by a random class.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, noisy_label};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, normals, stream_number};

/// A mixture of Gaussians.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GaussianMixtureConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Axes, 1 to 1024.
    pub inputs: usize,
    /// Classes, 2 to 1000.
    pub classes: usize,
    /// Clusters of each class, 1 to 16.
    pub clusters: usize,
    /// Scale of the centres in units of the spread, 0 to 10: small values overlap.
    pub separation: f32,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, 0 to 1.
    pub label_noise: f32,
}

impl Default for GaussianMixtureConfig {
    fn default() -> Self {
        let rows = RowCount::Fixed(512);
        Self { seed: 0, inputs: 16, classes: 4, clusters: 2, separation: 1.0, rows, label_noise: 0.0 }
    }
}

impl GaussianMixtureConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.inputs", self.inputs, 1..=1024)?;
        check_range("data.classes", self.classes, 2..=1000)?;
        check_range("data.clusters", self.clusters, 1..=16)?;
        check_range("data.separation", self.separation, 0.0..=10.0)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", self.inputs)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::Features(self.inputs), TargetKind::Class(self.classes))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Clusters::new(self), self.kinds(), self.rows)
    }
}

/// The drawn mixture.
struct Clusters {
    config: GaussianMixtureConfig,
    /// `cluster × axis`, class-major.
    centres: Vec<f32>,
    spreads: Vec<f32>,
}

impl Clusters {
    fn new(config: &GaussianMixtureConfig) -> Self {
        let count = config.classes * config.clusters * config.inputs;
        let mut centres = vec![0.0; count];
        normals(config.seed, const { stream_number("cluster centres") }, 0, &mut centres);
        centres.iter_mut().for_each(|centre| *centre *= config.separation);
        let mut draws = Draws::new(config.seed, const { stream_number("cluster spreads") });
        let spreads = (0..count).map(|_| draws.log_uniform(0.5, 2.0) as f32).collect();
        Self { config: config.clone(), centres, spreads }
    }
}

impl Generator for Clusters {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let GaussianMixtureConfig { seed, classes, clusters, label_noise, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        let choice = Stream::new(row_seed, const { stream_number("cluster choice") });
        let cluster = choice.below(0, (classes * clusters) as u64) as usize;
        normals(row_seed, const { stream_number("cluster point") }, 0, inputs);
        let first = cluster * inputs.len();
        let shape = self.centres[first..].iter().zip(&self.spreads[first..]);
        for (input, (centre, spread)) in inputs.iter_mut().zip(shape) {
            *input = centre + spread * *input;
        }
        noisy_label((cluster / clusters) as u32, classes, label_noise, row_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn far_clusters_are_told_apart_by_the_nearest_centre() {
        let config = GaussianMixtureConfig { separation: 10.0, ..GaussianMixtureConfig::default() };
        let (clusters, dataset) = (Clusters::new(&config), config.generate());
        let rows = dataset.rows(Split::Train);
        for (inputs, &label) in rows.inputs.chunks(16).zip(&rows.labels) {
            let distance = |centre: &[f32]| inputs.iter().zip(centre).map(|(x, c)| (x - c).powi(2)).sum::<f32>();
            let nearest = clusters.centres.chunks(16).map(distance).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            assert_eq!(nearest.unwrap().0 / config.clusters, label as usize);
        }
    }

    #[test]
    fn classes_are_about_equally_frequent() {
        let dataset = GaussianMixtureConfig { rows: RowCount::Fixed(4000), ..Default::default() }.generate();
        let mut counts = [0; 4];
        dataset.rows(Split::Train).labels.iter().for_each(|&label| counts[label as usize] += 1);
        assert!(counts.iter().all(|count| (600..900).contains(count)), "{counts:?}");
    }
}
