//! Procedural rows of numbers: points, tables, and functions of a place.

mod collocation;
mod friedman;
mod gaussian_mixture;
mod ill_conditioned;
mod implicit_image;
mod parity;
mod plane_figures;
mod ratings;
mod teacher;

pub use collocation::CollocationConfig;
pub use friedman::FriedmanConfig;
pub use gaussian_mixture::GaussianMixtureConfig;
pub use ill_conditioned::IllConditionedConfig;
pub use implicit_image::ImplicitImageConfig;
pub use parity::ParityConfig;
pub use plane_figures::{PlaneFigure, PlaneFiguresConfig};
pub use ratings::RatingsConfig;
pub use teacher::{TeacherConfig, TeacherTarget};
