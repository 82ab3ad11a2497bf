//! Data made harder through its labels: random ones, and classes that are rare.

use std::sync::Arc;

use super::dataset::{Dataset, Generator, Generators, Parts, TargetKind};
use super::procedural::noisy_label;
use crate::Error;
use crate::rng::{Stream, derive_seed, stream_number};

/// Rows that are looked at for one of a class that is kept; the last one is taken as it is.
const ATTEMPTS: u64 = 64;

impl Dataset {
    /// The same rows, with a share of the training labels drawn at random: a function of `seed` and the row.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for data without classes.
    pub(super) fn with_label_noise(mut self, share: f32, seed: u64) -> Result<Self, Error> {
        let classes = self.classes()?;
        let Parts { train, generators, .. } = self.parts_mut();
        for (row, label) in train.labels.iter_mut().enumerate() {
            *label = noisy_label(*label, classes, share, derive_seed(seed, row as u64));
        }
        if let Some(generators) = generators {
            let generator = Arc::clone(&generators.train);
            generators.train = Arc::new(NoisyLabels { generator, classes, share, seed });
        }
        Ok(self)
    }

    /// A part of the rows: one of class `c` is kept with the chance `(c + 1)^-exponent`.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for data without classes.
    pub(super) fn with_imbalance(mut self, exponent: f32, seed: u64) -> Result<Self, Error> {
        let chances: Arc<[f64]> =
            (1..=self.classes()?).map(|class| (class as f64).powf(-f64::from(exponent))).collect();
        let Parts { train, validation, test, generators } = self.parts_mut();
        for (rows, part) in [(train, 0), (validation, 1), (test, 2)] {
            let stream = Stream::new(derive_seed(seed, part), const { stream_number("imbalance") });
            // The first row stays in any case, so that there is one.
            rows.retain(|row, label| row == 0 || stream.uniform(row as u64) < chances[label as usize]);
        }
        if let Some(Generators { train, validation, test }) = generators {
            for generator in [train, validation, test] {
                let wrapped = Imbalanced { generator: Arc::clone(generator), chances: Arc::clone(&chances), seed };
                *generator = Arc::new(wrapped);
            }
        }
        Ok(self)
    }

    fn classes(&self) -> Result<usize, Error> {
        match self.target() {
            TargetKind::Class(classes) => Ok(classes),
            other => Err(Error::invalid("data", format!("data for {other:?}"), "data with classes")),
        }
    }
}

/// A generator some of whose labels are random.
struct NoisyLabels {
    generator: Arc<dyn Generator>,
    classes: usize,
    share: f32,
    seed: u64,
}

impl Generator for NoisyLabels {
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32 {
        let label = self.generator.row(id, inputs, values);
        noisy_label(label, self.classes, self.share, derive_seed(self.seed, id))
    }
}

/// A generator most of whose rows of some classes are passed over.
struct Imbalanced {
    generator: Arc<dyn Generator>,
    chances: Arc<[f64]>,
    seed: u64,
}

impl Generator for Imbalanced {
    fn row(&self, id: u64, inputs: &mut [f32], values: &mut [f32]) -> u32 {
        let stream = Stream::new(derive_seed(self.seed, id), const { stream_number("imbalance") });
        let mut label = 0;
        for attempt in 0..ATTEMPTS {
            label = self.generator.row(stream.bits(2 * attempt), inputs, values);
            if stream.uniform(2 * attempt + 1) < self.chances[label as usize] {
                break;
            }
        }
        label
    }
}

#[cfg(test)]
mod tests {
    use crate::data::{DataConfig, GaussianMixtureConfig, RowCount, TeacherConfig, TeacherTarget};
    use crate::task::{Batch, Split};

    fn counts(labels: &[u32]) -> Vec<f64> {
        let mut counts = vec![0.0; 4];
        labels.iter().for_each(|&label| counts[label as usize] += 1.0);
        counts
    }

    #[test]
    fn fixed_and_fresh_rows_have_rare_classes_in_the_proportion_asked_for() {
        for rows in [RowCount::Fixed(16_000), RowCount::Fresh] {
            let plain = DataConfig::GaussianMixture(GaussianMixtureConfig { rows, ..Default::default() });
            let data = DataConfig::Imbalanced { data: Box::new(plain), exponent: 1.0, seed: 3 };
            let dataset = data.load().unwrap();
            let mut batch = dataset.batch_buffer(6000);
            dataset.fill(Batch { seed: 1, split: Split::Validation, index: 2 }, &mut batch);
            let counts = counts(&batch.labels);
            for (class, count) in counts.iter().enumerate() {
                let ratio = counts[0] / count / (class + 1) as f64;
                assert!((0.85..1.18).contains(&ratio), "{rows:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn inputs_stay_with_their_labels_when_rows_are_left_out() {
        let plain = GaussianMixtureConfig { separation: 10.0, clusters: 1, classes: 4, ..Default::default() };
        let whole = plain.generate();
        let part = plain.generate().with_imbalance(2.0, 1).unwrap();
        let whole: std::collections::BTreeMap<_, _> = {
            let rows = whole.rows(Split::Train);
            rows.inputs.chunks(16).map(|row| row[0].to_bits()).zip(rows.labels.clone()).collect()
        };
        let rows = part.rows(Split::Train);
        assert!(rows.len() < 200 && rows.len() * 16 == rows.inputs.len());
        for (row, label) in rows.inputs.chunks(16).zip(&rows.labels) {
            assert_eq!(whole[&row[0].to_bits()], *label);
        }
    }

    #[test]
    fn fresh_training_labels_are_noisy_and_fresh_held_out_ones_are_not() {
        let plain = DataConfig::GaussianMixture(GaussianMixtureConfig { rows: RowCount::Fresh, ..Default::default() });
        let noisy = DataConfig::NoisyLabels { data: Box::new(plain.clone()), share: 0.4, seed: 3 };
        let (plain, noisy) = (plain.load().unwrap(), noisy.load().unwrap());
        let changed = |split| {
            let [mut a, mut b] = [&plain, &noisy].map(|data| data.batch_buffer(2000));
            plain.fill(Batch { seed: 1, split, index: 0 }, &mut a);
            noisy.fill(Batch { seed: 1, split, index: 0 }, &mut b);
            assert_eq!(a.inputs, b.inputs);
            a.labels.iter().zip(&b.labels).filter(|(a, b)| a != b).count()
        };
        // A quarter of the random labels is right by chance: 30 % of 2000, five standard errors are 102.
        assert!(changed(Split::Train).abs_diff(600) < 102, "{}", changed(Split::Train));
        assert_eq!(changed(Split::Validation), 0);
    }

    #[test]
    fn data_without_classes_is_refused() {
        let values = TeacherConfig { target: TeacherTarget::Values, ..Default::default() };
        let error = values.generate().with_label_noise(0.1, 0).unwrap_err().to_string();
        assert_eq!(error, "data is data for Values(4), expected data with classes");
        assert!(values.generate().with_imbalance(1.0, 0).is_err());
    }
}
