//! Ratings of items by users, from hidden factors: what matrix factorisation recovers, with gradients that are mostly zero.
//!
//! ```text
//! rating(u, i) = f_u · g_i / √rank + noise · ε      f, g ~ N(0, I) of `rank` dimensions
//! ```
//!
//! An input is two tokens, the user `u` and the item `users + i`, and the target one number. Items are drawn with the
//! frequencies `1 / rank of popularity`, so that some are rated all the time and most of them seldom.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::alias::AliasTable;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, normals, stream_number};

/// Random tastes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatingsConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Users, 2 to 10,000.
    pub users: usize,
    /// Items, 2 to 10,000.
    pub items: usize,
    /// Dimensions of the hidden factors, 1 to 64.
    pub rank: usize,
    /// Standard deviation of the noise on ratings, 0 to 2.
    pub noise: f32,
    /// Number of rows.
    pub rows: RowCount,
}

impl Default for RatingsConfig {
    fn default() -> Self {
        Self { seed: 0, users: 64, items: 64, rank: 4, noise: 0.1, rows: RowCount::Fixed(2048) }
    }
}

impl RatingsConfig {
    /// Tastes of random size and difficulty.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            users: draws.log_uniform_integer(16, 256),
            items: draws.log_uniform_integer(16, 256),
            rank: draws.log_uniform_integer(1, 8),
            noise: draws.uniform(0.0, 0.5) as f32,
            rows: RowCount::sample(draws),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.users", self.users, 2..=10_000)?;
        check_range("data.items", self.items, 2..=10_000)?;
        check_range("data.rank", self.rank, 1..=64)?;
        check_range("data.noise", self.noise, 0.0..=2.0)?;
        self.rows.check("data.rows", 3)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        let inputs = InputKind::Tokens { vocabulary: self.users + self.items, length: 2 };
        (inputs, TargetKind::Values(1))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Tastes::new(self), self.kinds(), self.rows)
    }
}

/// The drawn factors.
struct Tastes {
    config: RatingsConfig,
    /// `(users + items) × rank`, each divided by the fourth root of the rank.
    factors: Vec<f32>,
    popularity: AliasTable,
}

impl Tastes {
    fn new(config: &RatingsConfig) -> Self {
        let mut factors = vec![0.0; (config.users + config.items) * config.rank];
        normals(config.seed, const { stream_number("rating factors") }, 0, &mut factors);
        let scale = 1.0 / (config.rank as f32).sqrt().sqrt();
        factors.iter_mut().for_each(|factor| *factor *= scale);
        let weights: Vec<_> = (1..=config.items).map(|rank| 1.0 / rank as f64).collect();
        Self { config: config.clone(), factors, popularity: AliasTable::new(&weights) }
    }
}

impl Generator for Tastes {
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32 {
        let RatingsConfig { seed, users, rank, noise, .. } = self.config;
        let stream = Stream::new(derive_seed(seed, id), const { stream_number("rating row") });
        let user = stream.below(0, users as u64) as usize;
        let item = users + self.popularity.outcome(stream.bits(1));
        inputs.copy_from_slice(&[user as f32, item as f32]);
        let factors = |owner: usize| &self.factors[owner * rank..][..rank];
        let taste: f32 = factors(user).iter().zip(factors(item)).map(|(f, g)| f * g).sum();
        // Words 2 and 3 are one pair of normals: number 2.
        values[0] = taste + noise * stream.normal(2);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn the_same_question_has_the_same_answer_up_to_noise_and_ratings_have_unit_variance() {
        let config =
            RatingsConfig { users: 20, items: 20, noise: 0.0, rows: RowCount::Fixed(8000), ..Default::default() };
        let dataset = config.generate();
        let rows = dataset.rows(Split::Train);
        let mut answers = std::collections::BTreeMap::new();
        for (question, &answer) in rows.inputs.chunks(2).zip(&rows.values) {
            let question = [question[0] as usize, question[1] as usize];
            assert!(question[0] < 20 && (20..40).contains(&question[1]));
            assert_eq!(*answers.entry(question).or_insert(answer), answer);
        }
        assert!(answers.len() > 350, "{} of 400 pairs occur", answers.len());
        let variance = answers.values().map(|y| y * y).sum::<f32>() / answers.len() as f32;
        assert!((0.4..2.0).contains(&variance), "{variance}");
    }

    #[test]
    fn the_first_item_is_twice_as_popular_as_the_second() {
        let config = RatingsConfig { rows: RowCount::Fixed(20_000), ..Default::default() };
        let dataset = config.generate();
        let count = |item: f32| dataset.rows(Split::Train).inputs.chunks(2).filter(|row| row[1] == item).count();
        let ratio = count(64.0) as f64 / count(65.0) as f64;
        assert!((1.7..2.3).contains(&ratio), "{ratio}");
    }
}
