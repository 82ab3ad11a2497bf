//! The functions between dense layers.

use serde::{Deserialize, Serialize};

use super::elementary::{sigmoid, tanh};
use super::simd::Instructions;

/// An element-wise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x · sigmoid(x)` (Elfwing et al., arXiv 1702.03118).
    Silu,
    /// `x · Φ(x)` (Hendrycks and Gimpel, arXiv 1606.08415), in its approximation
    /// `½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    Gelu,
}

impl Activation {
    /// The factor on the variance of initial kernels: 2 where about half of the signal is cut off (He et al.,
    /// arXiv 1502.01852), 1 otherwise (LeCun et al. 1998).
    pub(crate) fn variance_gain(self) -> f32 {
        match self {
            Self::Relu | Self::Silu | Self::Gelu => 2.0,
            Self::Tanh => 1.0,
        }
    }

    /// Replaces every `x` in `values` by `φ(x)` and writes `φ'(x)` to `slopes`.
    #[inline(always)]
    pub(super) fn apply<I: Instructions>(self, values: &mut [f32], slopes: &mut [f32]) {
        match self {
            Self::Relu => map(values, slopes, |x| (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 })),
            Self::Tanh => map(values, slopes, |x| {
                let t = tanh::<I>(x);
                (t, 1.0 - t * t)
            }),
            Self::Silu => map(values, slopes, |x| {
                let s = sigmoid::<I>(x);
                (x * s, s * I::multiply_add(x, 1.0 - s, 1.0))
            }),
            Self::Gelu => map(values, slopes, |x| {
                /// `√(2/π)`.
                const ROOT: f32 = 0.797_884_6;
                const CUBIC: f32 = 0.044_715;
                let square = x * x;
                let t = tanh::<I>(ROOT * x * I::multiply_add(CUBIC, square, 1.0));
                let inner = ROOT * I::multiply_add(3.0 * CUBIC, square, 1.0);
                (0.5 * x * (1.0 + t), 0.5 * ((1.0 + t) + x * (1.0 - t * t) * inner))
            }),
        }
    }
}

#[inline(always)]
fn map(values: &mut [f32], slopes: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
    for (value, slope) in values.iter_mut().zip(slopes) {
        (*value, *slope) = f(*value);
    }
}
