//! The per-parameter network applied to one tensor: from accumulators to the outputs for every parameter.
//!
//! Three passes over the tensor: the gradient enters the [accumulators](crate::accumulators) and the channels that
//! it determines are squared; the channels with factored statistics are squared; with the normalisation folded into
//! its first layer, the network is evaluated row by row. The channels are normalised over a block (the last two
//! axes) or over the whole tensor. Every learned architecture with a per-parameter network goes through here; they
//! differ in [`NetworkSettings`] and in what they do with the outputs.

pub(crate) mod channels;
mod factors;
pub(crate) mod mlp;
mod row;

use crate::accumulators::{Accumulate, Accumulators, Decays, for_each_masked};
use crate::geometry::Geometry;
use crate::simd::{Kernel, Simd};
use channels::{ChannelSums, FACTORED, FeatureSettings, Squares, factor_channels};
use factors::{FactorTables, FactorViews};
use mlp::{HiddenBase, Mlp, RowOutputs, evaluate_row};
use row::{Lanes, Row};

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
    /// Sums of squares of the channels, per block.
    squares: Vec<ChannelSums>,
    /// Sums of squares of the directions, per block.
    direction_squares: Vec<f64>,
}

impl NetworkScratch {
    /// Makes room for a tensor and a network of hidden width `hidden`.
    pub fn grow(&mut self, geometry: &Geometry, hidden: usize) {
        let at_least = |buffer: &mut Vec<f32>, len: usize| buffer.resize(buffer.len().max(len), 0.0);
        self.squares.resize(self.squares.len().max(geometry.blocks), ChannelSums::default());
        self.direction_squares.resize(self.direction_squares.len().max(geometry.blocks), 0.0);
        let Some(factors) = &geometry.factors else { return };
        for (which, map) in [&factors.row, &factors.col].into_iter().enumerate() {
            at_least(&mut self.sums[which], map.len);
            at_least(&mut self.tables[which], FactorTables::scratch_len(map.len));
            at_least(&mut self.products[which], 3 * geometry.cols);
        }
        at_least(&mut self.columns, hidden * geometry.cols);
    }

    /// The sum of squares of the directions that were last written to a block.
    pub fn direction_squares(&self, block: usize) -> f64 {
        self.direction_squares[block]
    }

    /// The sums of squares of `m_k e` over the first `blocks` blocks of the tensor that the network was last applied to.
    pub fn agreement_squares(&self, blocks: usize) -> [f64; 3] {
        std::array::from_fn(|k| self.squares[..blocks].iter().map(|sums| sums.own[channels::AGREEMENT + k]).sum())
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
pub(crate) struct NetworkInputs<'a, 'b> {
    pub params: &'a [f32],
    pub grads: &'a [f32],
    pub accumulators: &'a mut Accumulators<'b>,
    pub geometry: &'a Geometry,
}

/// Takes a gradient in and applies a network of hidden width `H` to every parameter of a tensor. Tensors without
/// factored statistics see `VECTOR` channels: [`BARE`](channels::BARE) or [`UNFACTORED`](channels::UNFACTORED).
///
/// Returns the sum of squares of the parameters.
pub(crate) struct ApplyNetwork<'a, 'b, const H: usize, const VECTOR: usize> {
    pub outputs: NetworkOutputs<'a>,
    pub inputs: NetworkInputs<'a, 'b>,
    pub decays: &'a Decays,
    pub mlp: &'a Mlp<H>,
    pub settings: &'a NetworkSettings,
    pub scratch: &'a mut NetworkScratch,
}

impl<const H: usize, const VECTOR: usize> Kernel for ApplyNetwork<'_, '_, H, VECTOR> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Simd>(self) -> f64 {
        let Self { mut outputs, inputs, decays, mlp, settings, scratch } = self;
        let NetworkInputs { params, grads, accumulators, geometry } = inputs;
        let features = &settings.features;
        let [row_sums, col_sums] = &mut scratch.sums;
        let squares = &mut scratch.squares[..geometry.blocks];
        let sums = match &geometry.factors {
            Some(factors) => [&mut row_sums[..factors.row.len], &mut col_sums[..factors.col.len]],
            None => [&mut [][..], &mut [][..]],
        };
        Accumulate { accumulators, grads, params, geometry, decays, settings: features, sums, squares }
            .run::<V, VECTOR>();
        let param_squares = squares.iter().map(|sums| sums.own[channels::PARAM]).sum();

        let rows = Rows { params, grads, accumulators, geometry, settings: features };
        if geometry.factors.is_some() {
            evaluate::<V, H, FACTORED>(&mut outputs, &rows, mlp, settings, scratch);
        } else {
            evaluate::<V, H, VECTOR>(&mut outputs, &rows, mlp, settings, scratch);
        }
        param_squares
    }
}

/// Where the rows of a tensor come from.
struct Rows<'a> {
    params: &'a [f32],
    grads: &'a [f32],
    accumulators: &'a Accumulators<'a>,
    geometry: &'a Geometry,
    settings: &'a FeatureSettings,
}

impl Rows<'_> {
    #[inline(always)]
    fn row<'a, 'b: 'a>(
        &'a self,
        block: usize,
        row: usize,
        views: Option<&'a FactorViews<'b>>,
        products: &'a mut [Vec<f32>; 2],
    ) -> Row<'a> {
        let [plain, corrected] = products;
        let range = self.geometry.row(block, row);
        let products = [plain.as_mut_slice(), corrected.as_mut_slice()];
        Row::new((self.grads, self.params), self.accumulators, range, views, (block, row), products, self.settings)
    }
}

#[inline(always)]
fn evaluate<V: Simd, const H: usize, const CHANNELS: usize>(
    outputs: &mut NetworkOutputs<'_>,
    rows: &Rows<'_>,
    mlp: &Mlp<H>,
    settings: &NetworkSettings,
    scratch: &mut NetworkScratch,
) {
    let (geometry, features) = (rows.geometry, &settings.features);
    let NetworkScratch { tables: [row_tables, col_tables], columns, products, squares, direction_squares, .. } =
        scratch;
    let mut base_columns: &mut [f32] = &mut [];
    let mut views = None;
    if let Some(factors) = &geometry.factors {
        let mut row = FactorTables::new(row_tables, factors.row.len);
        row.fill::<V>(&rows.accumulators.row, &factors.row, Some(factors.centre), features);
        let mut col = FactorTables::new(col_tables, factors.col.len);
        col.fill::<V>(&rows.accumulators.col, &factors.col, None, features);
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
        match settings.normalize {
            Some((_, epsilon)) => {
                let mut sums = ChannelSums::default();
                for block in group.clone() {
                    if let Some(views) = views {
                        add_factor_squares::<V>(&mut squares[block], rows, views, block, products);
                    }
                    sums.add(&squares[block]);
                }
                let elements = geometry.block(group.start).start..geometry.block(group.end - 1).end;
                folded.fold(mlp, features, Some((&sums, elements.len(), epsilon)));
            }
            None => folded.fold(mlp, features, None),
        }
        for block in group {
            let mut base = HiddenBase::new(&mut *base_columns);
            let mut block_squares = 0.0;
            for index in 0..geometry.rows {
                base.enter_row::<V>(&folded, views, geometry, block, index);
                let range = geometry.row(block, index);
                let row = rows.row(block, index, views, products);
                let mut outputs = RowOutputs {
                    direction: &mut outputs.direction[range.clone()],
                    magnitude: match &mut outputs.magnitude {
                        Some(magnitude) => Some(&mut magnitude[range]),
                        None => None,
                    },
                    exp_mult: settings.exp_mult,
                };
                let mut row_squares = V::splat(0.0);
                evaluate_row::<V, H, CHANNELS>(&mut outputs, &folded, &base, &row, geometry.cols, &mut row_squares);
                block_squares += f64::from(row_squares.sum());
            }
            direction_squares[block] = block_squares;
        }
    }
}

/// Rows of squares that are summed in single precision before they are added up in double precision.
const SQUARES_ROWS: usize = 64;

/// Adds the squares of the channels with factored statistics over one block.
#[inline(always)]
fn add_factor_squares<V: Simd>(
    sums: &mut ChannelSums,
    rows: &Rows<'_>,
    views: &FactorViews<'_>,
    block: usize,
    products: &mut [Vec<f32>; 2],
) {
    sums.factor = views.sums_of_squares::<V>(block, rows.geometry);
    let mut squares = Squares::<V>::new();
    for index in 0..rows.geometry.rows {
        let row = rows.row(block, index, Some(views), products);
        for_each_masked::<V>(
            row.len(),
            #[inline(always)]
            |at, count| {
                let vectors = row.vectors::<V, FACTORED, 1>([Lanes::Masked(at, count)]);
                factor_channels::<V, FACTORED, 1>(&vectors, squares.with_count(count));
            },
        );
        if index % SQUARES_ROWS == SQUARES_ROWS - 1 || index + 1 == rows.geometry.rows {
            squares.empty_into(sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::channels::BARE;
    use super::mlp::{Activation, PublishedWeights};
    use super::*;
    use crate::accumulators::AccumulatorSlots;
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
            let mut direction = vec![0.0; len];
            let decays = Decays { momentum: [0.9, 0.99, 0.999], mean_square: 0.95, factored: [0.9, 0.99, 0.999] };
            for step in 0..5 {
                grads.iter_mut().enumerate().for_each(|(i, g)| *g = ((i + 7 * step) as f32 * 0.61).sin());
                let features = FeatureSettings { clip: 1000.0, epsilon: 1e-8, vector_epsilon: 0.0, correction: None };
                ApplyNetwork::<4, BARE> {
                    outputs: NetworkOutputs { direction: &mut direction, magnitude: None },
                    inputs: NetworkInputs {
                        params: &params,
                        grads: &grads,
                        accumulators: &mut accumulators,
                        geometry: self.geometry,
                    },
                    decays: &decays,
                    mlp: self.mlp,
                    settings: &NetworkSettings { features, normalize: Some((Scope::Block, 1e-9)), exp_mult: 0.1 },
                    scratch: &mut self.scratch,
                }
                .run::<V>();
            }
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
