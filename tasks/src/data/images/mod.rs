//! Procedural images: figures, textures and shapes, drawn anew for every row.

mod canvas;
mod captioned_shapes;
mod glyphs;
mod shapes;
mod textures;

pub use captioned_shapes::CaptionedShapesConfig;
pub use glyphs::GlyphsConfig;
pub use shapes::{ShapeTarget, ShapesConfig};
pub use textures::TexturesConfig;
