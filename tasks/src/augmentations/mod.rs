//! Disguises: wrappers that change how a task looks to an optimizer, and not what it is about.
//!
//! An [`Augmentation`] is data; [`wrap`](Augmentation::wrap) puts it around a task, the first of a list innermost. Two
//! kinds act before there is a task, on what it is built from: see [`prepare`].
//!
//! | acts on | augmentations |
//! | --- | --- |
//! | data, batch size | label noise, reduced batch |
//! | parameters, loss | re-parametrisation, rescaled loss |
//! | gradients from losses | evolution strategy |
//! | gradients only | noise, bfloat16, delay, normalisation, projection ([`DisguisedGradients`]) |
//!
//! The loss that is reported stays that of the task, except under a rescaled loss. All randomness is a function of
//! the augmentation's seed and the batch. An [`AugmentationMix`] draws lists at random.

mod bfloat16;
mod delay;
mod disguised_gradients;
mod evolution_gradient;
mod gradient_noise;
mod mix;
mod normalise;
mod project;
mod reparametrise;
mod rescale_loss;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::DataConfig;
use crate::error::check_range;
use crate::task::Task;
use disguised_gradients::DisguisedGradients;
pub use mix::{AugmentationMix, Reparametrisation, Strength};
pub use reparametrise::Scope;

/// One disguise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Augmentation {
    /// Parameters are stored divided by random scales.
    Reparametrise {
        /// What shares one scale.
        scope: Scope,
        /// `r`: the scales lie within ten to the power of ±`r`, 0 to 6.
        decades: f32,
        /// The scales follow from it.
        seed: u64,
    },
    /// Loss and gradient are multiplied by a constant.
    RescaleLoss {
        /// The constant, 1e-6 to 1e6.
        factor: f32,
    },
    /// `g + r · rms(g) · ε`, the root mean square over each tensor, `ε` bell-shaped with variance 1.
    GradientNoise {
        /// `r`, 0 to 100.
        relative: f32,
        /// The noise follows from it and the batch.
        seed: u64,
    },
    /// The gradient is rounded to bfloat16, to nearest even: 8 significant bits.
    Bfloat16Gradients,
    /// Each step gets the gradient of some calls ago; see `delay.rs` for what a task then remembers.
    DelayedGradients {
        /// Calls between a gradient and its use, 1 to 64.
        steps: usize,
    },
    /// The gradient is divided by its root mean square.
    NormalisedGradients,
    /// `1/n Σ_k v_k (v_k · g)` over random sign vectors `v`: unbiased, and as noisy as an evolution strategy.
    ProjectedGradients {
        /// `n`, 1 to 1024; a direction costs two passes over the gradient.
        directions: usize,
        /// The directions follow from it and the batch.
        seed: u64,
    },
    /// The gradient is estimated from pairs of losses of the batch; a pair costs two of them.
    EvolutionGradients {
        /// Standard deviation of the perturbations, 1e-6 to 10.
        deviation: f32,
        /// Pairs, 1 to 1024.
        pairs: usize,
        /// The perturbations follow from it and the batch.
        seed: u64,
    },
    /// Batches have fewer rows.
    ReducedBatch {
        /// Rows kept of all, above 0 up to 1; one row is always left.
        share: f32,
    },
    /// Some training labels are random; held-out labels stay clean.
    LabelNoise {
        /// Share of labels drawn at random, 0 to 1.
        share: f32,
        /// Which labels, and what they become.
        seed: u64,
    },
}

impl Augmentation {
    /// Refuses strengths outside their bounds.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match *self {
            Self::Reparametrise { decades, .. } => check_range("augmentations: decades", decades, 0.0..=6.0),
            Self::RescaleLoss { factor } => check_range("augmentations: factor", factor, 1e-6..=1e6),
            Self::GradientNoise { relative, .. } => check_range("augmentations: relative", relative, 0.0..=100.0),
            Self::Bfloat16Gradients | Self::NormalisedGradients => Ok(()),
            Self::DelayedGradients { steps } => check_range("augmentations: steps", steps, 1..=64),
            Self::ProjectedGradients { directions, .. } => {
                check_range("augmentations: directions", directions, 1..=1024)
            }
            Self::EvolutionGradients { deviation, pairs, .. } => {
                check_range("augmentations: deviation", deviation, 1e-6..=10.0)?;
                check_range("augmentations: pairs", pairs, 1..=1024)
            }
            Self::ReducedBatch { share } => check_range("augmentations: share", share, f32::MIN_POSITIVE..=1.0),
            Self::LabelNoise { share, .. } => check_range("augmentations: share", share, 0.0..=1.0),
        }
    }

    /// `task` in this disguise; unchanged by a reduced batch or label noise, which a task is built with.
    pub fn wrap(&self, task: Box<dyn Task>) -> Box<dyn Task> {
        match *self {
            Self::Reparametrise { scope, decades, seed } => reparametrise::wrap(task, scope, decades, seed),
            Self::RescaleLoss { factor } => rescale_loss::wrap(task, factor),
            Self::GradientNoise { relative, seed } => {
                DisguisedGradients::wrap(task, gradient_noise::GradientNoise { relative, seed })
            }
            Self::Bfloat16Gradients => DisguisedGradients::wrap(task, bfloat16::Bfloat16),
            Self::DelayedGradients { steps } => DisguisedGradients::wrap(task, delay::Delay::new(steps)),
            Self::NormalisedGradients => DisguisedGradients::wrap(task, normalise::Normalise),
            Self::ProjectedGradients { directions, seed } => {
                let projection = project::Projection::new(directions, seed, task.layout().len());
                DisguisedGradients::wrap(task, projection)
            }
            Self::EvolutionGradients { deviation, pairs, seed } => {
                evolution_gradient::wrap(task, deviation, pairs, seed)
            }
            Self::ReducedBatch { .. } | Self::LabelNoise { .. } => task,
        }
    }

    /// The name of the kind, and how many passes of its own over the parameters it makes for one gradient.
    pub(crate) fn passes(&self) -> (&'static str, f64) {
        match *self {
            Self::Reparametrise { .. } => ("Reparametrise", 1.0),
            Self::RescaleLoss { .. } => ("RescaleLoss", 1.0),
            Self::GradientNoise { .. } => ("GradientNoise", 1.0),
            Self::Bfloat16Gradients => ("Bfloat16Gradients", 1.0),
            Self::DelayedGradients { .. } => ("DelayedGradients", 1.0),
            Self::NormalisedGradients => ("NormalisedGradients", 1.0),
            Self::ProjectedGradients { directions, .. } => ("ProjectedGradients", directions as f64),
            Self::EvolutionGradients { pairs, .. } => ("EvolutionGradients", pairs as f64),
            Self::ReducedBatch { .. } => ("ReducedBatch", 0.0),
            Self::LabelNoise { .. } => ("LabelNoise", 0.0),
        }
    }
}

/// What a task is built from, after the augmentations that act on it: the data and the rows of a batch.
pub fn prepare(augmentations: &[Augmentation], data: &DataConfig, batch_size: usize) -> (DataConfig, usize) {
    let start = (data.clone(), batch_size);
    augmentations.iter().fold(start, |(data, rows), augmentation| match *augmentation {
        Augmentation::ReducedBatch { share } => (data, ((rows as f32 * share).round() as usize).max(1)),
        Augmentation::LabelNoise { share, seed } => {
            (DataConfig::NoisyLabels { data: Box::new(data), share, seed }, rows)
        }
        _ => (data, rows),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::named;
    use crate::task::{Batch, Split};

    /// One of every kind, at some strength.
    fn every_kind() -> [Augmentation; 9] {
        [
            Augmentation::Reparametrise { scope: Scope::PerTensor, decades: 1.0, seed: 1 },
            Augmentation::RescaleLoss { factor: 10.0 },
            Augmentation::GradientNoise { relative: 0.5, seed: 2 },
            Augmentation::Bfloat16Gradients,
            Augmentation::DelayedGradients { steps: 2 },
            Augmentation::NormalisedGradients,
            Augmentation::ProjectedGradients { directions: 4, seed: 3 },
            Augmentation::ReducedBatch { share: 0.3 },
            Augmentation::LabelNoise { share: 0.5, seed: 4 },
        ]
    }

    #[test]
    fn every_kind_gives_the_same_bits_again_and_all_of_them_compose() {
        let all = every_kind().to_vec();
        let lists = all.iter().map(|&one| vec![one]).chain([all.clone()]);
        for augmentations in lists {
            let run = || {
                let mut task = crate::TaskConfig { augmentations: augmentations.clone(), ..named("wine_mlp").unwrap() }
                    .build()
                    .unwrap();
                let mut params = vec![0.0; task.layout().len()];
                task.init(1, &mut params);
                let mut bits = Vec::new();
                let mut grads = vec![0.0; params.len()];
                for index in 0..4 {
                    let loss = task.loss_and_grad(&params, Batch { seed: 3, split: Split::Train, index }, &mut grads);
                    bits.push(loss.to_bits());
                    bits.extend(grads.iter().map(|g| g.to_bits()));
                    params.iter_mut().zip(&grads).for_each(|(p, g)| *p -= 1e-3 * g);
                }
                bits
            };
            assert_eq!(run(), run(), "{augmentations:?}");
        }
    }

    #[test]
    fn a_reduced_batch_keeps_its_share_of_rows_and_at_least_one() {
        let rows = |share| prepare(&[Augmentation::ReducedBatch { share }], &DataConfig::Wine, 64).1;
        assert_eq!([1.0, 0.5, 0.25, 0.001].map(rows), [64, 32, 16, 1]);
    }

    #[test]
    fn label_noise_changes_its_share_of_training_labels_and_no_held_out_one() {
        let clean = DataConfig::Digits;
        let (noisy, _) = prepare(&[Augmentation::LabelNoise { share: 0.4, seed: 5 }], &clean, 64);
        let (clean, noisy) = (clean.load().unwrap(), noisy.load().unwrap());
        let changed = |split| {
            let pairs = clean.rows(split).labels.iter().zip(&noisy.rows(split).labels);
            pairs.filter(|(a, b)| a != b).count()
        };
        // One in ten random labels is right by chance: 36 % of 1437 rows change, five standard errors are 91.
        assert!(changed(Split::Train).abs_diff(517) < 91, "{}", changed(Split::Train));
        assert_eq!(changed(Split::Validation), 0);
    }

    #[test]
    fn strengths_outside_their_bounds_are_refused_by_name() {
        let complaint = |augmentation: Augmentation| augmentation.check().unwrap_err().to_string();
        let refused = complaint(Augmentation::RescaleLoss { factor: f32::NAN });
        assert_eq!(refused, "augmentations: factor is NaN, expected 0.000001 to 1000000");
        assert!(complaint(Augmentation::ReducedBatch { share: 0.0 }).starts_with("augmentations: share is 0, "));
        let refused = complaint(Augmentation::DelayedGradients { steps: 0 });
        assert_eq!(refused, "augmentations: steps is 0, expected 1 to 64");
    }
}
