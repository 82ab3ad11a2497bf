//! Adapters: any optimizer of this crate behind the optimizer trait of a framework, one file per framework version.
//!
//! | feature | framework |
//! | --- | --- |
//! | `burn_0_22`, alias `burn` | burn 0.22, modules of `f32` on any device |
//! | `candle_0_11`, alias `candle` | candle-nn 0.11, variables of `f32` on any device |
//! | `dfdx_0_13`, alias `dfdx` | dfdx 0.13, on the CPU with `f32` |
//!
//! All of them name parameters by their path in the model, so that saved state fits a model of the same structure, and
//! pass the loss explicitly. A parameter that took no part in the loss has a gradient of zeros, and is counted.

#[cfg(feature = "burn_0_22")]
pub mod burn_0_22;
#[cfg(feature = "candle_0_11")]
pub mod candle_0_11;
#[cfg(feature = "dfdx_0_13")]
pub mod dfdx_0_13;

#[cfg(feature = "burn_0_22")]
pub use burn_0_22 as burn;
#[cfg(feature = "candle_0_11")]
pub use candle_0_11 as candle;
#[cfg(feature = "dfdx_0_13")]
pub use dfdx_0_13 as dfdx;

/// Refuses a model whose tensors are not those that an optimizer was built for, naming the first that differs.
#[cfg(any(feature = "burn_0_22", feature = "candle_0_11"))]
fn check_same(model: &crate::ParamLayout, expected: &crate::ParamLayout) -> Result<(), crate::Error> {
    let describe = |tensor: Option<&crate::TensorLayout>| match tensor {
        Some(tensor) => format!("{:?} of shape {:?}", tensor.name, tensor.shape),
        None => "nothing more".to_owned(),
    };
    let count = model.tensors().len().max(expected.tensors().len());
    for index in 0..count {
        let (found, wanted) = (model.tensors().get(index), expected.tensors().get(index));
        if found != wanted {
            let problem = format!("tensor {index} is {}, the optimizer has {}", describe(found), describe(wanted));
            return Err(crate::Error::malformed("model", problem));
        }
    }
    Ok(())
}
