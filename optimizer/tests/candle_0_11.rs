//! The candle adapter: the trajectory of plain slices, the trait, missing gradients, bad input, saved state.

#[path = "support/averaged.rs"]
mod averaged;

use averaged::{assert_mean, averaged_adamw};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Linear, Module, Optimizer as CandleTrait, VarBuilder, VarMap};
use velo_optimizer::adapters::candle::{CandleOptimizer, named_vars};
use velo_optimizer::{
    Architecture, CeloConfig, Error, LearnedOptimizer, LearnedWeights, Optimizer, OptimizerConfig, ParamLayout,
    Schedule, StepOutcome,
};

const INPUTS: [[f32; 3]; 4] = [[1.0, -0.5, 0.2], [0.3, 0.8, -1.0], [-0.7, 0.1, 0.9], [0.5, 0.5, 0.5]];
const TARGETS: [[f32; 2]; 4] = [[1.0, 0.0], [0.0, 1.0], [0.5, -0.5], [-1.0, 0.3]];

/// Two layers whose parameters are known.
struct Model {
    variables: VarMap,
    layers: [Linear; 2],
}

impl Model {
    fn new() -> Self {
        let variables = VarMap::new();
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let layers = [
            candle_nn::linear(3, 5, builder.pp("first")).unwrap(),
            candle_nn::linear(5, 2, builder.pp("second")).unwrap(),
        ];
        let model = Self { variables, layers };
        model.set(&(0..32).map(|i| (i as f32 + 0.1).sin() / 2.0).collect::<Vec<_>>());
        model
    }

    fn set(&self, params: &[f32]) {
        let mut position = 0;
        for (_, var) in named_vars(&self.variables) {
            let values = &params[position..position + var.elem_count()];
            var.set(&Tensor::from_slice(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
            position += var.elem_count();
        }
    }

    fn flat(&self) -> Vec<f32> {
        named_vars(&self.variables).iter().flat_map(|(_, var)| values(var)).collect()
    }

    fn flat_gradients(&self, gradients: &GradStore) -> Vec<f32> {
        named_vars(&self.variables).iter().flat_map(|(_, var)| values(gradients.get(var).unwrap())).collect()
    }

    fn loss(&self) -> Tensor {
        let inputs = Tensor::new(&INPUTS, &Device::Cpu).unwrap();
        let hidden = self.layers[0].forward(&inputs).unwrap().tanh().unwrap();
        let targets = Tensor::new(&TARGETS, &Device::Cpu).unwrap();
        candle_nn::loss::mse(&self.layers[1].forward(&hidden).unwrap(), &targets).unwrap()
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A learned optimizer that reads the loss; random weights need long steps to move anything.
fn learned(layout: &ParamLayout) -> Box<dyn Optimizer> {
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

fn config(name: &str) -> OptimizerConfig {
    OptimizerConfig::from_name(name).unwrap().with_learning_rate(0.02)
}

fn adamw(layout: &ParamLayout) -> Box<dyn Optimizer> {
    config("adamw").build(layout).unwrap()
}

/// An optimizer made by `build` for the variables of `model`.
fn adapt(model: &Model, build: fn(&ParamLayout) -> Box<dyn Optimizer>) -> CandleOptimizer {
    let vars = named_vars(&model.variables);
    let optimizer = build(&CandleOptimizer::layout(&vars).unwrap());
    CandleOptimizer::from_optimizer(vars, optimizer).unwrap()
}

#[test]
fn variables_are_named_by_their_path_and_sorted() {
    let layout = CandleOptimizer::layout(&named_vars(&Model::new().variables)).unwrap();
    let found: Vec<_> = layout.tensors().iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
    let expected: [(&str, &[usize]); 4] =
        [("first.bias", &[5]), ("first.weight", &[5, 3]), ("second.bias", &[2]), ("second.weight", &[2, 5])];
    assert_eq!(found, expected);
}

#[test]
fn fifty_steps_equal_those_on_plain_slices() {
    for build in [learned, adamw] {
        let adapted = Model::new();
        let mut optimizer = adapt(&adapted, build);
        optimizer.optimizer_mut().set_horizon(Some(50));
        let mut plain = build(optimizer.optimizer().layout());
        plain.set_horizon(Some(50));
        // The second model is a place to compute gradients at the plain parameters.
        let (place, mut params) = (Model::new(), adapted.flat());
        let first = params.clone();
        for _ in 0..50 {
            optimizer.backward_step(&adapted.loss()).unwrap();

            place.set(&params);
            let loss = place.loss();
            let gradients = place.flat_gradients(&loss.backward().unwrap());
            plain.step(&mut params, &gradients, loss.to_scalar().unwrap()).unwrap();
        }
        let largest = params.iter().zip(&first).fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(largest > 1e-4, "{} did not move", plain.name());
        for (adapted, plain) in adapted.flat().iter().zip(&params) {
            assert!((adapted - plain).abs() <= 1e-6, "{adapted} is not {plain}");
        }
    }
}

#[test]
fn the_variables_hold_the_average_only_while_they_are_evaluated() {
    let model = Model::new();
    let config = averaged_adamw();
    let mut optimizer = CandleOptimizer::from_varmap(&model.variables, &config).unwrap();
    let mut path = Vec::new();
    for _ in 0..4 {
        optimizer.backward_step(&model.loss()).unwrap();
        path.push(model.flat());
    }
    let before = model.flat();
    let evaluated = optimizer.with_evaluation_params(|| model.flat()).unwrap();
    assert_eq!(model.flat(), before);
    assert_mean(&evaluated, &path);
    let evaluation =
        std::panic::AssertUnwindSafe(|| optimizer.with_evaluation_params(|| panic!("the evaluation fails")));
    assert!(std::panic::catch_unwind(evaluation).is_err());
    assert_eq!(model.flat(), before, "also after a panic");
}

#[test]
fn backward_step_passes_the_loss() {
    let (one, other) = (Model::new(), Model::new());
    let (mut by_trait, mut by_method) = (adapt(&one, learned), adapt(&other, learned));
    for _ in 0..3 {
        by_trait.backward_step(&one.loss()).unwrap();
        let loss = other.loss();
        by_method.step_with_loss(&loss.backward().unwrap(), loss.to_scalar().unwrap()).unwrap();
    }
    assert_eq!(one.flat(), other.flat());
}

#[test]
fn step_without_a_loss_is_an_error_only_where_the_loss_is_read() {
    let model = Model::new();
    let gradients = model.loss().backward().unwrap();
    let before = model.flat();
    let error = CandleTrait::step(&mut adapt(&model, learned), &gradients).unwrap_err();
    let expected = "celo reads the loss; call backward_step or step_with_loss instead of step";
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(model.flat(), before);
    adapt(&model, adamw).step(&gradients).unwrap();
    assert_ne!(model.flat(), before);
}

#[test]
fn the_constructor_of_the_trait_numbers_the_variables_and_leaves_out_integers() {
    let vars = vec![
        Var::zeros(2, DType::U32, &Device::Cpu).unwrap(),
        Var::new(&[1.0f32, 2.0], &Device::Cpu).unwrap(),
        Var::new(3.0f32, &Device::Cpu).unwrap(),
    ];
    let mut optimizer = CandleOptimizer::new(vars.clone(), config("sgd")).unwrap();
    let names: Vec<_> = optimizer.optimizer().layout().tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["0", "1"]);
    // A rate of 10 times 0.02 on a loss whose gradient is 1: every element falls by 0.2.
    optimizer.set_learning_rate(10.0);
    assert_eq!(optimizer.learning_rate(), 10.0);
    let loss = (vars[1].sum_all().unwrap() + vars[2].as_tensor()).unwrap();
    optimizer.backward_step(&loss).unwrap();
    for (found, expected) in values(&vars[1]).iter().chain(&values(&vars[2])).zip([0.8, 1.8, 2.8]) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn a_missing_gradient_counts_as_zeros_and_is_counted() {
    let model = Model::new();
    let mut optimizer = CandleOptimizer::from_varmap(&model.variables, &config("sgd")).unwrap();
    // Only the first layer takes part.
    let inputs = Tensor::new(&INPUTS, &Device::Cpu).unwrap();
    let loss = model.layers[0].forward(&inputs).unwrap().sqr().unwrap().mean_all().unwrap();
    let before = model.flat();
    optimizer.backward_step(&loss).unwrap();
    let after = model.flat();
    assert_eq!(optimizer.missing_gradients(), 2);
    assert_eq!(before[20..], after[20..]);
    assert!(before[..20].iter().zip(&after[..20]).all(|(before, after)| before != after));
}

#[test]
fn a_skipped_step_leaves_the_variables_as_they_were() {
    let model = Model::new();
    let mut optimizer = adapt(&model, adamw);
    let before = model.flat();
    let loss = (model.loss() * f64::NAN).unwrap();
    let outcome = optimizer.step_with_loss(&loss.backward().unwrap(), 1.0).unwrap();
    assert_eq!(outcome, StepOutcome::Skipped);
    assert_eq!(model.flat(), before);
    assert_eq!(optimizer.optimizer().steps_skipped(), 1);
}

#[test]
fn state_continues_in_another_instance_of_the_model_in_any_order() {
    let whole = Model::new();
    let train = |optimizer: &mut CandleOptimizer, model: &Model| {
        for _ in 0..10 {
            optimizer.backward_step(&model.loss()).unwrap();
        }
    };
    let mut optimizer = adapt(&whole, learned);
    optimizer.optimizer_mut().set_horizon(Some(20));
    optimizer.optimizer_mut().set_schedule(Schedule::Cosine { warmup: 0.1, floor: 0.0 });
    train(&mut optimizer, &whole);
    let (saved, params) = (optimizer.save_state(), whole.flat());
    train(&mut optimizer, &whole);

    let resumed = Model::new();
    resumed.set(&params);
    let mut vars = named_vars(&resumed.variables);
    vars.reverse();
    let built = learned(&CandleOptimizer::layout(&vars).unwrap());
    let mut optimizer = CandleOptimizer::from_optimizer(vars, built).unwrap();
    optimizer.load_state(&saved).unwrap();
    train(&mut optimizer, &resumed);
    assert_eq!(resumed.flat(), whole.flat());
}

#[test]
fn saved_state_of_other_variables_is_refused() {
    let model = Model::new();
    let saved = adapt(&model, adamw).save_state();
    let vars = vec![("first.bias".to_owned(), Var::zeros(5, DType::F32, &Device::Cpu).unwrap())];
    let mut optimizer = CandleOptimizer::from_named(vars, &config("adamw")).unwrap();
    assert!(matches!(optimizer.load_state(&saved), Err(Error::Malformed { .. })));
}

#[test]
fn a_gradient_of_another_shape_is_an_error_that_names_the_variable() {
    let model = Model::new();
    let mut optimizer = adapt(&model, adamw);
    let mut gradients = model.loss().backward().unwrap();
    let (name, bias) = named_vars(&model.variables).swap_remove(0);
    assert_eq!(name, "first.bias");
    gradients.insert(&bias, Tensor::zeros((5, 1), DType::F32, &Device::Cpu).unwrap());
    let before = model.flat();
    let error = optimizer.step_with_loss(&gradients, 1.0).unwrap_err();
    let expected = "candle variables: \"first.bias\": gradient has shape [5, 1], expected [5]";
    assert_eq!(error.to_string(), expected);
    assert_eq!(model.flat(), before);
}

#[test]
fn an_optimizer_for_other_variables_is_an_error_that_names_the_first() {
    let vars = named_vars(&Model::new().variables);
    let other = adamw(&ParamLayout::new([("first.bias", vec![5]), ("first.weight", vec![3, 5])]).unwrap());
    let error = CandleOptimizer::from_optimizer(vars, other).err().unwrap();
    let expected =
        "model: tensor 1 is \"first.weight\" of shape [5, 3], the optimizer has \"first.weight\" of shape [3, 5]";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn variables_in_half_precision_or_listed_twice_are_errors() {
    let layout = |vars: [(&str, Var); 2]| CandleOptimizer::layout(&vars.map(|(name, var)| (name.to_owned(), var)));
    let one = Var::zeros(2, DType::F32, &Device::Cpu).unwrap();
    let half = Var::zeros(2, DType::F16, &Device::Cpu).unwrap();
    let message = |result: Result<ParamLayout, Error>| result.unwrap_err().to_string();
    let expected = "candle variables: \"b\" is of f16, expected f32";
    assert_eq!(message(layout([("a", one.clone()), ("b", half)])), expected);
    let expected = "candle variables: \"a\" and \"b\" are one variable; list it once";
    assert_eq!(message(layout([("a", one.clone()), ("b", one)])), expected);
}
