//! What is not learned about a Celo2 optimizer, and the layout of what is.

use serde::{Deserialize, Serialize};

use crate::architecture::{LearnedConfig, not_negative, positive};
use crate::imitation::carries_momentum;
use crate::param_network::mlp::{Activation, GROUPS};
use crate::{Error, ParamLayout, TensorLayout};

/// Hidden width of both layers.
pub(crate) const HIDDEN: usize = 8;

/// Outputs of the network: direction, magnitude, and one that nothing reads.
pub(crate) const OUTPUTS: usize = 3;

/// The published weights have all thirty input channels.
pub(crate) const STORED_CHANNELS: [usize; 30] = {
    let mut channels = [0; 30];
    let mut i = 0;
    while i < channels.len() {
        channels[i] = i;
        i += 1;
    }
    channels
};

/// Configuration of the Celo2 architecture. The default sends every tensor through the network and
/// orthogonalises nothing (the published `Celo2Base`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Celo2Config {
    /// Root mean square of an update at multiplier 1.
    pub step_size: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Nonlinearity of the hidden layers.
    pub activation: Activation,
    /// Factor on the second output, whose exponential multiplies the direction; 0 leaves it out.
    pub exp_mult: f32,
    /// Use the mean of the second output over a tensor instead of its own value for each parameter.
    pub aggregate_magnitude: bool,
    /// Divide every input channel by its root mean square over the last two axes.
    pub normalize_input: bool,
    /// Divide the update by its root mean square over the last two axes.
    pub normalize_output: bool,
    /// Factor on the update after normalisation.
    pub rms_mult: f32,
    /// Multiply the update by the root mean square of the parameters of the tensor.
    pub param_scale_mult: bool,
    /// Multiply the update by `1/√(v + 1e-6)`.
    pub precondition_output: bool,
    /// Newton–Schulz orthogonalisation of the update over the last two axes, for rank two and more.
    pub orthogonalize: bool,
    /// Undo the bias of the averages in the input channels.
    pub bias_correction: bool,
    /// Regular expression, searched for in tensor names: tensors that match take Adam steps. Empty: none.
    pub adam_pattern: String,
    /// The steps of tensors that match.
    pub adam: AdamPath,
}

/// Adam for tensors that are kept from the network (biases, embeddings).
///
/// `u = m / √(v + 1e-8)`, with decay 0.9 for `m`; gradients are not clipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamPath {
    /// Factor on the step size.
    pub rate_mult: f32,
    /// Decay of the mean square.
    pub beta2: f32,
    /// Undo the bias of both averages.
    pub bias_correction: bool,
}

impl Default for AdamPath {
    fn default() -> Self {
        Self { rate_mult: 20.0, beta2: 0.95, bias_correction: false }
    }
}

impl Default for Celo2Config {
    fn default() -> Self {
        Self {
            step_size: 1e-3,
            weight_decay: 0.0,
            activation: Activation::Relu,
            exp_mult: 0.0,
            aggregate_magnitude: false,
            normalize_input: true,
            normalize_output: true,
            rms_mult: 1.0,
            param_scale_mult: false,
            precondition_output: false,
            orthogonalize: false,
            bias_correction: false,
            adam_pattern: String::new(),
            adam: AdamPath::default(),
        }
    }
}

impl Celo2Config {
    /// The published variant with orthogonalised matrices: tensors whose name has `bias` or `embed` in it take
    /// Adam steps.
    pub fn orthogonalized() -> Self {
        Self { orthogonalize: true, adam_pattern: "bias|embed".into(), ..Self::default() }
    }
}

/// Names and shapes of the weights, in order.
pub(crate) fn theta_tensors() -> impl Iterator<Item = (String, Vec<usize>)> {
    let groups = GROUPS.iter().enumerate().map(|(i, &width)| (format!("w0__{i}"), vec![width, HIDDEN]));
    let rest = [
        ("b0", vec![HIDDEN]),
        ("w1", vec![HIDDEN, HIDDEN]),
        ("b1", vec![HIDDEN]),
        ("w2", vec![HIDDEN, OUTPUTS]),
        ("b2", vec![OUTPUTS]),
    ];
    let rest = rest.into_iter().map(|(name, shape)| (name.to_owned(), shape));
    groups.chain(rest).map(|(name, shape)| (format!("ff_mod_stack/~/{name}"), shape))
}

/// Number of inputs that a weight of the network sums over.
pub(crate) fn fan_in(tensor: &TensorLayout) -> Option<usize> {
    match tensor.shape.as_slice() {
        // All groups of the first layer are one matrix as far as its fan-in goes.
        [_, _] if tensor.name.contains("w0__") => Some(GROUPS.iter().sum()),
        [inputs, _] => Some(*inputs),
        _ => None,
    }
}

impl LearnedConfig for Celo2Config {
    /// Fourteen groups of the first layer, as published, then the rest.
    fn theta_layout(&self) -> ParamLayout {
        ParamLayout::new(theta_tensors()).expect("names are distinct and shapes small")
    }

    fn is_influential(&self, tensor: &TensorLayout, index: usize) -> bool {
        let read = if self.exp_mult == 0.0 { 1 } else { 2 };
        tensor.shape.last() != Some(&OUTPUTS) || index % OUTPUTS < read
    }

    fn fan_in(&self, tensor: &TensorLayout) -> Option<usize> {
        fan_in(tensor)
    }

    fn imitation(&self) -> Option<Vec<f32>> {
        let rectified = self.activation == Activation::Relu;
        rectified.then(|| carries_momentum(STORED_CHANNELS.len(), HIDDEN, OUTPUTS))
    }

    fn step_size(&self) -> f32 {
        self.step_size
    }

    fn step_size_mut(&mut self) -> &mut f32 {
        &mut self.step_size
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn weight_decay_mut(&mut self) -> &mut f32 {
        &mut self.weight_decay
    }

    fn check(&self) -> Result<(), Error> {
        let invalid = |field, found: String, expected| Err(Error::InvalidHyperParameter { field, found, expected });
        positive("step_size", self.step_size)?;
        not_negative("weight_decay", self.weight_decay)?;
        if !self.exp_mult.is_finite() {
            return invalid("exp_mult", self.exp_mult.to_string(), "a finite number");
        }
        if !(0.0..1.0).contains(&self.adam.beta2) {
            return invalid("adam.beta2", self.adam.beta2.to_string(), "a decay in [0, 1)");
        }
        if let Err(error) = regex_lite::Regex::new(&self.adam_pattern) {
            return invalid("adam_pattern", format!("{:?} ({error})", self.adam_pattern), "a regular expression");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Architecture;

    #[test]
    fn there_are_347_weights_and_without_magnitude_18_are_idle() {
        let used = |config: Celo2Config| {
            let influential = Architecture::Celo2(config).influential();
            (influential.len(), influential.into_iter().filter(|&used| used).count())
        };
        assert_eq!(used(Celo2Config::default()), (347, 329));
        assert_eq!(used(Celo2Config { exp_mult: 0.1, ..Celo2Config::default() }), (347, 338));
    }

    #[test]
    fn a_broken_pattern_is_refused_by_name() {
        let error = Celo2Config { adam_pattern: "(".into(), ..Celo2Config::default() }.check().unwrap_err();
        assert!(error.to_string().starts_with("adam_pattern is \"(\""), "{error}");
    }

    #[test]
    fn random_weights_are_cut_off_at_two_deviations_and_biases_are_zero() {
        let mut draws = [3.0, -1.0, 0.5].into_iter().cycle();
        let config = Architecture::Celo2(Celo2Config::default());
        let theta = config.meta_init(&mut || draws.next().unwrap());
        let layout = config.theta_layout();
        let first = &theta[layout.get("ff_mod_stack/~/w0__0").unwrap().range.clone()];
        assert!(
            first.iter().all(|w| (w.abs() - 1.0 / 30f32.sqrt()).abs() < 1e-6 || (w - 0.5 / 30f32.sqrt()).abs() < 1e-6)
        );
        assert!(theta[layout.get("ff_mod_stack/~/b0").unwrap().range.clone()].iter().all(|&b| b == 0.0));
    }
}
