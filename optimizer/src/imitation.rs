//! Weights, written down rather than learned, under which a per-parameter network is Adam.
//!
//! Two rectified units carry a channel through: `max(x, 0) - max(-x, 0) = x`. With the channel `m₁ e` the direction is
//! that of Adam with decays 0.9 and 0.95. The other units have weights of the usual size and nothing reads them yet: an
//! output weight that leaves zero finds its unit at work. Their signs are Walsh functions, so that no two units see
//! the same.

use crate::param_network::channels::AGREEMENT;

/// Units that carry the channel.
const CARRIERS: usize = 2;

/// The sign of entry `(row, column)` of a Walsh matrix.
pub(crate) fn walsh_sign(row: usize, column: usize) -> f32 {
    if (row & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
}

/// Weights of a network `channels × hidden`, `b0`, `w1`, `b1`, `w2` (`hidden × outputs`), `b2`, flat in this order,
/// whose first output is the channel `m₁ e`. Both hidden layers are rectified.
pub(crate) fn carries_momentum(channels: usize, hidden: usize, outputs: usize) -> Vec<f32> {
    let idle = hidden - CARRIERS;
    let mut theta = Vec::new();
    for channel in 0..channels {
        for unit in 0..hidden {
            theta.push(match (unit, channel) {
                (0, AGREEMENT) => 1.0,
                (1, AGREEMENT) => -1.0,
                (..CARRIERS, _) => 0.0,
                // Codes of five bits with the last two set: columns 3, 7, 11, … of the matrix.
                _ => walsh_sign(channel, 4 * unit + 3) / (channels as f32).sqrt(),
            });
        }
    }
    theta.resize(theta.len() + hidden, 0.0);
    for from in 0..hidden {
        for to in 0..hidden {
            theta.push(match (from < CARRIERS, to < CARRIERS) {
                (true, true) => f32::from(from == to),
                (false, false) => walsh_sign(from, to) / (idle as f32).sqrt(),
                _ => 0.0,
            });
        }
    }
    theta.resize(theta.len() + hidden, 0.0);
    for unit in 0..hidden {
        let carried = [1.0, -1.0].get(unit).copied().unwrap_or(0.0);
        theta.push(carried);
        theta.resize(theta.len() + outputs - 1, 0.0);
    }
    theta.resize(theta.len() + outputs, 0.0);
    theta
}
