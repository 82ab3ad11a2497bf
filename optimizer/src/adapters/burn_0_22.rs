//! Any optimizer of this crate for modules of burn 0.22.
//!
//! The optimizer trait of burn sees one tensor at a time and no loss, which is too little for a rule that looks at all
//! tensors together. As burn's own L-BFGS does, [`BurnOptimizer`] therefore stands beside that trait: it takes a module
//! in a training loop of your own and gives it back updated. One update copies parameters and gradients into flat
//! slices, lets the optimizer step, and builds the parameters anew on their device.
//!
//! ```
//! use burn_core::module::{Module, Param}; // `burn::module`, `burn::tensor`, `burn::optim` where `burn` itself is used
//! use burn_core::tensor::{Device, Tensor};
//! use burn_optim::GradientsParams;
//! use velo_optimizer::OptimizerConfig;
//! use velo_optimizer::adapters::burn::BurnOptimizer;
//!
//! # fn main() -> Result<(), velo_optimizer::Error> {
//! # use burn_core as burn;
//! #[derive(Module, Debug)]
//! struct Line {
//!     slope: Param<Tensor<2>>,
//!     offset: Param<Tensor<2>>,
//! }
//!
//! # #[cfg(feature = "burn_0_22_cpu")]
//! # {
//! let device = Device::flex().autodiff();
//! let mut model =
//!     Line { slope: Param::from_data([[0.0], [0.0]], &device), offset: Param::from_data([[0.0]], &device) };
//! let config = OptimizerConfig::from_name("adamw")?.with_learning_rate(0.1);
//! let mut optimizer = BurnOptimizer::new(&model, &config)?;
//! let inputs = Tensor::<2>::from_data([[1.0, 2.0], [3.0, -1.0]], &device);
//! let targets = Tensor::<2>::from_data([[5.0], [1.0]], &device);
//! let predict = |model: &Line| inputs.clone().matmul(model.slope.val()) + model.offset.val();
//! for _ in 0..500 {
//!     let loss = (predict(&model) - targets.clone()).powf_scalar(2.0).mean();
//!     let value = loss.clone().into_scalar::<f32>();
//!     let gradients = GradientsParams::from_grads(loss.backward(), &model);
//!     model = optimizer.step(1.0, model, gradients, value)?;
//! }
//! assert!((predict(&model).into_data().as_slice::<f32>().unwrap()[0] - 5.0).abs() < 0.05);
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! State is keyed by the path of a parameter in the module (`hidden.weight`), not by its `ParamId`, which is a new one
//! in every process. burn 0.22 asks for a newer compiler than the rest of this crate: 1.95.

use burn_core::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn_core::tensor::{DType, Shape, Tensor, TensorData};
use burn_optim::{GradientsParams, LearningRate};

use crate::{Error, Optimizer, OptimizerConfig, ParamLayout};

/// An optimizer for modules of one structure.
pub struct BurnOptimizer {
    optimizer: Box<dyn Optimizer>,
    params: Vec<f32>,
    grads: Vec<f32>,
    missing_gradients: u64,
}

impl BurnOptimizer {
    /// An optimizer for the trained parameters of `module`.
    ///
    /// # Errors
    /// Those of [`layout`](Self::layout) and of [`OptimizerConfig::build`].
    pub fn new<M: Module>(module: &M, config: &OptimizerConfig) -> Result<Self, Error> {
        Ok(Self::from_optimizer(config.build(&Self::layout(module)?)?))
    }

    /// Adapts an optimizer that was built for the [`layout`](Self::layout) of a module.
    pub fn from_optimizer(optimizer: Box<dyn Optimizer>) -> Self {
        let len = optimizer.layout().len();
        Self { optimizer, params: vec![0.0; len], grads: vec![0.0; len], missing_gradients: 0 }
    }

    /// Paths and shapes of the parameters of `module` that require gradients, in the order in which it is visited.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`] when two have the same path; [`Error::Malformed`] when two are the same parameter, or
    /// one is not of `f32` (a step in lower precision would be lost in rounding), or there is none.
    pub fn layout<M: Module>(module: &M) -> Result<ParamLayout, Error> {
        let mut describe = Describe::default();
        module.visit(&mut describe);
        describe.problem.map_or(Ok(()), Err)?;
        if describe.tensors.is_empty() {
            let problem = "no parameter requires gradients; create it on a device with autodiff";
            return Err(Error::malformed("burn module", problem));
        }
        ParamLayout::new(describe.tensors)
    }

    /// One update, which gives `module` back. `loss` is the training loss that `gradients` belong to;
    /// `learning_rate`, from a scheduler of burn or simply 1.0, multiplies the optimizer's own rate in this step.
    ///
    /// A trained parameter without a gradient counts as having one of zeros, and is
    /// [counted](Self::missing_gradients).
    ///
    /// # Errors
    /// Those of [`Optimizer::step`] and of [`layout`](Self::layout); [`Error::Malformed`] when `module` is not of the
    /// structure that the optimizer was made for, or a gradient is not of the shape and type of its parameter. To go
    /// on with the module as it was, step a clone: clones share memory.
    pub fn step<M: Module>(
        &mut self,
        learning_rate: LearningRate,
        module: M,
        gradients: GradientsParams,
        loss: f32,
    ) -> Result<M, Error> {
        let missing = self.read(&module, &gradients)?;
        let multiplier = self.optimizer.step_multiplier();
        self.optimizer.set_step_multiplier(multiplier * learning_rate as f32);
        let outcome = self.optimizer.step(&mut self.params, &self.grads, loss);
        self.optimizer.set_step_multiplier(multiplier);
        outcome?;
        self.missing_gradients += missing;
        Ok(module.map(&mut Write { params: &self.params, position: 0 }))
    }

    /// The module to evaluate with: `module` with the [parameters that its optimizer averages](Optimizer::evaluation_params),
    /// and a copy of it for all the optimizers that do not. `module` is the one to go on training.
    ///
    /// # Errors
    /// Those of [`layout`](Self::layout); [`Error::Malformed`] when `module` is not of the structure that the optimizer
    /// was made for.
    pub fn evaluation_module<M: Module>(&mut self, module: &M) -> Result<M, Error> {
        self.read(module, &GradientsParams::new())?;
        self.optimizer.evaluation_params(&self.params, &mut self.grads)?;
        Ok(module.clone().map(&mut Write { params: &self.grads, position: 0 }))
    }

    /// Copies parameters and gradients of `module` out and says how many gradients are missing.
    fn read<M: Module>(&mut self, module: &M, gradients: &GradientsParams) -> Result<u64, Error> {
        super::check_same(&Self::layout(module)?, self.optimizer.layout())?;
        let mut read = Read {
            tensors: self.optimizer.layout(),
            index: 0,
            gradients,
            params: &mut self.params,
            grads: &mut self.grads,
            missing: 0,
            problem: None,
        };
        module.visit(&mut read);
        read.problem.map_or(Ok(read.missing), Err)
    }

    /// How often a trained parameter had no gradient, over all updates.
    pub fn missing_gradients(&self) -> u64 {
        self.missing_gradients
    }

    /// The optimizer itself: counters, schedule, horizon, state.
    pub fn optimizer(&self) -> &dyn Optimizer {
        self.optimizer.as_ref()
    }

    /// Mutable access to it.
    pub fn optimizer_mut(&mut self) -> &mut dyn Optimizer {
        self.optimizer.as_mut()
    }

    /// The complete state, keyed by the paths of the parameters. See [`Optimizer::save_state`].
    pub fn save_state(&self) -> Vec<u8> {
        self.optimizer.save_state()
    }

    /// Restores what [`save_state`](Self::save_state) wrote, also for another instance of the module.
    ///
    /// # Errors
    /// See [`Optimizer::load_state`].
    pub fn load_state(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.optimizer.load_state(bytes)
    }
}

/// Collects paths and shapes, up to the first problem.
#[derive(Default)]
struct Describe {
    path: Vec<String>,
    ids: Vec<ParamId>,
    tensors: Vec<(String, Vec<usize>)>,
    problem: Option<Error>,
}

impl ModuleVisitor for Describe {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() || self.problem.is_some() {
            return;
        }
        let path = self.path.join(".");
        if let Some(first) = self.ids.iter().position(|&id| id == param.id) {
            let problem = format!("{:?} and {path:?} are one parameter", self.tensors[first].0);
            self.problem = Some(Error::malformed("burn module", problem));
        } else if param.dtype() != DType::F32 {
            let problem = format!("{path:?} is of {:?}, expected F32", param.dtype());
            self.problem = Some(Error::malformed("burn module", problem));
        }
        self.ids.push(param.id);
        self.tensors.push((path, param.dims().to_vec()));
    }
}

/// Copies parameters and gradients out, up to the first problem.
struct Read<'a> {
    tensors: &'a ParamLayout,
    index: usize,
    gradients: &'a GradientsParams,
    params: &'a mut [f32],
    grads: &'a mut [f32],
    missing: u64,
    problem: Option<Error>,
}

impl Read<'_> {
    fn read<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<(), String> {
        let range = self.tensors.tensors()[self.index].range.clone();
        copy(param.val().inner(), &mut self.params[range.clone()])?;
        match self.gradients.get::<D>(param.id) {
            Some(gradient) if gradient.dims() != param.dims() => {
                return Err(format!("gradient has shape {:?}, expected {:?}", gradient.dims(), param.dims()));
            }
            Some(gradient) => copy(gradient, &mut self.grads[range]).map_err(|error| format!("gradient: {error}"))?,
            None => {
                self.grads[range].fill(0.0);
                self.missing += 1;
            }
        }
        Ok(())
    }
}

impl ModuleVisitor for Read<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() || self.problem.is_some() {
            return;
        }
        if let Err(problem) = self.read(param) {
            let name = &self.tensors.tensors()[self.index].name;
            self.problem = Some(Error::malformed("burn module", format!("{name:?}: {problem}")));
        }
        self.index += 1;
    }
}

/// The elements of `tensor`, which is of `f32` and as long as `out`.
fn copy<const D: usize>(tensor: Tensor<D>, out: &mut [f32]) -> Result<(), String> {
    let data = tensor.try_into_data().map_err(|error| error.to_string())?;
    out.copy_from_slice(data.as_slice::<f32>().map_err(|error| error.to_string())?);
    Ok(())
}

/// Puts parameters back.
struct Write<'a> {
    params: &'a [f32],
    position: usize,
}

impl ModuleMapper for Write<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        let (id, old, mapper) = param.consume();
        let shape: Shape = old.shape();
        let values = &self.params[self.position..][..shape.num_elements()];
        self.position += values.len();
        // The device of a tensor says whether and how it is differentiated.
        let new = Tensor::from_data(TensorData::new(values.to_vec(), shape), (&old.device(), DType::F32));
        let mut new = new.require_grad();
        if old.is_distributed() {
            new = new.set_distributed(id);
        }
        Param::from_mapped_value(id, new, mapper)
    }
}
