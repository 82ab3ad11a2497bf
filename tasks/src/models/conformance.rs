//! What a graph promises beyond what [`check`](crate::check) measures of a task.

use std::sync::Arc;

use super::Loss;
use super::model_task::graph;
use crate::config::TaskConfig;
use crate::data::{Dataset, Rows};
use crate::family::families;
use crate::graph::{Examples, Graph, initialise};
use crate::rng::Stream;
use crate::task::{Batch, Split};

const DRAWS: u64 = 6;

/// A draw with its graph, some parameters and a batch.
struct Drawn {
    config: TaskConfig,
    params: Vec<f32>,
    rows: Rows,
    graph: Graph<f32>,
}

/// Draws of all families whose models are graphs.
fn draws() -> impl Iterator<Item = Drawn> {
    let configs = families().iter().flat_map(|family| (0..DRAWS).map(|seed| family.sample(seed)));
    configs.filter(|config| config.loss != Loss::Intrinsic).map(|mut config| {
        config.batch_size = config.batch_size.min(8);
        let data: Arc<Dataset> = config.data.load().unwrap();
        let mut rows = data.batch_buffer(config.batch_size);
        data.fill(Batch { seed: 1, split: Split::Train, index: 4 }, &mut rows);
        let (graph, layout, initials) = graph(&config.model, config.loss, &data, rows.len()).unwrap();
        let mut params = vec![0.0; layout.len()];
        initialise(&mut params, &layout, &initials, 3);
        // No bias is zero, and an output layer that starts at zero has gradients behind it.
        let noise = Stream::new(9, 9);
        params.iter_mut().enumerate().for_each(|(i, p)| *p += 0.05 * noise.normal(i as u64));
        Drawn { config, params, rows, graph }
    })
}

#[test]
fn a_graph_gives_the_same_bits_whatever_it_computed_before() {
    for Drawn { config, params, rows, mut graph } in draws() {
        let examples = Examples { inputs: &rows.inputs, labels: &rows.labels, values: &rows.values, noise_seed: 7 };
        let mut gradient = |params: &[f32]| {
            let mut grads = vec![f32::NAN; params.len()];
            let loss = graph.loss_and_grad(params, examples, &mut grads);
            (loss.to_bits(), grads.iter().map(|g| g.to_bits()).collect::<Vec<_>>())
        };
        let first = gradient(&params);
        let others: Vec<_> = params.iter().map(|p| -2.0 * p).collect();
        gradient(&others);
        assert!(gradient(&params) == first, "{config:?}");
    }
}
