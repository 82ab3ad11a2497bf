//! The per-parameter network applied to one tensor: from accumulators to the outputs for every parameter.
//!
//! Three passes over the tensor: the gradient enters the [accumulators](crate::accumulators) and the channels that
//! it determines are squared; the channels with factored statistics are squared; with the normalisation folded into
//! its first layer, the network is evaluated row by row. Every pass is divided among threads as the
//! [cut](crate::cut) of the tensor says. The channels are normalised over a block (the last two axes) or over the whole
//! tensor. Every learned architecture with a per-parameter network goes through here; they differ in
//! [`NetworkSettings`] and in what they do with the outputs.

pub(crate) mod channels;
mod factors;
pub(crate) mod mlp;
mod passes;
mod row;

use crate::accumulators::{Accumulate, Accumulators, Decays, sums_len};
use crate::averages;
use crate::bfloat16::AccumulatorStorage;
use crate::geometry::Geometry;
use crate::parallel::{Shared, for_each_part_with};
use crate::simd::Processor;
use channels::{ChannelSums, FACTORED, FeatureSettings};
use factors::{FactorTables, FactorViews, FillTables};
use mlp::Mlp;
use passes::{Evaluate, EvaluatePieces, Rows, SquareFactors};

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
    /// Sums of squares of the channels, per piece.
    squares: Vec<ChannelSums>,
    /// Sums of squares of the directions, per piece.
    direction_squares: Vec<f64>,
    /// What each thread needs for itself.
    workspaces: Vec<Workspace>,
}

/// Work buffers of one thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workspace {
    /// Rows of averages that are stored in half the room.
    wide: Vec<f32>,
    /// One plane per hidden unit, for the share of the columns in the first layer.
    columns: Vec<f32>,
    /// Products of factors that both vary along a row, plain and corrected.
    products: [Vec<f32>; 2],
}

impl Workspace {
    /// Room for rows of averages that are stored in half the room.
    pub fn wide(&mut self) -> &mut [f32] {
        &mut self.wide
    }
}

impl NetworkScratch {
    /// Makes room for a tensor, for averages that are stored in that way, and for a network of hidden width `hidden`.
    pub fn grow(&mut self, geometry: &Geometry, storage: AccumulatorStorage, hidden: usize) {
        let at_least = |buffer: &mut Vec<f32>, len: usize| buffer.resize(buffer.len().max(len), 0.0);
        let pieces = geometry.cut.pieces;
        self.squares.resize(self.squares.len().max(pieces), ChannelSums::default());
        self.direction_squares.resize(self.direction_squares.len().max(pieces), 0.0);
        if self.workspaces.is_empty() {
            self.workspaces.push(Workspace::default());
        }
        for workspace in &mut self.workspaces {
            at_least(&mut workspace.wide, averages::row_scratch_len(storage, geometry.cols));
        }
        let Some(factors) = &geometry.factors else { return };
        for (which, map) in [&factors.row, &factors.col].into_iter().enumerate() {
            at_least(&mut self.sums[which], sums_len(map, &geometry.cut));
            at_least(&mut self.tables[which], FactorTables::scratch_len(map.len));
        }
        for workspace in &mut self.workspaces {
            at_least(&mut workspace.columns, hidden * geometry.cols);
            workspace.products.iter_mut().for_each(|products| at_least(products, 3 * geometry.cols));
        }
    }

    /// The sum of squares of the directions that were last written to a block.
    pub fn direction_squares(&self, geometry: &Geometry, block: usize) -> f64 {
        self.direction_squares[geometry.cut.of_block(block)].iter().sum()
    }

    /// The sums of squares of `m_k e` over the tensor that the network was last applied to.
    pub fn agreement_squares(&self, geometry: &Geometry) -> [f64; 3] {
        let squares = &self.squares[..geometry.cut.pieces];
        std::array::from_fn(|k| squares.iter().map(|sums| sums.own[channels::AGREEMENT + k]).sum())
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
pub(crate) struct ApplyNetwork<'a, 'b, const H: usize, const VECTOR: usize> {
    pub outputs: NetworkOutputs<'a>,
    pub inputs: NetworkInputs<'a, 'b>,
    pub decays: &'a Decays,
    pub mlp: &'a Mlp<H>,
    pub settings: &'a NetworkSettings,
    pub scratch: &'a mut NetworkScratch,
}

impl<const H: usize, const VECTOR: usize> ApplyNetwork<'_, '_, H, VECTOR> {
    /// Does so on the widest instruction set; returns the sum of squares of the parameters.
    pub fn run(self) -> f64 {
        self.run_on(Processor::widest())
    }

    fn run_on(self, processor: Processor) -> f64 {
        let Self { outputs, inputs, decays, mlp, settings, scratch } = self;
        let NetworkInputs { params, grads, accumulators, geometry } = inputs;
        let (features, cut) = (&settings.features, &geometry.cut);
        let NetworkScratch { sums, tables, squares, direction_squares, workspaces } = scratch;
        let squares = &mut squares[..cut.pieces];
        let sums = sums.each_mut().map(|sums| sums.as_mut_slice());
        Accumulate {
            accumulators,
            grads,
            params,
            geometry,
            decays,
            settings: features,
            sums,
            squares: &mut *squares,
            workspaces: &mut *workspaces,
        }
        .run::<VECTOR>(processor);
        let param_squares = squares.iter().map(|sums| sums.own[channels::PARAM]).sum();

        let views = geometry.factors.as_ref().map(|factors| {
            let [row, col] = tables;
            let mut tables = [FactorTables::new(row, factors.row.len), FactorTables::new(col, factors.col.len)];
            processor.run(FillTables { tables: &mut tables, accumulators, factors, settings: features });
            FactorViews::new(tables, factors)
        });
        let rows = Rows { params, grads, accumulators, geometry, settings: features };
        if let Some(views) = views.as_ref().filter(|_| settings.normalize.is_some()) {
            let squares = Shared::new(&mut *squares);
            for_each_part_with(cut.parts, workspaces, |part, workspace| {
                let pieces = cut.part(part);
                // SAFETY: parts have different pieces.
                let squares = unsafe { squares.part(pieces.clone()) };
                processor.run(SquareFactors { squares, rows: &rows, views, pieces, workspace });
            });
        }

        let mut folded = mlp.clone();
        match settings.normalize {
            Some((Scope::Tensor, epsilon)) => {
                let mut sums = ChannelSums::default();
                squares.iter().for_each(|piece| sums.add(piece));
                folded.fold(mlp, features, Some((&sums, geometry.len, epsilon)));
            }
            Some((Scope::Block, _)) => {}
            None => folded.fold(mlp, features, None),
        }
        let direction = Shared::new(outputs.direction);
        let magnitude = outputs.magnitude.map(Shared::new);
        let direction_squares = Shared::new(direction_squares);
        for_each_part_with(cut.parts, workspaces, |part, workspace| {
            let pieces = cut.part(part);
            let range = geometry.rows_through(&cut.rows_through(&pieces));
            // SAFETY: parts have different pieces, hence different elements.
            let (outputs, direction_squares) = unsafe {
                let magnitude = magnitude.as_ref().map(|magnitude| magnitude.part(range.clone()));
                let outputs = NetworkOutputs { direction: direction.part(range), magnitude };
                (outputs, direction_squares.part(pieces.clone()))
            };
            let (rows, views, folded, squares) = (&rows, views.as_ref(), &folded, &*squares);
            let pass =
                Evaluate { outputs, direction_squares, rows, views, pieces, mlp, folded, settings, squares, workspace };
            if geometry.factors.is_some() {
                processor.run(EvaluatePieces::<H, FACTORED>(pass));
            } else {
                processor.run(EvaluatePieces::<H, VECTOR>(pass));
            }
        });
        param_squares
    }
}

#[cfg(test)]
mod tests {
    use super::channels::BARE;
    use super::mlp::{Activation, PublishedWeights};
    use super::*;
    use crate::accumulators::AccumulatorSlots;
    use crate::state::StateLayout;

    /// Takes in five gradients and returns the directions.
    fn directions(processor: Processor, shape: &[usize], mlp: &Mlp<4>) -> Vec<f32> {
        let geometry = Geometry::new(shape);
        let mut layout = StateLayout::default();
        let slots = AccumulatorSlots::new("w", shape, &geometry, &mut layout);
        let mut scratch = NetworkScratch::default();
        scratch.grow(&geometry, AccumulatorStorage::F32, 4);
        let mut state = vec![0.0; layout.len()];
        let params: Vec<f32> = (0..geometry.len).map(|i| (i as f32 * 0.37).cos()).collect();
        let mut direction = vec![0.0; geometry.len];
        let decays = Decays { momentum: [0.9, 0.99, 0.999], mean_square: 0.95, factored: [0.9, 0.99, 0.999] };
        let features = FeatureSettings { clip: 1000.0, epsilon: 1e-8, vector_epsilon: 0.0, correction: None };
        for step in 0..5 {
            let grads: Vec<f32> = (0..geometry.len).map(|i| ((i + 7 * step) as f32 * 0.61).sin()).collect();
            let accumulators = &mut slots.resolve(&mut state, step as u64);
            ApplyNetwork::<4, BARE> {
                outputs: NetworkOutputs { direction: &mut direction, magnitude: None },
                inputs: NetworkInputs { params: &params, grads: &grads, accumulators, geometry: &geometry },
                decays: &decays,
                mlp,
                settings: &NetworkSettings { features, normalize: Some((Scope::Block, 1e-9)), exp_mult: 0.1 },
                scratch: &mut scratch,
            }
            .run_on(processor);
        }
        direction
    }

    #[test]
    fn every_instruction_set_gives_the_same_directions_within_a_millionth() {
        let theta: Vec<f32> = (0..200).map(|i| (i as f32 * 2.39).sin() * 0.4).collect();
        let stored: [usize; 30] = std::array::from_fn(|channel| channel);
        let mlp = Mlp::new(&PublishedWeights::read(&theta, &stored, 3), Activation::Tanh);
        for shape in [vec![37, 50], vec![50, 37], vec![100], vec![3, 3, 5, 6], vec![64, 10], vec![]] {
            let results: Vec<_> =
                Processor::all().map(|processor| (processor, directions(processor, &shape, &mlp))).collect();
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
