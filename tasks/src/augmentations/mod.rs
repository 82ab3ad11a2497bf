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
//! the augmentation's seed and the batch.

mod bfloat16;
mod delay;
mod disguised_gradients;
mod evolution_gradient;
mod gradient_noise;
mod normalise;
mod project;
mod reparametrise;
mod rescale_loss;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::DataConfig;
use crate::error::check_range;
use crate::rng::Draws;
use crate::task::Task;
use disguised_gradients::DisguisedGradients;
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

    /// A random list, each kind with about the frequency and strength that VeLO gives it (arXiv 2211.09760).
    ///
    /// Re-parametrisation: none 2/7, global 2/7, tensor 2/7, parameter 1/7, over ±3, ±2 or ±1 decades. Gradient noise 10 %,
    /// bfloat16 10 %, reduced batch 20 %, rescaled loss 20 % (±3 decades), normalised 5 %, projected 8 %.
    ///
    /// Delayed gradients are never drawn: a task that remembers gradients cannot be continued from a checkpoint that
    /// holds parameters only. Label noise is drawn by the families, which know their targets.
    pub fn sample(draws: &mut Draws) -> Vec<Self> {
        let scope = draws.choose([
            None,
            None,
            Some(Scope::Global),
            Some(Scope::Global),
            Some(Scope::PerTensor),
            Some(Scope::PerTensor),
            Some(Scope::PerParameter),
        ]);
        let decades = draws.choose([3.0, 2.0, 1.0]);
        let seed = draws.bits();
        let first = scope.map(|scope| Self::Reparametrise { scope, decades, seed });
        first.into_iter().chain(Self::sample_others(draws)).collect()
    }

    /// As [`sample`](Self::sample), for training episodes that draw a step multiplier themselves.
    ///
    /// To an optimizer whose features and steps are normalised, a global scale is nothing but another step size:
    /// it is drawn in a quarter of the lists (±3 decades); another quarter gets scales per tensor or per parameter, which
    /// are not; half get none.
    pub fn sample_rate_aware(draws: &mut Draws) -> Vec<Self> {
        let scope = draws.choose([
            None,
            None,
            None,
            None,
            Some(Scope::Global),
            Some(Scope::Global),
            Some(Scope::PerTensor),
            Some(Scope::PerParameter),
        ]);
        let decades = if scope == Some(Scope::Global) { 3.0 } else { draws.choose([3.0, 2.0, 1.0]) };
        let seed = draws.bits();
        let first = scope.map(|scope| Self::Reparametrise { scope, decades, seed });
        first.into_iter().chain(Self::sample_others(draws)).collect()
    }

    /// Everything but re-parametrisation.
    fn sample_others(draws: &mut Draws) -> Vec<Self> {
        let mut list = Vec::new();
        if draws.chance(0.2) {
            list.push(Self::ReducedBatch { share: draws.uniform(0.01, 1.0) as f32 });
        }
        if draws.chance(0.2) {
            list.push(Self::RescaleLoss { factor: draws.log_uniform(1e-3, 1e3) as f32 });
        }
        if draws.chance(0.08) {
            // VeLO draws up to 1024, but a step here takes microseconds.
            let directions = draws.log_uniform_integer(1, 64);
            list.push(Self::ProjectedGradients { directions, seed: draws.bits() });
        }
        if draws.chance(0.1) {
            let relative = draws.log_uniform(0.1, 3.0) as f32;
            list.push(Self::GradientNoise { relative, seed: draws.bits() });
        }
        if draws.chance(0.05) {
            list.push(Self::NormalisedGradients);
        }
        if draws.chance(0.1) {
            list.push(Self::Bfloat16Gradients);
        }
        list
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
    use crate::rng::stream_number;
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
    fn sampled_lists_are_valid_and_have_the_frequencies_of_the_method() {
        let mut draws = Draws::new(1, const { stream_number("augmentation test") });
        let count = 7000;
        let lists: Vec<_> = (0..count).map(|_| Augmentation::sample(&mut draws)).collect();
        lists.iter().flatten().for_each(|augmentation| augmentation.check().unwrap());
        let share = |kind: fn(&Augmentation) -> bool| {
            lists.iter().filter(|list| list.iter().any(kind)).count() as f64 / f64::from(count)
        };
        let expect = |found: f64, expected: f64| {
            let five_errors = 5.0 * (expected * (1.0 - expected) / f64::from(count)).sqrt();
            assert!((found - expected).abs() < five_errors, "{found} against {expected}");
        };
        expect(share(|a| matches!(a, Augmentation::Reparametrise { .. })), 5.0 / 7.0);
        expect(share(|a| matches!(a, Augmentation::Reparametrise { scope: Scope::PerParameter, .. })), 1.0 / 7.0);
        expect(share(|a| matches!(a, Augmentation::ReducedBatch { .. })), 0.2);
        expect(share(|a| matches!(a, Augmentation::RescaleLoss { .. })), 0.2);
        expect(share(|a| matches!(a, Augmentation::GradientNoise { .. })), 0.1);
        expect(share(|a| matches!(a, Augmentation::Bfloat16Gradients)), 0.1);
        expect(share(|a| matches!(a, Augmentation::ProjectedGradients { .. })), 0.08);
        expect(share(|a| matches!(a, Augmentation::NormalisedGradients)), 0.05);
        let lists: Vec<_> = (0..count).map(|_| Augmentation::sample_rate_aware(&mut draws)).collect();
        let global = |a: &Augmentation| matches!(a, Augmentation::Reparametrise { scope: Scope::Global, .. });
        let share = lists.iter().filter(|list| list.iter().any(global)).count() as f64 / f64::from(count);
        expect(share, 0.25);
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
