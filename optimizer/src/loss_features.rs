//! The running loss on ten time scales, and nine numbers that say whether it is still falling.
//!
//! With decays `d_i = exp(-1/h_i)`, `h` spaced evenly in logarithm from 10 to the horizon `N`, and `n` losses
//! seen before `L`:
//!
//! ```text
//! top = L if n = 0, else max_i μ_i / (1 - d_i^(n+1))     L' = min(2 |top|, L)
//! μ_i ← d_i μ_i + (1-d_i) L'     c_i = μ_i / (1 - d_i^(n+1))     lo_i ← min(lo_i, c_i)
//! f_i = clip((c_i - lo_i) / max(1e-8, c_{i+1} - lo_i) - 1, -1, 1),  i = 0..8;  all zero on the first two losses
//! ```
//!
//! The exponent `n + 1` in `top` belongs to the published implementation, although `μ` holds `n` losses there.

use crate::state::{Slot, StateLayout, parts};

/// Number of features.
pub(crate) const LOSS_FEATURES: usize = SCALES - 1;

const SCALES: usize = 10;

/// What a running minimum starts from.
const NO_MINIMUM: f32 = 999_999_999_999.0;

/// The running averages: where they lie in the state, and their decays for a horizon.
#[derive(Debug, Clone)]
pub(crate) struct LossFeatures {
    means: Slot,
    minima: Slot,
    horizon: u64,
    decays: [f32; SCALES],
}

impl LossFeatures {
    /// Lays out the averages.
    pub fn new(state: &mut StateLayout) -> Self {
        Self {
            means: state.tensor("loss_means", &[SCALES]),
            minima: state.tensor("loss_minima", &[SCALES]),
            horizon: 0,
            decays: [0.0; SCALES],
        }
    }

    /// Takes in the loss of update number `step`, counted from zero, and returns the features.
    pub fn update(&mut self, state: &mut [f32], loss: f32, step: u64, horizon: u64) -> [f32; LOSS_FEATURES] {
        if self.horizon != horizon {
            (self.horizon, self.decays) = (horizon, loss_decays(horizon));
        }
        let [means, minima] = parts(state, [self.means, self.minima]);
        if step == 0 {
            minima.fill(NO_MINIMUM);
        }
        let exponent = (step + 1) as f32;
        let unbiased = self.decays.map(|decay| 1.0 - decay.powf(exponent));
        let top = if step == 0 {
            loss
        } else {
            means.iter().zip(unbiased).map(|(mean, unbiased)| mean / unbiased).fold(f32::NEG_INFINITY, f32::max)
        };
        let loss = loss.min(2.0 * top.abs());
        let mut corrected = [0.0; SCALES];
        for i in 0..SCALES {
            means[i] = self.decays[i] * means[i] + (1.0 - self.decays[i]) * loss;
            corrected[i] = means[i] / unbiased[i];
            minima[i] = minima[i].min(corrected[i]);
        }
        if step < 2 {
            return [0.0; LOSS_FEATURES];
        }
        std::array::from_fn(|i| {
            let slower = (corrected[i + 1] - minima[i]).max(1e-8);
            ((corrected[i] - minima[i]) / slower - 1.0).clamp(-1.0, 1.0)
        })
    }
}

/// `exp(-1/h_i)` in single precision at every step: long horizons depend on its rounding.
fn loss_decays(horizon: u64) -> [f32; SCALES] {
    let last = (horizon as f32).log10();
    std::array::from_fn(|i| {
        let fraction = i as f32 / (SCALES - 1) as f32;
        let exponent = 1.0 * (1.0 - fraction) + last * fraction;
        (-1.0 / 10f32.powf(exponent)).exp()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(losses: &[f32], horizon: u64) -> Vec<[f32; LOSS_FEATURES]> {
        let mut layout = StateLayout::default();
        let mut features = LossFeatures::new(&mut layout);
        let mut state = vec![0.0; layout.len()];
        losses.iter().zip(0..).map(|(&loss, step)| features.update(&mut state, loss, step, horizon)).collect()
    }

    #[test]
    fn a_steadily_falling_loss_sits_at_its_minimum() {
        let falling: Vec<f32> = (0..50).map(|i| 10.0 - 0.1 * i as f32).collect();
        assert_eq!(features(&falling, 1000).last().unwrap(), &[-1.0; LOSS_FEATURES]);
    }

    #[test]
    fn a_rising_loss_shows_on_the_fast_scales() {
        let mut losses = vec![1.0; 30];
        losses.extend([1.5; 5]);
        assert!(features(&losses, 1000).last().unwrap()[0] > 0.0);
    }

    #[test]
    fn an_upward_spike_is_clipped_to_twice_the_average() {
        let mut spiked = vec![1.0; 20];
        let mut doubled = spiked.clone();
        spiked.push(1e6);
        doubled.push(2.0 * 1.0);
        let (spiked, doubled) = (features(&spiked, 100), features(&doubled, 100));
        for (a, b) in spiked[20].iter().zip(doubled[20]) {
            assert!((a - b).abs() < 0.02, "{a} {b}");
        }
    }
}
