//! Procedural rows of numbers: points, tables, and functions of a place.

mod collocation;
mod gaussian_mixture;
mod ill_conditioned;
mod implicit_image;
mod parity;
mod ratings;
mod teacher;

pub use collocation::CollocationConfig;
pub use gaussian_mixture::GaussianMixtureConfig;
pub use ill_conditioned::IllConditionedConfig;
pub use implicit_image::ImplicitImageConfig;
pub use parity::ParityConfig;
pub use ratings::RatingsConfig;
pub use teacher::{TeacherConfig, TeacherTarget};
