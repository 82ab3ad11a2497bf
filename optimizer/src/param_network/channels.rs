//! What the per-parameter network sees: thirty channels, each divided by its root mean square.
//!
//! | channels | value | depends on |
//! | --- | --- | --- |
//! | 1, 1, 1 | `g`, `clip(g, ±0.1)`, `p` | the parameter |
//! | 3, 1 | `m_k`, `v` | the parameter |
//! | 3, 1 | `m_k e`, `e`, with `e = 1/√(v + ε)` | the parameter |
//! | 3, 1 | `g F_k`, `g e` | the parameter |
//! | 3, 3 | `R_k`, `C_k` | row or column only |
//! | 3, 3 | `1/√(R_k + 1e-8)`, `1/√(C_k + 1e-8)` | row or column only |
//! | 3 | `m_k F_k` | the parameter |
//!
//! with `F_k = ρ_k κ_k`, `ρ_k = s(R_k / (mean(R_k) + 1e-9))`, `κ_k = s(C_k)`, `s(x) = 1/√max(x, 1e-9)`. A tensor
//! without factors has `F_k = s(V_k + 1e-9)` in `g F`; it either leaves out what comes after `g e` (fifteen
//! channels), or has `V_k` in the place of both `R_k` and `C_k`, and `m_k / √(V_k + ε')` in the last.
//!
//! Twelve of the thirty depend on row or column only. They are tabulated per entry of `R` and `C`
//! ([`FactorTables`]), their sums of squares are closed sums, and their share of the first layer is computed
//! once per row or column; eighteen channels stay per parameter. Normalised values are never stored:
//! the mean squares found here are folded into the first layer's weights.

use crate::simd::Simd;

/// Channels that are computed for every parameter: `g` to `g e`, in the order of [`own_channels`].
pub(crate) const BARE: usize = 15;

/// The same with `m F`: what a tensor with factored statistics has.
pub(crate) const FACTORED: usize = BARE + 3;

/// The same with `V` and its reciprocal roots: what a vector has that uses all thirty channels.
pub(crate) const UNFACTORED: usize = FACTORED + 6;

/// Room for the own channels of any tensor.
pub(crate) const OWN: usize = UNFACTORED;

/// Channels of one factored statistic: three averages and their three reciprocal roots.
pub(crate) const FACTOR: usize = 6;

/// Below this nothing is taken a reciprocal root of.
pub(crate) const FLOOR: f32 = 1e-9;

/// `ε` of the reciprocal roots of the factored statistics.
pub(crate) const ROOT_EPSILON: f32 = 1e-8;

/// The channel of the parameter itself.
pub(crate) const PARAM: usize = 2;

/// The first of the three channels `m_k e`.
pub(crate) const AGREEMENT: usize = 7;

const GRADIENT_CLIP: f32 = 0.1;

/// Factors that undo the bias of averages that started at zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BiasCorrection {
    pub momentum: [f32; 3],
    pub mean_square: f32,
    pub factored: [f32; 3],
}

/// How features are computed from the accumulators.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeatureSettings {
    /// `±` bound on gradient elements.
    pub clip: f32,
    /// `ε` under the root in `e`.
    pub epsilon: f32,
    /// `ε'` under the root of the last channel of vectors.
    pub vector_epsilon: f32,
    /// Factors on the averages, where their bias is undone.
    pub correction: Option<BiasCorrection>,
}

impl FeatureSettings {
    #[inline(always)]
    fn mean_square_correction(&self) -> f32 {
        match &self.correction {
            Some(correction) => correction.mean_square,
            None => 1.0,
        }
    }

    /// What an own channel, as computed from the plain averages, is to be multiplied by. The factor never meets the
    /// channel itself: it enters the first layer's weights.
    pub fn channel_scale(&self, channel: usize) -> f32 {
        match (&self.correction, channel) {
            (Some(correction), 3..=5) => correction.momentum[channel - 3],
            (Some(correction), 6) => correction.mean_square,
            (Some(correction), 7..=9) => correction.momentum[channel - 7],
            (Some(correction), 15..=17) => correction.momentum[channel - 15],
            _ => 1.0,
        }
    }
}

/// What the channels of `U` vectors of parameters are made from. Called when a value is needed, so that few of
/// them occupy registers at a time.
pub(crate) trait Source<V, const U: usize> {
    /// The clipped gradient.
    fn gradient(&self) -> [V; U];

    /// The parameter.
    fn param(&self) -> [V; U];

    /// `m_k`.
    fn momentum(&self, k: usize) -> [V; U];

    /// `v`.
    fn mean_square(&self) -> [V; U];

    /// `F_k` for `g F`.
    fn factor(&self, k: usize) -> [V; U];

    /// `F_k` for `m F`; `1/√(V_k + ε')` for vectors.
    fn momentum_factor(&self, k: usize) -> [V; U];

    /// `V_k`, for vectors.
    fn square(&self, k: usize) -> [V; U];
}

/// What becomes of the channels.
pub(crate) trait Sink<V, const U: usize> {
    /// Takes in one own channel of `U` vectors.
    fn push(&mut self, channel: usize, values: [V; U]);
}

/// `[f(a₀), …]`; a loop rather than `map`, whose closure might become a function of its own.
macro_rules! each {
    ($($name:ident),+ => $value:expr) => {{
        let mut values = first!($($name),+);
        for u in 0..U {
            $(let $name = $name[u];)+
            values[u] = $value;
        }
        values
    }};
}

macro_rules! first {
    ($first:ident $(, $rest:ident)*) => {
        $first
    };
}

/// The channels that do without factored statistics: `g` to `e`, and `g e`.
#[inline(always)]
pub(crate) fn plain_channels<V: Simd, const U: usize>(
    source: &impl Source<V, U>,
    settings: &FeatureSettings,
    sink: &mut impl Sink<V, U>,
) {
    let v = source.mean_square();
    sink.push(6, v);
    let (unbias, epsilon) = (V::splat(settings.mean_square_correction()), V::splat(settings.epsilon));
    let e = each!(v => v.mul_add(unbias, epsilon).rsqrt());
    sink.push(10, e);
    let g = source.gradient();
    sink.push(0, g);
    sink.push(14, each!(g, e => g.mul(e)));
    sink.push(1, each!(g => g.max(V::splat(-GRADIENT_CLIP)).min(V::splat(GRADIENT_CLIP))));
    sink.push(PARAM, source.param());
    // A macro rather than a loop, which would not be unrolled: only constant indices keep arrays in registers.
    macro_rules! momentum {
        ($k:literal) => {{
            let m = source.momentum($k);
            sink.push(3 + $k, m);
            sink.push(7 + $k, each!(m, e => m.mul(e)));
        }};
    }
    momentum!(0);
    momentum!(1);
    momentum!(2);
}

/// The other own channels. `CHANNELS` is [`BARE`], [`FACTORED`] or [`UNFACTORED`].
#[inline(always)]
pub(crate) fn factor_channels<V: Simd, const CHANNELS: usize, const U: usize>(
    source: &impl Source<V, U>,
    sink: &mut impl Sink<V, U>,
) {
    let g = source.gradient();
    macro_rules! plane {
        ($k:literal) => {{
            let factor = source.factor($k);
            sink.push(11 + $k, each!(factor, g => factor.mul(g)));
            if CHANNELS >= FACTORED {
                let (factor, m) = (source.momentum_factor($k), source.momentum($k));
                sink.push(15 + $k, each!(factor, m => factor.mul(m)));
            }
            if CHANNELS >= UNFACTORED {
                let square = source.square($k);
                sink.push(18 + $k, square);
                sink.push(21 + $k, each!(square => square.add(V::splat(ROOT_EPSILON)).rsqrt()));
            }
        }};
    }
    plane!(0);
    plane!(1);
    plane!(2);
}

/// `F` of a vector without factored statistics, from its `V`.
#[inline(always)]
pub(crate) fn own_factor<V: Simd>(square: V) -> V {
    square.add(V::splat(FLOOR)).max(V::splat(FLOOR)).rsqrt()
}

/// `1/√(V + ε')`, the factor of its momenta.
#[inline(always)]
pub(crate) fn own_momentum_factor<V: Simd>(square: V, settings: &FeatureSettings) -> V {
    // V is never below 1e-33; the floor serves lanes beyond the row.
    square.add(V::splat(settings.vector_epsilon)).max(V::splat(1e-36)).rsqrt()
}

/// True for channels that are not zero where gradient history and parameter are.
#[inline(always)]
fn is_nonzero_at_zero(channel: usize) -> bool {
    channel == 10 || channel >= 21
}

/// Sums of squares of all channels over the elements that are normalised together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChannelSums {
    pub own: [f64; OWN],
    pub factor: [[f64; FACTOR]; 2],
}

impl ChannelSums {
    /// Adds another block.
    pub fn add(&mut self, other: &Self) {
        let own = self.own.iter_mut().zip(&other.own);
        let factor = self.factor.as_flattened_mut().iter_mut().zip(other.factor.as_flattened());
        own.chain(factor).for_each(|(sum, other)| *sum += other);
    }
}

/// Sums squares lane by lane.
pub(crate) struct Squares<V> {
    lanes: [V; OWN],
    /// Lanes of the vector at hand that hold an element; the others hold channels of zeros.
    count: usize,
}

impl<V: Simd> Squares<V> {
    #[inline(always)]
    pub fn new() -> Self {
        Self { lanes: [V::splat(0.0); OWN], count: V::LANES }
    }

    /// For the next vector, of which `count` lanes count.
    #[inline(always)]
    pub fn with_count(&mut self, count: usize) -> &mut Self {
        self.count = count;
        self
    }

    /// Moves the lane sums into doubles. Done now and then, or large tensors would lose digits.
    #[inline(always)]
    pub fn empty_into(&mut self, sums: &mut ChannelSums) {
        for (lanes, sum) in self.lanes.iter_mut().zip(&mut sums.own) {
            *sum += f64::from(lanes.sum());
            *lanes = V::splat(0.0);
        }
    }
}

impl<V: Simd, const U: usize> Sink<V, U> for Squares<V> {
    /// The sums of all channels do not fit into registers: several vectors at a time share their loads and stores.
    #[inline(always)]
    fn push(&mut self, channel: usize, values: [V; U]) {
        const ONES: [f32; 16] = [1.0; 16];
        let mut sum = self.lanes[channel];
        for value in values {
            let value = if is_nonzero_at_zero(channel) && self.count < V::LANES {
                V::load_partial(&ONES[..self.count]).mul(value)
            } else {
                value
            };
            sum = value.mul_add(value, sum);
        }
        self.lanes[channel] = sum;
    }
}
