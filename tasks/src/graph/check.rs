//! What every operation is tested with: its gradient against finite differences of its loss, in double precision.

use super::{Examples, Graph, GraphBuilder, Node, initialise};
use crate::rng::Stream;

/// Random inputs, labels and values for `count` examples.
struct Sample {
    inputs: Vec<f64>,
    labels: Vec<u32>,
    values: Vec<f64>,
}

impl Sample {
    fn examples(&self) -> Examples<'_, f64> {
        Examples { inputs: &self.inputs, labels: &self.labels, values: &self.values, noise_seed: 5 }
    }
}

/// Builds a graph and compares its gradient with central differences along every parameter of a small graph, or random
/// directions of a larger one, to seven digits; inputs are normal, labels 0, 1, 2.
pub(super) fn assert_gradients(examples: usize, input_width: usize, build: impl FnOnce(&mut GraphBuilder<f64>, Node)) {
    let normal = Stream::new(1, 1);
    let inputs = (0..(examples * input_width) as u64).map(|i| f64::from(normal.normal(i))).collect();
    assert_gradients_on(examples, inputs, build);
}

/// [`assert_gradients`] on token numbers below `vocabulary` instead of normal inputs.
pub(super) fn assert_token_gradients(
    examples: usize,
    length: usize,
    vocabulary: u64,
    build: impl FnOnce(&mut GraphBuilder<f64>, Node),
) {
    let stream = Stream::new(2, 2);
    let inputs = (0..(examples * length) as u64).map(|i| stream.below(i, vocabulary) as f64).collect();
    assert_gradients_on(examples, inputs, build);
}

fn assert_gradients_on(examples: usize, inputs: Vec<f64>, build: impl FnOnce(&mut GraphBuilder<f64>, Node)) {
    let mut builder = GraphBuilder::new(examples, inputs.len() / examples);
    let input = builder.input();
    build(&mut builder, input);
    let (mut graph, layout, initials) = builder.finish().unwrap();
    let mut params = vec![0.0f32; layout.len()];
    initialise(&mut params, &layout, &initials, 1);
    let noise = Stream::new(3, 3);
    let params: Vec<_> =
        params.iter().enumerate().map(|(i, &p)| f64::from(p) + 0.1 * f64::from(noise.normal(i as u64))).collect();
    let labels = (0..examples as u32).map(|i| i % 3).collect();
    let values = (0..examples as u64).map(|i| f64::from(noise.normal(1000 + i))).collect();
    let sample = Sample { inputs, labels, values };
    let mut grads = vec![f64::NAN; params.len()];
    let loss = graph.loss_and_grad(&params, sample.examples(), &mut grads);
    assert!(loss.is_finite() && grads.iter().all(|g| g.is_finite()), "{loss}");
    let norm = grads.iter().map(|g| g * g).sum::<f64>().sqrt();
    assert!(norm > 1e-6, "the loss depends on the parameters");
    for (index, gradient) in grads.iter().enumerate() {
        let slope = slope(&mut graph, &params, sample.examples(), index);
        let name = &layout.tensors().iter().find(|tensor| tensor.range.contains(&index)).unwrap().name;
        let difference = (slope - gradient).abs();
        assert!(difference < 1e-7 * (1.0 + norm), "{name}: {slope} against {gradient}, parameter {index}");
    }
}

/// `∂L/∂params[index]`, the central difference with its cubic error taken out.
fn slope(graph: &mut Graph<f64>, params: &[f64], examples: Examples<'_, f64>, index: usize) -> f64 {
    let mut moved = params.to_vec();
    let mut difference = |step: f64| {
        let mut at = |change: f64| {
            moved[index] = params[index] + change;
            graph.score(&moved, examples).loss
        };
        (at(step) - at(-step)) / (2.0 * step)
    };
    (4.0 * difference(5e-5) - difference(1e-4)) / 3.0
}
