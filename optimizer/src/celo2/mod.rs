//! Celo2 (arXiv 2602.19142): a normalised per-parameter network, without tensor LSTM, loss or horizon.
//!
//! For every tensor that the network handles, with `g` clipped to ±1000:
//!
//! ```text
//! accumulators → thirty channels → each divided by its RMS over the last two axes → MLP 30-8-8 → o₀, o₁
//! u = o₀ · exp(exp_mult · o₁)                  exp_mult = 0 by default
//! u ← NewtonSchulz(u)                          optional, rank ≥ 2
//! u ← u / √(mean(u²) + 1e-9)                   over the last two axes
//! p ← p - s u - λ s p                          s = step_size · multiplier · schedule
//! ```
//!
//! Tensors whose name matches `adam_pattern` take Adam steps instead. As an update has a root mean square of
//! `s` whatever the gradient, the optimizer never stops by itself: give it a schedule that ends low.

mod config;

pub use config::{AdamPath, Celo2Config};

use crate::accumulators::{AccumulatorSlots, Decays, accumulate, for_each_vector, get, put};
use crate::geometry::Geometry;
use crate::orthogonalise::{self, orthogonalise};
use crate::param_features::{
    BiasCorrection, FactorTables, FactorViews, FeatureSettings, OWN, Row, RowFactors, RowKind,
};
use crate::param_mlp::{ChannelSums, HiddenBase, Mlp, RowOutputs, evaluate_row};
use crate::rule::{StepContext, UpdateRule};
use crate::simd::{Kernel, Simd, dispatch};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};
use config::HIDDEN;

const DECAYS: Decays = Decays { momentum: [0.9, 0.99, 0.999], mean_square: 0.95, factored: [0.9, 0.99, 0.999] };
const GRADIENT_CLIP: f32 = 1000.0;
const SQUARE_EPSILON: f32 = 1e-8;
const NORM_EPSILON: f64 = 1e-9;
const ADAM_BETA1: f32 = 0.9;

/// Channels of tensors without factored statistics: all own ones but `m F`.
const VECTOR_CHANNELS: usize = 15;

/// The update of Celo2.
#[derive(Debug, Clone)]
pub struct Celo2Rule {
    config: Celo2Config,
    mlp: Mlp<HIDDEN>,
    tensors: Vec<Tensor>,
    scratch: Scratch,
}

#[derive(Debug, Clone)]
struct Tensor {
    range: std::ops::Range<usize>,
    geometry: Geometry,
    path: Path,
}

#[derive(Debug, Clone)]
enum Path {
    Learned(AccumulatorSlots),
    Adam { mean: Slot, mean_square: Slot },
}

/// Work buffers, sized for the largest tensor.
#[derive(Debug, Clone, Default)]
struct Scratch {
    /// Sums of squared gradients per entry of `R` and `C`.
    sums: [Vec<f32>; 2],
    /// Tables of `R` and `C`.
    tables: [Vec<f32>; 2],
    /// `HIDDEN` planes of one row, for the share of the columns in the first layer.
    columns: Vec<f32>,
    /// Products of factors that both vary along a row, plain and corrected.
    products: [Vec<f32>; 2],
    /// The update before it is scaled, for a whole tensor.
    direction: Vec<f32>,
    /// The second output, where its mean is wanted.
    magnitude: Vec<f32>,
    orthogonalise: Vec<f32>,
}

impl Scratch {
    fn grow(&mut self, geometry: &Geometry, config: &Celo2Config) {
        let at_least = |buffer: &mut Vec<f32>, len: usize| buffer.resize(buffer.len().max(len), 0.0);
        at_least(&mut self.direction, geometry.len);
        if config.aggregate_magnitude {
            at_least(&mut self.magnitude, geometry.len);
        }
        let Some(factors) = &geometry.factors else { return };
        for (which, map) in [&factors.row, &factors.col].into_iter().enumerate() {
            at_least(&mut self.sums[which], map.len);
            at_least(&mut self.tables[which], FactorTables::scratch_len(map.len));
            at_least(&mut self.products[which], 3 * geometry.cols);
        }
        at_least(&mut self.columns, HIDDEN * geometry.cols);
        if config.orthogonalize {
            at_least(&mut self.orthogonalise, orthogonalise::scratch_len(geometry.rows, geometry.cols));
        }
    }
}

impl Celo2Rule {
    /// Replaces the weights, keeping the state.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when there are not 347 of them.
    pub fn set_theta(&mut self, theta: &[f32]) -> Result<(), Error> {
        let expected = self.config.theta_layout().len();
        if theta.len() != expected {
            return Err(Error::LengthMismatch { what: "theta", found: theta.len(), expected });
        }
        self.mlp = Mlp::from_theta(theta, self.config.activation);
        Ok(())
    }
}

impl UpdateRule for Celo2Rule {
    type Config = Celo2Config;
    const NAME: &'static str = "celo2";

    fn build(config: Celo2Config, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        config.check()?;
        let pattern = regex_lite::Regex::new(&config.adam_pattern).expect("the pattern was checked");
        let takes_adam = |name: &str| !config.adam_pattern.is_empty() && pattern.is_match(name);
        let mut scratch = Scratch::default();
        let tensors = layout
            .tensors()
            .iter()
            .map(|tensor| {
                let geometry = Geometry::new(&tensor.shape);
                let path = if takes_adam(&tensor.name) {
                    Path::Adam {
                        mean: state.tensor(&format!("adam_mean/{}", tensor.name), &tensor.shape),
                        mean_square: state.tensor(&format!("adam_mean_square/{}", tensor.name), &tensor.shape),
                    }
                } else {
                    scratch.grow(&geometry, &config);
                    Path::Learned(AccumulatorSlots::new(&tensor.name, &tensor.shape, &geometry, state))
                };
                Tensor { range: tensor.range.clone(), geometry, path }
            })
            .collect();
        let theta = vec![0.0; config.theta_layout().len()];
        Ok(Self { mlp: Mlp::from_theta(&theta, config.activation), config, tensors, scratch })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        for tensor in &self.tensors {
            let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
            match &tensor.path {
                Path::Adam { mean, mean_square } => {
                    let [mean, mean_square] = parts(state, [*mean, *mean_square]);
                    adam_step(params, grads, mean, mean_square, &self.config, context);
                }
                Path::Learned(slots) => dispatch(LearnedStep {
                    params,
                    grads,
                    accumulators: slots.resolve(state),
                    geometry: &tensor.geometry,
                    config: &self.config,
                    mlp: &self.mlp,
                    context,
                    scratch: &mut self.scratch,
                }),
            }
        }
    }
}

fn adam_step(
    params: &mut [f32],
    grads: &[f32],
    mean: &mut [f32],
    mean_square: &mut [f32],
    config: &Celo2Config,
    context: &StepContext,
) {
    let AdamPath { rate_mult, beta2, bias_correction } = config.adam;
    let rate = config.step_size * rate_mult * context.rate;
    let correction = |decay| if bias_correction { undo_bias(decay, context.step) } else { 1.0 };
    let (mean_factor, square_factor) = (correction(ADAM_BETA1), correction(beta2));
    for (((p, &g), m), v) in params.iter_mut().zip(grads).zip(mean).zip(mean_square) {
        *m = ADAM_BETA1 * *m + (1.0 - ADAM_BETA1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let update = *m * mean_factor / (*v * square_factor + SQUARE_EPSILON).sqrt();
        *p -= rate * (update + context.weight_decay * *p);
    }
}

/// `1 / (1 - decay^(step + 1))`.
fn undo_bias(decay: f32, step: u64) -> f32 {
    (1.0 / (1.0 - f64::from(decay).powf((step + 1) as f64))) as f32
}

/// One update of one tensor by the network.
struct LearnedStep<'a> {
    params: &'a mut [f32],
    grads: &'a [f32],
    accumulators: crate::accumulators::Accumulators<'a>,
    geometry: &'a Geometry,
    config: &'a Celo2Config,
    mlp: &'a Mlp<HIDDEN>,
    context: &'a StepContext,
    scratch: &'a mut Scratch,
}

impl Kernel for LearnedStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(mut self) {
        if self.geometry.len == 0 {
            return;
        }
        let [row_sums, col_sums] = &mut self.scratch.sums;
        let (row_len, col_len) =
            self.geometry.factors.as_ref().map_or((0, 0), |factors| (factors.row.len, factors.col.len));
        let sums = [&mut row_sums[..row_len], &mut col_sums[..col_len]];
        accumulate::<V>(&mut self.accumulators, self.grads, self.geometry, &DECAYS, GRADIENT_CLIP, sums);
        if self.geometry.factors.is_some() {
            self.directions::<V, OWN>();
        } else {
            self.directions::<V, VECTOR_CHANNELS>();
        }
        self.apply::<V>();
    }
}

impl LearnedStep<'_> {
    fn settings(&self) -> FeatureSettings {
        let correct = |decay| undo_bias(decay, self.context.step);
        let correction = if self.config.bias_correction {
            BiasCorrection {
                momentum: DECAYS.momentum.map(correct),
                mean_square: correct(DECAYS.mean_square),
                factored: DECAYS.factored.map(correct),
            }
        } else {
            BiasCorrection::NONE
        };
        FeatureSettings { clip: GRADIENT_CLIP, epsilon: SQUARE_EPSILON, correction }
    }

    /// From accumulators to the network's outputs, block by block.
    #[inline(always)]
    fn directions<V: Simd, const CHANNELS: usize>(&mut self) {
        let settings = self.settings();
        let geometry = self.geometry;
        let Scratch {
            tables: [row_tables, col_tables],
            columns,
            products: [plain, corrected],
            direction,
            magnitude,
            ..
        } = &mut *self.scratch;
        let mut base_columns: &mut [f32] = &mut [];
        let mut views = None;
        if let Some(factors) = &geometry.factors {
            let mut row = FactorTables::new(row_tables, factors.row.len);
            row.fill::<V>(&self.accumulators.row, &factors.row, Some(factors.centre), &settings);
            let mut col = FactorTables::new(col_tables, factors.col.len);
            col.fill::<V>(&self.accumulators.col, &factors.col, None, &settings);
            views = Some(FactorViews {
                maps: [&factors.row, &factors.col],
                features: [row.features, col.features],
                unit: [row.unit, col.unit],
                corrected_unit: [row.corrected_unit, col.corrected_unit],
            });
            base_columns = &mut columns[..HIDDEN * geometry.cols];
        }
        let views = views.as_ref();
        for block in 0..geometry.blocks {
            let mut sums = ChannelSums::default();
            if let Some(views) = views {
                sums.factor = views.sums_of_squares(block, geometry);
            }
            let mut squares = [V::splat(0.0); OWN];
            for index in 0..geometry.rows {
                let range = geometry.row(block, index);
                let factors = row_kind(views, &self.accumulators, block, index, range.clone(), plain, corrected);
                let row = Row::new(self.grads, self.params, &self.accumulators, range, factors);
                row.add_squares::<V, CHANNELS>(&mut squares, &settings);
                // Lane sums are emptied into doubles now and then, or large tensors would lose digits.
                if index % SQUARES_ROWS == SQUARES_ROWS - 1 {
                    drain(&mut squares, &mut sums);
                }
            }
            drain(&mut squares, &mut sums);
            let folded;
            let mlp = if self.config.normalize_input {
                folded = self.mlp.fold(&sums, geometry.block(block).len(), NORM_EPSILON);
                &folded
            } else {
                self.mlp
            };
            let mut base = HiddenBase::new(base_columns);
            for index in 0..geometry.rows {
                base.enter_row::<V>(mlp, views, geometry, block, index);
                let range = geometry.row(block, index);
                let factors = row_kind(views, &self.accumulators, block, index, range.clone(), plain, corrected);
                let row = Row::new(self.grads, self.params, &self.accumulators, range.clone(), factors);
                let magnitude = self.config.aggregate_magnitude.then(|| &mut magnitude[range.clone()]);
                let mut outputs =
                    RowOutputs { direction: &mut direction[range], magnitude, exp_mult: self.config.exp_mult };
                evaluate_row::<V, HIDDEN, CHANNELS>(&mut outputs, mlp, &base, &row, geometry.cols, &settings);
            }
        }
    }

    /// From outputs to new parameters.
    #[inline(always)]
    fn apply<V: Simd>(&mut self) {
        let (config, geometry) = (self.config, self.geometry);
        let mean_of = |values: &[f32], count: usize| values.iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64;
        let direction = &mut self.scratch.direction[..geometry.len];
        let mut factor = 1.0;
        if config.aggregate_magnitude {
            let mean = mean_of(&self.scratch.magnitude[..geometry.len], geometry.len) as f32;
            factor *= (config.exp_mult * mean).exp();
        }
        if config.param_scale_mult {
            factor *= (sum_of_squares::<V>(self.params) / geometry.len as f64 + 1e-9).sqrt() as f32;
        }
        if factor != 1.0 {
            direction.iter_mut().for_each(|u| *u *= factor);
        }
        if config.precondition_output {
            for (u, &v) in direction.iter_mut().zip(&*self.accumulators.mean_square) {
                *u /= (v + 1e-6).sqrt();
            }
        }
        let step = config.step_size * self.context.rate;
        let keep = 1.0 - step * self.context.weight_decay;
        for block in 0..geometry.blocks {
            let range = geometry.block(block);
            let direction = &mut direction[range.clone()];
            if config.orthogonalize && geometry.factors.is_some() {
                orthogonalise(direction, geometry.rows, geometry.cols, &mut self.scratch.orthogonalise);
            }
            let mut scale = config.rms_mult;
            if config.normalize_output {
                let mean_square = sum_of_squares::<V>(direction) / direction.len() as f64;
                scale *= (1.0 / (mean_square + NORM_EPSILON).sqrt()) as f32;
            }
            let (scale, keep) = (V::splat(-step * scale), V::splat(keep));
            let params = &mut self.params[range];
            for_each_vector::<V>(
                direction.len(),
                #[inline(always)]
                |at, count| {
                    let u: V = get(direction, at, count);
                    let p: V = get(params, at, count);
                    put(u.mul_add(scale, p.mul(keep)), params, at, count);
                },
            );
        }
    }
}

/// Rows of squares that are summed in single precision before they are added up in double precision.
const SQUARES_ROWS: usize = 64;

#[inline(always)]
fn drain<V: Simd>(squares: &mut [V; OWN], sums: &mut ChannelSums) {
    for (square, sum) in squares.iter_mut().zip(&mut sums.own) {
        *sum += f64::from(square.sum());
        *square = V::splat(0.0);
    }
}

#[inline(always)]
fn sum_of_squares<V: Simd>(values: &[f32]) -> f64 {
    let mut total = 0.0;
    for chunk in values.chunks(4096) {
        let mut sum = V::splat(0.0);
        for_each_vector::<V>(
            chunk.len(),
            #[inline(always)]
            |at, count| {
                let x: V = get(chunk, at, count);
                sum = x.mul_add(x, sum);
            },
        );
        total += f64::from(sum.sum());
    }
    total
}

/// The factors of one row, from the tables or, for vectors, from `V`.
#[inline(always)]
fn row_kind<'a>(
    views: Option<&'a FactorViews<'a>>,
    accumulators: &'a crate::accumulators::Accumulators<'_>,
    block: usize,
    row: usize,
    range: std::ops::Range<usize>,
    plain: &'a mut [f32],
    corrected: &'a mut [f32],
) -> RowKind<'a> {
    match views {
        Some(views) => {
            let cols = range.len();
            let plain: RowFactors<'_> = views.row_factors(&views.unit, block, row, cols, plain);
            let corrected = views.row_factors(&views.corrected_unit, block, row, cols, corrected);
            RowKind::Factored(plain, corrected)
        }
        None => {
            let [v0, v1, v2] = &accumulators.row;
            RowKind::Unfactored([&v0[range.clone()], &v1[range.clone()], &v2[range]])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::on_every_set;

    /// Twenty steps on one tensor, returning its parameters.
    struct Steps<'a> {
        geometry: &'a Geometry,
        slots: &'a AccumulatorSlots,
        mlp: &'a Mlp<HIDDEN>,
        config: &'a Celo2Config,
        scratch: Scratch,
        state: Vec<f32>,
    }

    impl Kernel for Steps<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<V: Simd>(mut self) -> Vec<f32> {
            let len = self.geometry.len;
            let mut params: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).cos()).collect();
            for step in 0..20 {
                let grads: Vec<f32> = (0..len).map(|i| ((i + 7 * step) as f32 * 0.61).sin()).collect();
                let context = StepContext { step: step as u64, loss: 0.0, rate: 1.0, weight_decay: 0.1, horizon: None };
                LearnedStep {
                    params: &mut params,
                    grads: &grads,
                    accumulators: self.slots.resolve(&mut self.state),
                    geometry: self.geometry,
                    config: self.config,
                    mlp: self.mlp,
                    context: &context,
                    scratch: &mut self.scratch,
                }
                .run::<V>();
            }
            params
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_parameters_within_a_millionth() {
        let config = Celo2Config { step_size: 0.01, ..Celo2Config::default() };
        let mut draw = 0.0f32;
        let theta = config.meta_init(&mut || {
            draw += 1.0;
            (draw * 2.39).sin() * 1.5
        });
        let mlp = Mlp::from_theta(&theta, config.activation);
        for shape in [vec![37, 50], vec![50, 37], vec![100], vec![3, 3, 5, 6], vec![64, 10], vec![]] {
            let geometry = Geometry::new(&shape);
            let mut layout = StateLayout::default();
            let slots = AccumulatorSlots::new("w", &shape, &geometry, &mut layout);
            let mut scratch = Scratch::default();
            scratch.grow(&geometry, &config);
            let results = on_every_set(|| Steps {
                geometry: &geometry,
                slots: &slots,
                mlp: &mlp,
                config: &config,
                scratch: scratch.clone(),
                state: vec![0.0; layout.len()],
            });
            let (_, expected) = results.last().unwrap();
            for (set, params) in &results {
                for (index, (got, want)) in params.iter().zip(expected).enumerate() {
                    assert!((got - want).abs() <= 1e-6, "{set:?} {shape:?}[{index}]: {got}, expected {want}");
                }
            }
        }
    }
}
