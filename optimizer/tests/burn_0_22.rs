//! The burn adapter: the trajectory of plain slices, missing gradients, what training leaves alone, bad input, state.

#[path = "support/averaged.rs"]
mod averaged;

use burn_core as burn; // the name that burn's derive macro writes

use averaged::{assert_mean, averaged_adamw};
use burn_core::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn_core::tensor::{DType, Device, Tensor, TensorData};
use burn_optim::GradientsParams;
use velo_optimizer::adapters::burn::BurnOptimizer;
use velo_optimizer::{
    Architecture, CeloConfig, Error, LearnedOptimizer, LearnedWeights, NonFinitePolicy, Optimizer, OptimizerConfig,
    ParamLayout, Schedule,
};

const INPUTS: [[f32; 3]; 4] = [[1.0, -0.5, 0.2], [0.3, 0.8, -1.0], [-0.7, 0.1, 0.9], [0.5, 0.5, 0.5]];
const TARGETS: [[f32; 2]; 4] = [[1.0, 0.0], [0.0, 1.0], [0.5, -0.5], [-1.0, 0.3]];

#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Model {
    layers: Vec<Layer>,
}

fn device() -> Device {
    Device::flex().autodiff()
}

impl Layer {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([inputs, outputs], device)),
            bias: Param::from_tensor(Tensor::zeros([outputs], device)),
        }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        inputs.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

impl Model {
    /// Two layers whose parameters are known.
    fn new() -> Self {
        let device = device();
        let model = Self { layers: vec![Layer::new(3, 5, &device), Layer::new(5, 2, &device)] };
        model.with(&(0..32).map(|i| (i as f32 + 0.1).sin() / 2.0).collect::<Vec<_>>())
    }

    fn with(self, params: &[f32]) -> Self {
        self.map(&mut Set { params })
    }

    fn flat(&self) -> Vec<f32> {
        let mut get = Get { gradients: None, values: Vec::new() };
        self.visit(&mut get);
        get.values
    }

    fn flat_gradients(&self, gradients: &GradientsParams) -> Vec<f32> {
        let mut get = Get { gradients: Some(gradients), values: Vec::new() };
        self.visit(&mut get);
        get.values
    }

    fn loss(&self) -> (f32, GradientsParams) {
        let hidden = self.layers[0].forward(Tensor::from_data(INPUTS, &device())).tanh();
        let targets = Tensor::<2>::from_data(TARGETS, &device());
        self.backward((self.layers[1].forward(hidden) - targets).powf_scalar(2.0).mean())
    }

    fn backward(&self, loss: Tensor<1>) -> (f32, GradientsParams) {
        (values(loss.clone())[0], GradientsParams::from_grads(loss.backward(), self))
    }
}

/// Sets all parameters.
struct Set<'a> {
    params: &'a [f32],
}

impl ModuleMapper for Set<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| {
            let (values, rest) = self.params.split_at(old.shape().num_elements());
            self.params = rest;
            Tensor::from_data(TensorData::new(values.to_vec(), old.shape()), &old.device()).require_grad()
        })
    }
}

/// Collects all parameters, or their gradients.
struct Get<'a> {
    gradients: Option<&'a GradientsParams>,
    values: Vec<f32>,
}

impl ModuleVisitor for Get<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.extend(match self.gradients {
            Some(gradients) => values(gradients.get::<D>(param.id).unwrap()),
            None => values(param.val()),
        });
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().as_slice().unwrap().to_vec()
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

#[test]
fn parameters_are_named_by_their_path() {
    let layout = BurnOptimizer::layout(&Model::new()).unwrap();
    let found: Vec<_> = layout.tensors().iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
    let expected: [(&str, &[usize]); 4] =
        [("layers.0.weight", &[3, 5]), ("layers.0.bias", &[5]), ("layers.1.weight", &[5, 2]), ("layers.1.bias", &[2])];
    assert_eq!(found, expected);
}

#[test]
fn fifty_steps_equal_those_on_plain_slices() {
    for build in [learned, adamw] {
        let mut adapted = Model::new();
        let layout = BurnOptimizer::layout(&adapted).unwrap();
        let mut optimizer = BurnOptimizer::from_optimizer(build(&layout));
        optimizer.optimizer_mut().set_horizon(Some(50));
        let mut plain = build(&layout);
        plain.set_horizon(Some(50));
        // The second model is a place to compute gradients at the plain parameters.
        let (mut place, mut params) = (Model::new(), adapted.flat());
        let first = params.clone();
        for _ in 0..50 {
            let (loss, gradients) = adapted.loss();
            adapted = optimizer.step(1.0, adapted, gradients, loss).unwrap();

            place = place.with(&params);
            let (loss, gradients) = place.loss();
            plain.step(&mut params, &place.flat_gradients(&gradients), loss).unwrap();
        }
        let largest = params.iter().zip(&first).fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(largest > 1e-4, "{} did not move", plain.name());
        for (adapted, plain) in adapted.flat().iter().zip(&params) {
            assert!((adapted - plain).abs() <= 1e-6, "{adapted} is not {plain}");
        }
    }
}

#[test]
fn the_module_to_evaluate_with_holds_the_average_and_the_trained_one_stays() {
    let mut model = Model::new();
    let config = averaged_adamw();
    let mut optimizer = BurnOptimizer::new(&model, &config).unwrap();
    let mut path = Vec::new();
    for _ in 0..4 {
        let (loss, gradients) = model.loss();
        model = optimizer.step(1.0, model, gradients, loss).unwrap();
        path.push(model.flat());
    }
    let before = model.flat();
    let evaluated = optimizer.evaluation_module(&model).unwrap().flat();
    assert_eq!(model.flat(), before);
    assert_mean(&evaluated, &path);
}

#[test]
fn the_learning_rate_multiplies_the_configured_one_in_that_step() {
    let model = Model::new();
    let mut optimizer = BurnOptimizer::new(&model, &config("sgd")).unwrap();
    optimizer.optimizer_mut().set_step_multiplier(0.5);
    let (loss, gradients) = model.loss();
    let grads = model.flat_gradients(&gradients);
    let after = optimizer.step(20.0, model.clone(), gradients, loss).unwrap();
    assert_eq!(optimizer.optimizer().step_multiplier(), 0.5);
    for ((before, after), grad) in model.flat().iter().zip(after.flat()).zip(grads) {
        assert!((before - 0.2 * grad - after).abs() < 1e-6, "{before} with gradient {grad} became {after}");
    }
}

#[test]
fn a_missing_gradient_counts_as_zeros_and_is_counted() {
    let model = Model::new();
    let mut optimizer = BurnOptimizer::new(&model, &config("sgd")).unwrap();
    // Only the first layer takes part.
    let outputs = model.layers[0].forward(Tensor::from_data(INPUTS, &device()));
    let (loss, gradients) = model.backward(outputs.powf_scalar(2.0).mean());
    let before = model.flat();
    let after = optimizer.step(1.0, model, gradients, loss).unwrap().flat();
    assert_eq!(optimizer.missing_gradients(), 2);
    assert_eq!(before[20..], after[20..]);
    assert!(before[..20].iter().zip(&after[..20]).all(|(before, after)| before != after));
}

#[test]
fn parameters_that_require_no_gradient_stay_as_they_are() {
    let mut model = Model::new();
    model.layers[0] = model.layers[0].clone().no_grad();
    let mut optimizer = BurnOptimizer::new(&model, &config("adamw")).unwrap();
    assert_eq!(optimizer.optimizer().layout().tensors()[0].name, "layers.1.weight");
    let before = model.flat();
    let (loss, gradients) = model.loss();
    let model = optimizer.step(1.0, model, gradients, loss).unwrap();
    assert_eq!(model.flat()[..20], before[..20]);
    assert_ne!(model.flat()[20..], before[20..]);
    assert!(!model.layers[0].weight.is_require_grad());
    assert!(model.layers[1].weight.is_require_grad());
}

#[test]
fn identities_and_the_checkpointing_of_gradients_survive_a_step() {
    let device = Device::flex().autodiff().gradient_checkpointing();
    let layer = Layer::new(3, 2, &device);
    let ids = (layer.weight.id, layer.bias.id);
    let mut optimizer = BurnOptimizer::new(&layer, &config("adamw")).unwrap();
    let strategy = layer.weight.val().gradient_checkpointing_strategy();
    let loss = layer.forward(Tensor::from_data(INPUTS, &device)).mean();
    let gradients = GradientsParams::from_grads(loss.backward(), &layer);
    let layer = optimizer.step(1.0, layer, gradients, 0.0).unwrap();
    assert_eq!((layer.weight.id, layer.bias.id), ids);
    assert_eq!(layer.weight.val().gradient_checkpointing_strategy(), strategy);
    // A second step would refuse to mix strategies.
    layer.forward(Tensor::from_data(INPUTS, &device)).mean().backward();
}

#[test]
fn a_skipped_step_leaves_the_module_as_it_was() {
    let model = Model::new();
    let mut optimizer = BurnOptimizer::new(&model, &config("adamw")).unwrap();
    let nan = Tensor::<2>::from_data([[f32::NAN, 1.0, 1.0]], &device());
    let before = model.flat();
    let (loss, gradients) = model.backward(model.layers[0].forward(nan.clone()).mean());
    let model = optimizer.step(1.0, model, gradients, loss).unwrap();
    assert_eq!(model.flat(), before);
    assert_eq!(optimizer.optimizer().steps_skipped(), 1);

    optimizer.optimizer_mut().set_non_finite_policy(NonFinitePolicy::Error);
    let (loss, gradients) = model.backward(model.layers[0].forward(nan).mean());
    let error = optimizer.step(1.0, model, gradients, loss).unwrap_err();
    assert_eq!(error.to_string(), "gradient of tensor \"layers.0.weight\" is not finite at step 0");
}

#[test]
fn state_continues_in_another_instance_of_the_module() {
    let train = |optimizer: &mut BurnOptimizer, model: Model| {
        (0..10).fold(model, |model, _| {
            let (loss, gradients) = model.loss();
            optimizer.step(0.5, model, gradients, loss).unwrap()
        })
    };
    let whole = Model::new();
    let layout = BurnOptimizer::layout(&whole).unwrap();
    let mut optimizer = BurnOptimizer::from_optimizer(learned(&layout));
    optimizer.optimizer_mut().set_horizon(Some(20));
    optimizer.optimizer_mut().set_schedule(Schedule::Cosine { warmup: 0.1, floor: 0.0 });
    let whole = train(&mut optimizer, whole);
    let (saved, params) = (optimizer.save_state(), whole.flat());
    let whole = train(&mut optimizer, whole);

    let other = Model::new().with(&params);
    assert_ne!(other.layers[0].weight.id, whole.layers[0].weight.id);
    let mut optimizer = BurnOptimizer::from_optimizer(learned(&layout));
    optimizer.load_state(&saved).unwrap();
    assert_eq!(train(&mut optimizer, other).flat(), whole.flat());
}

#[test]
fn saved_state_of_another_module_is_refused() {
    let model = Model::new();
    let saved = BurnOptimizer::new(&model, &config("adamw")).unwrap().save_state();
    let mut optimizer = BurnOptimizer::new(&model.layers[0], &config("adamw")).unwrap();
    assert!(matches!(optimizer.load_state(&saved), Err(Error::Malformed { .. })));
}

#[test]
fn a_module_of_another_structure_is_an_error_that_names_the_first_difference() {
    let model = Model::new();
    let other = ParamLayout::new([("layers.0.weight", vec![3, 5])]).unwrap();
    let mut optimizer = BurnOptimizer::from_optimizer(adamw(&other));
    let (loss, gradients) = model.loss();
    let error = optimizer.step(1.0, model, gradients, loss).unwrap_err();
    let expected = "model: tensor 1 is \"layers.0.bias\" of shape [5], the optimizer has nothing more";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_gradient_of_another_shape_is_an_error_that_names_the_parameter() {
    let model = Model::new();
    let mut optimizer = BurnOptimizer::new(&model, &config("adamw")).unwrap();
    let (loss, mut gradients) = model.loss();
    gradients.register(model.layers[0].bias.id, Tensor::<1>::zeros([4], &Device::flex()));
    let error = optimizer.step(1.0, model, gradients, loss).unwrap_err();
    let expected = "burn module: \"layers.0.bias\": gradient has shape [4], expected [5]";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn modules_that_cannot_be_trained_as_they_are_give_errors() {
    let message = |model: &Model| BurnOptimizer::layout(model).unwrap_err().to_string();
    let model = Model::new();
    let twice = Model { layers: vec![model.layers[0].clone(), model.layers[0].clone()] };
    let expected = "burn module: \"layers.0.weight\" and \"layers.1.weight\" are one parameter";
    assert_eq!(message(&twice), expected);

    let mut half = model.clone();
    half.layers[1].bias = Param::from_tensor(Tensor::zeros([2], (&device(), DType::F16)));
    assert_eq!(message(&half), "burn module: \"layers.1.bias\" is of F16, expected F32");

    let expected = "burn module: no parameter requires gradients; create it on a device with autodiff";
    assert_eq!(message(&model.valid()), expected);
}
