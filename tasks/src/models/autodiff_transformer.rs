//! Transformers written in the operations of the autodiff library: the oracle of the graph's blocks.
//!
//! The same architecture as `transformer.rs`, from the same parameters by name, with whole tensors in place of the graph's loops: patches
//! are cut out of the images beforehand, tokens are looked up by a product with rows of one, and the causal mask is a sum.

use dfdx::prelude::*;
use velo_optimizer::ParamLayout;

use super::autodiff_mlp::{apply, unsupported};
use super::model_task::Engine;
use super::{Loss, ModelConfig, Normalisation, TransformerConfig};
use crate::Error;
use crate::autodiff::{Bridge, Matrix, count_correct};
use crate::data::InputKind;
use crate::graph::{Examples, Score};

/// `ε` of the norms.
const EPSILON: f64 = 1e-5;

/// What is added to the scores of tokens that may not be seen: their exponentials are zero.
const UNSEEN: f32 = -1e9;

/// A batch of heads, `examples × heads × rows × columns`.
type Heads<T> = Tensor<(usize, usize, usize, usize), f32, Cpu, T>;

/// What stands in front of the blocks and behind them.
#[derive(Clone, Copy)]
enum Reading {
    /// Tokens, each of which predicts the next one.
    Tokens { vocabulary: usize },
    /// Patches of an image, whose mean row predicts a class.
    Patches { height: usize, width: usize, channels: usize, side: usize },
}

/// The graph of one transformer; rebuilt for each gradient.
pub(super) struct AutodiffTransformer {
    bridge: Bridge,
    config: TransformerConfig,
    reading: Reading,
    outputs: usize,
}

impl AutodiffTransformer {
    /// `layout` is that of the graph of the model.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for models that are no transformers, and for inputs and losses that are not those of language and vision.
    pub(super) fn new(layout: &ParamLayout, model: &ModelConfig, loss: Loss, input: InputKind) -> Result<Self, Error> {
        let (config, reading) = match (model, loss, input) {
            (ModelConfig::Transformer(config), Loss::NextToken, InputKind::Tokens { vocabulary, .. }) => {
                (config, Reading::Tokens { vocabulary })
            }
            (
                ModelConfig::VisionTransformer(config),
                Loss::SoftmaxCrossEntropy,
                InputKind::Image { height, width, channels },
            ) => (&config.transformer, Reading::Patches { height, width, channels, side: config.patch }),
            _ => return Err(unsupported(model)),
        };
        let bridge = Bridge::new(layout);
        let outputs = bridge.vector(bridge.index("outputs/bias")).shape().0;
        Ok(Self { bridge, config: config.clone(), reading, outputs })
    }

    fn matrix(&self, name: &str) -> Matrix {
        self.bridge.matrix(self.bridge.index(name))
    }

    fn vector<T: Tape<f32, Cpu>>(&self, name: &str, like: &Matrix<T>) -> Matrix {
        self.bridge.vector(self.bridge.index(name)).broadcast_like::<_, Axis<0>>(like.shape())
    }

    fn dense<T: Tape<f32, Cpu> + Merge<T>>(&self, name: &str, x: Matrix<T>) -> Matrix<T> {
        let y = x.matmul(self.matrix(&format!("{name}/kernel")));
        let bias = self.vector(&format!("{name}/bias"), &y);
        y + bias
    }

    fn norm<T: Tape<f32, Cpu> + Merge<T>>(&self, kind: Normalisation, name: &str, x: Matrix<T>) -> Matrix<T> {
        let gain = |x: &Matrix<T>| self.vector(&format!("{name}/gain"), x);
        match kind {
            Normalisation::None => x,
            Normalisation::Layer => {
                let (gain, bias) = (gain(&x), self.vector(&format!("{name}/bias"), &x));
                x.normalize::<Axis<1>>(EPSILON) * gain + bias
            }
            Normalisation::Rms => {
                let (gain, shape) = (gain(&x), *x.shape());
                let squares = x.with_empty_tape().square().mean::<_, Axis<1>>() + EPSILON as f32;
                x / squares.sqrt().broadcast_like::<_, Axis<1>>(&shape) * gain
            }
            Normalisation::Batch => unreachable!("transformers have no batch norm"),
        }
    }

    fn block<T: Tape<f32, Cpu> + Merge<T>>(&self, name: &str, x: Matrix<T>, examples: usize) -> Matrix<T> {
        let normed = self.norm(self.config.normalisation, &format!("{name}/attention_norm"), x.with_empty_tape());
        let seen = self.attention(name, normed, examples);
        let x = x + self.dense(&format!("{name}/merge"), seen);
        let normed = self.norm(self.config.normalisation, &format!("{name}/mlp_norm"), x.with_empty_tape());
        let hidden = apply(self.config.activation, self.dense(&format!("{name}/mlp_first"), normed));
        x + self.dense(&format!("{name}/mlp_second"), hidden)
    }

    fn attention<T: Tape<f32, Cpu> + Merge<T>>(&self, name: &str, x: Matrix<T>, examples: usize) -> Matrix<T> {
        let TransformerConfig { width, heads, .. } = self.config;
        let (rows, head_width) = (x.shape().0 / examples, width / heads);
        let mut both = self.dense(&format!("{name}/queries_and_keys"), x.with_empty_tape());
        if self.config.normalised_queries {
            let shape = *both.shape();
            let heads = both.reshape_like(&(shape.0 * 2 * heads, head_width));
            both = self.norm(Normalisation::Rms, &format!("{name}/query_norm"), heads).reshape_like(&shape);
        }
        let split = |x: Matrix<T>| -> Heads<T> {
            x.reshape_like(&(examples, rows, heads, head_width)).permute::<_, Axes4<0, 2, 1, 3>>()
        };
        let queries = split(both.with_empty_tape().slice((.., ..width)));
        let keys = split(both.slice((.., width..))).permute::<_, Axes4<0, 1, 3, 2>>();
        let scores = queries.matmul(keys) * (1.0 / (head_width as f64).sqrt()) as f32;
        let scores = match self.reading {
            Reading::Tokens { .. } => {
                let mask = (0..rows * rows).map(|i| if i % rows > i / rows { UNSEEN } else { 0.0 });
                let mask = self.bridge.constant(&mask.collect::<Vec<_>>(), rows, rows);
                let shape = *scores.shape();
                scores + mask.broadcast_like::<_, Axes2<0, 1>>(&shape)
            }
            Reading::Patches { .. } => scores,
        };
        let values = split(self.dense(&format!("{name}/values"), x));
        let seen = scores.softmax::<Axis<3>>().matmul(values);
        seen.permute::<_, Axes4<0, 2, 1, 3>>().reshape_like(&(examples * rows, width))
    }

    /// The rows of tokens or patches that the first layer reads.
    fn inputs(&self, examples: Examples<'_, f32>) -> Matrix {
        let rows = examples.inputs.chunks_exact(examples.input_width());
        match self.reading {
            Reading::Tokens { vocabulary } => {
                let read: Vec<_> = rows.flat_map(|tokens| &tokens[..tokens.len() - 1]).map(|&t| t as usize).collect();
                self.bridge.one_hot(read.into_iter(), vocabulary)
            }
            Reading::Patches { height, width, channels, side } => {
                let image = (height, width, channels);
                let cut: Vec<_> = rows.flat_map(|pixels| patches(pixels, image, side)).collect();
                let columns = side * side * channels;
                self.bridge.constant(&cut, cut.len() / columns, columns)
            }
        }
    }

    fn forward<T: Tape<f32, Cpu> + Merge<T>>(&self, inputs: Matrix<T>, examples: usize) -> Matrix<T> {
        let x = match self.reading {
            Reading::Tokens { .. } => inputs.matmul(self.matrix("tokens/table")),
            Reading::Patches { .. } => self.dense("patches", inputs),
        };
        let (all_rows, width) = *x.shape();
        let by_example = (examples, all_rows / examples, width);
        let positions = self.matrix("positions/table").broadcast_like::<_, Axis<0>>(&by_example);
        let x = (x.reshape_like(&by_example) + positions).reshape_like(&(all_rows, width));
        let x = (0..self.config.blocks).fold(x, |x, block| self.block(&format!("block_{block}"), x, examples));
        let x = self.norm(self.config.normalisation, "norm", x);
        let x = match self.reading {
            Reading::Tokens { .. } => x,
            Reading::Patches { .. } => x.reshape_like(&by_example).mean::<(usize, usize), Axis<1>>(),
        };
        self.dense("outputs", x)
    }

    /// The right class of each row of outputs.
    fn labels(&self, examples: Examples<'_, f32>) -> Vec<usize> {
        match self.reading {
            Reading::Tokens { .. } => {
                let rows = examples.inputs.chunks_exact(examples.input_width());
                rows.flat_map(|tokens| &tokens[1..]).map(|&token| token as usize).collect()
            }
            Reading::Patches { .. } => examples.labels.iter().map(|&label| label as usize).collect(),
        }
    }
}

/// Patches of one image of `height × width × channels`, row by row; what they hold beyond the image is zero, evenly on both sides.
fn patches(
    pixels: &[f32],
    (height, width, channels): (usize, usize, usize),
    side: usize,
) -> impl Iterator<Item = f32> + '_ {
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    let (above, before) = ((rows * side - height) / 2, (columns * side - width) / 2);
    (0..rows * columns * side * side * channels).map(move |place| {
        let (place, channel) = (place / channels, place % channels);
        let (patch, inside) = (place / (side * side), place % (side * side));
        let row = (patch / columns * side + inside / side).checked_sub(above).filter(|&row| row < height);
        let column = (patch % columns * side + inside % side).checked_sub(before).filter(|&column| column < width);
        row.zip(column).map_or(0.0, |(row, column)| pixels[(row * width + column) * channels + channel])
    })
}

impl Engine for AutodiffTransformer {
    fn loss_and_grad(&mut self, params: &[f32], examples: Examples<'_, f32>, grads: &mut [f32]) -> f32 {
        self.bridge.set_params(params);
        let outputs = self.forward(self.inputs(examples).leaky_trace(), examples.len());
        let targets = self.bridge.one_hot(self.labels(examples).into_iter(), self.outputs);
        self.bridge.backward(cross_entropy_with_logits_loss(outputs, targets), grads)
    }

    fn score(&mut self, params: &[f32], examples: Examples<'_, f32>) -> Score {
        self.bridge.set_params(params);
        let outputs = self.forward(self.inputs(examples), examples.len());
        let labels = self.labels(examples);
        let correct = count_correct(&outputs, labels.iter().copied());
        let targets = self.bridge.one_hot(labels.iter().copied(), self.outputs);
        let loss = f64::from(cross_entropy_with_logits_loss(outputs, targets).array());
        Score { loss, correct, counted: labels.len() }
    }

    fn flops(&self, _: usize) -> Option<u64> {
        None
    }
}
