//! Annotated images and video of procedural scenes, made on the CPU.
#![doc = ""]

mod error;
pub mod geometry;
pub mod random;
pub mod vector;

pub use error::Error;
