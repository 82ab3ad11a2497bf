//! The optimizers of `velo-optimizer` behind a C interface; `include/velo.h` documents it for its users.
//!
//! Every function checks its pointers for null, catches panics at the border, and leaves the reason of a failure in a
//! text of the calling thread. Apart from that it only translates.

mod error;

use std::ffi::{CStr, c_char};
use std::ptr;

use velo_optimizer::{
    LearnedOptimizer, LearnedWeights, Optimizer, OptimizerConfig, ParamLayout, Schedule, StepOutcome,
};

use error::{Refusal, guarded, required, status};
pub use error::{VeloStatus, velo_last_error};

/// An optimizer with its state. C sees an incomplete type.
pub struct VeloOptimizer(Box<dyn Optimizer>);

/// One parameter tensor, as C describes it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct VeloTensor {
    /// Unique name, UTF-8, ending with a zero.
    pub name: *const c_char,
    /// Axis lengths; may be null when there are none.
    pub shape: *const usize,
    /// Number of axes.
    pub axes: usize,
}

/// More axes than any tensor has: a larger number is a mistake of the caller.
const MAX_AXES: usize = 64;

/// # Safety
/// `text` is null or ends with a zero.
unsafe fn text<'a>(what: &'static str, text: *const c_char) -> Result<&'a str, Refusal> {
    if text.is_null() {
        return Err(Refusal::Null(what));
    }
    // SAFETY: not null, and the caller promises a zero at its end.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| Refusal::NotUtf8(what))
}

/// # Safety
/// `data` is null or points to `len` elements that stay unchanged for `'a`.
unsafe fn slice<'a, T>(what: &'static str, data: *const T, len: usize) -> Result<&'a [T], Refusal> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Refusal::Null(what)),
        // SAFETY: not null, and the caller promises `len` elements.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(data, len) }),
    }
}

/// # Safety
/// `data` is null or points to `len` elements that nobody else touches for `'a`.
unsafe fn slice_mut<'a, T>(what: &'static str, data: *mut T, len: usize) -> Result<&'a mut [T], Refusal> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Refusal::Null(what)),
        // SAFETY: not null, and the caller promises `len` elements.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(data, len) }),
    }
}

/// # Safety
/// `tensors` is null or points to `count` tensors whose pointers are null or as [`VeloTensor`] says.
unsafe fn layout(tensors: *const VeloTensor, count: usize) -> Result<ParamLayout, Refusal> {
    // SAFETY: passed on from the caller.
    let tensors = unsafe { slice("tensors", tensors, count) }?;
    let mut described = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        if tensor.axes > MAX_AXES {
            return Err(Refusal::TooManyAxes(tensor.axes));
        }
        // SAFETY: passed on from the caller.
        let (name, shape) = unsafe { (text("name", tensor.name)?, slice("shape", tensor.shape, tensor.axes)?) };
        described.push((name, shape.to_vec()));
    }
    Ok(ParamLayout::new(described)?)
}

fn into_pointer(optimizer: Result<Box<dyn Optimizer>, Refusal>) -> Result<*mut VeloOptimizer, Refusal> {
    optimizer.map(|optimizer| Box::into_raw(Box::new(VeloOptimizer(optimizer))))
}

/// A learned optimizer from a file of frozen weights; null on error.
///
/// # Safety
/// Pointers are null or valid as `velo.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_load(
    weights: *const c_char,
    tensors: *const VeloTensor,
    tensor_count: usize,
) -> *mut VeloOptimizer {
    guarded(ptr::null_mut(), || {
        // SAFETY: passed on from the caller.
        let (file, layout) = unsafe { (text("weights", weights)?, layout(tensors, tensor_count)?) };
        into_pointer(Ok(Box::new(LearnedOptimizer::new(&layout, LearnedWeights::load(file)?)?)))
    })
}

/// Any optimizer from its configuration as JSON; null on error.
///
/// # Safety
/// Pointers are null or valid as `velo.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_configure(
    json: *const c_char,
    tensors: *const VeloTensor,
    tensor_count: usize,
) -> *mut VeloOptimizer {
    guarded(ptr::null_mut(), || {
        // SAFETY: passed on from the caller.
        let (json, layout) = unsafe { (text("json", json)?, layout(tensors, tensor_count)?) };
        let config: OptimizerConfig = serde_json::from_str(json).map_err(Refusal::Json)?;
        into_pointer(Ok(config.build(&layout)?))
    })
}

/// Releases an optimizer; null is allowed.
///
/// # Safety
/// `optimizer` is null, or came from this library and was not released before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_free(optimizer: *mut VeloOptimizer) {
    guarded((), || {
        if !optimizer.is_null() {
            // SAFETY: made by `Box::into_raw` in this library and released only once, the caller promises.
            drop(unsafe { Box::from_raw(optimizer) });
        }
        Ok(())
    });
}

/// One update of `params` in place.
///
/// # Safety
/// Pointers are null or valid as `velo.h` says; `params` and `grads` do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_step(
    optimizer: *mut VeloOptimizer,
    params: *mut f32,
    grads: *const f32,
    len: usize,
    loss: f32,
) -> VeloStatus {
    guarded(VeloStatus::Error, || {
        // SAFETY: passed on from the caller.
        let optimizer = unsafe { required("optimizer", optimizer.as_mut()) }?;
        // SAFETY: passed on from the caller.
        let (params, grads) = unsafe { (slice_mut("params", params, len)?, slice("grads", grads, len)?) };
        Ok(match optimizer.0.step(params, grads, loss)? {
            StepOutcome::Skipped => VeloStatus::Skipped,
            // Applied, or taken in by a wrapper that steps later.
            _ => VeloStatus::Ok,
        })
    })
}

/// The parameters to evaluate with, which an optimizer that averages keeps beside `params`.
///
/// # Safety
/// Pointers are null or valid as `velo.h` says; `params` and `out` do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_evaluation_params(
    optimizer: *const VeloOptimizer,
    params: *const f32,
    out: *mut f32,
    len: usize,
) -> VeloStatus {
    guarded(VeloStatus::Error, || {
        // SAFETY: passed on from the caller.
        let optimizer = unsafe { required("optimizer", optimizer.as_ref()) }?;
        // SAFETY: passed on from the caller.
        let (params, out) = unsafe { (slice("params", params, len)?, slice_mut("out", out, len)?) };
        optimizer.0.evaluation_params(params, out)?;
        Ok(VeloStatus::Ok)
    })
}

/// A number that an optimizer tells, zero for a null pointer.
///
/// # Safety
/// `optimizer` is null or valid.
unsafe fn told<T: Default>(optimizer: *const VeloOptimizer, tell: impl FnOnce(&dyn Optimizer) -> T) -> T {
    // SAFETY: passed on from the caller.
    unsafe { optimizer.as_ref() }.map_or_else(T::default, |optimizer| tell(optimizer.0.as_ref()))
}

/// Elements of all tensors together; 0 for null.
///
/// # Safety
/// `optimizer` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_param_count(optimizer: *const VeloOptimizer) -> usize {
    // SAFETY: passed on from the caller.
    unsafe { told(optimizer, |optimizer| optimizer.layout().len()) }
}

/// Updates applied so far; 0 for null.
///
/// # Safety
/// `optimizer` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_steps_taken(optimizer: *const VeloOptimizer) -> u64 {
    // SAFETY: passed on from the caller.
    unsafe { told(optimizer, |optimizer| optimizer.steps_taken()) }
}

/// Calls of `velo_step` that changed nothing; 0 for null.
///
/// # Safety
/// `optimizer` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_steps_skipped(optimizer: *const VeloOptimizer) -> u64 {
    // SAFETY: passed on from the caller.
    unsafe { told(optimizer, |optimizer| optimizer.steps_skipped()) }
}

/// # Safety
/// `optimizer` is null or valid.
unsafe fn set(
    optimizer: *mut VeloOptimizer,
    change: impl FnOnce(&mut dyn Optimizer) -> Result<(), Refusal>,
) -> VeloStatus {
    // SAFETY: passed on from the caller.
    status(|| change(unsafe { required("optimizer", optimizer.as_mut()) }?.0.as_mut()))
}

/// Declares the number of steps planned in total; 0 takes the declaration back.
///
/// # Safety
/// `optimizer` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_set_horizon(optimizer: *mut VeloOptimizer, steps: u64) -> VeloStatus {
    let change = |optimizer: &mut dyn Optimizer| {
        optimizer.set_horizon((steps > 0).then_some(steps));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { set(optimizer, change) }
}

/// Warm-up over the first share of the horizon, then half a cosine down to `floor`.
///
/// # Safety
/// `optimizer` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_set_cosine_schedule(
    optimizer: *mut VeloOptimizer,
    warmup: f32,
    floor: f32,
) -> VeloStatus {
    let change = |optimizer: &mut dyn Optimizer| {
        share("warmup", warmup)?;
        share("floor", floor)?;
        optimizer.set_schedule(Schedule::Cosine { warmup, floor });
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { set(optimizer, change) }
}

/// The factor on every step.
///
/// # Safety
/// `optimizer` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_set_step_multiplier(optimizer: *mut VeloOptimizer, multiplier: f32) -> VeloStatus {
    let change = |optimizer: &mut dyn Optimizer| {
        optimizer.set_step_multiplier(finite("step multiplier", multiplier)?);
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { set(optimizer, change) }
}

/// The coefficient of decoupled weight decay.
///
/// # Safety
/// `optimizer` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_set_weight_decay(optimizer: *mut VeloOptimizer, coefficient: f32) -> VeloStatus {
    let change = |optimizer: &mut dyn Optimizer| {
        optimizer.set_weight_decay(finite("weight decay", coefficient)?);
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { set(optimizer, change) }
}

fn finite(what: &'static str, value: f32) -> Result<f32, Refusal> {
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(Refusal::Number { what, value, most: f32::MAX }) }
}

fn share(what: &'static str, value: f32) -> Result<(), Refusal> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(Refusal::Number { what, value, most: 1.0 }) }
}

/// Writes the complete state into `buffer` if it fits, and its size to `size` in any case.
///
/// # Safety
/// Pointers are null or valid as `velo.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_save_state(
    optimizer: *const VeloOptimizer,
    buffer: *mut u8,
    capacity: usize,
    size: *mut usize,
) -> VeloStatus {
    status(|| {
        // SAFETY: passed on from the caller.
        let (optimizer, size) = unsafe { (optimizer.as_ref(), size.as_mut()) };
        let (optimizer, size) = (required("optimizer", optimizer)?, required("size", size)?);
        let state = optimizer.0.save_state();
        *size = state.len();
        if buffer.is_null() && capacity == 0 {
            return Ok(());
        }
        if buffer.is_null() {
            return Err(Refusal::Null("buffer"));
        }
        if capacity < state.len() {
            return Err(Refusal::SmallBuffer { capacity, needed: state.len() });
        }
        // SAFETY: `buffer` has room for `capacity` bytes, the caller promises, and does not overlap our own memory.
        unsafe { ptr::copy_nonoverlapping(state.as_ptr(), buffer, state.len()) };
        Ok(())
    })
}

/// Restores what [`velo_save_state`] wrote.
///
/// # Safety
/// Pointers are null or valid as `velo.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn velo_load_state(optimizer: *mut VeloOptimizer, bytes: *const u8, size: usize) -> VeloStatus {
    // SAFETY: passed on from the caller.
    unsafe { set(optimizer, |optimizer| Ok(optimizer.load_state(slice("bytes", bytes, size)?)?)) }
}
