//! Optimizers around an optimizer: what is done to gradients before it, and to parameters after it.
//!
//! ```text
//! gradients, loss ─▶ L2Regularised ─▶ Clipped ─▶ Accumulated ─▶ the optimizer ─▶ Lookahead ─▶ Averaged ─▶ parameters
//! ```
//!
//! Each is an [`Optimizer`](crate::Optimizer) itself, so they nest in any order. In a configuration file a wrapper
//! names its inner optimizer: `Clipped(by: Norm(1.0), inner: AdamW(learning_rate: 0.003))`. Rates, decay, schedule
//! and counters are those of the inner optimizer unless a module says otherwise.

mod accumulated;
mod averaged;
mod clipped;
mod l2_regularised;
mod lookahead;
mod wrapped;

pub use accumulated::{Accumulated, AccumulatedConfig, Accumulation};
pub use averaged::{AverageMemory, Averaged, AveragedConfig, RunningAverage};
pub(crate) use averaged::{check_share, newest_of_share};
pub use clipped::{Clipped, ClippedConfig, Clipping, Limit, Unit};
pub use l2_regularised::{L2Penalty, L2Regularised, L2RegularisedConfig, Penalty};
pub use lookahead::{Lookahead, LookaheadConfig, Pull, SlowParams};
pub use wrapped::{Call, Wrapped, Wrapper};
