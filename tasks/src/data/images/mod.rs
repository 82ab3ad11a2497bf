//! Procedural images: figures, textures, shapes and spots, drawn anew for every row.

mod blobs;
mod canvas;
mod captioned_shapes;
mod glyphs;
mod shapes;
mod textures;

pub use blobs::BlobsConfig;
pub use captioned_shapes::CaptionedShapesConfig;
pub use glyphs::GlyphsConfig;
pub use shapes::{ShapeTarget, ShapesConfig};
pub use textures::TexturesConfig;
