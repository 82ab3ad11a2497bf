//! Any optimizer of this crate as an optimizer of candle-nn 0.11.
//!
//! One update copies parameters and gradients into flat slices, lets the optimizer step, and sets the variables.
//! candle's own trait passes the loss where a learned optimizer needs it, in `backward_step`:
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{Module, Optimizer, VarBuilder, VarMap};
//! use velo_optimizer::OptimizerConfig;
//! use velo_optimizer::adapters::candle::CandleOptimizer;
//!
//! let variables = VarMap::new();
//! let model = candle_nn::linear(2, 1, VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
//! let config = OptimizerConfig::from_name("adamw")?.with_learning_rate(0.1);
//! let mut optimizer = CandleOptimizer::from_varmap(&variables, &config)?;
//! let inputs = Tensor::new(&[[1.0f32, 2.0], [3.0, -1.0]], &Device::Cpu)?;
//! let targets = Tensor::new(&[[5.0f32], [1.0]], &Device::Cpu)?;
//! for _ in 0..500 {
//!     let loss = candle_nn::loss::mse(&model.forward(&inputs)?, &targets)?;
//!     optimizer.backward_step(&loss)?;
//! }
//! let output = model.forward(&inputs)?.get(0)?.get(0)?.to_scalar::<f32>()?;
//! assert!((output - 5.0).abs() < 0.05);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The variables of a `VarMap` come in another order in every process: they are sorted by name here, so that saved
//! state fits the next one. `Optimizer::new(vars, config)` of the trait knows no names and calls the variables `0`, `1`,
//! …: there, saved state fits only variables that are listed in the same order.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use candle_nn::VarMap;

use crate::{Error, Optimizer, OptimizerConfig, ParamLayout, StepOutcome, TensorLayout};

/// An optimizer for a list of named variables.
pub struct CandleOptimizer {
    optimizer: Box<dyn Optimizer>,
    vars: Vec<Var>,
    params: Vec<f32>,
    grads: Vec<f32>,
    missing_gradients: u64,
}

impl CandleOptimizer {
    /// An optimizer for the floating-point variables of `variables`.
    ///
    /// # Errors
    /// Those of [`layout`](Self::layout) and of [`OptimizerConfig::build`].
    pub fn from_varmap(variables: &VarMap, config: &OptimizerConfig) -> Result<Self, Error> {
        Self::from_named(named_vars(variables), config)
    }

    /// An optimizer for variables with names of your choice.
    ///
    /// # Errors
    /// As [`from_varmap`](Self::from_varmap).
    pub fn from_named(vars: Vec<(String, Var)>, config: &OptimizerConfig) -> Result<Self, Error> {
        let optimizer = config.build(&Self::layout(&vars)?)?;
        Self::from_optimizer(vars, optimizer)
    }

    /// Adapts an optimizer that was built for the [`layout`](Self::layout) of `vars`.
    ///
    /// # Errors
    /// Those of [`layout`](Self::layout); [`Error::Malformed`] naming the first tensor that is not the one the
    /// optimizer was built for.
    pub fn from_optimizer(vars: Vec<(String, Var)>, optimizer: Box<dyn Optimizer>) -> Result<Self, Error> {
        super::check_same(&Self::layout(&vars)?, optimizer.layout())?;
        let len = optimizer.layout().len();
        let vars = vars.into_iter().map(|(_, var)| var).collect();
        Ok(Self { optimizer, vars, params: vec![0.0; len], grads: vec![0.0; len], missing_gradients: 0 })
    }

    /// Names and shapes of `vars`, in their order.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`] when two have the same name; [`Error::Malformed`] when two are the same variable, or
    /// one is not of `f32`: a step in lower precision would be lost in rounding.
    pub fn layout(vars: &[(String, Var)]) -> Result<ParamLayout, Error> {
        for (index, (name, var)) in vars.iter().enumerate() {
            if var.dtype() != DType::F32 {
                let problem = format!("{name:?} is of {}, expected f32", var.dtype().as_str());
                return Err(Error::malformed("candle variables", problem));
            }
            if let Some((first, _)) = vars[..index].iter().find(|(_, other)| other.id() == var.id()) {
                let problem = format!("{first:?} and {name:?} are one variable; list it once");
                return Err(Error::malformed("candle variables", problem));
            }
        }
        ParamLayout::new(vars.iter().map(|(name, var)| (name.as_str(), var.dims().to_vec())))
    }

    /// One update with gradients that are there already; `loss` is the training loss that they belong to.
    ///
    /// A variable without a gradient counts as having one of zeros, and is [counted](Self::missing_gradients).
    ///
    /// # Errors
    /// Those of [`Optimizer::step`]; [`Error::Malformed`] when a gradient is not of the shape and type of its variable.
    /// Nothing has changed then.
    pub fn step_with_loss(&mut self, gradients: &GradStore, loss: f32) -> Result<StepOutcome, Error> {
        let mut missing = 0;
        for (var, tensor) in self.vars.iter().zip(self.optimizer.layout().tensors()) {
            read(tensor, var, &mut self.params[tensor.range.clone()])?;
            let grad = &mut self.grads[tensor.range.clone()];
            match gradients.get(var) {
                Some(found) if found.dims() != tensor.shape => {
                    let problem = format!("gradient has shape {:?}, expected {:?}", found.dims(), tensor.shape);
                    return Err(refused(tensor, problem));
                }
                Some(found) => read(tensor, found, grad)?,
                None => {
                    grad.fill(0.0);
                    missing += 1;
                }
            }
        }
        let outcome = self.optimizer.step(&mut self.params, &self.grads, loss);
        // Written back whatever the outcome: an optimizer may have moved parameters before it failed to count.
        self.write(&self.params)?;
        let outcome = outcome?;
        self.missing_gradients += missing;
        Ok(outcome)
    }

    /// What `evaluate` returns while the variables hold the parameters to [evaluate](Optimizer::evaluation_params) with:
    /// averages, for an optimizer that keeps them. Afterwards they hold again those that are trained.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a variable cannot be read or set.
    pub fn with_evaluation_params<T>(&mut self, evaluate: impl FnOnce() -> T) -> Result<T, Error> {
        for (var, tensor) in self.vars.iter().zip(self.optimizer.layout().tensors()) {
            read(tensor, var, &mut self.params[tensor.range.clone()])?;
        }
        self.optimizer.evaluation_params(&self.params, &mut self.grads)?;
        let result = self.write(&self.grads).map(|()| catch_unwind(AssertUnwindSafe(evaluate)));
        // Whatever happened: the variables belong to the training.
        let restored = self.write(&self.params);
        match result? {
            Ok(value) => restored.map(|()| value),
            Err(panic) => resume_unwind(panic),
        }
    }

    fn write(&self, params: &[f32]) -> Result<(), Error> {
        for (var, tensor) in self.vars.iter().zip(self.optimizer.layout().tensors()) {
            let values = &params[tensor.range.clone()];
            let set = Tensor::from_slice(values, tensor.shape.as_slice(), var.device()).and_then(|new| var.set(&new));
            set.map_err(|error| refused(tensor, error.to_string()))?;
        }
        Ok(())
    }

    /// How often a variable had no gradient, over all updates.
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

    /// The complete state, keyed by the names of the variables. See [`Optimizer::save_state`].
    pub fn save_state(&self) -> Vec<u8> {
        self.optimizer.save_state()
    }

    /// Restores what [`save_state`](Self::save_state) wrote, whatever the order of the variables was.
    ///
    /// # Errors
    /// See [`Optimizer::load_state`].
    pub fn load_state(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.optimizer.load_state(bytes)
    }
}

fn refused(tensor: &TensorLayout, problem: String) -> Error {
    Error::malformed("candle variables", format!("{:?}: {problem}", tensor.name))
}

/// Copies the elements of `source` out; it is as long as `out`.
fn read(tensor: &TensorLayout, source: &Tensor, out: &mut [f32]) -> Result<(), Error> {
    let values = source.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
    out.copy_from_slice(&values.map_err(|error| refused(tensor, error.to_string()))?);
    Ok(())
}

/// The learning rate of the trait is the [step multiplier](Optimizer::step_multiplier): 1.0 at first, whatever the rate
/// in the configuration, which it multiplies.
impl candle_nn::Optimizer for CandleOptimizer {
    type Config = OptimizerConfig;

    /// Leaves out variables that are not floating-point numbers, as candle's own optimizers do.
    fn new(vars: Vec<Var>, config: OptimizerConfig) -> candle_core::Result<Self> {
        let floats = vars.into_iter().filter(|var| var.dtype().is_float());
        let named = floats.enumerate().map(|(index, var)| (index.to_string(), var)).collect();
        Self::from_named(named, &config).map_err(candle_core::Error::wrap)
    }

    /// An error for an optimizer that reads the loss: `backward_step` or `step_with_loss` pass it.
    fn step(&mut self, gradients: &GradStore) -> candle_core::Result<()> {
        if self.optimizer.reads_loss() {
            let name = self.optimizer.name();
            candle_core::bail!("{name} reads the loss; call backward_step or step_with_loss instead of step");
        }
        self.step_with_loss(gradients, 0.0).map(|_| ()).map_err(candle_core::Error::wrap)
    }

    /// A loss of several elements counts as their sum, which is what candle differentiates.
    fn backward_step(&mut self, loss: &Tensor) -> candle_core::Result<()> {
        let value = loss.sum_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
        self.step_with_loss(&loss.backward()?, value).map(|_| ()).map_err(candle_core::Error::wrap)
    }

    fn learning_rate(&self) -> f64 {
        f64::from(self.optimizer.step_multiplier())
    }

    fn set_learning_rate(&mut self, multiplier: f64) {
        self.optimizer.set_step_multiplier(multiplier as f32);
    }
}

/// The floating-point variables of `variables`, sorted by name.
pub fn named_vars(variables: &VarMap) -> Vec<(String, Var)> {
    // A panic elsewhere while the map was locked leaves it whole: it is only ever added to.
    let map = variables.data().lock().unwrap_or_else(PoisonError::into_inner);
    let floats = map.iter().filter(|(_, var)| var.dtype().is_float());
    let mut named: Vec<_> = floats.map(|(name, var)| (name.clone(), var.clone())).collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    named
}
