//! Annotated images and video of procedural scenes, made on the CPU.

pub mod annotate;
mod assets;
mod camera;
pub mod description;
mod error;
pub mod files;
pub mod generate;
pub mod geometry;
mod physics;
pub mod random;
pub mod render;
pub mod text;
pub mod vector;

pub use assets::{MeshLibrary, solids};
pub use camera::{Projected, View};
pub use error::Error;
