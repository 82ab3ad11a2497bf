//! Parity of a few hidden bits among many: exclusive or for two, a plateau for gradient descent for more.
//!
//! A row has bits `b_i = ±1` at random, the input is `x_i = b_i + noise · ε_i`, and the class is 1 when an odd number of
//! the relevant bits is negative. Which bits are relevant follows from the seed.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::dataset::{Dataset, Generator, InputKind, TargetKind};
use crate::data::procedural::{self, RowCount, add_pixel_noise, noisy_label, sample_label_noise};
use crate::error::check_range;
use crate::rng::{Draws, Stream, derive_seed, stream_number};

/// Random bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParityConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Bits of an input, 1 to 1024.
    pub inputs: usize,
    /// Bits that count, 1 to 16 and no more than there are.
    pub relevant: usize,
    /// Standard deviation of the noise on bits, 0 to 2.
    pub noise: f32,
    /// Number of rows.
    pub rows: RowCount,
    /// Share of random labels, 0 to 1.
    pub label_noise: f32,
}

impl Default for ParityConfig {
    fn default() -> Self {
        Self { seed: 0, inputs: 8, relevant: 2, noise: 0.2, rows: RowCount::Fixed(512), label_noise: 0.0 }
    }
}

impl ParityConfig {
    /// A parity of random difficulty, at most four bits of 32.
    pub fn sample(draws: &mut Draws) -> Self {
        Self {
            seed: draws.bits(),
            inputs: draws.log_uniform_integer(4, 32),
            relevant: draws.choose([2, 2, 3, 4]),
            noise: draws.uniform(0.0, 0.5) as f32,
            rows: RowCount::sample(draws),
            label_noise: sample_label_noise(draws, 0.1),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_range("data.inputs", self.inputs, 1..=1024)?;
        check_range("data.relevant", self.relevant, 1..=self.inputs.min(16))?;
        check_range("data.noise", self.noise, 0.0..=2.0)?;
        check_range("data.label_noise", self.label_noise, 0.0..=1.0)?;
        self.rows.check("data.rows", self.inputs)
    }

    /// What a row holds.
    pub(crate) fn kinds(&self) -> (InputKind, TargetKind) {
        (InputKind::Features(self.inputs), TargetKind::Class(2))
    }

    pub(crate) fn generate(&self) -> Dataset {
        procedural::from_generator(Bits::new(self), self.kinds(), self.rows)
    }
}

/// The drawn choice of bits.
struct Bits {
    config: ParityConfig,
    relevant: Vec<usize>,
}

impl Bits {
    fn new(config: &ParityConfig) -> Self {
        let stream = Stream::new(config.seed, const { stream_number("parity bits") });
        let mut order: Vec<_> = (0..config.inputs).collect();
        order.sort_by_key(|&input| (stream.bits(input as u64), input));
        order.truncate(config.relevant);
        Self { config: config.clone(), relevant: order }
    }
}

impl Generator for Bits {
    fn row(&self, id: u64, inputs: &mut [f32], _values: &mut [f32]) -> u32 {
        let ParityConfig { seed, noise, label_noise, .. } = self.config;
        let row_seed = derive_seed(seed, id);
        let stream = Stream::new(row_seed, const { stream_number("parity row") });
        for (inputs, word) in inputs.chunks_mut(64).zip(0..) {
            let bits = stream.bits(word);
            inputs.iter_mut().enumerate().for_each(|(i, x)| *x = 1.0 - 2.0 * ((bits >> i) & 1) as f32);
        }
        let negative = self.relevant.iter().filter(|&&input| inputs[input] < 0.0).count();
        add_pixel_noise(inputs, noise, row_seed);
        noisy_label((negative % 2) as u32, 2, label_noise, row_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    #[test]
    fn the_class_is_the_sign_of_the_product_of_the_relevant_bits_and_of_no_fewer() {
        let config = ParityConfig { relevant: 3, noise: 0.1, rows: RowCount::Fixed(2000), ..Default::default() };
        let (bits, dataset) = (Bits::new(&config), config.generate());
        let rows = dataset.rows(Split::Train);
        let agreeing = |relevant: &[usize]| {
            let products = rows.inputs.chunks(8).map(|row| relevant.iter().map(|&i| row[i]).product::<f32>());
            products.zip(&rows.labels).filter(|&(product, &label)| (product < 0.0) == (label == 1)).count()
        };
        assert_eq!(agreeing(&bits.relevant), 1500);
        // Five standard errors around one half.
        assert!(agreeing(&bits.relevant[..2]).abs_diff(750) < 97);
        assert!(agreeing(&bits.relevant[..1]).abs_diff(750) < 97);
    }
}
