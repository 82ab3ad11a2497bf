//! The tiny network that is applied to every parameter: thirty normalised channels → H → H → outputs.
//!
//! ```text
//! a₀ = φ(x W₀ + b₀)     a₁ = φ(a₀ W₁ + b₁)     o = a₁ W₂ + b₂
//! ```
//!
//! `o₀` is the direction, `o₁` (if used) the logarithm of a magnitude. The division of each channel by its
//! root mean square is folded into `W₀` ([`Mlp::fold`]); channels that depend on row or column only enter
//! through [`HiddenBase`], once per row or column. Sixteen or thirty-two parameters of a row are computed
//! together, one per lane, so that each broadcast weight serves all of them.

use serde::{Deserialize, Serialize};

use super::channels::{
    BARE, ChannelSums, FACTOR, FACTORED, FeatureSettings, OWN, Sink, factor_channels, plain_channels,
};
use super::factors::FactorViews;
use super::row::{Lanes, Row, RowVectors};
use crate::accumulators::{for_each_masked, for_each_vector, get, put};
use crate::geometry::Geometry;
use crate::simd::Simd;

/// Widths of the fourteen groups of input channels in which the published weights are stored.
pub(crate) const GROUPS: [usize; 14] = [1, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 3, 3, 3];

/// The nonlinearity `φ` of the hidden layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `tanh x`.
    Tanh,
}

/// An activation known at compile time.
trait Nonlinearity {
    fn apply<V: Simd>(x: V) -> V;
}

struct Relu;

impl Nonlinearity for Relu {
    #[inline(always)]
    fn apply<V: Simd>(x: V) -> V {
        x.max(V::splat(0.0))
    }
}

struct Tanh;

impl Nonlinearity for Tanh {
    #[inline(always)]
    fn apply<V: Simd>(x: V) -> V {
        x.tanh()
    }
}

/// Weights in the order of the published implementations: thirty input channels, two outputs that are read.
#[derive(Debug, Clone)]
pub(crate) struct PublishedWeights<const H: usize> {
    pub channels: [[f32; H]; 30],
    pub b0: [f32; H],
    pub w1: [[f32; H]; H],
    pub b1: [f32; H],
    /// Per output.
    pub w2: [[f32; H]; 2],
    pub b2: [f32; 2],
}

impl<const H: usize> PublishedWeights<H> {
    /// Reads weights stored as `channels × H`, `b0`, `w1`, `b1`, `w2` (`H × outputs`), `b2`, where the stored
    /// channels are those listed; channels that are not stored get zero weights.
    pub fn read(mut theta: &[f32], stored: &[usize], outputs: usize) -> Self {
        let mut take = |count: usize| {
            let (head, tail) = theta.split_at(count);
            theta = tail;
            head
        };
        let array = |values: &[f32]| -> [f32; H] { values.try_into().expect("H values were taken") };
        let mut channels = [[0.0; H]; 30];
        for &channel in stored {
            channels[channel] = array(take(H));
        }
        let b0 = array(take(H));
        let w1 = std::array::from_fn(|_| array(take(H)));
        let b1 = array(take(H));
        let last = take(outputs * H);
        let w2 = std::array::from_fn(|o| std::array::from_fn(|h| last[outputs * h + o]));
        let b2 = take(outputs);
        Self { channels, b0, w1, b1, w2, b2: [b2[0], b2[1]] }
    }
}

/// Weights with hidden width `H`, first layer sorted by where its channel comes from.
#[derive(Debug, Clone)]
pub(crate) struct Mlp<const H: usize> {
    own: [[f32; H]; OWN],
    factor: [[[f32; H]; FACTOR]; 2],
    b0: [f32; H],
    w1: [[f32; H]; H],
    b1: [f32; H],
    /// Per output; the third output of the published networks is unused and not kept.
    w2: [[f32; H]; 2],
    b2: [f32; 2],
    activation: Activation,
}

impl<const H: usize> Mlp<H> {
    /// Sorts published weights by where their channel comes from.
    pub fn new(weights: &PublishedWeights<H>, activation: Activation) -> Self {
        let channels = &weights.channels;
        let [row_averages, col_averages, row_roots, col_roots, momentum_factor] = [15, 18, 21, 24, 27];
        let factor = [(row_averages, row_roots), (col_averages, col_roots)].map(|(averages, roots)| {
            std::array::from_fn(|c| channels[if c < 3 { averages + c } else { roots + c - 3 }])
        });
        // A vector has the same numbers in both channels of a pair: their weights add up.
        let both = |first: usize, second: usize| std::array::from_fn(|h| channels[first][h] + channels[second][h]);
        let own = std::array::from_fn(|c| match c {
            ..BARE => channels[c],
            BARE..FACTORED => channels[momentum_factor + c - BARE],
            c if c < FACTORED + 3 => both(row_averages + c - FACTORED, col_averages + c - FACTORED),
            c => both(row_roots + c - FACTORED - 3, col_roots + c - FACTORED - 3),
        });
        let PublishedWeights { b0, w1, b1, w2, b2, .. } = *weights;
        Self { own, factor, b0, w1, b1, w2, b2, activation }
    }

    /// The network whose weights are `factor · Σ coefficients[i] · bank[i]`.
    pub fn mix(bank: &[Self], coefficients: &[f32], factor: f32) -> Self {
        let mut mixed = bank[0].clone();
        mixed.combine(&bank[0], |_, own| factor * coefficients[0] * own);
        for (network, &coefficient) in bank.iter().zip(coefficients).skip(1) {
            let coefficient = factor * coefficient;
            mixed.combine(network, |sum, own| sum + coefficient * own);
        }
        mixed
    }

    fn combine(&mut self, other: &Self, combination: impl Fn(f32, f32) -> f32) {
        let over = |own: &mut [f32], other: &[f32]| {
            own.iter_mut().zip(other).for_each(|(own, &other)| *own = combination(*own, other));
        };
        over(self.own.as_flattened_mut(), other.own.as_flattened());
        over(self.factor.as_flattened_mut().as_flattened_mut(), other.factor.as_flattened().as_flattened());
        over(&mut self.b0, &other.b0);
        over(self.w1.as_flattened_mut(), other.w1.as_flattened());
        over(&mut self.b1, &other.b1);
        over(self.w2.as_flattened_mut(), other.w2.as_flattened());
        over(&mut self.b2, &other.b2);
    }

    /// Adds to the bias of the first layer: the share of inputs that are equal for all parameters.
    pub fn shift_bias(&mut self, shift: &[f32; H]) {
        self.b0.iter_mut().zip(shift).for_each(|(bias, shift)| *bias += shift);
    }

    /// Becomes `source` for the channels as they are computed: their corrections are multiplied into the first layer,
    /// and `1/√(mean square + epsilon)` of each if `normalize` has the sums of squares, the number of elements and
    /// epsilon.
    pub fn fold(&mut self, source: &Self, settings: &FeatureSettings, normalize: Option<(&ChannelSums, usize, f64)>) {
        let mut scales = [1.0f64; OWN + 2 * FACTOR];
        for (channel, scale) in scales.iter_mut().enumerate().take(OWN) {
            *scale = f64::from(settings.channel_scale(channel));
        }
        if let Some((sums, elements, epsilon)) = normalize {
            let mut all = [0.0; OWN + 2 * FACTOR];
            all[..OWN].copy_from_slice(&sums.own);
            all[OWN..].copy_from_slice(sums.factor.as_flattened());
            // Without branches: roots and quotients become vectors.
            for (scale, sum) in scales.iter_mut().zip(all) {
                *scale /= (*scale * *scale * sum / elements as f64 + epsilon).sqrt();
            }
        }
        let (of_own, of_factor) = scales.split_at(OWN);
        let scale_rows = |folded: &mut [[f32; H]], weights: &[[f32; H]], scales: &[f64]| {
            for ((folded, weights), &scale) in folded.iter_mut().zip(weights).zip(scales) {
                *folded = weights.map(|weight| weight * scale as f32);
            }
        };
        scale_rows(&mut self.own, &source.own, of_own);
        scale_rows(self.factor.as_flattened_mut(), source.factor.as_flattened(), of_factor);
    }

    /// The sums of hidden units `first..` of the first layer, `TILE` of them.
    #[inline(always)]
    fn first_layer<V: Simd, const CHANNELS: usize, const U: usize, const TILE: usize>(
        &self,
        base: &HiddenBase<'_, H>,
        vectors: &RowVectors<'_, CHANNELS, U>,
        first: usize,
        cols: usize,
    ) -> [[V; TILE]; U] {
        let mut layer = FirstLayer { mlp: self, first, sums: [[V::splat(0.0); TILE]; U] };
        for (sums, lanes) in layer.sums.iter_mut().zip(vectors.lanes()) {
            base.read(sums, first, cols, lanes);
        }
        plain_channels(vectors, vectors.settings(), &mut layer);
        factor_channels::<V, CHANNELS, U>(vectors, &mut layer);
        layer.sums
    }

    /// `o₀`, and `o₁` if `magnitude` asks for it, from the sums of the first layer.
    #[inline(always)]
    fn later_layers<V: Simd, const U: usize>(&self, hidden: [[V; H]; U], magnitude: bool) -> [[V; 2]; U] {
        // One branch on the activation for everything that follows.
        match self.activation {
            Activation::Relu => self.later_layers_with::<V, Relu, U>(hidden, magnitude),
            Activation::Tanh => self.later_layers_with::<V, Tanh, U>(hidden, magnitude),
        }
    }

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "indices over register tiles; iterators hide their constant length")]
    fn later_layers_with<V: Simd, A: Nonlinearity, const U: usize>(
        &self,
        mut hidden: [[V; H]; U],
        magnitude: bool,
    ) -> [[V; 2]; U] {
        for u in 0..U {
            for h in 0..H {
                hidden[u][h] = A::apply(hidden[u][h]);
            }
        }
        let mut outputs = [[V::splat(self.b2[0]), V::splat(self.b2[1])]; U];
        for first in (0..H).step_by(SECOND_TILE) {
            let mut sums = [[V::splat(0.0); SECOND_TILE]; U];
            for t in 0..SECOND_TILE {
                for u in 0..U {
                    sums[u][t] = V::splat(self.b1[first + t]);
                }
            }
            for h in 0..H {
                for t in 0..SECOND_TILE {
                    let weight = V::splat(self.w1[h][first + t]);
                    for u in 0..U {
                        sums[u][t] = hidden[u][h].mul_add(weight, sums[u][t]);
                    }
                }
            }
            for t in 0..SECOND_TILE {
                let (direction, log_magnitude) = (V::splat(self.w2[0][first + t]), V::splat(self.w2[1][first + t]));
                for u in 0..U {
                    let x = A::apply(sums[u][t]);
                    outputs[u][0] = x.mul_add(direction, outputs[u][0]);
                    if magnitude {
                        outputs[u][1] = x.mul_add(log_magnitude, outputs[u][1]);
                    }
                }
            }
        }
        outputs
    }
}

/// Hidden units that are summed together in the first layer for one vector of parameters, and for two with the 32
/// registers of AVX-512: half of them are left to what is added.
const TILE: usize = 8;

/// The same for two vectors where there are 16 registers. The channels are made anew for every tile, which costs less
/// than to load each weight for every vector.
const NARROW_TILE: usize = 4;

/// The same in the second layer, whose inputs stay in registers too.
const SECOND_TILE: usize = 4;

/// Adds channels into some hidden units of `U` vectors.
struct FirstLayer<'a, V, const H: usize, const U: usize, const TILE: usize> {
    mlp: &'a Mlp<H>,
    /// The first of these hidden units.
    first: usize,
    sums: [[V; TILE]; U],
}

impl<V: Simd, const H: usize, const U: usize, const TILE: usize> Sink<V, U> for FirstLayer<'_, V, H, U, TILE> {
    #[inline(always)]
    fn push(&mut self, channel: usize, values: [V; U]) {
        let weights = &self.mlp.own[channel];
        for t in 0..const { if H < TILE { H } else { TILE } } {
            let weight = V::splat(weights[self.first + t]);
            for (sums, value) in self.sums.iter_mut().zip(values) {
                sums[t] = value.mul_add(weight, sums[t]);
            }
        }
    }
}

/// The share of the first layer that is the same along a row, or along a column.
pub(crate) struct HiddenBase<'a, const H: usize> {
    /// `b₀` and the row-only channels.
    row: [f32; H],
    /// `H` planes of the column-only channels; empty for tensors without factors.
    columns: &'a mut [f32],
    /// The planes hold a row that was entered before.
    is_filled: bool,
}

impl<'a, const H: usize> HiddenBase<'a, H> {
    /// Room for the columns of some rows of one block: `H` planes, or none.
    pub fn new(columns: &'a mut [f32]) -> Self {
        Self { row: [0.0; H], columns, is_filled: false }
    }

    /// Moves to a row of that block.
    #[inline(always)]
    pub fn enter_row<V: Simd>(
        &mut self,
        mlp: &Mlp<H>,
        views: Option<&FactorViews<'_>>,
        geometry: &Geometry,
        block: usize,
        row: usize,
    ) {
        self.row = mlp.b0;
        let Some(views) = views else { return };
        let cols = geometry.cols;
        let varies = views.maps.iter().any(|map| map.col_stride == 1 && !map.same_for_all_rows());
        let refill = !self.is_filled || varies;
        self.is_filled = true;
        if refill {
            self.columns.fill(0.0);
        }
        for which in 0..2 {
            let (map, features, weights) = (views.maps[which], views.features[which], &mlp.factor[which]);
            let at = map.at(block, row);
            if map.col_stride == 0 {
                for (channel, weights) in weights.iter().enumerate() {
                    let x = features[channel * map.len + at];
                    for (sum, &weight) in self.row.iter_mut().zip(weights) {
                        *sum += x * weight;
                    }
                }
            } else if refill {
                for_each_vector::<V>(
                    cols,
                    #[inline(always)]
                    |j, count| {
                        let mut x = [V::splat(0.0); FACTOR];
                        for (channel, x) in x.iter_mut().enumerate() {
                            *x = get(features, channel * map.len + at + j, count);
                        }
                        for (h, plane) in self.columns.chunks_exact_mut(cols).enumerate() {
                            let mut sum: V = get(plane, j, count);
                            for (x, weights) in x.iter().zip(weights) {
                                sum = x.mul_add(V::splat(weights[h]), sum);
                            }
                            put(sum, plane, j, count);
                        }
                    },
                );
            }
        }
    }

    /// Starts the sums of hidden units `first..` of one vector of the row.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "indices over register tiles; iterators hide their constant length")]
    fn read<V: Simd, const TILE: usize>(&self, sums: &mut [V; TILE], first: usize, cols: usize, lanes: Lanes) {
        for t in 0..const { if H < TILE { H } else { TILE } } {
            sums[t] = V::splat(self.row[first + t]);
        }
        if self.columns.is_empty() {
            return;
        }
        assert!(self.columns.len() == H * cols && lanes.end::<V>() <= cols && first < H);
        for t in 0..const { if H < TILE { H } else { TILE } } {
            // SAFETY: there are H planes of `cols` elements, and the lanes end inside of `cols`.
            let column = unsafe { lanes.get_unchecked::<V>(self.columns.get_unchecked((first + t) * cols..)) };
            sums[t] = sums[t].add(column);
        }
    }
}

/// Where the outputs of one row go.
pub(crate) struct RowOutputs<'a> {
    /// `o₀`, or `o₀ · exp(exp_mult · o₁)` when the magnitude is applied at once.
    pub direction: &'a mut [f32],
    /// `o₁`, when it is wanted by itself.
    pub magnitude: Option<&'a mut [f32]>,
    /// `exp_mult`; zero leaves the magnitude out.
    pub exp_mult: f32,
}

impl RowOutputs<'_> {
    #[inline(always)]
    fn wants_magnitude(&self) -> bool {
        self.exp_mult != 0.0 || self.magnitude.is_some()
    }

    /// Writes the outputs of one vector; gives the direction.
    #[inline(always)]
    fn write<V: Simd>(&mut self, [mut direction, magnitude]: [V; 2], lanes: Lanes) -> V {
        match &mut self.magnitude {
            Some(plane) => lanes.put(magnitude, plane),
            None if self.exp_mult != 0.0 => {
                direction = direction.mul(magnitude.mul(V::splat(self.exp_mult)).exp());
            }
            None => {}
        }
        lanes.put(direction, self.direction);
        direction
    }
}

/// Applies the network to one row; adds the squares of the directions to `squares`.
#[inline(always)]
pub(crate) fn evaluate_row<V: Simd, const H: usize, const CHANNELS: usize>(
    outputs: &mut RowOutputs<'_>,
    mlp: &Mlp<H>,
    base: &HiddenBase<'_, H>,
    row: &Row<'_>,
    cols: usize,
    squares: &mut V,
) {
    let len = row.len();
    // Two vectors share each broadcast weight.
    let paired = if V::LANES >= 8 { len / (2 * V::LANES) * (2 * V::LANES) } else { 0 };
    for j in (0..paired).step_by(2 * V::LANES) {
        let lanes = [Lanes::Full(j), Lanes::Full(j + V::LANES)];
        let magnitude = outputs.wants_magnitude();
        let values = if V::LANES == 16 {
            evaluate::<V, H, CHANNELS, 2, TILE>(mlp, base, row, lanes, cols, magnitude)
        } else {
            evaluate::<V, H, CHANNELS, 2, NARROW_TILE>(mlp, base, row, lanes, cols, magnitude)
        };
        for (values, lanes) in values.into_iter().zip(lanes) {
            let direction = outputs.write(values, lanes);
            *squares = direction.mul_add(direction, *squares);
        }
    }
    for_each_masked::<V>(
        len - paired,
        #[inline(always)]
        |at, count| {
            let lanes = Lanes::Masked(paired + at, count);
            let magnitude = outputs.wants_magnitude();
            let [values] = evaluate::<V, H, CHANNELS, 1, TILE>(mlp, base, row, [lanes], cols, magnitude);
            outputs.write(values, lanes);
            // Read back: lanes beyond the row come as zeros.
            let direction: V = lanes.get(outputs.direction);
            *squares = direction.mul_add(direction, *squares);
        },
    );
}

/// Direction and logarithm of the magnitude of `U` vectors.
#[inline(always)]
fn evaluate<V: Simd, const H: usize, const CHANNELS: usize, const U: usize, const TILE: usize>(
    mlp: &Mlp<H>,
    base: &HiddenBase<'_, H>,
    row: &Row<'_>,
    lanes: [Lanes; U],
    cols: usize,
    magnitude: bool,
) -> [[V; 2]; U] {
    let vectors = row.vectors::<V, CHANNELS, U>(lanes);
    let mut hidden = [[V::splat(0.0); H]; U];
    for first in (0..H).step_by(TILE) {
        let sums = mlp.first_layer::<V, CHANNELS, U, TILE>(base, &vectors, first, cols);
        for u in 0..U {
            for t in 0..const { if H < TILE { H } else { TILE } } {
                hidden[u][first + t] = sums[u][t];
            }
        }
    }
    mlp.later_layers(hidden, magnitude)
}
