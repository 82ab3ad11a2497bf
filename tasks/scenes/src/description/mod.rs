//! Scenes as data, on two levels.
//!
//! A [`GeneratorConfig`] says what to draw from; a [`Scene`] is one draw, numbers only, from which pictures and
//! annotations follow. Both are written as RON or JSON with the same fields, and unknown fields are errors.

mod check;
mod config;
mod names;
pub mod presets;
mod scene;

pub use config::{
    CameraPath, CameraRig, Colors, Combination, GeneratorConfig, Lights, Motion, ObjectGroup, Sizes, Splits, Text,
    Turn, WorldConfig,
};
pub use names::{Color, Language, Material, Pass, Shape, Size, Split, TextureKind};
pub use scene::{
    BodyState, Camera, Collision, Floor, Form, Image, Lens, Light, Object, Scene, Sky, Surface, Texture, Video, World,
};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Version of the files this release reads and writes; part of every one of them.
pub const SCHEMA_VERSION: u32 = 1;

/// Changes whenever the same configuration and seed give other bytes.
pub const GENERATOR_VERSION: u32 = 2;

/// Reads a value from RON, or from JSON if the name ends in `.json`.
pub(crate) fn from_text<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Error> {
    let problem = |problem: String| Error::Syntax { file: name.to_owned(), problem };
    if name.ends_with(".json") {
        return serde_json::from_str(text).map_err(|error| problem(error.to_string()));
    }
    let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    options.from_str(text).map_err(|error| problem(error.to_string()))
}

/// RON that people can read and [`from_text`] reads back.
pub(crate) fn to_ron(value: &impl Serialize) -> String {
    let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    let pretty = ron::ser::PrettyConfig::new().depth_limit(4).new_line("\n").compact_arrays(true);
    options.to_string_pretty(value, pretty).expect("plain data is always written")
}
