//! How far through training we are, embedded: nine soft steps along the fraction of the horizon that is done.

/// Number of features.
pub(crate) const PROGRESS: usize = 9;

const THRESHOLDS: [f32; PROGRESS] = [0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1];

/// Assumed when no horizon was declared.
pub(crate) const DEFAULT_HORIZON: u64 = 10_000;

/// `tanh(10 (t/N - τ))` for each threshold `τ`, with `t` updates done of `N`.
pub(crate) fn progress_features(step: u64, horizon: u64) -> [f32; PROGRESS] {
    let done = step as f32 / horizon.max(1) as f32;
    THRESHOLDS.map(|threshold| (10.0 * (done - threshold)).tanh())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_below_every_threshold_and_the_end_above_most() {
        assert!(progress_features(0, 100).iter().all(|&x| x < 0.0));
        let end = progress_features(100, 100);
        assert!(end[6] > 0.0 && end[7] == 0.0 && end[8] < 0.0, "{end:?}");
    }
}
