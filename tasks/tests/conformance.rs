//! What every task promises, checked over draws of every family and over every named task.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use support::Reference;
use velo_optimizer::Optimizer;
use velo_optimizer::hand_designed::{AdamW, AdamWConfig};
use velo_tasks::check::{Promise, check};
use velo_tasks::data::{CaptionedShapesConfig, DataConfig, RowCount};
use velo_tasks::family::{families, family_named};
use velo_tasks::models::{Backend, Loss, ModelConfig, Normalisation, TransformerConfig};
use velo_tasks::registry::{named, named_tasks};
use velo_tasks::rng::Stream;
use velo_tasks::{Augmentation, Batch, Metrics, Scope, Split, Task, TaskConfig};

const DRAWS: u64 = 6;

/// Some draws of every family.
fn draws() -> impl Iterator<Item = TaskConfig> {
    families().iter().flat_map(|family| (0..DRAWS).map(|seed| family.sample(seed)))
}

/// Some draws of every family, and every named task.
fn all_tasks() -> Vec<TaskConfig> {
    draws().chain(named_tasks().map(|(name, _)| named(name).unwrap())).collect()
}

/// Those that are MLPs which both backends and the slow reference know.
fn plain_mlps() -> Vec<TaskConfig> {
    let mut tasks = all_tasks();
    tasks.retain(|config| {
        let plain = matches!(&config.model, ModelConfig::Mlp(mlp) if mlp.normalisation == Normalisation::None);
        plain && config.loss != Loss::Logistic && config.augmentations.is_empty()
    });
    assert!(tasks.len() > 30);
    tasks
}

/// True when gradients are estimates, which a few steps or a small difference tell little about.
fn is_estimated(config: &TaskConfig) -> bool {
    matches!(config.model, ModelConfig::LearnedOptimizer(_)) || !config.augmentations.is_empty()
}

fn train_batch(seed: u64, index: u64) -> Batch {
    Batch { seed, split: Split::Train, index }
}

/// Initial parameters, moved a little so that no bias is zero and an output layer that starts at zero has gradients behind it.
fn some_params(task: &dyn Task) -> Vec<f32> {
    let mut params = vec![0.0; task.layout().len()];
    task.init(3, &mut params);
    let noise = Stream::new(9, 9);
    params.iter_mut().enumerate().for_each(|(i, p)| *p += 0.05 * noise.normal(i as u64));
    params
}

fn gradient(task: &mut dyn Task, params: &[f32], batch: Batch) -> (f32, Vec<f32>) {
    let mut grads = vec![f32::NAN; params.len()];
    let loss = task.loss_and_grad(params, batch, &mut grads);
    (loss, grads)
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

#[test]
fn gradients_agree_with_differences_of_a_double_precision_loss() {
    for config in plain_mlps() {
        let batch = train_batch(5, 11);
        let reference = Reference::new(&config, batch);
        for backend in [Backend::Graph, Backend::Autodiff] {
            let mut task = config.build_with(backend).unwrap();
            let params = some_params(task.as_ref());
            let (loss, grads) = gradient(task.as_mut(), &params, batch);
            let exact: Vec<_> = params.iter().map(|&p| f64::from(p)).collect();
            let exact = reference.loss(&exact);
            assert!((f64::from(loss) - exact).abs() < 1e-5 * (1.0 + exact), "{loss} against {exact}: {config:?}");
            for number in 0..3 {
                let stream = Stream::new(21, number);
                let direction: Vec<_> = (0..params.len() as u64).map(|i| f64::from(stream.normal(i))).collect();
                let expected = reference.slope_along(&params, &direction);
                let found: f64 = grads.iter().zip(&direction).map(|(&g, d)| f64::from(g) * d).sum();
                let tolerance = 1e-4 * (expected.abs() + norm(&grads));
                assert!((found - expected).abs() < tolerance, "{backend:?}: {found} against {expected}: {config:?}");
            }
        }
    }
}

/// Transformers that both backends know, of language and of vision, with every norm, with and without normalised queries.
fn transformers() -> Vec<TaskConfig> {
    let mut tasks = all_tasks();
    tasks.retain(|config| {
        config.augmentations.is_empty()
            && match &config.model {
                ModelConfig::Transformer(_) => config.loss == Loss::NextToken,
                ModelConfig::VisionTransformer(_) => config.loss == Loss::SoftmaxCrossEntropy,
                _ => false,
            }
    });
    let count = |wanted: &dyn Fn(&TransformerConfig) -> bool| {
        let models = tasks.iter().map(|config| match &config.model {
            ModelConfig::Transformer(model) => model,
            ModelConfig::VisionTransformer(model) => &model.transformer,
            _ => unreachable!("the others were left out"),
        });
        models.filter(|model| wanted(model)).count()
    };
    for normalisation in [Normalisation::None, Normalisation::Layer, Normalisation::Rms] {
        assert!(count(&|model| model.normalisation == normalisation) > 0, "{normalisation:?}");
    }
    for normalised in [false, true] {
        assert!(count(&|model| model.normalised_queries == normalised) > 0, "normalised queries: {normalised}");
    }
    assert!(tasks.len() > 20);
    tasks
}

/// Compares the gradient of a batch, then losses and accuracies over whole splits.
fn assert_backends_agree(config: &TaskConfig, splits: &[Split]) {
    let [mut graph, mut oracle] =
        [Backend::Graph, Backend::Autodiff].map(|backend| config.build_with(backend).unwrap());
    let params = some_params(graph.as_ref());
    let (graph_loss, graph_grads) = gradient(graph.as_mut(), &params, train_batch(1, 2));
    let (loss, grads) = gradient(oracle.as_mut(), &params, train_batch(1, 2));
    assert!((graph_loss - loss).abs() < 1e-5 * (1.0 + loss), "{graph_loss} against {loss}: {config:?}");
    let largest = grads.iter().fold(0.0f32, |largest, g| largest.max(g.abs()));
    for (a, b) in graph_grads.iter().zip(&grads) {
        assert!((a - b).abs() < 1e-5 * largest, "{a} against {b} of {largest}: {config:?}");
    }
    for &split in splits {
        let (a, b) = (graph.evaluate(&params, split), oracle.evaluate(&params, split));
        assert!((a.loss - b.loss).abs() < 1e-5 * (1.0 + b.loss), "{a:?} against {b:?}: {config:?}");
        let accuracy = |metrics: Metrics| metrics.accuracy.unwrap_or(0.0);
        // Of thousands of tokens, one may have two outputs that are nearly equal.
        assert!((accuracy(a) - accuracy(b)).abs() < 2e-3, "{a:?} against {b:?}: {config:?}");
    }
}

#[test]
fn plain_mlps_agree_with_the_autodiff_library_element_by_element() {
    for config in plain_mlps() {
        assert_backends_agree(&config, &[Split::Train, Split::Validation]);
    }
}

#[test]
fn transformers_agree_with_the_autodiff_library_element_by_element() {
    for config in transformers() {
        // The library takes seconds for the training rows.
        assert_backends_agree(&config, &[Split::Validation]);
    }
}

#[test]
fn a_disguised_gradient_agrees_with_differences_of_the_disguised_loss() {
    for (index, family) in families().iter().enumerate() {
        for scope in [Scope::Global, Scope::PerTensor, Scope::PerParameter] {
            let mut config = family.sample(100 + index as u64);
            if is_estimated(&config) {
                continue;
            }
            config.augmentations = vec![Augmentation::Reparametrise { scope, decades: 1.0, seed: 4 }];
            let mut task = config.build().unwrap();
            let mut params = vec![0.0; task.layout().len()];
            task.init(3, &mut params);
            let batch = train_batch(5, 6);
            let (loss, grads) = gradient(task.as_mut(), &params, batch);
            // Along the gradient, far enough that rounding of the single-precision loss does not matter; Richardson
            // extrapolation removes the cubic term.
            let steepness = norm(&grads);
            let reach = 0.02 * f64::from(loss) / steepness;
            let mut difference = |step: f64| {
                let mut at = |sign: f64| {
                    let moved = params.iter().zip(&grads);
                    let moved: Vec<_> =
                        moved.map(|(&p, &g)| (f64::from(p) + sign * step * f64::from(g) / steepness) as f32).collect();
                    f64::from(task.loss(&moved, batch))
                };
                (at(1.0) - at(-1.0)) / (2.0 * step)
            };
            let slope = (4.0 * difference(reach / 2.0) - difference(reach)) / 3.0;
            assert!((slope / steepness - 1.0).abs() < 1e-2, "{slope} against {steepness}: {config:?}");
        }
    }
}

#[test]
fn a_batch_is_a_pure_function_of_seed_split_and_index() {
    for config in all_tasks() {
        let mut task = config.build().unwrap();
        let params = some_params(task.as_ref());
        let batches = [
            train_batch(1, 0),
            train_batch(1, 1),
            train_batch(2, 0),
            Batch { split: Split::Validation, ..train_batch(1, 0) },
        ];
        let forwards = batches.map(|batch| task.loss(&params, batch).to_bits());
        let mut again = config.build().unwrap();
        let mut backwards = batches;
        backwards.reverse();
        let mut backwards = backwards.map(|batch| again.loss(&params, batch).to_bits());
        backwards.reverse();
        assert_eq!(forwards, backwards, "asked in another order: {config:?}");
        let different: std::collections::BTreeSet<_> = forwards.iter().collect();
        // Without noise, a function of the parameters alone has no batches.
        let noiseless = matches!(&config.model, ModelConfig::Surface(surface) if surface.noise == 0.0);
        assert_eq!(different.len(), if noiseless { 1 } else { batches.len() }, "{config:?}");
    }
}

/// Measures a promise on these tasks, at least `least` of which can give it.
fn assert_kept(promise: Promise, tasks: impl IntoIterator<Item = TaskConfig>, least: usize) {
    let mut measured = 0;
    for config in tasks {
        for finding in check(&config, &[promise]).unwrap() {
            assert!(finding.kept(), "{finding:?}, allowed {}: {config:?}", promise.allowed());
            measured += 1;
        }
    }
    assert!(measured >= least, "only {measured} tasks give {promise:?}");
}

#[test]
fn gradients_agree_with_finite_differences_in_double_precision() {
    assert_kept(Promise::Differences, draws(), 100);
}

#[test]
fn gradients_in_single_precision_agree_with_those_in_double_precision() {
    assert_kept(Promise::Precision, draws(), 100);
}

#[test]
fn any_thread_computes_the_same_bits_whatever_it_computed_before() {
    assert_kept(Promise::Replay, all_tasks(), 120);
}

#[test]
fn equal_outputs_cost_what_they_should_in_theory() {
    assert_kept(Promise::InitialLoss, all_tasks(), 50);
}

#[test]
fn two_hundred_steps_of_adam_lower_the_training_loss() {
    assert_kept(Promise::Descent, draws(), 120);
}

#[test]
fn a_contrast_is_evaluated_in_batches_like_those_of_training() {
    let family = family_named("towers").unwrap();
    let mut config = (0..).map(|seed| family.sample(seed)).find(|config| config.loss == Loss::InfoNce).unwrap();
    config.data =
        DataConfig::CaptionedShapes(CaptionedShapesConfig { rows: RowCount::Fixed(100), ..Default::default() });
    config.batch_size = 25;
    let mut task = config.build().unwrap();
    // Without parameters, all pairs look alike.
    let params = vec![0.0; task.layout().len()];
    for split in [Split::Train, Split::Validation] {
        let loss = task.evaluate(&params, split).loss;
        assert!((loss - task.reference_loss()).abs() < 1e-4, "{split:?}: {loss} against {}", task.reference_loss());
    }
}

/// Whether AdamW lowers the loss of some batches of another seed by a thousandth: within twenty steps, as all of today's tasks let it, or
/// else within two hundred.
///
/// `tasks check --fixed --promises descent` takes all steps and all training rows, and a minute.
fn descends(config: &TaskConfig) -> bool {
    let mut task = config.build().unwrap();
    let adam = AdamWConfig { learning_rate: 3e-3, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(task.layout(), adam).unwrap();
    let mut params = vec![0.0; task.layout().len()];
    let mut grads = params.clone();
    task.init(1, &mut params);
    let judge = |task: &mut dyn Task, params: &[f32]| -> f64 {
        (0..4).map(|index| f64::from(task.loss(params, train_batch(2, index)))).sum()
    };
    let start = judge(task.as_mut(), &params);
    (0..200).any(|step| {
        let loss = task.loss_and_grad(&params, train_batch(1, step), &mut grads);
        optimizer.step(&mut params, &grads, loss).unwrap();
        [20, 200].contains(&(step + 1)) && judge(task.as_mut(), &params) < 0.999 * start
    })
}

#[test]
fn the_loss_of_every_fixed_task_falls_within_two_hundred_steps_of_adam() {
    let names: Vec<_> = named_tasks().map(|(name, _)| name).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    assert!(descends(&named(name).unwrap()), "{name} stays where it starts");
                }
            });
        }
    });
}

#[test]
fn a_senseless_rate_ends_in_a_bounded_loss() {
    let first = families().iter().map(|family| family.sample(1));
    assert_kept(Promise::Divergence, first, families().len());
}

#[test]
fn data_without_a_model_for_it_and_models_without_data_are_refused() {
    let refused = |text: &str| ron::from_str::<TaskConfig>(text).unwrap().build().err().expect("refused").to_string();
    assert_eq!(
        refused("(name: \"t\", model: Surface(()), data: Digits)"),
        "data is Digits, expected None, because Surface learns from no rows"
    );
    assert_eq!(
        refused("(name: \"t\", model: Mlp((hidden: [], activation: Relu)))"),
        "data is None, expected data for a model that learns from rows"
    );
    assert_eq!(
        refused("(name: \"t\", model: Transformer(()), data: Digits, loss: SoftmaxCrossEntropy)"),
        "model is Transformer, expected a model for inputs of kind Image { channels: 1, height: 8, width: 8 } and the loss SoftmaxCrossEntropy"
    );
    let surface = ron::from_str::<TaskConfig>("(name: \"t\", model: Surface(()))").unwrap();
    assert_eq!(surface.build().unwrap().layout().len(), 32);
}

#[test]
fn impossible_shapes_are_refused_by_the_name_of_the_field() {
    let complaint = |change: &dyn Fn(&mut TaskConfig)| {
        let mut config = named("digits_mlp").unwrap();
        change(&mut config);
        config.build().err().expect("refused").to_string()
    };
    let hidden = |widths: &'static [usize]| {
        complaint(&|config| {
            let ModelConfig::Mlp(mlp) = &mut config.model else { unreachable!("an MLP") };
            mlp.hidden = widths.to_vec();
        })
    };
    assert_eq!(hidden(&[32, 0]), "model.hidden[1] is 0, expected 1 to 8192");
    assert_eq!(hidden(&[1; 65]), "model.hidden: number of layers is 65, expected 0 to 64");
    assert_eq!(complaint(&|config| config.batch_size = 0), "batch_size is 0, expected 1 to 65536");
    assert_eq!(
        complaint(&|config| config.loss = Loss::Huber),
        "loss is Huber, expected a loss for inputs of kind Image { channels: 1, height: 8, width: 8 } and targets of kind Class(10)"
    );
    let from_ron = |data: &str| {
        let text = format!(
            "(name: \"t\", data: {data}, model: Mlp((hidden: [4], activation: Relu)), loss: SoftmaxCrossEntropy, batch_size: 8)"
        );
        ron::from_str::<TaskConfig>(&text).map(|config| config.build().err().map(|error| error.to_string()))
    };
    let refused = |data: &str| from_ron(data).unwrap().expect("refused");
    assert_eq!(refused("GaussianMixture((classes: 1))"), "data.classes is 1, expected 2 to 1000");
    assert_eq!(refused("Glyphs((side: 1))"), "data.side is 1, expected 2 to 32");
    assert_eq!(refused("Teacher((outputs: 1))"), "data.outputs is 1, expected 2 to 1000");
    assert_eq!(refused("Teacher((label_noise: 1.5))"), "data.label_noise is 1.5, expected 0 to 1");
    assert_eq!(refused("Glyphs((rows: Fixed(20)))"), "data.rows is 20, expected 100 to 1000000");
    assert_eq!(from_ron("Glyphs((rows: Fresh))").unwrap(), None);
    let misspelt = from_ron("Glyphs((clases: 3))").unwrap_err().to_string();
    assert!(misspelt.contains("clases") && misspelt.contains("classes"), "{misspelt}");
}

#[test]
fn an_unknown_activation_is_refused_with_those_that_exist() {
    let error =
        ron::from_str::<velo_tasks::models::MlpConfig>("(hidden: [], activation: Rleu)").unwrap_err().to_string();
    for name in ["Rleu", "Relu", "Tanh", "Silu", "Gelu"] {
        assert!(error.contains(name), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_draw_survives_ron_and_replays_exactly(family in 0..families().len(), seed: u64, decades in 0.0f32..6.0) {
        let mut config = families()[family].sample(seed);
        config.augmentations.push(Augmentation::Reparametrise { scope: Scope::PerTensor, decades, seed });
        let text = ron::to_string(&config).unwrap();
        let read: TaskConfig = ron::from_str(&text).unwrap();
        prop_assert_eq!(&read, &config);
        let [first, second] = [&config, &read].map(|config| {
            let mut task = config.build().unwrap();
            let mut params = vec![0.0; task.layout().len()];
            task.init(seed, &mut params);
            let (loss, grads) = gradient(task.as_mut(), &params, train_batch(seed, 1));
            prop_assert!(loss.is_finite(), "{text}");
            Ok((loss.to_bits(), grads.iter().map(|g| g.to_bits()).collect::<Vec<_>>()))
        });
        prop_assert_eq!(first?, second?);
    }
}
