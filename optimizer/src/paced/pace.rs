//! The fixed part of the step size over time, so that nobody has to choose a schedule.

use super::PacedConfig;
use crate::Schedule;

/// The factor on the step of call number `call`, counted from zero.
///
/// With a horizon: a warm-up over the fraction `warmup` of it, then half a cosine to zero; past the horizon, zero.
/// Without: with `W = warmup_steps` and `τ = time_constant`, `min(1, (t+1)/(W+1)) / √(1 + t/τ)`.
pub(super) fn pace(config: &PacedConfig, call: u64, horizon: Option<u64>) -> f32 {
    let horizon = horizon.filter(|&horizon| horizon > 0);
    if horizon.is_some() {
        return Schedule::Cosine { warmup: config.warmup, floor: 0.0 }.factor(call, horizon);
    }
    let t = call as f64;
    let rising = ((t + 1.0) / (config.warmup_steps as f64 + 1.0)).min(1.0);
    (rising / (1.0 + t / f64::from(config.time_constant)).sqrt()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_horizon_the_pace_rises_briefly_and_ends_at_zero() {
        let config = PacedConfig { warmup: 0.1, ..PacedConfig::default() };
        let paces: Vec<f32> = (0..=100).map(|call| pace(&config, call, Some(100))).collect();
        assert!(paces[..10].is_sorted() && paces[10] == 1.0 && paces[10..].is_sorted_by(|a, b| a > b), "{paces:?}");
        assert!(paces[99] < 1e-3 && paces[100] < 1e-6 && paces[0] > 0.05, "{paces:?}");
    }

    #[test]
    fn without_a_horizon_the_pace_falls_like_a_reciprocal_root_and_never_ends() {
        let config = PacedConfig { warmup_steps: 4, time_constant: 100.0, ..PacedConfig::default() };
        let at = |call| pace(&config, call, None);
        assert!((at(0) - 0.2).abs() < 1e-6, "{}", at(0));
        assert!((at(100) - 0.5f32.sqrt()).abs() < 1e-6, "{}", at(100));
        assert!((at(4_000_000) / at(1_000_000) - 0.5).abs() < 1e-3);
        assert!(at(u64::MAX) > 0.0);
        // A horizon of zero declares nothing.
        assert_eq!(pace(&config, 50, Some(0)), at(50));
    }
}
