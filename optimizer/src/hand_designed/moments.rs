//! What the Adam family shares: bias correction, and the update with or without Nesterov momentum.

use super::step_size::StepSize;
use crate::elementwise::for_each_element;

/// `1 / (1 - β^(t+1))`, the factor that undoes the zero start of a running average after `t+1` updates.
pub(super) fn bias_correction(beta: f32, step: u64) -> f32 {
    (1.0 / (1.0 - f64::from(beta).powf((step + 1) as f64))) as f32
}

/// The decays of Adam and its `ε`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
}

impl Moments {
    /// One update of Adam, with both averages corrected:
    ///
    /// ```text
    /// u = m̂ / (√v̂ + ε),    m̂ = m / (1 - β₁^(t+1)),    v̂ = v / (1 - β₂^(t+1))
    /// ```
    pub fn adam(self, params: &mut [f32], grads: &[f32], state: [&mut [f32]; 2], step: u64, step_size: StepSize) {
        self.update(params, grads, state, [bias_correction(self.beta1, step), 0.0], step, step_size);
    }

    /// The same, with the momentum that the next step will have (Dozat, 2016):
    ///
    /// ```text
    /// m̂ = β₁ m / (1 - β₁^(t+2)) + (1-β₁) g / (1 - β₁^(t+1))
    /// ```
    pub fn nadam(self, params: &mut [f32], grads: &[f32], state: [&mut [f32]; 2], step: u64, step_size: StepSize) {
        let of_mean = self.beta1 * bias_correction(self.beta1, step + 1);
        let of_gradient = (1.0 - self.beta1) * bias_correction(self.beta1, step);
        self.update(params, grads, state, [of_mean, of_gradient], step, step_size);
    }

    fn update(
        self,
        params: &mut [f32],
        grads: &[f32],
        [mean, mean_square]: [&mut [f32]; 2],
        [of_mean, of_gradient]: [f32; 2],
        step: u64,
        step_size: StepSize,
    ) {
        let Self { beta1, beta2, epsilon } = self;
        let square_correction = bias_correction(beta2, step);
        for_each_element(
            params,
            grads,
            [mean, mean_square],
            #[inline(always)]
            |p, g, [m, v]| {
                let m = beta1 * m + (1.0 - beta1) * g;
                let v = beta2 * v + (1.0 - beta2) * g * g;
                let numerator = of_mean * m + of_gradient * g;
                (step_size.moved(p, numerator / ((v * square_correction).sqrt() + epsilon)), [m, v])
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_correction_undoes_the_weight_of_the_first_gradient() {
        assert!((bias_correction(0.75, 0) - 4.0).abs() < 1e-6);
        assert_eq!(bias_correction(0.9, 1_000_000), 1.0);
    }

    #[test]
    fn the_first_step_of_adam_has_the_size_of_the_rate() {
        let moments = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-12 };
        let mut params = [1.0, 1.0];
        let step_size = StepSize { rate: 0.5, shrink: 1.0 };
        moments.adam(&mut params, &[3.0, -0.01], [&mut [0.0; 2], &mut [0.0; 2]], 0, step_size);
        assert!((params[0] - 0.5).abs() < 1e-5 && (params[1] - 1.5).abs() < 1e-5, "{params:?}");
    }
}
