//! Draws from fixed weights in constant time: Walker's alias method (Vose 1991).
//!
//! The weights are cut into `n` cells of equal mass, each shared by at most two outcomes. A draw takes a cell evenly, and
//! then its first outcome with the cell's threshold, the alias otherwise. One random word does both.

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    /// The first outcome, the cell's own number, is taken when 32 random bits are below this.
    threshold: u64,
    alias: u16,
}

/// A distribution over `0..n`, `n` at most 65,536.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AliasTable {
    cells: Vec<Cell>,
}

impl AliasTable {
    /// Outcomes in proportion to these weights, which are not negative and not all zero.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let scale = weights.len() as f64 / weights.iter().sum::<f64>();
        let mut mass: Vec<_> = weights.iter().map(|weight| weight * scale).collect();
        let whole = Cell { threshold: 1 << 32, alias: 0 };
        let mut cells = vec![whole; weights.len()];
        let (mut light, mut heavy): (Vec<_>, Vec<_>) = (0..weights.len()).partition(|&outcome| mass[outcome] < 1.0);
        while let (Some(poor), Some(&rich)) = (light.pop(), heavy.last()) {
            cells[poor] = Cell { threshold: (mass[poor] * (1u64 << 32) as f64) as u64, alias: rich as u16 };
            mass[rich] -= 1.0 - mass[poor];
            if mass[rich] < 1.0 {
                heavy.pop();
                light.push(rich);
            }
        }
        Self { cells }
    }

    /// The outcome for these 64 random bits: the upper half chooses the cell, the lower one the outcome.
    pub(crate) fn outcome(&self, bits: u64) -> usize {
        let cell = (((bits >> 32) * self.cells.len() as u64) >> 32) as usize;
        let Cell { threshold, alias } = self.cells[cell];
        if bits & 0xffff_ffff < threshold { cell } else { usize::from(alias) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn outcomes_have_the_frequencies_of_their_weights() {
        let weights = [5.0, 0.0, 1.0, 3.0, 0.5, 0.5];
        let (table, stream, draws) = (AliasTable::new(&weights), Stream::new(1, 2), 100_000);
        let mut counts = [0.0; 6];
        (0..draws).for_each(|i| counts[table.outcome(stream.bits(i))] += 1.0);
        for (count, weight) in counts.iter().zip(weights) {
            let share = weight / 10.0;
            let five_errors = 5.0 * (share * (1.0 - share) * draws as f64).sqrt();
            assert!((count - share * draws as f64).abs() <= five_errors, "{counts:?}");
        }
    }

    #[test]
    fn a_single_outcome_is_certain() {
        let table = AliasTable::new(&[0.3]);
        assert_eq!([0, u64::MAX, 12345].map(|bits| table.outcome(bits)), [0; 3]);
    }
}
