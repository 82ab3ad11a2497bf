//! What the Adam family shares about running averages.

/// `1 / (1 - β^(t+1))`, the factor that undoes the zero start of a running average after `t+1` updates.
pub(super) fn bias_correction(beta: f32, step: u64) -> f32 {
    (1.0 / (1.0 - f64::from(beta).powf((step + 1) as f64))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_correction_undoes_the_weight_of_the_first_gradient() {
        assert!((bias_correction(0.75, 0) - 4.0).abs() < 1e-6);
        assert_eq!(bias_correction(0.9, 1_000_000), 1.0);
    }
}
