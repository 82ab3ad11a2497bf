//! A bank of per-parameter networks of hidden width four, and the step of VeLO and Celo that uses a mix of them.
//!
//! ```text
//! W = factor · Σ_b c_b W_b                     weights of one tensor, from its control vector c
//! p ← p - o₀ exp(exp_mult o₁) √(mean(p²) + 1e-9) · scale - λ rate p
//! ```
//!
//! Channels are normalised over the whole tensor.

use std::ops::Range;

use crate::accumulators::{AccumulatorSlots, Accumulators, Decays};
use crate::geometry::Geometry;
use crate::param_network::channels::{FeatureSettings, UNFACTORED};
use crate::param_network::mlp::{Activation, GROUPS, Mlp, PublishedWeights};
use crate::param_network::{ApplyNetwork, NetworkInputs, NetworkOutputs, NetworkScratch, NetworkSettings, Scope};
use crate::state::StateLayout;
use crate::step::subtract;
use crate::{Error, ParamLayout, TensorLayout};

/// Hidden width of the published networks.
const HIDDEN: usize = 4;

/// Direction, magnitude, and one output that nothing reads.
const OUTPUTS: usize = 3;

/// Bound on gradient elements.
pub(crate) const GRADIENT_CLIP: f32 = 1000.0;

/// How the network is applied, but for the factor on its second output.
pub(crate) const SETTINGS: NetworkSettings = NetworkSettings {
    features: FeatureSettings { clip: GRADIENT_CLIP, epsilon: 1e-6, vector_epsilon: 0.0, correction: None },
    normalize: Some((Scope::Tensor, 1e-5)),
    exp_mult: 0.0,
};

/// The decays of the published implementations.
pub(crate) const DECAYS: Decays =
    Decays { momentum: [0.9, 0.99, 0.999], mean_square: 0.999, factored: [0.9, 0.99, 0.999] };

/// Names and shapes of the weights of a bank of `size` networks.
pub(crate) fn theta_tensors(size: usize) -> Vec<(String, Vec<usize>)> {
    let groups = GROUPS.iter().enumerate().map(|(i, &width)| (format!("w0__{i}"), vec![size, width, HIDDEN]));
    let rest = [
        ("b0", vec![size, HIDDEN]),
        ("w1", vec![size, HIDDEN, HIDDEN]),
        ("b1", vec![size, HIDDEN]),
        ("w2", vec![size, HIDDEN, OUTPUTS]),
        ("b2", vec![size, OUTPUTS]),
    ];
    let rest = rest.into_iter().map(|(name, shape)| (name.to_owned(), shape));
    groups.chain(rest).map(|(name, shape)| (format!("ff_mod_stack/~/{name}"), shape)).collect()
}

/// Whether an entry of a bank's weight can change an update: the third output cannot.
pub(crate) fn is_influential(tensor: &TensorLayout, index: usize) -> bool {
    tensor.shape.last() != Some(&OUTPUTS) || index % OUTPUTS < 2
}

/// Number of inputs that a bank's weight sums over.
pub(crate) fn fan_in(tensor: &TensorLayout) -> Option<usize> {
    match (tensor.shape.as_slice(), tensor.name.contains("w0__")) {
        (_, true) => Some(GROUPS.iter().sum()),
        ([_, inputs, _], false) => Some(*inputs),
        _ => None,
    }
}

/// Rejects bank sizes that are zero or would not fit in memory.
pub(crate) fn check(size: usize) -> Result<(), Error> {
    if (1..=65_536).contains(&size) {
        return Ok(());
    }
    Err(Error::InvalidHyperParameter { field: "bank", found: size.to_string(), expected: "between 1 and 65536" })
}

/// The bank, and the tensors that its networks are applied to.
#[derive(Debug, Clone)]
pub(crate) struct MlpBank {
    networks: Vec<Mlp<HIDDEN>>,
    tensors: Vec<Tensor>,
    scratch: NetworkScratch,
    direction: Vec<f32>,
    exp_mult: f32,
}

#[derive(Debug, Clone)]
struct Tensor {
    range: Range<usize>,
    geometry: Geometry,
    slots: AccumulatorSlots,
}

/// How far one tensor moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BankStep<'a> {
    /// The control vector.
    pub controls: &'a [f32],
    /// Factor on the mixed weights.
    pub factor: f32,
    /// Factor on the step beside the scale of the parameters.
    pub scale: f32,
    /// What the parameters are multiplied by: one minus decay.
    pub keep: f32,
    /// Updates before this one.
    pub step: u64,
}

impl MlpBank {
    /// Lays out the accumulators of every tensor.
    pub fn new(exp_mult: f32, layout: &ParamLayout, state: &mut StateLayout) -> Self {
        let mut scratch = NetworkScratch::default();
        let tensors: Vec<Tensor> = layout
            .tensors()
            .iter()
            .map(|tensor| {
                let geometry = Geometry::new(&tensor.shape);
                scratch.grow(&geometry, state.accumulator_storage(), HIDDEN);
                let slots = AccumulatorSlots::new(&tensor.name, &tensor.shape, &geometry, state);
                Tensor { range: tensor.range.clone(), geometry, slots }
            })
            .collect();
        let largest = tensors.iter().map(|tensor| tensor.geometry.len).max().unwrap_or(0);
        Self { networks: Vec::new(), tensors, scratch, direction: vec![0.0; largest], exp_mult }
    }

    /// Replaces the weights by those of `theta`.
    pub fn set_theta(&mut self, theta: &[f32], layout: &ParamLayout) {
        let leaves: Vec<&TensorLayout> =
            layout.tensors().iter().filter(|tensor| tensor.name.starts_with("ff_mod_stack")).collect();
        let size = leaves[0].shape[0];
        let stored: [usize; 30] = std::array::from_fn(|channel| channel);
        let network = |index: usize| {
            let own = |leaf: &&TensorLayout| {
                let len = leaf.len() / size;
                theta[leaf.range.start + index * len..][..len].to_vec()
            };
            let weights: Vec<f32> = leaves.iter().flat_map(own).collect();
            Mlp::new(&PublishedWeights::read(&weights, &stored, OUTPUTS), Activation::Relu)
        };
        self.networks = (0..size).map(network).collect();
    }

    /// The accumulators of tensor `index`, to be read.
    pub fn accumulators<'s>(&self, index: usize, state: &'s mut [f32]) -> Accumulators<'s> {
        self.tensors[index].slots.resolve(state, 0)
    }

    /// One step of tensor `index`.
    pub fn step(&mut self, index: usize, params: &mut [f32], grads: &[f32], state: &mut [f32], step: BankStep<'_>) {
        let tensor = &self.tensors[index];
        if tensor.geometry.len == 0 {
            return;
        }
        let mixed = Mlp::mix(&self.networks, step.controls, step.factor);
        let (params, grads) = (&mut params[tensor.range.clone()], &grads[tensor.range.clone()]);
        let direction = &mut self.direction[..tensor.geometry.len];
        let mut accumulators = tensor.slots.resolve(state, step.step);
        let squares = ApplyNetwork::<HIDDEN, UNFACTORED> {
            outputs: NetworkOutputs { direction, magnitude: None },
            inputs: NetworkInputs { params, grads, accumulators: &mut accumulators, geometry: &tensor.geometry },
            decays: &DECAYS,
            mlp: &mixed,
            settings: &NetworkSettings { exp_mult: self.exp_mult, ..SETTINGS },
            scratch: &mut self.scratch,
        }
        .run();
        let mean_square = squares / params.len() as f64;
        subtract(params, direction, (mean_square + 1e-9).sqrt() as f32 * step.scale, step.keep);
    }
}
