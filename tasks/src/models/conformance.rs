//! What the graph of every model promises, over random draws of every family: its gradient in double precision agrees with
//! finite differences, and its gradient in single precision with that.

use std::sync::Arc;

use super::model_task::graph;
use super::{Loss, ModelConfig};
use crate::config::TaskConfig;
use crate::data::{Dataset, Rows};
use crate::family::families;
use crate::graph::{Examples, Graph, initialise};
use crate::rng::Stream;
use crate::task::{Batch, Split};

const DRAWS: u64 = 6;

/// A draw with its graphs in both precisions, some parameters and a batch.
struct Drawn {
    config: TaskConfig,
    params: Vec<f32>,
    rows: Rows,
    single: Graph<f32>,
    double: Graph<f64>,
}

/// Draws of all families whose models are graphs.
fn draws() -> impl Iterator<Item = Drawn> {
    let configs = families().iter().flat_map(|family| (0..DRAWS).map(|seed| family.sample(seed)));
    configs.filter(|config| config.loss != Loss::Intrinsic).map(|mut config| {
        // Small enough for many passes in double precision.
        config.batch_size = config.batch_size.min(8);
        let data: Arc<Dataset> = config.data.load().unwrap();
        let mut rows = data.batch_buffer(config.batch_size);
        data.fill(Batch { seed: 1, split: Split::Train, index: 4 }, &mut rows);
        let build = |model: &ModelConfig| graph::<f32>(model, config.loss, &data, rows.len()).unwrap();
        let (single, layout, initials) = build(&config.model);
        let (double, ..) = graph::<f64>(&config.model, config.loss, &data, rows.len()).unwrap();
        let mut params = vec![0.0; layout.len()];
        initialise(&mut params, &layout, &initials, 3);
        // No bias is zero, and an output layer that starts at zero has gradients behind it.
        let noise = Stream::new(9, 9);
        params.iter_mut().enumerate().for_each(|(i, p)| *p += 0.05 * noise.normal(i as u64));
        Drawn { config, params, rows, single, double }
    })
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn gradients_agree_with_finite_differences_in_double_precision_and_with_single_precision() {
    for Drawn { config, params, rows, mut single, mut double } in draws() {
        let (inputs, values, exact_params) = (wide(&rows.inputs), wide(&rows.values), wide(&params));
        let examples = Examples { inputs: &inputs, labels: &rows.labels, values: &values, noise_seed: 7 };
        let mut exact = vec![f64::NAN; params.len()];
        let loss = double.loss_and_grad(&exact_params, examples, &mut exact);
        assert!(loss.is_finite() && exact.iter().all(|g| g.is_finite()), "{loss}: {config:?}");

        for number in 0..2 {
            let stream = Stream::new(21, number);
            let direction: Vec<_> = (0..params.len() as u64).map(|i| f64::from(stream.normal(i))).collect();
            let length = norm(&direction);
            let mut at = |step: f64| {
                let moved: Vec<_> = exact_params.iter().zip(&direction).map(|(p, d)| p + step * d / length).collect();
                double.score(&moved, examples).loss
            };
            let mut difference = |step: f64| (at(step) - at(-step)) / (2.0 * step);
            let expected = (4.0 * difference(5e-6) - difference(1e-5)) / 3.0;
            let found = exact.iter().zip(&direction).map(|(g, d)| g * d / length).sum::<f64>();
            let tolerance = 1e-6 * norm(&exact) + 1e-9 * loss.abs();
            assert!((found - expected).abs() < tolerance, "{found} against {expected}: {config:?}");
        }

        let examples = Examples { inputs: &rows.inputs, labels: &rows.labels, values: &rows.values, noise_seed: 7 };
        let mut grads = vec![f32::NAN; params.len()];
        let single_loss = f64::from(single.loss_and_grad(&params, examples, &mut grads));
        assert!((single_loss - loss).abs() < 1e-4 * (1.0 + loss.abs()), "{single_loss} against {loss}: {config:?}");
        let distance = grads.iter().zip(&exact).map(|(&g, e)| (f64::from(g) - e).powi(2)).sum::<f64>().sqrt();
        assert!(distance < 1e-3 * norm(&exact), "{distance} of {}: {config:?}", norm(&exact));
    }
}

#[test]
fn a_graph_gives_the_same_bits_whatever_it_computed_before() {
    for Drawn { config, params, rows, mut single, .. } in draws() {
        let examples = Examples { inputs: &rows.inputs, labels: &rows.labels, values: &rows.values, noise_seed: 7 };
        let mut gradient = |params: &[f32]| {
            let mut grads = vec![f32::NAN; params.len()];
            let loss = single.loss_and_grad(params, examples, &mut grads);
            (loss.to_bits(), grads.iter().map(|g| g.to_bits()).collect::<Vec<_>>())
        };
        let first = gradient(&params);
        let others: Vec<_> = params.iter().map(|p| -2.0 * p).collect();
        gradient(&others);
        assert!(gradient(&params) == first, "{config:?}");
    }
}
