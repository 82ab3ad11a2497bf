//! Seeds of task draws for training, validation and testing that can never coincide.
//!
//! The two upper bits of a seed say which partition it belongs to, the 62 others which draw it is:
//!
//! ```text
//! seed of a draw = partition · 2⁶² + (number mod 2⁶²)
//! ```
//!
//! The ranges are disjoint, and as a stream's key is a bijection of its seed, so are the streams that tasks are drawn from.

use serde::{Deserialize, Serialize};

/// Draws in a partition.
const DRAWS: u64 = 1 << 62;

/// What a draw of a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Partition {
    /// Meta-training.
    Train,
    /// Choosing between checkpoints and settings.
    Validation,
    /// The final comparison.
    Test,
}

impl Partition {
    /// The seed of draw `number`. Numbers below 2⁶² have different seeds; small ones of [`Train`](Self::Train) are their own.
    pub const fn seed(self, number: u64) -> u64 {
        self as u64 * DRAWS + number % DRAWS
    }

    /// The seed with the bits of `number` in the quarter of all seeds that `seed` belongs to: for draws that draw.
    pub(crate) const fn within(seed: u64, number: u64) -> u64 {
        seed / DRAWS * DRAWS + number % DRAWS
    }

    /// The partition that a seed belongs to; none for the upper quarter of all seeds.
    pub const fn of(seed: u64) -> Option<Self> {
        match seed / DRAWS {
            0 => Some(Self::Train),
            1 => Some(Self::Validation),
            2 => Some(Self::Test),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::family::families;

    const ALL: [Partition; 3] = [Partition::Train, Partition::Validation, Partition::Test];

    #[test]
    fn the_ranges_are_disjoint_and_their_ends_meet() {
        // A range is an interval because the seed rises with the number, so its ends prove it.
        let ends = ALL.map(|partition| [partition.seed(0), partition.seed(DRAWS - 1)]);
        assert_eq!(ends[0][0], 0);
        assert!(ends.windows(2).all(|pair| pair[0][1] + 1 == pair[1][0]));
        assert_eq!(Partition::of(ends[2][1] + 1), None);
    }

    #[test]
    fn the_same_number_draws_another_task_in_every_partition() {
        for family in families() {
            let [train, validation, test] = ALL.map(|partition| family.sample(partition.seed(7)));
            assert!(train != validation && validation != test && train != test, "{}", family.name());
        }
    }

    proptest! {
        #[test]
        fn a_seed_knows_its_partition_and_different_numbers_have_different_seeds(a: u64, b: u64) {
            for partition in ALL {
                prop_assert_eq!(Partition::of(partition.seed(a)), Some(partition));
                prop_assert_eq!(Partition::of(Partition::within(partition.seed(a), b)), Some(partition));
                prop_assert_eq!(partition.seed(a) == partition.seed(b), a % DRAWS == b % DRAWS);
            }
        }
    }
}
