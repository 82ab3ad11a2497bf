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

use crate::accumulators::{for_each_masked, for_each_vector, get, put};
use crate::geometry::Geometry;
use crate::param_features::{
    BARE, FACTOR, FACTORED, FactorViews, FeatureSettings, Inputs, Lanes, OWN, Row, own_channels,
};
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

impl Activation {
    #[inline(always)]
    fn apply<V: Simd>(self, x: V) -> V {
        match self {
            Self::Relu => x.max(V::splat(0.0)),
            Self::Tanh => x.tanh(),
        }
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

/// Sums of squares of all channels over the elements that are normalised together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChannelSums {
    pub own: [f64; OWN],
    pub factor: [[f64; FACTOR]; 2],
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

    /// Becomes `source` with `1/√(mean square + epsilon)` of each channel multiplied into its first layer.
    pub fn fold(&mut self, source: &Self, sums: &ChannelSums, elements: usize, epsilon: f64) {
        let own = self.own.iter_mut().zip(&source.own).zip(&sums.own);
        let factor = self.factor.as_flattened_mut().iter_mut().zip(source.factor.as_flattened());
        for ((folded, weights), sum) in own.chain(factor.zip(sums.factor.as_flattened())) {
            let scale = (1.0 / (sum / elements as f64 + epsilon).sqrt()) as f32;
            for (folded, weight) in folded.iter_mut().zip(weights) {
                *folded = weight * scale;
            }
        }
    }

    #[inline(always)]
    fn first_layer<V: Simd, const CHANNELS: usize, const U: usize>(
        &self,
        hidden: &mut [[V; H]; U],
        inputs: &[Inputs<V>; U],
        epsilon: f32,
    ) {
        own_channels::<V, CHANNELS, U>(
            inputs,
            epsilon,
            #[inline(always)]
            |channel, values| {
                for (h, &weight) in self.own[channel].iter().enumerate() {
                    for (hidden, x) in hidden.iter_mut().zip(&values) {
                        hidden[h] = x.mul_add(V::splat(weight), hidden[h]);
                    }
                }
            },
        );
    }

    /// `o₀`, and `o₁` if `magnitude` asks for it, from the sums of the first layer.
    #[inline(always)]
    fn later_layers<V: Simd>(&self, hidden: &[V; H], magnitude: bool) -> (V, V) {
        let mut second = [V::splat(0.0); H];
        for (sum, &bias) in second.iter_mut().zip(&self.b1) {
            *sum = V::splat(bias);
        }
        for (x, weights) in hidden.iter().zip(&self.w1) {
            let x = self.activation.apply(*x);
            for (sum, &weight) in second.iter_mut().zip(weights) {
                *sum = x.mul_add(V::splat(weight), *sum);
            }
        }
        for x in &mut second {
            *x = self.activation.apply(*x);
        }
        let mut outputs = [V::splat(self.b2[0]), V::splat(self.b2[1])];
        for (x, &weight) in second.iter().zip(&self.w2[0]) {
            outputs[0] = x.mul_add(V::splat(weight), outputs[0]);
        }
        if magnitude {
            for (x, &weight) in second.iter().zip(&self.w2[1]) {
                outputs[1] = x.mul_add(V::splat(weight), outputs[1]);
            }
        }
        (outputs[0], outputs[1])
    }
}

/// The share of the first layer that is the same along a row, or along a column.
pub(crate) struct HiddenBase<'a, const H: usize> {
    /// `b₀` and the row-only channels.
    row: [f32; H],
    /// `H` planes of the column-only channels; empty for tensors without factors.
    columns: &'a mut [f32],
}

impl<'a, const H: usize> HiddenBase<'a, H> {
    /// Room for the columns of one block: `H` planes, or none.
    pub fn new(columns: &'a mut [f32]) -> Self {
        Self { row: [0.0; H], columns }
    }

    /// Moves to a row. Must be called for the rows of a block in order.
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
        let refill = row == 0 || varies;
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

    #[inline(always)]
    fn at<V: Simd>(&self, cols: usize, lanes: Lanes) -> [V; H] {
        let mut hidden = [V::splat(0.0); H];
        for (h, sum) in hidden.iter_mut().enumerate() {
            *sum = V::splat(self.row[h]);
            if !self.columns.is_empty() {
                *sum = sum.add(lanes.get(&self.columns[h * cols..]));
            }
        }
        hidden
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

/// Applies the network to one row.
#[inline(always)]
pub(crate) fn evaluate_row<V: Simd, const H: usize, const CHANNELS: usize>(
    outputs: &mut RowOutputs<'_>,
    mlp: &Mlp<H>,
    base: &HiddenBase<'_, H>,
    row: &Row<'_>,
    cols: usize,
    settings: &FeatureSettings,
) {
    let len = row.len();
    // With 32 registers two vectors of a narrow network share each broadcast weight.
    let paired = if V::LANES == 16 && H <= 8 { len / 32 * 32 } else { 0 };
    for j in (0..paired).step_by(32) {
        let lanes = [Lanes::Full(j), Lanes::Full(j + 16)];
        let mut hidden = [base.at::<V>(cols, lanes[0]), base.at::<V>(cols, lanes[1])];
        let inputs = [row.inputs::<V, CHANNELS>(lanes[0], settings), row.inputs::<V, CHANNELS>(lanes[1], settings)];
        mlp.first_layer::<V, CHANNELS, 2>(&mut hidden, &inputs, settings.epsilon);
        finish(outputs, mlp, &hidden[0], lanes[0]);
        finish(outputs, mlp, &hidden[1], lanes[1]);
    }
    for_each_masked::<V>(
        len - paired,
        #[inline(always)]
        |at, count| {
            let lanes = Lanes::Masked(paired + at, count);
            let mut hidden = [base.at::<V>(cols, lanes)];
            let inputs = [row.inputs::<V, CHANNELS>(lanes, settings)];
            mlp.first_layer::<V, CHANNELS, 1>(&mut hidden, &inputs, settings.epsilon);
            finish(outputs, mlp, &hidden[0], lanes);
        },
    );
}

#[inline(always)]
fn finish<V: Simd, const H: usize>(outputs: &mut RowOutputs<'_>, mlp: &Mlp<H>, hidden: &[V; H], lanes: Lanes) {
    let wants_magnitude = outputs.exp_mult != 0.0 || outputs.magnitude.is_some();
    let (mut direction, magnitude) = mlp.later_layers(hidden, wants_magnitude);
    match &mut outputs.magnitude {
        Some(plane) => lanes.put(magnitude, plane),
        None if outputs.exp_mult != 0.0 => {
            direction = direction.mul(magnitude.mul(V::splat(outputs.exp_mult)).exp());
        }
        None => {}
    }
    lanes.put(direction, outputs.direction);
}
