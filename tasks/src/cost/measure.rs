//! Finds a timing table by running draws of every family on this machine.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use super::least_squares::fit;
use super::{Rates, TimingTable, Workload};
use crate::augmentations::{Augmentation, Scope};
use crate::config::TaskConfig;
use crate::data::{DataConfig, Dataset};
use crate::family::families;
use crate::graph::peak;
use crate::models::{Loss, ModelConfig, SurfaceConfig};
use crate::task::{Batch, Split, Task};
use crate::{Error, worker};

/// Seconds of one repetition, at least.
const REPETITION_SECONDS: f64 = 0.5e-3;

/// Repetitions, of which the fastest counts.
const REPETITIONS: usize = 7;

/// Parameters of the function that augmentations are timed on.
const AUGMENTED_PARAMETERS: usize = 16_384;

/// A draw with its measured and its modelled seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What was timed.
    pub config: TaskConfig,
    /// Seconds of a gradient.
    pub measured: f64,
    /// Seconds by the table that was fitted to all draws.
    pub modelled: f64,
}

/// Floating-point operations per second that one thread can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Multiplications and additions that stay in registers.
    pub multiply_adds: f64,
    /// This crate's product of large matrices.
    pub product: f64,
}

impl Peak {
    /// Measures both; some tens of milliseconds.
    pub fn measure() -> Self {
        Self { multiply_adds: peak::multiply_add_rate(), product: peak::product_rate() }
    }
}

/// Times `draws` draws of every family on one thread, and fits a table to them; `progress` is told every family.
///
/// # Errors
/// [`Error::Worker`] when the system gives no thread.
pub fn measure(draws: u64, mut progress: impl FnMut(&str) + Send) -> Result<(TimingTable, Vec<Measured>), Error> {
    worker::single_threaded(|| {
        progress("data");
        let data = time_data()?;
        progress("augmentations");
        let augmentations = time_augmentations()?;
        let mut table = TimingTable { models: BTreeMap::new(), data, augmentations };
        let mut timed = Vec::new();
        for family in families() {
            progress(family.name());
            for seed in 0..draws {
                let mut config = family.sample(seed);
                config.augmentations.clear();
                let measured = gradient_seconds(config.build()?.as_mut());
                timed.push((Workload::of(&config)?, config, measured));
            }
        }
        let mut samples = BTreeMap::<_, Vec<_>>::new();
        for (work, config, measured) in &timed {
            // What is left without the batch; never less than a tenth, should the batch have been slower alone.
            let batch = table.data.get(work.source).map_or(0.0, |seconds| work.numbers * seconds);
            let model = (measured - batch).max(0.1 * measured);
            let features = [1.0, work.operations, work.values];
            samples.entry(config.model.architecture()).or_default().push((features, model));
        }
        for (architecture, samples) in samples {
            let [call, operation, value] = fit(&samples).map(short);
            table.models.insert(architecture.to_owned(), Rates { call, operation, value });
        }
        let compared = timed.into_iter().map(|(work, config, measured)| {
            let modelled = table.seconds_of(&work, &config);
            Measured { config, measured, modelled }
        });
        let compared = compared.collect();
        Ok((table, compared))
    })?
}

/// Three digits, which is more than a measurement is worth.
fn short(seconds: f64) -> f64 {
    format!("{seconds:.2e}").parse().expect("a number that was just printed")
}

/// Seconds of one call of `work`: the fastest mean of several repetitions.
fn time(mut work: impl FnMut(u64)) -> f64 {
    let mut index = 0;
    let mut repetition = |calls: u64| {
        let start = Instant::now();
        for _ in 0..calls {
            work(index);
            index += 1;
        }
        start.elapsed().as_secs_f64()
    };
    let mut calls = 1;
    while repetition(calls) < REPETITION_SECONDS && calls < 1 << 20 {
        calls *= 2;
    }
    (0..REPETITIONS).map(|_| repetition(calls) / calls as f64).fold(f64::INFINITY, f64::min)
}

/// Seconds of one gradient, its batch included: the fastest mean of several repetitions.
///
/// Run it on a thread of its own ([`worker::single_threaded`]), or the autodiff library takes all of them.
pub fn gradient_seconds(task: &mut dyn Task) -> f64 {
    let mut params = vec![0.0; task.layout().len()];
    let mut grads = params.clone();
    task.init(0, &mut params);
    time(|index| {
        let batch = Batch { seed: 0, split: Split::Train, index };
        black_box(task.loss_and_grad(black_box(&params), batch, &mut grads));
    })
}

/// Seconds for each number of a batch, by source: the mean over the draws of all families that have it.
fn time_data() -> Result<BTreeMap<String, f64>, Error> {
    let draws = families().iter().flat_map(|family| (0..100).map(|seed| family.sample(seed)));
    let mut seen = BTreeMap::<&str, (f64, u32)>::new();
    for config in draws.filter(|config| config.data != DataConfig::None) {
        let source = config.data.fresh_source().unwrap_or("Rows");
        let (sum, count) = seen.entry(source).or_default();
        if *count < 8 {
            *sum += time_batch(config.data.load()?.as_ref());
            *count += 1;
        }
    }
    Ok(seen.into_iter().map(|(source, (sum, count))| (source.to_owned(), short(sum / f64::from(count)))).collect())
}

/// Seconds for each number in a batch of 32 rows.
fn time_batch(data: &Dataset) -> f64 {
    let mut rows = data.batch_buffer(32);
    let numbers = (32 * data.input_width()) as f64;
    time(|index| data.fill(Batch { seed: 0, split: Split::Train, index }, black_box(&mut rows))) / numbers
}

/// Seconds for each parameter and pass, by augmentation: what a quadratic becomes slower by.
fn time_augmentations() -> Result<BTreeMap<String, f64>, Error> {
    let seconds = |augmentations: Vec<Augmentation>| {
        let surface = SurfaceConfig { dimensions: AUGMENTED_PARAMETERS, noise: 0.0, ..Default::default() };
        let config = TaskConfig {
            name: "augmented".to_owned(),
            data: DataConfig::None,
            model: ModelConfig::Surface(surface),
            loss: Loss::Intrinsic,
            batch_size: 1,
            augmentations,
        };
        config.build().map(|mut task| gradient_seconds(task.as_mut()))
    };
    let plain = seconds(Vec::new())?;
    let kinds = [
        Augmentation::Reparametrise { scope: Scope::PerTensor, decades: 0.1, seed: 0 },
        Augmentation::RescaleLoss { factor: 2.0 },
        Augmentation::GradientNoise { relative: 0.1, seed: 0 },
        Augmentation::Bfloat16Gradients,
        Augmentation::DelayedGradients { steps: 2 },
        Augmentation::NormalisedGradients,
        Augmentation::ProjectedGradients { directions: 4, seed: 0 },
        Augmentation::EvolutionGradients { deviation: 0.1, pairs: 4, seed: 0 },
    ];
    let timed = kinds.map(|augmentation| {
        let (kind, passes) = augmentation.passes();
        // An estimate evaluates losses in place of one gradient, which here cost about as much.
        let instead = match augmentation {
            Augmentation::EvolutionGradients { pairs, .. } => (2 * pairs + 1) as f64,
            _ => 1.0,
        };
        let extra = (seconds(vec![augmentation])? - instead * plain).max(0.0);
        Ok((kind.to_owned(), short(extra / (passes * AUGMENTED_PARAMETERS as f64))))
    });
    timed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::RowCount;

    #[test]
    fn fresh_rows_have_a_source_and_fixed_ones_do_not() {
        let source = |rows| {
            let config = crate::data::GlyphsConfig { rows, ..Default::default() };
            DataConfig::Glyphs(config).fresh_source()
        };
        assert_eq!([RowCount::Fresh, RowCount::Fixed(100)].map(source), [Some("Glyphs"), None]);
        assert_eq!(DataConfig::KingJames { length: 8 }.fresh_source(), Some("Text"));
    }
}
