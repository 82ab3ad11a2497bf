//! What a tuned hand-designed optimizer reaches on the tasks of the pool, step by step.
//!
//! For every task and a few horizons, AdamW with warm-up and cosine is run at several rates; the curve of the best is
//! kept as ratios of loss and `L_ref`, averaged over [`POINTS`] stretches. The meta-loss can then be
//! taken relative to it ([`crate::objective::Transform::Tuned`]).
//!
//! Curves are cached in a file of lines, keyed by a hash of the task's configuration, of what was tried, and of the
//! code that computes them, so that they are computed once and an interrupted computation goes on where it was. Curves
//! of other code stay in the file, unused.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use velo_comparison::fingerprint;
use velo_optimizer::hand_designed::AdamWConfig;
use velo_optimizer::{OptimizerConfig, Schedule};
use velo_tasks::{Batch, Split, Task, TaskConfig};

use crate::Error;
use crate::closing::parallel;
use crate::noise::{Purpose, bits};
use crate::objective::has_diverged;

/// Stretches of a curve.
pub const POINTS: usize = 32;

/// Steps between two held-out losses of a reference run.
const HELD_OUT_EVERY: u64 = 5;

/// What is tried for reference curves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReferenceConfig {
    /// Rates of AdamW with 5 % warm-up and cosine.
    pub rates: Vec<f32>,
    /// Horizons; a run is compared with the nearest.
    pub horizons: Vec<u64>,
    /// Share of held-out rows in the choice of the rate, in `[0, 1]`.
    pub held_out_weight: f64,
    /// File that keeps the curves, also for other runs; each run has those that it uses in its own `reference.jsonl`, too.
    pub cache: Option<PathBuf>,
}

impl Default for ReferenceConfig {
    fn default() -> Self {
        Self {
            rates: vec![1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
            horizons: vec![100, 500, 2000],
            held_out_weight: 0.5,
            cache: None,
        }
    }
}

impl ReferenceConfig {
    /// Rejects empty lists and numbers out of range.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        if self.rates.is_empty() || self.rates.iter().any(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return Err(Error::config("reference.rates", format!("{:?}", self.rates), "finite numbers above 0"));
        }
        if self.horizons.is_empty() || self.horizons.contains(&0) {
            return Err(Error::config("reference.horizons", format!("{:?}", self.horizons), "numbers of steps"));
        }
        if !(0.0..=1.0).contains(&self.held_out_weight) {
            return Err(Error::config("reference.held_out_weight", self.held_out_weight, "a fraction in [0, 1]"));
        }
        Ok(())
    }
}

/// The best curve of one horizon: means of `L / L_ref` over stretches of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    horizon: u64,
    train: Vec<f32>,
    held_out: Vec<f32>,
}

/// The curves of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    curves: Vec<Curve>,
}

impl Reference {
    /// Mean loss of the tuned optimizer over `L_ref` around `step` of `horizon`, on rows of `split`, from the curve of the nearest
    /// horizon at the same fraction of the run.
    pub fn ratio(&self, split: Split, step: u64, horizon: u64) -> f32 {
        let distance = |curve: &Curve| (curve.horizon as f64 / horizon as f64).ln().abs();
        let curve = self.curves.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).expect("there is a horizon");
        let values = if split == Split::Train { &curve.train } else { &curve.held_out };
        let at = ((step as f64 + 0.5) / horizon as f64 * POINTS as f64 - 0.5).clamp(0.0, (POINTS - 1) as f64);
        let (left, share) = (at as usize, (at.fract()) as f32);
        let right = (left + 1).min(POINTS - 1);
        values[left] + share * (values[right] - values[left])
    }
}

/// References by stage and seed of the task.
pub type References = HashMap<(usize, u64), Arc<Reference>>;

/// One line of the cache.
#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    reference: Reference,
}

/// The references of `tasks`, read from the run's `own` file or the shared cache, or computed, `workers` tasks at a time. In the end
/// all of them are in the own file: the run needs no other any more.
///
/// # Errors
/// When a task cannot be built or a file cannot be read or written.
pub fn references(
    config: &ReferenceConfig,
    tasks: &[((usize, u64), TaskConfig)],
    own: &Path,
    workers: usize,
) -> Result<References, Error> {
    let known = read(own)?;
    let keys: Vec<String> = tasks.iter().map(|(_, task)| key(config, task)).collect();
    let mut missing: Vec<usize> = (0..tasks.len()).filter(|&index| !known.contains_key(&keys[index])).collect();
    missing.sort_by(|&a, &b| keys[a].cmp(&keys[b]));
    missing.dedup_by(|a, b| keys[*a] == keys[*b]);
    if !missing.is_empty() {
        let own = Lines::append_to(own)?;
        let shared = config.cache.as_deref().map(Lines::append_to).transpose()?;
        let found = config.cache.as_deref().map_or(Ok(HashMap::new()), read)?;
        let bar = ProgressBar::new(missing.len() as u64);
        let template = "reference curves {bar:28} {pos}/{len} tasks, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is constant"));
        parallel::map(missing.len(), workers, |job| {
            let index = missing[job];
            let key = &keys[index];
            let reference = match found.get(key) {
                Some(reference) => Reference::clone(reference),
                None => {
                    let reference = measure(config, tasks[index].1.build()?.as_mut())?;
                    shared.iter().try_for_each(|shared| shared.push(key, &reference))?;
                    reference
                }
            };
            own.push(key, &reference)?;
            bar.inc(1);
            Ok(())
        })?;
        bar.finish_and_clear();
    }
    // Read back what was written, so that a run that computes the curves and one that finds them see the same numbers.
    let known = read(own)?;
    let found = tasks.iter().zip(&keys).map(|((place, _), key)| {
        let reference = known.get(key).ok_or_else(|| Error::damaged_file(own, format!("lost the curves of {key}")))?;
        Ok((*place, Arc::clone(reference)))
    });
    found.collect()
}

/// A file of lines that threads add to.
struct Lines<'a> {
    path: &'a Path,
    file: Mutex<File>,
}

impl<'a> Lines<'a> {
    fn append_to(path: &'a Path) -> Result<Self, Error> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path, file: Mutex::new(file) })
    }

    fn push(&self, key: &str, reference: &Reference) -> Result<(), Error> {
        let line = Line { key: key.to_owned(), reference: reference.clone() };
        let line = serde_json::to_string(&line).expect("plain data") + "\n";
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(line.as_bytes()).map_err(Error::io(self.path))
    }
}

/// Curves in the cache; a last line that was cut off by a crash is dropped from the file.
fn read(cache: &Path) -> Result<HashMap<String, Arc<Reference>>, Error> {
    if !cache.exists() {
        return Ok(HashMap::new());
    }
    let text = fs::read_to_string(cache).map_err(Error::io(cache))?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        let file = OpenOptions::new().write(true).open(cache).map_err(Error::io(cache))?;
        file.set_len(whole as u64).map_err(Error::io(cache))?;
    }
    let mut known = HashMap::new();
    for (number, line) in text[..whole].lines().enumerate() {
        let Line { key, reference } = serde_json::from_str(line)
            .map_err(|error| Error::damaged_file(cache, format!("line {}: {error}; remove the file", number + 1)))?;
        let complete = |curve: &Curve| curve.train.len() == POINTS && curve.held_out.len() == POINTS;
        if reference.curves.is_empty() || !reference.curves.iter().all(complete) {
            return Err(Error::damaged_file(cache, format!("line {}: incomplete; remove the file", number + 1)));
        }
        known.insert(key, Arc::new(reference));
    }
    Ok(known)
}

/// A hash of the task, of what is tried on it, and of the code that does it: tasks, optimizers, this file and what it uses of the crate.
fn key(config: &ReferenceConfig, task: &TaskConfig) -> String {
    let tried = (&config.rates, &config.horizons, config.held_out_weight, POINTS);
    let text = serde_json::to_string(&(task, tried)).expect("a configuration is plain data");
    let own = [include_str!("reference.rs"), include_str!("objective.rs"), include_str!("noise.rs")].concat();
    fingerprint::key(&[fingerprint::CODE, env!("CARGO_PKG_VERSION"), &own, &text])
}

fn measure(config: &ReferenceConfig, task: &mut dyn Task) -> Result<Reference, Error> {
    let curves = config.horizons.iter().map(|&horizon| {
        let mut best: Option<(f64, Curve)> = None;
        for &rate in &config.rates {
            let candidate = run(config, task, rate, horizon)?;
            if best.as_ref().is_none_or(|(score, _)| candidate.0 < *score) {
                best = Some(candidate);
            }
        }
        Ok(best.expect("there is a rate").1)
    });
    Ok(Reference { curves: curves.collect::<Result<_, Error>>()? })
}

/// Score (lower is better) and curve of one rate; a run that diverges keeps the reference loss from there on and scores worst.
fn run(config: &ReferenceConfig, task: &mut dyn Task, rate: f32, horizon: u64) -> Result<(f64, Curve), Error> {
    let seed = bits(horizon, Purpose::Reference, 0, 0);
    let adamw = OptimizerConfig::AdamW(AdamWConfig::default()).with_learning_rate(rate);
    let mut optimizer = adamw.build(task.layout())?;
    optimizer.set_schedule(Schedule::Cosine { warmup: 0.05, floor: 0.0 });
    optimizer.set_horizon(Some(horizon));
    let unit = task.reference_loss();
    let mut params = vec![0.0; task.layout().len()];
    let mut grads = params.clone();
    task.init(seed, &mut params);
    let (mut train, mut held_out) = (Stretches::default(), Stretches::default());
    let mut diverged = false;
    for index in 0..horizon {
        let stretch = (index as usize * POINTS) / horizon as usize;
        let batch = |split| Batch { seed, split, index };
        if !diverged {
            let loss = task.loss_and_grad(&params, batch(Split::Train), &mut grads);
            diverged = has_diverged(loss, unit);
            if !diverged {
                train.add(stretch, loss / unit);
                if index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 || index == 0 {
                    let loss = task.loss(&params, batch(Split::Validation));
                    held_out.add(stretch, if loss.is_finite() { loss / unit } else { 1.0 });
                }
                optimizer.step(&mut params, &grads, loss)?;
            }
        }
    }
    let curve = Curve { horizon, train: train.means(diverged), held_out: held_out.means(diverged) };
    let last = |values: &[f32]| f64::from(values[POINTS - 1].max(1e-6)).ln();
    let weight = config.held_out_weight;
    let score = (1.0 - weight) * last(&curve.train) + weight * last(&curve.held_out);
    Ok((if diverged { f64::MAX } else { score }, curve))
}

/// Sums over stretches.
#[derive(Default)]
struct Stretches {
    sums: [(f64, u32); POINTS],
}

impl Stretches {
    fn add(&mut self, stretch: usize, value: f32) {
        self.sums[stretch].0 += f64::from(value);
        self.sums[stretch].1 += 1;
    }

    /// Mean per stretch; an empty stretch has the value of the one before, or that of the reference loss once the run diverged.
    fn means(&self, diverged: bool) -> Vec<f32> {
        let mut last = 1.0;
        let mean = |&(sum, count): &(f64, u32)| {
            match (count, diverged) {
                (0, true) => last = 1.0,
                (0, false) => {}
                _ => last = (sum / f64::from(count)) as f32,
            }
            last
        };
        self.sums.iter().map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use velo_tasks::family::family_named;

    fn small() -> ReferenceConfig {
        ReferenceConfig { rates: vec![1e-3, 3e-2], horizons: vec![20, 60], ..ReferenceConfig::default() }
    }

    fn pool() -> Vec<((usize, u64), TaskConfig)> {
        let family = family_named("mlp_teacher").unwrap();
        (0..3).map(|seed| ((0, seed), family.sample(seed))).collect()
    }

    #[test]
    fn curves_are_computed_once_and_read_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("reference.jsonl");
        let computed = references(&small(), &pool(), &cache, 2).unwrap();
        let first = fs::read(&cache).unwrap();
        assert_eq!(references(&small(), &pool(), &cache, 1).unwrap(), computed);
        assert_eq!(fs::read(&cache).unwrap(), first, "nothing was computed again");
        fs::write(&cache, &first[..first.len() - 10]).unwrap();
        assert_eq!(references(&small(), &pool(), &cache, 1).unwrap(), computed, "a line cut off is computed again");
    }

    #[test]
    fn a_run_finds_curves_in_a_shared_file_and_needs_it_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, third, shared] = ["1", "2", "3", "shared"].map(|name| folder.path().join(name));
        let config = ReferenceConfig { cache: Some(shared.clone()), ..small() };
        let computed = references(&config, &pool(), &first, 2).unwrap();
        let kept = fs::read(&shared).unwrap();
        assert_eq!(references(&config, &pool(), &second, 1).unwrap(), computed);
        assert_eq!(fs::read(&shared).unwrap(), kept, "nothing was computed again");
        let elsewhere = ReferenceConfig { cache: Some(folder.path().join("no/such/folder")), ..small() };
        assert_eq!(references(&elsewhere, &pool(), &second, 1).unwrap(), computed);
        assert!(references(&elsewhere, &pool(), &third, 1).is_err());
    }

    #[test]
    fn the_nearest_horizon_is_read_at_the_same_fraction_of_the_run() {
        let curve = |horizon, slope: f32| Curve {
            horizon,
            train: (0..POINTS).map(|index| slope * (index as f32 + 0.5)).collect(),
            held_out: vec![7.0; POINTS],
        };
        let reference = Reference { curves: vec![curve(100, 1.0), curve(1000, 2.0)] };
        assert_eq!(reference.ratio(Split::Train, 49, 100).round(), 16.0);
        assert_eq!(reference.ratio(Split::Train, 400, 800).round(), 32.0);
        assert_eq!(reference.ratio(Split::Validation, 3, 50), 7.0);
        assert!(reference.ratio(Split::Train, 99, 100) <= POINTS as f32);
    }
}
