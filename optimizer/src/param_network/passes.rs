//! The second and the third pass over a tensor, for the pieces that one thread works on: squares of the channels with
//! factored statistics, and the network row by row.

use std::ops::Range;

use super::channels::{ChannelSums, FACTORED, FeatureSettings, Squares, factor_channels};
use super::factors::FactorViews;
use super::mlp::{HiddenBase, Mlp, RowOutputs, evaluate_row};
use super::row::{Lanes, Row};
use super::{NetworkOutputs, NetworkSettings, Scope, Workspace};
use crate::accumulators::{Accumulators, for_each_masked};
use crate::geometry::Geometry;
use crate::simd::{Kernel, Simd};

/// Rows of squares that are summed in single precision before they are added up in double precision.
const SQUARES_ROWS: usize = 64;

/// Where the rows of a tensor come from.
pub(super) struct Rows<'a> {
    pub params: &'a [f32],
    pub grads: &'a [f32],
    pub accumulators: &'a Accumulators<'a>,
    pub geometry: &'a Geometry,
    pub settings: &'a FeatureSettings,
}

impl Rows<'_> {
    #[inline(always)]
    fn row<'a, 'b: 'a>(
        &'a self,
        block: usize,
        row: usize,
        views: Option<&'a FactorViews<'b>>,
        products: &'a mut [Vec<f32>; 2],
        wide: &'a mut [f32],
    ) -> Row<'a> {
        let [plain, corrected] = products;
        let range = self.geometry.row(block, row);
        let averages = self.accumulators.averages.row(range.clone(), wide);
        let unfactored = &self.accumulators.row;
        let products = [plain.as_mut_slice(), corrected.as_mut_slice()];
        let inputs = (self.grads, self.params);
        Row::new(inputs, averages, unfactored, range, views, (block, row), products, self.settings)
    }
}

/// Adds the squares of the channels with factored statistics.
pub(super) struct SquareFactors<'a, 'b> {
    /// Of the pieces at hand.
    pub squares: &'a mut [ChannelSums],
    pub rows: &'a Rows<'a>,
    pub views: &'a FactorViews<'b>,
    pub pieces: Range<usize>,
    pub workspace: &'a mut Workspace,
}

impl Kernel for SquareFactors<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { squares, rows, views, pieces, workspace } = self;
        let geometry = rows.geometry;
        for (piece, sums) in pieces.zip(squares) {
            let (block, indices) = geometry.cut.rows(piece);
            // What depends on row or column only is known for the block: its first piece brings it in.
            if indices.start == 0 {
                sums.factor = views.sums_of_squares::<V>(block, geometry);
            }
            let mut squares = Squares::<V>::new();
            let count_of_rows = indices.len();
            for (count_before, index) in indices.enumerate() {
                let Workspace { products, wide, .. } = &mut *workspace;
                let row = rows.row(block, index, Some(views), products, wide);
                let paired = row.len() / (2 * V::LANES) * (2 * V::LANES);
                for at in (0..paired).step_by(2 * V::LANES) {
                    let lanes = [Lanes::Full(at), Lanes::Full(at + V::LANES)];
                    factor_channels::<V, FACTORED, 2>(&row.vectors::<V, FACTORED, 2>(lanes), &mut squares);
                }
                for_each_masked::<V>(
                    row.len() - paired,
                    #[inline(always)]
                    |at, count| {
                        let vectors = row.vectors::<V, FACTORED, 1>([Lanes::Masked(paired + at, count)]);
                        factor_channels::<V, FACTORED, 1>(&vectors, squares.with_count(count));
                    },
                );
                squares.with_count(V::LANES);
                if count_before % SQUARES_ROWS == SQUARES_ROWS - 1 || count_before + 1 == count_of_rows {
                    squares.empty_into(sums);
                }
            }
        }
    }
}

/// Evaluates the network.
pub(super) struct Evaluate<'a, 'b, const H: usize> {
    /// Of the elements of the pieces at hand.
    pub outputs: NetworkOutputs<'a>,
    /// Of the pieces at hand, overwritten.
    pub direction_squares: &'a mut [f64],
    pub rows: &'a Rows<'a>,
    pub views: Option<&'a FactorViews<'b>>,
    pub pieces: Range<usize>,
    pub mlp: &'a Mlp<H>,
    /// The network with its normalisation, unless that is a block's own.
    pub folded: &'a Mlp<H>,
    pub settings: &'a NetworkSettings,
    /// Of all pieces of the tensor.
    pub squares: &'a [ChannelSums],
    pub workspace: &'a mut Workspace,
}

/// [`Evaluate`] on rows with `CHANNELS` channels.
pub(super) struct EvaluatePieces<'a, 'b, const H: usize, const CHANNELS: usize>(pub Evaluate<'a, 'b, H>);

impl<const H: usize, const CHANNELS: usize> Kernel for EvaluatePieces<'_, '_, H, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Evaluate { outputs, direction_squares, rows, views, pieces, mlp, folded, settings, squares, workspace } =
            self.0;
        let NetworkOutputs { direction, mut magnitude } = outputs;
        let geometry = rows.geometry;
        let Workspace { columns, products, wide } = workspace;
        let columns = if views.is_some() { &mut columns[..H * geometry.cols] } else { &mut [] };
        let mut network = folded.clone();
        let mut next = 0;
        for (piece, direction_squares) in pieces.zip(direction_squares) {
            let (block, indices) = geometry.cut.rows(piece);
            if let Some((Scope::Block, epsilon)) = settings.normalize {
                let mut sums = ChannelSums::default();
                squares[geometry.cut.of_block(block)].iter().for_each(|piece| sums.add(piece));
                network.fold(mlp, &settings.features, Some((&sums, geometry.block(block).len(), epsilon)));
            }
            let mut base = HiddenBase::new(&mut *columns);
            *direction_squares = 0.0;
            for index in indices {
                base.enter_row::<V>(&network, views, geometry, block, index);
                let row = rows.row(block, index, views, products, wide);
                let range = next..next + row.len();
                next = range.end;
                let mut outputs = RowOutputs {
                    direction: &mut direction[range.clone()],
                    magnitude: match &mut magnitude {
                        Some(magnitude) => Some(&mut magnitude[range]),
                        None => None,
                    },
                    exp_mult: settings.exp_mult,
                };
                let mut row_squares = V::splat(0.0);
                evaluate_row::<V, H, CHANNELS>(&mut outputs, &network, &base, &row, geometry.cols, &mut row_squares);
                *direction_squares += f64::from(row_squares.sum());
            }
        }
    }
}
