//! The dfdx adapter: the trajectory of plain slices, missing gradients, saved state.

#[path = "support/averaged.rs"]
mod averaged;

use averaged::{assert_mean, averaged_adamw};
use dfdx::prelude::*;
use velo_optimizer::adapters::dfdx::DfdxOptimizer;
use velo_optimizer::{
    Architecture, CeloConfig, Error, LearnedOptimizer, LearnedWeights, OptimizerConfig, ParamLayout, Schedule,
    StepOutcome,
};

type Builder = (Linear<3, 5>, Tanh, Linear<5, 2>);
type Model = <Builder as BuildOnDevice<Cpu, f32>>::Built;

const INPUTS: [[f32; 3]; 4] = [[1.0, -0.5, 0.2], [0.3, 0.8, -1.0], [-0.7, 0.1, 0.9], [0.5, 0.5, 0.5]];
const TARGETS: [[f32; 2]; 4] = [[1.0, 0.0], [0.0, 1.0], [0.5, -0.5], [-1.0, 0.3]];

/// A model whose parameters are known.
fn model(device: &Cpu) -> Model {
    let mut model = device.build_module::<Builder, f32>();
    let values = |count: usize, phase: f32| (0..count).map(|i| (i as f32 + phase).sin() / 2.0).collect::<Vec<_>>();
    model.0.weight.copy_from(&values(15, 0.1));
    model.0.bias.copy_from(&values(5, 0.2));
    model.2.weight.copy_from(&values(10, 0.3));
    model.2.bias.copy_from(&values(2, 0.4));
    model
}

fn loss_and_gradients(model: &Model, device: &Cpu) -> (f32, Gradients<f32, Cpu>) {
    let outputs = model.forward(device.tensor(INPUTS).traced(model.alloc_grads()));
    let loss = mse_loss(outputs, device.tensor(TARGETS));
    (loss.array(), loss.backward())
}

fn flat(model: &Model) -> Vec<f32> {
    let parts = [model.0.weight.as_vec(), model.0.bias.as_vec(), model.2.weight.as_vec(), model.2.bias.as_vec()];
    parts.concat()
}

fn flat_gradients(model: &Model, gradients: &Gradients<f32, Cpu>) -> Vec<f32> {
    let parts = [
        gradients.get(&model.0.weight).as_vec(),
        gradients.get(&model.0.bias).as_vec(),
        gradients.get(&model.2.weight).as_vec(),
        gradients.get(&model.2.bias).as_vec(),
    ];
    parts.concat()
}

/// A learned optimizer that reads the loss; random weights need long steps to move anything.
fn learned(layout: &ParamLayout) -> Box<dyn velo_optimizer::Optimizer> {
    let architecture =
        Architecture::Celo(CeloConfig { lstm_width: 4, bank: 2, step_mult: 1.0, ..CeloConfig::default() });
    let mut seed = 0.0f32;
    let mut normal = || {
        seed += 1.0;
        (seed * 12.9898).sin()
    };
    let theta = architecture.meta_init(&mut normal);
    Box::new(LearnedOptimizer::new(layout, LearnedWeights::new(architecture, theta).unwrap()).unwrap())
}

fn adamw(layout: &ParamLayout) -> Box<dyn velo_optimizer::Optimizer> {
    OptimizerConfig::from_name("adamw").unwrap().with_learning_rate(0.02).build(layout).unwrap()
}

#[test]
fn tensors_are_named_by_their_path() {
    let layout = DfdxOptimizer::layout(&model(&Cpu::default())).unwrap();
    let found: Vec<_> = layout.tensors().iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
    let expected: [(&str, &[usize]); 4] =
        [("0.weight", &[5, 3]), ("0.bias", &[5]), ("2.weight", &[2, 5]), ("2.bias", &[2])];
    assert_eq!(found, expected);
}

#[test]
fn fifty_steps_equal_those_on_plain_slices() {
    for build in [learned, adamw] {
        let device = Cpu::default();
        let mut adapted = model(&device);
        let layout = DfdxOptimizer::layout(&adapted).unwrap();
        let mut optimizer = DfdxOptimizer::from_optimizer(build(&layout));
        optimizer.optimizer_mut().set_horizon(Some(50));
        let mut plain = build(&layout);
        plain.set_horizon(Some(50));
        // The second model is a place to compute gradients at the plain parameters.
        let (mut place, mut params) = (model(&device), flat(&adapted));
        let first = params.clone();
        for _ in 0..50 {
            let (loss, gradients) = loss_and_gradients(&adapted, &device);
            optimizer.step(&mut adapted, &gradients, loss).unwrap();

            place.0.weight.copy_from(&params[..15]);
            place.0.bias.copy_from(&params[15..20]);
            place.2.weight.copy_from(&params[20..30]);
            place.2.bias.copy_from(&params[30..]);
            let (loss, gradients) = loss_and_gradients(&place, &device);
            plain.step(&mut params, &flat_gradients(&place, &gradients), loss).unwrap();
        }
        let largest = params.iter().zip(&first).fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(largest > 1e-4, "{} did not move", plain.name());
        for (adapted, plain) in flat(&adapted).iter().zip(&params) {
            assert!((adapted - plain).abs() <= 1e-6, "{adapted} is not {plain}");
        }
    }
}

#[test]
fn the_model_to_evaluate_with_holds_the_average_and_the_trained_one_stays() {
    let device = Cpu::default();
    let mut trained = model(&device);
    let config = averaged_adamw();
    let mut optimizer = DfdxOptimizer::new(&trained, &config).unwrap();
    assert_eq!(flat(&optimizer.evaluation_model(&trained).unwrap()), flat(&trained), "nothing is averaged yet");
    let mut path = Vec::new();
    for _ in 0..4 {
        let (loss, gradients) = loss_and_gradients(&trained, &device);
        optimizer.step(&mut trained, &gradients, loss).unwrap();
        path.push(flat(&trained));
    }
    let before = flat(&trained);
    let evaluated = flat(&optimizer.evaluation_model(&trained).unwrap());
    assert_eq!(flat(&trained), before);
    assert_mean(&evaluated, &path);
}

#[test]
fn the_trait_of_dfdx_updates_like_the_method() {
    let device = Cpu::default();
    let (mut one, mut other) = (model(&device), model(&device));
    let config = OptimizerConfig::from_name("adamw").unwrap();
    let mut by_method = DfdxOptimizer::new(&one, &config).unwrap();
    let mut by_trait = DfdxOptimizer::new(&other, &config).unwrap();
    for _ in 0..3 {
        let (loss, gradients) = loss_and_gradients(&one, &device);
        by_method.step(&mut one, &gradients, loss).unwrap();
        let (loss, gradients) = loss_and_gradients(&other, &device);
        by_trait.with_loss(loss).update(&mut other, &gradients).unwrap();
    }
    assert_eq!(flat(&one), flat(&other));
}

#[test]
fn a_missing_gradient_counts_as_zeros_and_is_counted() {
    let device = Cpu::default();
    let mut model = model(&device);
    let sgd = OptimizerConfig::from_name("sgd").unwrap().with_learning_rate(0.1);
    let mut optimizer = DfdxOptimizer::new(&model, &sgd).unwrap();
    // Only the first layer is on the tape.
    let loss = model.0.forward(device.tensor(INPUTS).traced(Gradients::leaky())).square().mean();
    let (value, gradients) = (loss.array(), loss.backward());
    let before = flat(&model);
    assert_eq!(optimizer.step(&mut model, &gradients, value).unwrap(), StepOutcome::Applied);
    let after = flat(&model);
    assert_eq!(optimizer.missing_gradients(), 2);
    assert_eq!(before[20..], after[20..]);
    assert!(before[..20].iter().zip(&after[..20]).all(|(before, after)| before != after));
}

#[test]
fn a_skipped_step_leaves_the_model_as_it_was() {
    let device = Cpu::default();
    let mut model = model(&device);
    let mut optimizer = DfdxOptimizer::new(&model, &OptimizerConfig::from_name("adamw").unwrap()).unwrap();
    let nan = device.tensor([[f32::NAN, 1.0, 1.0]]);
    let gradients = model.forward(nan.traced(model.alloc_grads())).mean().backward();
    let before = flat(&model);
    assert_eq!(optimizer.step(&mut model, &gradients, 1.0).unwrap(), StepOutcome::Skipped);
    assert_eq!(flat(&model), before);
    assert_eq!(optimizer.optimizer().steps_skipped(), 1);
}

#[test]
fn state_continues_in_another_instance_of_the_model() {
    let device = Cpu::default();
    let mut whole = model(&device);
    let layout = DfdxOptimizer::layout(&whole).unwrap();
    let adapt = || {
        let mut optimizer = DfdxOptimizer::<Model>::from_optimizer(learned(&layout));
        optimizer.optimizer_mut().set_horizon(Some(20));
        optimizer.optimizer_mut().set_schedule(Schedule::Cosine { warmup: 0.1, floor: 0.0 });
        optimizer
    };
    let train = |optimizer: &mut DfdxOptimizer<Model>, model: &mut Model| {
        for _ in 0..10 {
            let (loss, gradients) = loss_and_gradients(model, &device);
            optimizer.step(model, &gradients, loss).unwrap();
        }
    };
    let mut optimizer = adapt();
    train(&mut optimizer, &mut whole);
    let (saved, params) = (optimizer.save_state(), flat(&whole));
    train(&mut optimizer, &mut whole);

    let mut resumed = device.build_module::<Builder, f32>();
    resumed.0.weight.copy_from(&params[..15]);
    resumed.0.bias.copy_from(&params[15..20]);
    resumed.2.weight.copy_from(&params[20..30]);
    resumed.2.bias.copy_from(&params[30..]);
    let mut optimizer = DfdxOptimizer::<Model>::from_optimizer(learned(&layout));
    optimizer.load_state(&saved).unwrap();
    train(&mut optimizer, &mut resumed);
    assert_eq!(flat(&resumed), flat(&whole));
}

#[test]
fn a_model_of_other_shapes_is_an_error_also_through_the_trait() {
    let device = Cpu::default();
    let mut model = model(&device);
    let other = ParamLayout::new([("0.weight", vec![5, 3])]).unwrap();
    let mut optimizer = DfdxOptimizer::from_optimizer(adamw(&other));
    let (loss, gradients) = loss_and_gradients(&model, &device);
    let error = optimizer.step(&mut model, &gradients, loss).unwrap_err();
    assert_eq!(error.to_string(), "model has 32 elements, the layout has 15");
    assert!(optimizer.with_loss(loss).update(&mut model, &gradients).is_err());
    assert!(matches!(optimizer.take_error(), Some(Error::LengthMismatch { .. })));
}
