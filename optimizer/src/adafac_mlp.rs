//! `adafac_mlp` (`small_fc_lopt`, arXiv 2203.11860): a per-parameter network with learned decays and a clock.
//!
//! Twenty-eight of the thirty channels (no clipped gradient, no `g e`), normalised over the tensor, and eleven
//! time channels `tanh(t/T - 1)`, `T = 1, 3, 10, …, 10⁵`, which are equal for all parameters and so enter as a
//! shift of the first bias:
//!
//! ```text
//! MLP 39-h-h-2 → o₀, o₁          p ← p - o₀ exp(exp_mult o₁) · step_mult · rate
//! ```
//!
//! The decays of the accumulators are learned too: `β = 1 - (1-β₀) exp(10 δ)` with offset `δ`.

use serde::{Deserialize, Serialize};

use crate::accumulators::{AccumulatorSlots, Decays};
use crate::architecture::{LearnedConfig, not_negative, positive};
use crate::geometry::Geometry;
use crate::param_network::channels::{FeatureSettings, UNFACTORED};
use crate::param_network::mlp::{Activation, Mlp, PublishedWeights};
use crate::param_network::{ApplyNetwork, NetworkInputs, NetworkOutputs, NetworkScratch, NetworkSettings, Scope};
use crate::rule::{StepContext, UpdateRule};
use crate::state::StateLayout;
use crate::step::subtract;
use crate::{Error, ParamLayout, TensorLayout};

const TIME_SCALES: [f32; 11] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5];
const INITIAL_DECAYS: [f32; 3] = [0.9, 0.99, 0.999];
const INITIAL_SQUARE_DECAY: f32 = 0.999;
const OUTPUTS: usize = 2;

/// The places of the twenty-eight channels among the thirty: all but the clipped gradient and `g e`.
pub(crate) const CHANNELS: [usize; 28] =
    [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29];

/// Hidden widths that kernels are compiled for: those of the published networks.
const WIDTHS: [usize; 2] = [4, 32];

/// How the network is applied, but for the factor on its second output.
pub(crate) const SETTINGS: NetworkSettings = NetworkSettings {
    features: FeatureSettings { clip: f32::MAX, epsilon: 1e-6, vector_epsilon: 1e-6, correction: None },
    normalize: Some((Scope::Tensor, 1e-5)),
    exp_mult: 0.0,
};

/// Configuration of the `adafac_mlp` architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdafacMlpConfig {
    /// Hidden width: 4 or 32.
    pub hidden: usize,
    /// Factor on the logarithm of the magnitude.
    pub exp_mult: f32,
    /// Factor on every step.
    pub step_mult: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Default for AdafacMlpConfig {
    fn default() -> Self {
        Self { hidden: 4, exp_mult: 1e-3, step_mult: 1e-3, weight_decay: 0.0 }
    }
}

impl LearnedConfig for AdafacMlpConfig {
    fn theta_layout(&self) -> ParamLayout {
        let (hidden, inputs) = (self.hidden, CHANNELS.len() + TIME_SCALES.len());
        ParamLayout::new([
            ("momentum_decays", vec![3]),
            ("rms_decays", vec![1]),
            ("adafactor_decays", vec![3]),
            ("nn/~/w0", vec![inputs, hidden]),
            ("nn/~/b0", vec![hidden]),
            ("nn/~/w1", vec![hidden, hidden]),
            ("nn/~/b1", vec![hidden]),
            ("nn/~/w2", vec![hidden, OUTPUTS]),
            ("nn/~/b2", vec![OUTPUTS]),
        ])
        .expect("names are distinct and shapes small")
    }

    fn is_influential(&self, _tensor: &TensorLayout, _index: usize) -> bool {
        true
    }

    fn fan_in(&self, tensor: &TensorLayout) -> Option<usize> {
        (tensor.shape.len() == 2).then(|| tensor.shape[0])
    }

    fn step_size(&self) -> f32 {
        self.step_mult
    }

    fn step_size_mut(&mut self) -> &mut f32 {
        &mut self.step_mult
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn weight_decay_mut(&mut self) -> &mut f32 {
        &mut self.weight_decay
    }

    fn check(&self) -> Result<(), Error> {
        if !WIDTHS.contains(&self.hidden) {
            let found = self.hidden.to_string();
            return Err(Error::InvalidHyperParameter { field: "hidden", found, expected: "4 or 32" });
        }
        positive("step_mult", self.step_mult)?;
        not_negative("exp_mult", self.exp_mult)?;
        not_negative("weight_decay", self.weight_decay)
    }
}

/// A network of one of the compiled widths, with the weights of its clock.
#[derive(Debug, Clone)]
enum AnyWidth {
    W4(Box<Timed<4>>),
    W32(Box<Timed<32>>),
}

#[derive(Debug, Clone)]
struct Timed<const H: usize> {
    mlp: Mlp<H>,
    time: [[f32; H]; TIME_SCALES.len()],
}

impl<const H: usize> Timed<H> {
    fn read(theta: &[f32]) -> Self {
        let (channels, rest) = theta.split_at(CHANNELS.len() * H);
        let (time, rest) = rest.split_at(TIME_SCALES.len() * H);
        let weights = PublishedWeights::read(&[channels, rest].concat(), &CHANNELS, OUTPUTS);
        let (rows, _) = time.as_chunks::<H>();
        Self { mlp: Mlp::new(&weights, Activation::Relu), time: std::array::from_fn(|i| rows[i]) }
    }

    /// The network at update number `step`.
    fn at(&self, step: u64) -> Mlp<H> {
        let mut mlp = self.mlp.clone();
        for (scale, weights) in TIME_SCALES.iter().zip(&self.time) {
            let value = (step as f32 / scale - 1.0).tanh();
            mlp.shift_bias(&weights.map(|weight| value * weight));
        }
        mlp
    }
}

/// The update of `adafac_mlp`.
#[derive(Debug, Clone)]
pub struct AdafacMlpRule {
    theta_len: usize,
    config: AdafacMlpConfig,
    network: AnyWidth,
    pub(crate) decays: Decays,
    tensors: Vec<(TensorLayout, Geometry, AccumulatorSlots)>,
    scratch: NetworkScratch,
    direction: Vec<f32>,
}

impl AdafacMlpRule {
    pub(crate) fn theta_len(&self) -> usize {
        self.theta_len
    }

    pub(crate) fn set_theta(&mut self, theta: &[f32]) {
        let decay = |initial: f32, offset: f32| 1.0 - (1.0 - initial) * (10.0 * offset).exp();
        let decays = |offsets: &[f32]| std::array::from_fn(|k| decay(INITIAL_DECAYS[k], offsets[k]));
        let bounded = |decay: f32| decay.clamp(0.0, 1.0);
        self.decays = Decays {
            momentum: decays(&theta[..3]),
            mean_square: bounded(decay(INITIAL_SQUARE_DECAY, theta[3])),
            factored: decays(&theta[4..7]).map(bounded),
        };
        self.network = any_width(self.config.hidden, &theta[7..]);
    }
}

fn any_width(hidden: usize, theta: &[f32]) -> AnyWidth {
    match hidden {
        4 => AnyWidth::W4(Box::new(Timed::read(theta))),
        _ => AnyWidth::W32(Box::new(Timed::read(theta))),
    }
}

impl UpdateRule for AdafacMlpRule {
    type Config = AdafacMlpConfig;
    const NAME: &'static str = "adafac_mlp";

    fn build(config: AdafacMlpConfig, layout: &ParamLayout, state: &mut StateLayout) -> Result<Self, Error> {
        config.check()?;
        let mut scratch = NetworkScratch::default();
        let tensors: Vec<_> = layout
            .tensors()
            .iter()
            .map(|tensor| {
                let geometry = Geometry::new(&tensor.shape);
                scratch.grow(&geometry, state.accumulator_storage(), config.hidden);
                let slots = AccumulatorSlots::new(&tensor.name, &tensor.shape, &geometry, state);
                (tensor.clone(), geometry, slots)
            })
            .collect();
        let largest = tensors.iter().map(|(tensor, ..)| tensor.len()).max().unwrap_or(0);
        let decays = Decays { momentum: INITIAL_DECAYS, mean_square: INITIAL_SQUARE_DECAY, factored: INITIAL_DECAYS };
        let network = any_width(config.hidden, &vec![0.0; config.theta_layout().len() - 7]);
        Ok(Self {
            theta_len: config.theta_layout().len(),
            config,
            network,
            decays,
            tensors,
            scratch,
            direction: vec![0.0; largest],
        })
    }

    fn configured_weight_decay(&self) -> f32 {
        self.config.weight_decay
    }

    fn update(&mut self, params: &mut [f32], grads: &[f32], state: &mut [f32], context: &StepContext) {
        match &self.network {
            AnyWidth::W4(network) => self.step_all(&network.at(context.step), params, grads, state, context),
            AnyWidth::W32(network) => self.step_all(&network.at(context.step), params, grads, state, context),
        }
    }
}

impl AdafacMlpRule {
    fn step_all<const H: usize>(
        &mut self,
        mlp: &Mlp<H>,
        params: &mut [f32],
        grads: &[f32],
        state: &mut [f32],
        context: &StepContext,
    ) {
        for (tensor, geometry, slots) in self.tensors.iter().filter(|(tensor, ..)| !tensor.is_empty()) {
            let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
            let direction = &mut self.direction[..tensor.len()];
            let mut accumulators = slots.resolve(state, context.step);
            ApplyNetwork::<H, UNFACTORED> {
                outputs: NetworkOutputs { direction, magnitude: None },
                inputs: NetworkInputs { params, grads, accumulators: &mut accumulators, geometry },
                decays: &self.decays,
                mlp,
                settings: &NetworkSettings { exp_mult: self.config.exp_mult, ..SETTINGS },
                scratch: &mut self.scratch,
            }
            .run();
            let keep = 1.0 - context.rate * context.weight_decay;
            subtract(params, direction, self.config.step_mult * context.rate, keep);
        }
    }
}
