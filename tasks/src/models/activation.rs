//! The functions between dense layers.

use serde::{Deserialize, Serialize};

use super::elementary::{sigmoid, tanh};
use super::simd::multiply_add;

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
    pub(super) fn apply<const FUSED: bool>(self, values: &mut [f32], slopes: &mut [f32]) {
        match self {
            Self::Relu => map(values, slopes, |x| (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 })),
            Self::Tanh => map(values, slopes, |x| {
                let t = tanh::<FUSED>(x);
                (t, 1.0 - t * t)
            }),
            Self::Silu => map(values, slopes, |x| {
                let s = sigmoid::<FUSED>(x);
                (x * s, s * multiply_add::<FUSED>(x, 1.0 - s, 1.0))
            }),
            Self::Gelu => map(values, slopes, |x| {
                const ROOT: f32 = 0.797_884_56;
                const CUBIC: f32 = 0.044_715;
                let square = x * x;
                let t = tanh::<FUSED>(ROOT * x * multiply_add::<FUSED>(CUBIC, square, 1.0));
                let inner = ROOT * multiply_add::<FUSED>(3.0 * CUBIC, square, 1.0);
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
