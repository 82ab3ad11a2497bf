//! The per-parameter network applied to one tensor: from accumulators to the outputs for every parameter.
//!
//! Three passes over the tensor: sums of squares of the channels, folding of the normalisation into the first
//! layer, evaluation row by row. The channels are normalised over a block (the last two axes) or over the
//! whole tensor. Every learned architecture with a per-parameter network goes through here; they differ in
//! [`NetworkSettings`] and in what they do with the outputs.

use crate::accumulators::Accumulators;
use crate::geometry::Geometry;
use crate::param_features::{FACTORED, FactorTables, FactorViews, FeatureSettings, OWN, Row};
use crate::param_mlp::{ChannelSums, HiddenBase, Mlp, RowOutputs, evaluate_row};
use crate::simd::{Kernel, Simd};

/// What is normalised together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The last two axes.
    Block,
    /// The whole tensor.
    Tensor,
}

/// How the network is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NetworkSettings {
    pub features: FeatureSettings,
    /// What the channels are normalised over, and the epsilon beside the mean square; `None`: not at all.
    pub normalize: Option<(Scope, f64)>,
    /// Factor on the second output, whose exponential multiplies the first; 0 leaves it out.
    pub exp_mult: f32,
}

/// Work buffers, sized for the largest tensor.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkScratch {
    /// Sums of squared gradients per entry of `R` and `C`.
    sums: [Vec<f32>; 2],
    /// Tables of `R` and `C`.
    tables: [Vec<f32>; 2],
    /// One plane per hidden unit, for the share of the columns in the first layer.
    columns: Vec<f32>,
    /// Products of factors that both vary along a row, plain and corrected.
    products: [Vec<f32>; 2],
}

impl NetworkScratch {
    /// Makes room for a tensor and a network of hidden width `hidden`.
    pub fn grow(&mut self, geometry: &Geometry, hidden: usize) {
        let at_least = |buffer: &mut Vec<f32>, len: usize| buffer.resize(buffer.len().max(len), 0.0);
        let Some(factors) = &geometry.factors else { return };
        for (which, map) in [&factors.row, &factors.col].into_iter().enumerate() {
            at_least(&mut self.sums[which], map.len);
            at_least(&mut self.tables[which], FactorTables::scratch_len(map.len));
            at_least(&mut self.products[which], 3 * geometry.cols);
        }
        at_least(&mut self.columns, hidden * geometry.cols);
    }

    /// Room for the sums of squared gradients of a tensor.
    #[inline(always)]
    pub fn sums(&mut self, geometry: &Geometry) -> [&mut [f32]; 2] {
        let [row, col] = &mut self.sums;
        match &geometry.factors {
            Some(factors) => [&mut row[..factors.row.len], &mut col[..factors.col.len]],
            None => [&mut [], &mut []],
        }
    }
}

/// Where the outputs of a tensor go.
pub(crate) struct NetworkOutputs<'a> {
    /// `o₀ · exp(exp_mult · o₁)`; `o₀` alone if the magnitude is wanted by itself.
    pub direction: &'a mut [f32],
    /// `o₁`.
    pub magnitude: Option<&'a mut [f32]>,
}

/// One tensor as the network sees it.
pub(crate) struct NetworkInputs<'a> {
    pub params: &'a [f32],
    pub grads: &'a [f32],
    pub accumulators: &'a Accumulators<'a>,
    pub geometry: &'a Geometry,
}

impl NetworkInputs<'_> {
    #[inline(always)]
    fn row<'a, 'b: 'a>(
        &'a self,
        block: usize,
        row: usize,
        views: Option<&'a FactorViews<'b>>,
        products: &'a mut [Vec<f32>; 2],
        settings: &FeatureSettings,
    ) -> Row<'a> {
        let [plain, corrected] = products;
        let range = self.geometry.row(block, row);
        let products = [plain.as_mut_slice(), corrected.as_mut_slice()];
        Row::new((self.grads, self.params), self.accumulators, range, views, (block, row), products, settings)
    }
}

/// Applies a network of hidden width `H` to every parameter of a tensor. Tensors without factored statistics
/// see `VECTOR` channels: [`BARE`](crate::param_features::BARE) or
/// [`UNFACTORED`](crate::param_features::UNFACTORED).
pub(crate) struct Evaluate<'a, const H: usize, const VECTOR: usize> {
    pub outputs: NetworkOutputs<'a>,
    pub inputs: NetworkInputs<'a>,
    pub mlp: &'a Mlp<H>,
    pub settings: &'a NetworkSettings,
    pub scratch: &'a mut NetworkScratch,
}

impl<const H: usize, const VECTOR: usize> Kernel for Evaluate<'_, H, VECTOR> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { mut outputs, inputs, mlp, settings, scratch } = self;
        if inputs.geometry.factors.is_some() {
            evaluate_channels::<V, H, FACTORED>(&mut outputs, &inputs, mlp, settings, scratch);
        } else {
            evaluate_channels::<V, H, VECTOR>(&mut outputs, &inputs, mlp, settings, scratch);
        }
    }
}

#[inline(always)]
fn evaluate_channels<V: Simd, const H: usize, const CHANNELS: usize>(
    outputs: &mut NetworkOutputs<'_>,
    inputs: &NetworkInputs<'_>,
    mlp: &Mlp<H>,
    settings: &NetworkSettings,
    scratch: &mut NetworkScratch,
) {
    let (geometry, features) = (inputs.geometry, &settings.features);
    let NetworkScratch { tables: [row_tables, col_tables], columns, products, .. } = scratch;
    let mut base_columns: &mut [f32] = &mut [];
    let mut views = None;
    if let Some(factors) = &geometry.factors {
        let mut row = FactorTables::new(row_tables, factors.row.len);
        row.fill::<V>(&inputs.accumulators.row, &factors.row, Some(factors.centre), features);
        let mut col = FactorTables::new(col_tables, factors.col.len);
        col.fill::<V>(&inputs.accumulators.col, &factors.col, None, features);
        views = Some(FactorViews {
            maps: [&factors.row, &factors.col],
            features: [row.features, col.features],
            unit: [row.unit, col.unit],
            corrected_unit: [row.corrected_unit, col.corrected_unit],
        });
        base_columns = &mut columns[..H * geometry.cols];
    }
    let views = views.as_ref();
    let blocks_together = match settings.normalize {
        Some((Scope::Tensor, _)) => geometry.blocks,
        _ => 1,
    };
    let mut folded = mlp.clone();
    let mut first = 0;
    while first < geometry.blocks {
        let group = first..first + blocks_together;
        first = group.end;
        let mlp = match settings.normalize {
            Some((_, epsilon)) => {
                let mut sums = ChannelSums::default();
                for block in group.clone() {
                    add_squares::<V, CHANNELS>(&mut sums, inputs, views, block, features, products);
                }
                let elements = geometry.block(group.start).start..geometry.block(group.end - 1).end;
                folded.fold(mlp, &sums, elements.len(), epsilon);
                &folded
            }
            None => mlp,
        };
        for block in group {
            let mut base = HiddenBase::new(&mut *base_columns);
            for index in 0..geometry.rows {
                base.enter_row::<V>(mlp, views, geometry, block, index);
                let range = geometry.row(block, index);
                let row = inputs.row(block, index, views, products, features);
                let mut outputs = RowOutputs {
                    direction: &mut outputs.direction[range.clone()],
                    magnitude: match &mut outputs.magnitude {
                        Some(magnitude) => Some(&mut magnitude[range]),
                        None => None,
                    },
                    exp_mult: settings.exp_mult,
                };
                evaluate_row::<V, H, CHANNELS>(&mut outputs, mlp, &base, &row, geometry.cols, features);
            }
        }
    }
}

/// Rows of squares that are summed in single precision before they are added up in double precision.
const SQUARES_ROWS: usize = 64;

/// Adds the squares of all channels over one block.
#[inline(always)]
fn add_squares<V: Simd, const CHANNELS: usize>(
    sums: &mut ChannelSums,
    inputs: &NetworkInputs<'_>,
    views: Option<&FactorViews<'_>>,
    block: usize,
    settings: &FeatureSettings,
    products: &mut [Vec<f32>; 2],
) {
    if let Some(views) = views {
        let own = views.sums_of_squares(block, inputs.geometry);
        for (sum, own) in sums.factor.as_flattened_mut().iter_mut().zip(own.as_flattened()) {
            *sum += own;
        }
    }
    let mut squares = [V::splat(0.0); OWN];
    for index in 0..inputs.geometry.rows {
        let row = inputs.row(block, index, views, products, settings);
        row.add_squares::<V, CHANNELS>(&mut squares, settings);
        // Lane sums are emptied into doubles now and then, or large tensors would lose digits.
        if index % SQUARES_ROWS == SQUARES_ROWS - 1 || index + 1 == inputs.geometry.rows {
            for (square, sum) in squares.iter_mut().zip(&mut sums.own).take(CHANNELS) {
                *sum += f64::from(square.sum());
                *square = V::splat(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulators::{Accumulate, AccumulatorSlots, Decays};
    use crate::param_features::BARE;
    use crate::param_mlp::{Activation, PublishedWeights};
    use crate::simd::on_every_set;
    use crate::state::StateLayout;

    /// Takes in five gradients and returns the directions.
    struct Directions<'a> {
        geometry: &'a Geometry,
        slots: &'a AccumulatorSlots,
        mlp: &'a Mlp<4>,
        state: Vec<f32>,
        scratch: NetworkScratch,
    }

    impl Kernel for Directions<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<V: Simd>(mut self) -> Vec<f32> {
            let len = self.geometry.len;
            let params: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).cos()).collect();
            let mut grads = params.clone();
            let mut accumulators = self.slots.resolve(&mut self.state);
            let decays = Decays { momentum: [0.9, 0.99, 0.999], mean_square: 0.95, factored: [0.9, 0.99, 0.999] };
            for step in 0..5 {
                grads.iter_mut().enumerate().for_each(|(i, g)| *g = ((i + 7 * step) as f32 * 0.61).sin());
                let sums = self.scratch.sums(self.geometry);
                let (accumulators, grads) = (&mut accumulators, grads.as_slice());
                let geometry = self.geometry;
                Accumulate { accumulators, grads, geometry, decays: &decays, clip: 1000.0, sums }.run::<V>();
            }
            let features = FeatureSettings { clip: 1000.0, epsilon: 1e-8, vector_epsilon: 0.0, correction: None };
            let mut direction = vec![0.0; len];
            Evaluate::<4, BARE> {
                outputs: NetworkOutputs { direction: &mut direction, magnitude: None },
                inputs: NetworkInputs {
                    params: &params,
                    grads: &grads,
                    accumulators: &accumulators,
                    geometry: self.geometry,
                },
                mlp: self.mlp,
                settings: &NetworkSettings { features, normalize: Some((Scope::Block, 1e-9)), exp_mult: 0.1 },
                scratch: &mut self.scratch,
            }
            .run::<V>();
            direction
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_directions_within_a_millionth() {
        let theta: Vec<f32> = (0..200).map(|i| (i as f32 * 2.39).sin() * 0.4).collect();
        let stored: [usize; 30] = std::array::from_fn(|channel| channel);
        let mlp = Mlp::new(&PublishedWeights::read(&theta, &stored, 3), Activation::Tanh);
        for shape in [vec![37, 50], vec![50, 37], vec![100], vec![3, 3, 5, 6], vec![64, 10], vec![]] {
            let geometry = Geometry::new(&shape);
            let mut layout = StateLayout::default();
            let slots = AccumulatorSlots::new("w", &shape, &geometry, &mut layout);
            let mut scratch = NetworkScratch::default();
            scratch.grow(&geometry, 4);
            let results = on_every_set(|| Directions {
                geometry: &geometry,
                slots: &slots,
                mlp: &mlp,
                scratch: scratch.clone(),
                state: vec![0.0; layout.len()],
            });
            let (_, expected) = results.last().unwrap();
            assert!(expected.iter().any(|x| x.abs() > 0.1), "{shape:?}: all directions vanish");
            for (set, direction) in &results {
                for (index, (got, want)) in direction.iter().zip(expected).enumerate() {
                    assert!((got - want).abs() <= 1e-6, "{set:?} {shape:?}[{index}]: {got}, expected {want}");
                }
            }
        }
    }
}
