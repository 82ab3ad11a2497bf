//! Adapters: any optimizer of this crate behind the optimizer trait of a framework, one file per framework version.
//!
//! | feature | framework |
//! | --- | --- |
//! | `dfdx_0_13`, alias `dfdx` | dfdx 0.13, on the CPU with `f32` |
//!
//! All of them take the parameters of a model in the order in which it lists them, name them by their path in the
//! model, so that saved state fits a model of the same structure, and pass the loss explicitly.

#[cfg(feature = "dfdx_0_13")]
pub mod dfdx_0_13;

#[cfg(feature = "dfdx_0_13")]
pub use dfdx_0_13 as dfdx;
