//! What scenes are drawn from: counts, ranges and lists.
//!
//! [`GeneratorConfig::check`] (in `check`) tests every field once; nothing deeper validates again.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::names::{Color, Language, Material, Shape, Split, TextureKind};
use super::scene::{Image, Lens, Sky, Video};
use super::{GENERATOR_VERSION, SCHEMA_VERSION, from_text, to_ron};
use crate::Error;
use crate::random::{Range, range};
use crate::vector::{Vec3, vec3};

/// Sizes of objects: half of the longest edge, in metres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Sizes {
    /// One of two sizes that have a word.
    Named {
        /// The small one.
        small: f64,
        /// The large one.
        large: f64,
    },
    /// Any size of the range.
    Uniform(Range),
}

/// Colours of objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Colors {
    /// The eight colours that have a word.
    Named,
    /// Some of them.
    Among(Vec<Color>),
    /// Any hue at full saturation.
    AnyHue,
}

/// How objects of a group move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Motion {
    /// Thrown with a random velocity; then physics.
    Tossed,
    /// Dropped and left to come to rest before the first frame, moved by others after it.
    Settled,
    /// Where it was put, whatever happens.
    Still,
    /// With constant velocity, through everything: sprites.
    Drifting,
}

/// How objects are turned at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// Any rotation.
    Any,
    /// Upright, turned about the vertical.
    Upright,
    /// Not at all.
    Aligned,
    /// Flat pieces stand up and face south, turned a little.
    Standing,
}

/// Objects that are drawn alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectGroup {
    /// How many: from the first to the second number.
    pub count: (usize, usize),
    /// Shapes to choose from; `Custom` chooses from `meshes`.
    pub shapes: Vec<Shape>,
    /// OBJ and glTF files for the shape `Custom`.
    pub meshes: Vec<String>,
    /// Sizes.
    pub sizes: Sizes,
    /// Colours.
    pub colors: Colors,
    /// Materials to choose from.
    pub materials: Vec<Material>,
    /// Patterns to choose from.
    pub textures: Vec<TextureKind>,
    /// Corners of the box that positions are drawn from.
    pub spawn: (Vec3, Vec3),
    /// Put down on the floor instead of at the height drawn.
    pub on_floor: bool,
    /// How they are turned.
    pub turn: Turn,
    /// How they move.
    pub motion: Motion,
    /// Corners of the box that velocities are drawn from.
    pub velocity: (Vec3, Vec3),
    /// Subtract the position from the velocity, so that objects meet in the middle.
    pub toward_center: bool,
    /// Letters that the text of signs is drawn from; words of `words` if empty.
    pub letters: String,
    /// Number of letters: from the first to the second number.
    pub letter_count: (usize, usize),
    /// Words for signs.
    pub words: Vec<String>,
}

impl Default for ObjectGroup {
    fn default() -> Self {
        Self {
            count: (3, 10),
            shapes: vec![Shape::Cube, Shape::Sphere, Shape::Cylinder],
            meshes: vec![],
            sizes: Sizes::Named { small: 0.35, large: 0.7 },
            colors: Colors::Named,
            materials: vec![Material::Rubber, Material::Metal],
            textures: vec![TextureKind::Plain],
            spawn: (vec3(-5.0, -5.0, 1.0), vec3(5.0, 5.0, 5.0)),
            on_floor: false,
            turn: Turn::Any,
            motion: Motion::Tossed,
            velocity: (vec3(-4.0, -4.0, 0.0), vec3(4.0, 4.0, 0.0)),
            toward_center: true,
            letters: String::new(),
            letter_count: (1, 4),
            words: vec![],
        }
    }
}

/// Where lights are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Lights {
    /// A sun and three panels as in CLEVR, each moved by up to `jitter` along every axis.
    Clevr {
        /// How far.
        jitter: f64,
    },
    /// A sun from anywhere above and a soft sky.
    Outdoor,
    /// Two soft panels around the camera's side.
    Studio,
    /// None: for materials that are not shaded.
    Dark,
}

/// What objects are in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldConfig {
    /// Acceleration of free fall.
    pub gravity: Vec3,
    /// Whether there is a ground.
    pub floor: bool,
    /// Colour of the ground, display-encoded; any hue if absent.
    pub floor_rgb: Option<[f64; 3]>,
    /// Patterns of the ground to choose from.
    pub floor_textures: Vec<TextureKind>,
    /// Friction of the ground.
    pub floor_friction: f64,
    /// Restitution of the ground.
    pub floor_restitution: f64,
    /// The background; a random sky with clouds if absent.
    pub sky: Option<Sky>,
    /// Lights.
    pub lights: Lights,
    /// Share of the sky's light that reaches everything.
    pub ambient: f64,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            gravity: vec3(0.0, 0.0, -10.0),
            floor: true,
            floor_rgb: Some([0.5, 0.5, 0.5]),
            floor_textures: vec![TextureKind::Plain],
            floor_friction: 0.3,
            floor_restitution: 0.5,
            sky: Some(Sky::Gradient { horizon: [0.62, 0.62, 0.62], zenith: [0.45, 0.45, 0.47] }),
            lights: Lights::Clevr { jitter: 1.0 },
            ambient: 0.5,
        }
    }
}

/// How a camera moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CameraPath {
    /// At a random place of a box, looking at a point.
    Still {
        /// Corners of the box.
        from: (Vec3, Vec3),
        /// What it looks at.
        look_at: Vec3,
    },
    /// At a random place of a half-shell around the origin.
    HalfShell {
        /// Distances from the origin.
        radius: Range,
        /// Lowest height.
        min_z: f64,
        /// What it looks at.
        look_at: Vec3,
    },
    /// Along a straight line with constant speed, from a place of a half-shell.
    Linear {
        /// Distances of its start from the origin.
        radius: Range,
        /// Lowest height.
        min_z: f64,
        /// Lengths of the line.
        path: Range,
        /// What it looks at.
        look_at: Vec3,
    },
    /// On a circle around a vertical axis through what it looks at.
    Orbit {
        /// Distances from the axis.
        radius: Range,
        /// Heights above what it looks at.
        height: Range,
        /// Turns over the whole clip.
        turns: Range,
        /// What it looks at.
        look_at: Vec3,
    },
}

/// A camera to draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraRig {
    /// Tells cameras apart; the beginning of file names.
    pub name: String,
    /// How it moves.
    pub path: CameraPath,
    /// Its optics.
    pub lens: Lens,
    /// Adds a second camera, `NAME_right`, this far to the right and turned alike.
    pub stereo_baseline: Option<f64>,
}

impl Default for CameraRig {
    fn default() -> Self {
        Self {
            name: "camera".to_owned(),
            path: CameraPath::HalfShell { radius: range(7.0, 9.0), min_z: 0.3, look_at: Vec3::ZERO },
            lens: Lens::Perspective { focal_mm: 35.0, sensor_mm: 32.0 },
            stereo_baseline: None,
        }
    }
}

/// Which texts come with a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Text {
    /// Languages.
    pub languages: Vec<Language>,
    /// Captions per language.
    pub captions: usize,
    /// Questions per language.
    pub questions: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { languages: Language::ALL.to_vec(), captions: 2, questions: 6 }
    }
}

/// Seeds of each split, from the first number up to and without the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Splits {
    /// Seeds of training scenes.
    pub train: (u64, u64),
    /// Seeds of validation scenes.
    pub validation: (u64, u64),
    /// Seeds of test scenes.
    pub test: (u64, u64),
}

impl Default for Splits {
    fn default() -> Self {
        const MILLION: u64 = 1_000_000;
        Self {
            train: (0, 1000 * MILLION),
            validation: (1000 * MILLION, 1100 * MILLION),
            test: (1100 * MILLION, 1200 * MILLION),
        }
    }
}

impl Splits {
    /// The seeds of a split.
    pub fn seeds(&self, split: Split) -> std::ops::Range<u64> {
        let (first, end) = match split {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        };
        first..end
    }

    /// The split that a seed belongs to.
    pub fn of(&self, seed: u64) -> Option<Split> {
        Split::ALL.iter().copied().find(|split| self.seeds(*split).contains(&seed))
    }
}

/// A composition that training never shows; what is absent matches everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Combination {
    /// The shape.
    pub shape: Option<Shape>,
    /// The colour.
    pub color: Option<Color>,
    /// The material.
    pub material: Option<Material>,
}

impl Combination {
    /// True if an object of these words is of this composition.
    pub fn matches(&self, shape: Shape, color: Option<Color>, material: Material) -> bool {
        self.shape.is_none_or(|s| s == shape)
            && self.color.is_none_or(|c| color == Some(c))
            && self.material.is_none_or(|m| m == material)
    }
}

/// What a data set is drawn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorConfig {
    /// [`SCHEMA_VERSION`].
    pub version: u32,
    /// Name of the data set.
    pub name: String,
    /// Licence of the data, for the manifest.
    pub license: String,
    /// Frames and clock.
    pub video: Video,
    /// How pictures are made.
    pub image: Image,
    /// Groups of objects, placed in order.
    pub objects: Vec<ObjectGroup>,
    /// What objects are in.
    pub world: WorldConfig,
    /// Cameras.
    pub cameras: Vec<CameraRig>,
    /// Texts.
    pub text: Text,
    /// Points per object whose tracks are written.
    pub tracks_per_object: usize,
    /// Compositions that only the test split shows.
    pub hold_out: Vec<Combination>,
    /// Seeds of the splits.
    pub splits: Splits,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self {
            version: SCHEMA_VERSION,
            name: "scenes".to_owned(),
            license: "CC0-1.0".to_owned(),
            video: Video::default(),
            image: Image::default(),
            objects: vec![ObjectGroup::default()],
            world: WorldConfig::default(),
            cameras: vec![CameraRig::default()],
            text: Text::default(),
            tracks_per_object: 4,
            hold_out: vec![],
            splits: Splits::default(),
        }
    }
}

impl GeneratorConfig {
    /// Reads a configuration from RON, or from JSON if the name ends in `.json`.
    ///
    /// # Errors
    /// [`Error::Syntax`] with line and column.
    pub fn from_text(name: &str, text: &str) -> Result<Self, Error> {
        from_text(name, text)
    }

    /// Reads a configuration from a file.
    ///
    /// # Errors
    /// As [`GeneratorConfig::from_text`], and [`Error::File`].
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
        Self::from_text(&path.display().to_string(), &text)
    }

    /// The configuration as RON, defaults spelled out.
    pub fn to_ron(&self) -> String {
        to_ron(self)
    }

    /// SHA-256 over the generator's version, all fields and the contents of the meshes they name.
    ///
    /// # Errors
    /// [`Error::File`] for meshes that cannot be read.
    pub fn hash(&self) -> Result<String, Error> {
        let mut hasher = Sha256::new();
        hasher.update(format!("generator {GENERATOR_VERSION}\n"));
        hasher.update(serde_json::to_vec(self).expect("plain data is always written"));
        for path in self.objects.iter().flat_map(|group| &group.meshes) {
            hasher.update(std::fs::read(path).map_err(|error| Error::file(path, error))?);
        }
        Ok(crate::files::hex(&hasher.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_ron_and_json() {
        let config = GeneratorConfig { hold_out: vec![Combination::default()], ..Default::default() };
        let ron = config.to_ron();
        assert_eq!(GeneratorConfig::from_text("c.ron", &ron).unwrap(), config, "{ron}");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(GeneratorConfig::from_text("c.json", &json).unwrap(), config);
    }

    #[test]
    fn unknown_fields_and_versions_are_refused() {
        let error = GeneratorConfig::from_text("c.ron", "(nmae: \"x\")").unwrap_err().to_string();
        assert!(error.contains("c.ron") && error.contains("nmae"), "{error}");
        let error = GeneratorConfig { version: 9, ..Default::default() }.check().unwrap_err().to_string();
        assert!(error.contains("schema version 9") && error.contains("reads 1"), "{error}");
    }

    #[test]
    fn every_seed_is_in_one_split_at_most_and_zero_is_a_seed() {
        let splits = Splits::default();
        assert_eq!(splits.of(0), Some(Split::Train));
        assert_eq!(splits.of(1_000_000_000), Some(Split::Validation));
        assert_eq!(splits.of(1_100_000_000), Some(Split::Test));
        assert_eq!(splits.of(u64::MAX), None);
    }
}
