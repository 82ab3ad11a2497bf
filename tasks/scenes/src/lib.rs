//! Annotated images and video of procedural scenes, made on the CPU.
//!
//! A configuration and a seed become a scene (numbers only), the scene becomes pictures with exact annotations, and
//! both become data sets on disk that resume, verify and export themselves.
//!
//! ```
//! use velo_scenes::annotate::Annotator;
//! use velo_scenes::{description::presets, generate::Generator, render::Renderer};
//!
//! let generator = Generator::new(presets::named("classification")?)?;
//! let drawn = generator.draw(0)?; // seed 0, the same bits everywhere
//! let camera = &drawn.scene.cameras[0];
//! let rgb = Renderer::new(&drawn.scene, &drawn.solids).rgb(camera, 0);
//! let annotations = Annotator::new(&drawn.scene, &drawn.solids, camera).frame(0);
//! assert_eq!(rgb.len(), annotations.ids.len() * 3);
//! # Ok::<(), velo_scenes::Error>(())
//! ```
//!
//! Data flows in one direction: [`description`] (configuration) → [`generate`] (with physics) → a scene →
//! [`render`] and [`annotate`], on [`geometry`] → [`text`] → [`files`].

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
