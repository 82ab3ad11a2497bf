//! The functions between dense layers.

use serde::{Deserialize, Serialize};

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
}
