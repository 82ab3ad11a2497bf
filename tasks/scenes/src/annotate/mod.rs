//! What is exactly true of every pixel and every object.
//!
//! Everything here is a function of one hit per pixel, that of the ray through its centre, computed in double
//! precision and stored in single. Flow is the motion field of surfaces: shadows, reflections and highlights have none.

mod pixels;
mod tracks;

pub use pixels::{Annotations, Annotator, Flags};
pub use tracks::{Track, tracks};
