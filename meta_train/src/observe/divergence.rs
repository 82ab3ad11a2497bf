//! Which families diverge.
//!
//! A diverged inner run is an ordinary event: it costs the worst meta-loss and is counted. A family whose runs all
//! diverge teaches nothing, as both sides of every pair are equally bad; the run goes on without it, and says so.

use serde::{Deserialize, Serialize};

use crate::unroll::Ended;

/// So many ended runs in a row, all diverged on both sides, make a family worth a word; then twice as many, and so on.
const WORTH_A_WORD: u64 = 8;

/// What became of the runs of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FamilyRuns {
    /// Sides of ended pairs.
    pub ended: u64,
    /// Those of them that had diverged.
    pub diverged: u64,
    /// Pairs that ended since the last of which a side had not.
    pub in_vain: u64,
}

/// The same for all families of a run, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Divergence {
    families: Vec<FamilyRuns>,
}

impl Divergence {
    /// Nothing has ended so far, of any of `families` families.
    pub fn new(families: usize) -> Self {
        Self { families: vec![FamilyRuns::default(); families] }
    }

    /// What became of the runs of each family.
    pub fn families(&self) -> &[FamilyRuns] {
        &self.families
    }

    /// Counts an ended pair; true when its family has become worth a word.
    pub fn count(&mut self, ended: Ended) -> bool {
        let Some(family) = self.families.get_mut(ended.family) else {
            return false;
        };
        family.ended += 2;
        family.diverged += u64::from(ended.diverged);
        family.in_vain = if ended.diverged == 2 { family.in_vain + 1 } else { 0 };
        family.in_vain >= WORTH_A_WORD
            && (family.in_vain / WORTH_A_WORD).is_power_of_two()
            && family.in_vain.is_multiple_of(WORTH_A_WORD)
    }

    /// Numbers of the families whose newest runs all diverged.
    pub fn hopeless(&self) -> impl Iterator<Item = usize> {
        self.families.iter().enumerate().filter(|(_, family)| family.in_vain >= WORTH_A_WORD).map(|(number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_that_only_diverges_is_worth_a_word_at_eight_sixteen_and_thirty_two_pairs() {
        let mut divergence = Divergence::new(2);
        let said: Vec<u64> = (1..=40).filter(|_| divergence.count(Ended { family: 1, diverged: 2 })).collect();
        assert_eq!(said, [8, 16, 32]);
        assert_eq!(divergence.hopeless().collect::<Vec<_>>(), [1]);
        assert_eq!(divergence.families()[1], FamilyRuns { ended: 80, diverged: 80, in_vain: 40 });
    }

    #[test]
    fn one_side_that_gets_through_gives_hope() {
        let mut divergence = Divergence::new(1);
        let mut count = |diverged| divergence.count(Ended { family: 0, diverged });
        assert!((0..7).all(|_| !count(2)) && !count(1) && (0..7).all(|_| !count(2)));
        assert_eq!(divergence.hopeless().count(), 0);
    }
}
