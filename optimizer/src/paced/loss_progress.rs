//! Two numbers about the loss, whatever its sign and scale: how far it has come, and which way it goes.
//!
//! Logarithms of a loss need a positive one; this takes any. With the first loss `L₀` and `ℓ = 1e-4 |L₀|`:
//!
//! ```text
//! y = clip(asinh(L / 2ℓ) - asinh(L₀ / 2ℓ), -10, 3)
//! f ← 0.9 f + 0.1 y          s ← 0.99 s + 0.01 y          both then freed of the bias of their start at zero
//! ```
//!
//! Where `L` and `L₀` are far above `ℓ`, `y` is `ln(L/L₀)`. It goes on falling through zero into the negative, and a
//! factor on all losses changes nothing. A spike of any height enters as 3.

use crate::state::{Slot, StateLayout};

const FRACTION: f64 = 1e-4;
const LOWEST: f64 = -10.0;
const HIGHEST: f64 = 3.0;
const DECAYS: [f32; 2] = [0.9, 0.99];

/// What the loss says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Progress {
    /// The short average: zero at the start, negative once the loss has fallen.
    pub since_start: f32,
    /// Short minus long average: negative while the loss falls.
    pub trend: f32,
}

/// The first loss and the two averages: where they lie in the state.
#[derive(Debug, Clone)]
pub(super) struct LossProgress {
    slot: Slot,
}

impl LossProgress {
    /// Lays them out.
    pub fn new(state: &mut StateLayout) -> Self {
        Self { slot: state.tensor("loss_progress", &[3]) }
    }

    /// Takes in the loss, a finite number, of update number `step`, counted from zero.
    pub fn update(&self, state: &mut [f32], loss: f32, step: u64) -> Progress {
        let [first, averages @ ..] = &mut state[self.slot.range()] else { return Progress::default() };
        if step == 0 {
            *first = loss;
        }
        // The floor only serves a first loss of zero.
        let unit = (FRACTION * f64::from(*first).abs()).max(f64::from(f32::MIN_POSITIVE));
        let log = |loss: f32| (f64::from(loss) / (2.0 * unit)).asinh();
        let y = (log(loss) - log(*first)).clamp(LOWEST, HIGHEST) as f32;
        let mut unbiased = [0.0; 2];
        for ((average, decay), unbiased) in averages.iter_mut().zip(DECAYS).zip(&mut unbiased) {
            *average = decay * *average + (1.0 - decay) * y;
            *unbiased = *average / (1.0 - decay.powf((step + 1) as f32));
        }
        let [short, long] = unbiased;
        Progress { since_start: short, trend: short - long }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(losses: impl IntoIterator<Item = f32>) -> Vec<Progress> {
        let mut layout = StateLayout::default();
        let progress = LossProgress::new(&mut layout);
        let mut state = vec![0.0; layout.len()];
        losses.into_iter().zip(0..).map(|(loss, step)| progress.update(&mut state, loss, step)).collect()
    }

    #[test]
    fn a_loss_that_has_fallen_and_rests_shows_the_logarithm_of_its_ratio_and_no_trend() {
        let last = *progress(std::iter::once(2.0).chain(std::iter::repeat_n(0.2, 2000))).last().unwrap();
        assert!((last.since_start + 10f32.ln()).abs() < 1e-3 && last.trend.abs() < 1e-3, "{last:?}");
    }

    #[test]
    fn a_factor_on_all_losses_changes_nothing() {
        let losses = |factor: f32| (0..50).map(move |i| factor * (3.0 - 0.05 * i as f32));
        for (plain, scaled) in progress(losses(1.0)).iter().zip(progress(losses(1024.0))) {
            assert!((plain.since_start - scaled.since_start).abs() < 1e-4, "{plain:?} {scaled:?}");
            assert!((plain.trend - scaled.trend).abs() < 1e-4, "{plain:?} {scaled:?}");
        }
    }

    #[test]
    fn a_falling_loss_has_a_negative_trend_on_either_side_of_zero() {
        for from in [5.0, 0.5, 0.0, -5.0] {
            let last = *progress((0..30).map(|i| from - 0.1 * i as f32)).last().unwrap();
            assert!(last.trend < 0.0 && last.since_start < 0.0, "from {from}: {last:?}");
        }
    }

    #[test]
    fn spikes_of_any_height_and_sign_stay_bounded() {
        let spikes = [1.0, f32::MAX, -f32::MAX, 0.0, f32::MIN_POSITIVE, 1e-30, -1e30];
        for first in [1.0, 0.0, -3.0, f32::MAX, f32::MIN_POSITIVE] {
            for (step, progress) in progress(std::iter::once(first).chain(spikes)).iter().enumerate() {
                let Progress { since_start, trend } = progress;
                assert!((-10.001..=3.001).contains(since_start) && trend.abs() < 13.01, "{first} {step}: {progress:?}");
            }
        }
    }
}
