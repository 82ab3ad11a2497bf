//! What every task promises, measured on one draw: the checks behind the tests and behind `tasks check`.
//!
//! Each [`Promise`] becomes a number and the largest value that it may have; a promise that makes no sense for a draw (finite
//! differences of an estimated gradient, the theoretical loss of a regression) gives no [`Finding`].
//!
//! | promise | what is measured |
//! | --- | --- |
//! | differences | `|g · d - ∂L/∂d| / (‖g‖ + L/1000)` along random unit vectors `d`, in double precision |
//! | precision | `‖g₃₂ - g₆₄‖ / ‖g₆₄‖`: what the kernels on vectors make of the same parameters |
//! | replay | numbers whose bits differ on another thread, after another batch |
//! | initial loss | relative distance from the loss of equal outputs, `ln C` for `C` classes |
//! | descent | training loss after 200 steps of AdamW over that before |
//! | divergence | the worst loss reported at a rate of a million, over the bound of all reported losses |

use velo_optimizer::hand_designed::{AdamW, AdamWConfig};

use crate::config::TaskConfig;
use crate::data::{DataConfig, Rows};
use crate::graph::{Examples, Graph, initialise};
use crate::models::{Loss, ModelConfig, graph};
use crate::rng::Stream;
use crate::task::{Batch, Split, Task};
use crate::{Error, training};

/// Rows over which differences are taken: enough for statistics over a batch, few for passes in double precision.
const DIFFERENCE_ROWS: usize = 8;

/// Random directions along which the loss is differenced.
const DIRECTIONS: u64 = 2;

/// What random operations inside a model draw from.
const NOISE_SEED: u64 = 7;

/// Steps of AdamW that have to lower the loss.
const DESCENT_STEPS: u64 = 200;

/// Something that holds for every task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Promise {
    /// The gradient in double precision is that of the loss.
    Differences,
    /// The gradient in single precision is that in double precision.
    Precision,
    /// The same batch gives the same bits on any thread, whatever came before.
    Replay,
    /// Equal outputs cost what they should in theory.
    InitialLoss,
    /// Two hundred steps of AdamW lower the training loss.
    Descent,
    /// A senseless rate ends in a bounded loss.
    Divergence,
}

impl Promise {
    /// All of them, the cheap ones first.
    pub const ALL: [Self; 6] =
        [Self::InitialLoss, Self::Replay, Self::Differences, Self::Precision, Self::Divergence, Self::Descent];

    /// A word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Differences => "differences",
            Self::Precision => "precision",
            Self::Replay => "replay",
            Self::InitialLoss => "initial loss",
            Self::Descent => "descent",
            Self::Divergence => "divergence",
        }
    }

    /// The largest value that keeps the promise.
    pub fn allowed(self) -> f64 {
        match self {
            Self::Differences => 1e-6,
            Self::Precision => 1e-3,
            Self::Replay => 0.0,
            Self::InitialLoss => 1e-5,
            // Strictly less than before.
            Self::Descent => 1.0 - f64::EPSILON,
            Self::Divergence => 1.0,
        }
    }
}

/// What was measured of a promise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Which promise.
    pub promise: Promise,
    /// See the table of the [module](self).
    pub measured: f64,
}

impl Finding {
    /// Whether the promise is kept; a NaN keeps none.
    pub fn kept(self) -> bool {
        self.measured <= self.promise.allowed()
    }
}

/// Measures each of `promises` that makes sense for the task of `config`.
///
/// ```
/// use velo_tasks::check::{Promise, check};
///
/// let config = velo_tasks::family::family_named("mlp_teacher")?.sample(3);
/// assert!(check(&config, &[Promise::Replay, Promise::Differences])?.iter().all(|finding| finding.kept()));
/// # Ok::<(), velo_tasks::Error>(())
/// ```
///
/// # Errors
/// Those of [`TaskConfig::build`]; an unkept promise is a [`Finding`] and no error.
pub fn check(config: &TaskConfig, promises: &[Promise]) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::with_capacity(promises.len());
    for &promise in promises {
        let measured = match promise {
            Promise::Differences => differences(config)?,
            Promise::Precision => precision(config)?,
            Promise::Replay => Some(replay(config)?),
            Promise::InitialLoss => initial_loss(config)?,
            Promise::Descent => Some(descent(config)?),
            Promise::Divergence => Some(divergence(config)?),
        };
        findings.extend(measured.map(|measured| Finding { promise, measured }));
    }
    Ok(findings)
}

/// A batch of a draw, with parameters off any symmetric place.
struct Probe {
    rows: Rows,
    params: Vec<f32>,
}

impl Probe {
    /// `None` for what learns from no rows.
    fn new(config: &TaskConfig) -> Result<Option<(Self, TaskConfig)>, Error> {
        config.check()?;
        if config.data == DataConfig::None {
            return Ok(None);
        }
        let config = TaskConfig { batch_size: config.batch_size.min(DIFFERENCE_ROWS), ..config.clone() };
        let data = config.data.load()?;
        let mut rows = data.batch_buffer(config.batch_size);
        data.fill(Batch { seed: 1, split: Split::Train, index: 4 }, &mut rows);
        let (_, layout, initials) = graph::<f32>(&config.model, config.loss, &data, rows.len())?;
        let mut params = vec![0.0; layout.len()];
        initialise(&mut params, &layout, &initials, 3);
        disturb(&mut params);
        Ok(Some((Self { rows, params }, config)))
    }

    /// The graph in double precision, with the same batch.
    fn exact(&self, config: &TaskConfig) -> Result<Exact, Error> {
        let data = config.data.load()?;
        let (graph, ..) = graph::<f64>(&config.model, config.loss, &data, self.rows.len())?;
        let Rows { inputs, labels, values } = &self.rows;
        Ok(Exact { graph, inputs: wide(inputs), labels: labels.clone(), values: wide(values) })
    }
}

/// A loss in double precision.
struct Exact {
    graph: Graph<f64>,
    inputs: Vec<f64>,
    labels: Vec<u32>,
    values: Vec<f64>,
}

impl Exact {
    fn loss_and_grad(&mut self, params: &[f64]) -> (f64, Vec<f64>) {
        let Self { graph, inputs, labels, values } = self;
        let mut grads = vec![f64::NAN; params.len()];
        let loss = graph.loss_and_grad(params, Examples { inputs, labels, values, noise_seed: NOISE_SEED }, &mut grads);
        (loss, grads)
    }

    fn loss(&mut self, params: &[f64]) -> f64 {
        let Self { graph, inputs, labels, values } = self;
        graph.score(params, Examples { inputs, labels, values, noise_seed: NOISE_SEED }).loss
    }
}

/// Moves parameters a little, so that no bias is zero and an output layer that starts at zero has gradients behind it.
fn disturb(params: &mut [f32]) {
    let noise = Stream::new(9, 9);
    params.iter_mut().enumerate().for_each(|(i, param)| *param += 0.05 * noise.normal(i as u64));
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn differences(config: &TaskConfig) -> Result<Option<f64>, Error> {
    let Some((probe, config)) = Probe::new(config)? else { return Ok(None) };
    let (mut exact, params) = (probe.exact(&config)?, wide(&probe.params));
    let (loss, grads) = exact.loss_and_grad(&params);
    let mut worst = if loss.is_finite() { 0.0f64 } else { f64::NAN };
    for number in 0..DIRECTIONS {
        let stream = Stream::new(21, number);
        let mut direction: Vec<_> = (0..params.len() as u64).map(|i| f64::from(stream.normal(i))).collect();
        let length = norm(&direction);
        direction.iter_mut().for_each(|d| *d /= length);
        let found = grads.iter().zip(&direction).map(|(g, d)| g * d).sum::<f64>();
        let error = slope_error(found, |step| {
            let moved: Vec<_> = params.iter().zip(&direction).map(|(p, d)| p + step * d).collect();
            exact.loss(&moved)
        });
        // `max` would hide a NaN.
        if error.is_nan() {
            return Ok(Some(f64::NAN));
        }
        worst = worst.max(error / (norm(&grads) + 1e-3 * loss.abs()));
    }
    Ok(Some(worst))
}

/// How far `found` is from the slope of `loss` at zero: the smallest distance from a slope of its values on both sides of
/// zero, behind it, or ahead of it, all exact for parabolas.
///
/// Of the many units of a wide layer, one may be as close to its kink (of a ReLU, of a maximum) as any step is long. A difference
/// across it is no slope at all, but the one on the near side still is.
fn slope_error(found: f64, mut loss: impl FnMut(f64) -> f64) -> f64 {
    let here = loss(0.0);
    let errors = [1e-5, 1e-6].map(|step| {
        let [far_behind, behind, ahead, far_ahead] = [-step, -step / 2.0, step / 2.0, step].map(&mut loss);
        let slopes = [
            (8.0 * (ahead - behind) - (far_ahead - far_behind)) / (6.0 * step),
            (3.0 * here - 4.0 * behind + far_behind) / step,
            (4.0 * ahead - 3.0 * here - far_ahead) / step,
        ];
        slopes.map(|slope| (found - slope).abs())
    });
    // `min` would hide a NaN.
    let errors = errors.as_flattened().iter().copied();
    errors.fold(f64::INFINITY, |least, error| if least.is_nan() || error > least { least } else { error })
}

fn precision(config: &TaskConfig) -> Result<Option<f64>, Error> {
    let Some((probe, config)) = Probe::new(config)? else { return Ok(None) };
    let (_, exact) = probe.exact(&config)?.loss_and_grad(&wide(&probe.params));
    let data = config.data.load()?;
    let (mut single, ..) = graph::<f32>(&config.model, config.loss, &data, probe.rows.len())?;
    let Rows { inputs, labels, values } = &probe.rows;
    let mut grads = vec![f32::NAN; probe.params.len()];
    single.loss_and_grad(&probe.params, Examples { inputs, labels, values, noise_seed: NOISE_SEED }, &mut grads);
    let errors: Vec<_> = grads.iter().zip(&exact).map(|(&g, e)| f64::from(g) - e).collect();
    Ok(Some(norm(&errors) / norm(&exact)))
}

/// Bits of loss and gradient of one batch, after `before` other ones.
fn bits(config: &TaskConfig, before: u64) -> Result<Vec<u32>, Error> {
    let mut task = config.build()?;
    let mut params = vec![0.0; task.layout().len()];
    let mut grads = vec![f32::NAN; params.len()];
    task.init(3, &mut params);
    disturb(&mut params);
    let batch = |index| Batch { seed: 8, split: Split::Train, index };
    let others: Vec<_> = params.iter().map(|param| -2.0 * param).collect();
    for index in 0..before {
        task.loss_and_grad(&others, batch(100 + index), &mut grads);
    }
    let loss = task.loss_and_grad(&params, batch(3), &mut grads);
    Ok([loss].iter().chain(&grads).map(|x| x.to_bits()).collect())
}

/// Delayed gradients are remembered from call to call: for them, the calls before have to be the same.
fn remembers(config: &TaskConfig) -> bool {
    config.augmentations.iter().any(|augmentation| matches!(augmentation, crate::Augmentation::DelayedGradients { .. }))
}

fn replay(config: &TaskConfig) -> Result<f64, Error> {
    let here = bits(config, 0)?;
    let before = if remembers(config) { 0 } else { 2 };
    let there = crate::worker::single_threaded(|| bits(config, before))??;
    Ok(here.iter().zip(&there).filter(|(a, b)| a != b).count() as f64)
}

/// The loss of equal outputs, where there is a theory; makes the last kernel zero.
fn start_from_equal_outputs(config: &mut TaskConfig) -> Result<Option<f64>, Error> {
    let scale = match &mut config.model {
        ModelConfig::Mlp(model) => &mut model.output_scale,
        ModelConfig::Convolutional(model) => &mut model.output_scale,
        ModelConfig::Recurrent(model) => &mut model.output_scale,
        ModelConfig::Transformer(model) => &mut model.output_scale,
        ModelConfig::VisionTransformer(model) => &mut model.transformer.output_scale,
        ModelConfig::Mixer(model) => &mut model.output_scale,
        _ => return Ok(None),
    };
    *scale = 0.0;
    let classes = || config.data.load().map(|data| data.outputs() as f64);
    Ok(match config.loss {
        Loss::SoftmaxCrossEntropy | Loss::NextToken => Some(classes()?.ln()),
        Loss::Logistic => Some(classes()? * 2f64.ln()),
        _ => None,
    })
}

fn initial_loss(config: &TaskConfig) -> Result<Option<f64>, Error> {
    let mut config = TaskConfig { augmentations: Vec::new(), ..config.clone() };
    config.check()?;
    let Some(expected) = start_from_equal_outputs(&mut config)? else { return Ok(None) };
    let mut task = config.build()?;
    let mut params = vec![f32::NAN; task.layout().len()];
    task.init(0, &mut params);
    let found = f64::from(task.loss(&params, Batch { seed: 0, split: Split::Validation, index: 0 }));
    Ok(Some((found - expected).abs() / (1.0 + expected)))
}

fn adam(task: &dyn Task, learning_rate: f32) -> Result<AdamW, Error> {
    Ok(AdamW::new(task.layout(), AdamWConfig { learning_rate, ..AdamWConfig::default() })?)
}

fn descent(config: &TaskConfig) -> Result<f64, Error> {
    let mut task = config.build()?;
    let mut params = vec![0.0; task.layout().len()];
    task.init(1, &mut params);
    let before = task.evaluate(&params, Split::Train).loss;
    let mut optimizer = adam(task.as_ref(), 3e-3)?;
    let curve = training::train(task.as_mut(), &mut optimizer, 1, DESCENT_STEPS, DESCENT_STEPS)?;
    Ok(f64::from(curve.train.loss) / f64::from(before))
}

fn divergence(config: &TaskConfig) -> Result<f64, Error> {
    let mut task = config.build()?;
    let mut optimizer = adam(task.as_ref(), 1e6)?;
    let curve = training::train(task.as_mut(), &mut optimizer, 1, 20, 5)?;
    let bound = f64::from(training::worst_loss(task.as_ref()));
    let reported = curve.train_loss.iter().chain([&curve.train.loss, &curve.validation.loss]);
    // `max` would hide a NaN.
    Ok(reported.map(|&loss| f64::from(loss) / bound).fold(0.0, |worst, x| if x.is_nan() { x } else { worst.max(x) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::family_named;

    #[test]
    fn what_is_not_a_number_keeps_no_promise_and_standing_still_is_no_descent() {
        for promise in Promise::ALL {
            assert!(!Finding { promise, measured: f64::NAN }.kept());
            assert!(Finding { promise, measured: 0.0 }.kept());
        }
        assert!(!Finding { promise: Promise::Descent, measured: 1.0 }.kept());
    }

    #[test]
    fn a_slope_is_that_on_the_near_side_of_a_kink_and_no_other() {
        for distance in [1e-3, 3e-6, 1e-7, 1e-9, 1e-10] {
            let bent = |x: f64| x * x + x.sin() + (x - distance).max(0.0);
            assert!(slope_error(1.0, bent) < 1e-9, "{distance}: {}", slope_error(1.0, bent));
            for wrong in [2.0, 1.5, 1.0001] {
                assert!(slope_error(wrong, bent) > 1e-6, "{distance}: {wrong}");
            }
        }
        assert!(slope_error(1.0, |x| if x > 0.0 { f64::NAN } else { x }).is_nan());
    }

    #[test]
    fn promises_that_make_no_sense_for_a_draw_give_no_finding() {
        let promises = [Promise::Differences, Promise::Precision, Promise::InitialLoss];
        let surface = family_named("surfaces").unwrap().sample(1);
        assert_eq!(check(&surface, &promises).unwrap(), []);
        assert_eq!(check(&surface, &[Promise::Replay]).unwrap().len(), 1);
    }

    #[test]
    fn a_damaged_configuration_is_an_error() {
        let mut config = family_named("mlp_teacher").unwrap().sample(1);
        config.batch_size = 0;
        for promise in Promise::ALL {
            assert!(check(&config, &[promise]).unwrap_err().to_string().contains("batch_size"));
        }
    }
}
