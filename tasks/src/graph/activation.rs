//! The functions between layers.

use serde::{Deserialize, Serialize};

use super::real::Real;
use super::simd::kernel;

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
    /// Sine (Sitzmann et al., arXiv 2006.09661).
    Sin,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
}

impl Activation {
    /// The factor on the variance of initial kernels: 2 where about half of the signal is cut off (He et al.,
    /// arXiv 1502.01852), 1 otherwise (LeCun et al. 1998).
    pub(crate) fn variance_gain(self) -> f32 {
        match self {
            Self::Relu | Self::Silu | Self::Gelu => 2.0,
            Self::Tanh | Self::Sin | Self::Sigmoid => 1.0,
        }
    }

    /// Replaces every `x` in `values` by `φ(x)` and writes `φ'(x)` to `slopes`.
    pub(crate) fn apply<T: Real>(self, values: &mut [T], slopes: &mut [T]) {
        apply(values, slopes, self);
    }
}

kernel! {
    fn apply<T, I, ROWS>(values: &'a mut [T], slopes: &'a mut [T], activation: Activation) {
        match activation {
            // One choice to a loop: with two, the compiler branches. A NaN is no less than zero, so it stays one.
            Activation::Relu => {
                for (slope, value) in slopes.iter_mut().zip(values.iter()) {
                    *slope = if *value <= T::ZERO { T::ZERO } else { T::ONE };
                }
                for value in values.iter_mut() {
                    *value = if *value <= T::ZERO { T::ZERO } else { *value };
                }
            }
            Activation::Tanh => map(values, slopes, #[inline(always)] |x| {
                let t = x.tanh::<I>();
                (t, T::ONE - t * t)
            }),
            Activation::Silu => map(values, slopes, #[inline(always)] |x| {
                let s = x.sigmoid::<I>();
                (x * s, s * x.multiply_add::<I>(T::ONE - s, T::ONE))
            }),
            Activation::Gelu => map(values, slopes, #[inline(always)] |x| {
                let (root, cubic) = (T::from_f64((2.0 / std::f64::consts::PI).sqrt()), T::from_f64(0.044_715));
                let half = T::from_f64(0.5);
                let square = x * x;
                let t = (root * x * cubic.multiply_add::<I>(square, T::ONE)).tanh::<I>();
                let inner = root * (T::from_f64(3.0) * cubic).multiply_add::<I>(square, T::ONE);
                (half * x * (T::ONE + t), half * ((T::ONE + t) + x * (T::ONE - t * t) * inner))
            }),
            Activation::Sin => map(values, slopes, #[inline(always)] |x| (x.sin::<I>(), x.cos::<I>())),
            Activation::Sigmoid => map(values, slopes, #[inline(always)] |x| {
                let s = x.sigmoid::<I>();
                (s, s * (T::ONE - s))
            }),
        }
    }
}

#[inline(always)]
fn map<T: Real>(values: &mut [T], slopes: &mut [T], f: impl Fn(T) -> (T, T)) {
    for (value, slope) in values.iter_mut().zip(slopes) {
        (*value, *slope) = f(*value);
    }
}
