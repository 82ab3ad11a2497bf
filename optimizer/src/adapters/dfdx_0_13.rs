//! Any optimizer of this crate as an optimizer of dfdx 0.13.
//!
//! One update is two walks through the model: parameters and gradients are copied into flat slices, the optimizer
//! steps, the parameters are copied back. Tensors are named by their path in the model (`0.weight`), which keys the
//! saved state; tensors that the model marks as not trained are left out.
//!
//! ```
//! use dfdx::prelude::*;
//! use velo_optimizer::OptimizerConfig;
//! use velo_optimizer::adapters::dfdx::DfdxOptimizer;
//!
//! let device = Cpu::default();
//! let mut model = device.build_module::<Linear<2, 1>, f32>();
//! let config = OptimizerConfig::from_name("adamw")?.with_learning_rate(0.1);
//! let mut optimizer = DfdxOptimizer::new(&model, &config)?;
//! let (inputs, targets) = (device.tensor([[1.0, 2.0], [3.0, -1.0]]), device.tensor([[5.0], [1.0]]));
//! for _ in 0..500 {
//!     let outputs = model.forward(inputs.clone().traced(model.alloc_grads()));
//!     let loss = mse_loss(outputs, targets.clone());
//!     let value = loss.array();
//!     optimizer.step(&mut model, &loss.backward(), value)?;
//! }
//! assert!((model.forward(inputs).array()[0][0] - 5.0).abs() < 0.05);
//! # Ok::<(), velo_optimizer::Error>(())
//! ```
//!
//! Where code is generic over dfdx's own trait, [`DfdxOptimizer::with_loss`] gives a value that implements it.

use std::marker::PhantomData;

use dfdx::optim::{Optimizer as DfdxTrait, OptimizerUpdateError, Sgd, SgdConfig};
use dfdx::prelude::{
    Cpu, CpuError, Gradients, HasShape, RecursiveWalker, Shape, Tensor, TensorCollection, TensorOptions, TensorVisitor,
    ViewTensorMut, ViewTensorName, ViewTensorRef,
};

use crate::{Error, Optimizer, OptimizerConfig, ParamLayout, StepOutcome};

/// An optimizer for models of type `M`.
pub struct DfdxOptimizer<M> {
    optimizer: Box<dyn Optimizer>,
    params: Vec<f32>,
    grads: Vec<f32>,
    missing_gradients: u64,
    last_error: Option<Error>,
    model: PhantomData<fn(&mut M)>,
}

impl<M: TensorCollection<f32, Cpu>> DfdxOptimizer<M> {
    /// An optimizer for the trained tensors of `model`.
    ///
    /// # Errors
    /// What [`OptimizerConfig::build`] returns.
    pub fn new(model: &M, config: &OptimizerConfig) -> Result<Self, Error> {
        Ok(Self::from_optimizer(config.build(&Self::layout(model)?)?))
    }

    /// Adapts an optimizer that was built for [`layout`](Self::layout).
    pub fn from_optimizer(optimizer: Box<dyn Optimizer>) -> Self {
        let len = optimizer.layout().len();
        let (params, grads) = (vec![0.0; len], vec![0.0; len]);
        Self { optimizer, params, grads, missing_gradients: 0, last_error: None, model: PhantomData }
    }

    /// Names and shapes of the trained tensors of `model`, in its order.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`] when two of them have the same path.
    pub fn layout(model: &M) -> Result<ParamLayout, Error> {
        let mut describe = Describe { tensors: Vec::new() };
        M::iter_tensors(&mut RecursiveWalker { m: (model, String::new()), f: &mut describe })?;
        ParamLayout::new(describe.tensors)
    }

    /// One update. `loss` is the training loss that `gradients` belong to.
    ///
    /// A trained tensor without a gradient counts as having one of zeros, and is
    /// [counted](Self::missing_gradients).
    ///
    /// # Errors
    /// Those of [`Optimizer::step`]; [`Error::LengthMismatch`] when `model` is not of the shapes that the optimizer was
    /// made for. Nothing has changed then.
    pub fn step(&mut self, model: &mut M, gradients: &Gradients<f32, Cpu>, loss: f32) -> Result<StepOutcome, Error> {
        self.read_params(model)?;
        let missing = count_missing(model, gradients);
        let completed = (missing > 0).then(|| complete(model, gradients)).transpose()?;
        let gradients = completed.as_ref().unwrap_or(gradients);
        let mut read_grads = ReadGrads { gradients, grads: &mut self.grads, position: 0 };
        M::iter_tensors(&mut RecursiveWalker { m: &*model, f: &mut read_grads })?;
        let outcome = self.optimizer.step(&mut self.params, &self.grads, loss);
        // Written back whatever the outcome: counting may have turned a parameter into NaN.
        write(model, &self.params)?;
        let outcome = outcome?;
        self.missing_gradients += missing;
        Ok(outcome)
    }

    /// The model to evaluate with: `model` with the [parameters that its optimizer averages](Optimizer::evaluation_params),
    /// and a copy of it for all the optimizers that do not. `model` is the one to go on training.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when `model` is not of the shapes that the optimizer was made for.
    pub fn evaluation_model(&mut self, model: &M) -> Result<M, Error>
    where
        M: Clone,
    {
        self.read_params(model)?;
        self.optimizer.evaluation_params(&self.params, &mut self.grads)?;
        let mut evaluated = model.clone();
        write(&mut evaluated, &self.grads)?;
        Ok(evaluated)
    }

    fn read_params(&mut self, model: &M) -> Result<(), Error> {
        let layout = Self::layout(model)?;
        if self.optimizer.layout() != &layout {
            let (found, expected) = (layout.len(), self.optimizer.layout().len());
            return Err(Error::LengthMismatch { what: "model", found, expected });
        }
        let mut read = ReadParams { params: &mut self.params, position: 0 };
        M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut read })?;
        Ok(())
    }

    /// For code that is generic over dfdx's trait: `optimizer.with_loss(loss).update(&mut model, &gradients)`.
    pub fn with_loss(&mut self, loss: f32) -> WithLoss<'_, M> {
        WithLoss { optimizer: self, loss }
    }

    /// How often a trained tensor had no gradient, over all updates.
    pub fn missing_gradients(&self) -> u64 {
        self.missing_gradients
    }

    /// Takes the error that the last failed [`WithLoss`] update could not express in dfdx's terms.
    pub fn take_error(&mut self) -> Option<Error> {
        self.last_error.take()
    }

    /// The optimizer itself: counters, schedule, horizon, state.
    pub fn optimizer(&self) -> &dyn Optimizer {
        self.optimizer.as_ref()
    }

    /// Mutable access to it.
    pub fn optimizer_mut(&mut self) -> &mut dyn Optimizer {
        self.optimizer.as_mut()
    }

    /// The complete state, keyed by the paths of the tensors. See [`Optimizer::save_state`].
    pub fn save_state(&self) -> Vec<u8> {
        self.optimizer.save_state()
    }

    /// Restores what [`save_state`](Self::save_state) wrote, also for another instance of the model.
    ///
    /// # Errors
    /// See [`Optimizer::load_state`].
    pub fn load_state(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.optimizer.load_state(bytes)
    }
}

/// A [`DfdxOptimizer`] together with the loss of the step that it is about to take.
///
/// dfdx's error type has no place for most of what can go wrong here: an update that fails returns
/// [`CpuError::WrongNumElements`], and [`DfdxOptimizer::take_error`] says what it was.
pub struct WithLoss<'a, M> {
    optimizer: &'a mut DfdxOptimizer<M>,
    loss: f32,
}

impl<M: TensorCollection<f32, Cpu>> DfdxTrait<M, Cpu, f32> for WithLoss<'_, M> {
    fn update(
        &mut self,
        module: &mut M,
        gradients: &Gradients<f32, Cpu>,
    ) -> Result<(), OptimizerUpdateError<CpuError>> {
        self.optimizer.step(module, gradients, self.loss).map(|_| ()).map_err(|error| {
            self.optimizer.last_error = Some(error);
            OptimizerUpdateError::DeviceError(CpuError::WrongNumElements)
        })
    }
}

/// How many trained tensors have no gradient.
///
/// dfdx has no public question for this, and asking for a gradient that is not there panics; but its own optimizers
/// report such tensors. One of rate zero is a question that changes a parameter only where a gradient is not finite.
fn count_missing<M: TensorCollection<f32, Cpu>>(model: &mut M, gradients: &Gradients<f32, Cpu>) -> u64 {
    let mut probe = Sgd::new(model, SgdConfig { lr: 0.0, momentum: None, weight_decay: None });
    match probe.update(model, gradients) {
        Err(OptimizerUpdateError::UnusedParams(unused)) => unused.ids.len() as u64,
        _ => 0,
    }
}

/// A copy of `gradients` with zeros for every tensor that has none.
fn complete<M: TensorCollection<f32, Cpu>>(
    model: &M,
    gradients: &Gradients<f32, Cpu>,
) -> Result<Gradients<f32, Cpu>, Error> {
    let mut fill = Fill { gradients: gradients.clone() };
    M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut fill })?;
    Ok(fill.gradients)
}

/// Declares a visitor of all trained tensors that builds nothing.
macro_rules! visitor {
    ($visitor:ty, $viewer:ty, |$self:ident, $view:pat_param => $kind:ty| $body:expr) => {
        impl TensorVisitor<f32, Cpu> for $visitor {
            type Viewer = $viewer;
            type Err = Error;
            type E2 = f32;
            type D2 = Cpu;

            fn visit<S: Shape>(
                &mut $self,
                options: TensorOptions<S, f32, Cpu>,
                $view: $kind,
            ) -> Result<Option<Tensor<S, f32, Cpu>>, Error> {
                if options.do_gradient_update {
                    $body;
                }
                Ok(None)
            }
        }
    };
}

/// Collects names and shapes.
struct Describe {
    tensors: Vec<(String, Vec<usize>)>,
}

visitor!(Describe, (ViewTensorRef, ViewTensorName), |self, (tensor, path) => (&Tensor<S, f32, Cpu>, String)| {
    let concrete = tensor.shape().concrete();
    self.tensors.push((path, (0..S::NUM_DIMS).map(|axis| concrete[axis]).collect()))
});

/// Copies parameters out.
struct ReadParams<'a> {
    params: &'a mut [f32],
    position: usize,
}

visitor!(ReadParams<'_>, ViewTensorRef, |self, tensor => &Tensor<S, f32, Cpu>| {
    let len = tensor.shape().num_elements();
    tensor.copy_into(&mut self.params[self.position..][..len]);
    self.position += len
});

/// Copies gradients out; every trained tensor has one.
struct ReadGrads<'a> {
    gradients: &'a Gradients<f32, Cpu>,
    grads: &'a mut [f32],
    position: usize,
}

visitor!(ReadGrads<'_>, ViewTensorRef, |self, tensor => &Tensor<S, f32, Cpu>| {
    let len = tensor.shape().num_elements();
    self.gradients.get(tensor).copy_into(&mut self.grads[self.position..][..len]);
    self.position += len
});

/// Adds the gradients that are missing.
struct Fill {
    gradients: Gradients<f32, Cpu>,
}

visitor!(Fill, ViewTensorRef, |self, tensor => &Tensor<S, f32, Cpu>| {
    let allocated = self.gradients.try_alloc_for(tensor);
    allocated.map_err(|error| Error::malformed("gradients", error.to_string()))?
});

/// Copies `params` into `model`.
fn write<M: TensorCollection<f32, Cpu>>(model: &mut M, params: &[f32]) -> Result<(), Error> {
    M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut Write { params, position: 0 } })?;
    Ok(())
}

/// Copies parameters back.
struct Write<'a> {
    params: &'a [f32],
    position: usize,
}

visitor!(Write<'_>, ViewTensorMut, |self, tensor => &mut Tensor<S, f32, Cpu>| {
    let len = tensor.shape().num_elements();
    tensor.copy_from(&self.params[self.position..][..len]);
    self.position += len
});
