//! One scene: everything that its pictures and annotations are a function of.
//!
//! Made by [`crate::generate`], written beside the pictures, and enough to render them again without the generator.
//! World frame: right-handed, metres, z up, the floor at z = 0. Object frames: the origin in the middle of the bounding
//! box. Camera frames: x right, y up, looking along -z.

use serde::{Deserialize, Serialize};

use super::names::{Color, Material, Pass, Shape, Size, Split, TextureKind};
use super::{GENERATOR_VERSION, SCHEMA_VERSION, from_text, to_ron};
use crate::Error;
use crate::geometry::Outline;
use crate::vector::{Pose, Vec3};

/// Frames and the clock of the simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Video {
    /// Pictures per camera; one for stills.
    pub frames: usize,
    /// Pictures per second.
    pub frame_rate: u32,
    /// Steps of the simulation per second, a multiple of `frame_rate`.
    pub step_rate: u32,
    /// Frames that static clutter is given to come to rest before the first picture.
    pub settle_frames: usize,
}

impl Default for Video {
    fn default() -> Self {
        Self { frames: 1, frame_rate: 12, step_rate: 240, settle_frames: 0 }
    }
}

/// How pictures are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Colour is averaged over this many times this many places in each pixel.
    pub samples_per_side: usize,
    /// Rays that feel for nearby surfaces at each sample, which darken corners; 0 for none.
    pub ambient_occlusion: usize,
    /// Rays that gather light from surfaces around at each sample, one bounce; 0 for none.
    pub bounce: usize,
    /// Whether metal mirrors objects, or the sky only.
    pub reflections: bool,
    /// Longest exposure in frames, drawn from 0 to this per scene; blurs colour, never annotations.
    pub shutter: f64,
    /// Factor on all light.
    pub exposure: f64,
    /// Passes beside those that every scene has: `Uv`, `CameraNormal`, `Shadow`.
    pub extra_passes: Vec<Pass>,
    /// Whether each frame also comes as one OpenEXR file with all passes.
    pub exr: bool,
}

impl Image {
    /// All passes of the scene.
    pub fn passes(&self) -> Vec<Pass> {
        let extra = self.extra_passes.iter().filter(|pass| !Pass::ALWAYS.contains(pass));
        let mut passes: Vec<_> = Pass::ALWAYS.iter().chain(extra).copied().collect();
        passes.sort_unstable();
        passes.dedup();
        passes
    }
}

impl Default for Image {
    fn default() -> Self {
        Self {
            width: 64,
            height: 64,
            samples_per_side: 2,
            ambient_occlusion: 1,
            bounce: 0,
            reflections: true,
            shutter: 0.0,
            exposure: 1.0,
            extra_passes: vec![],
            exr: false,
        }
    }
}

/// A pattern of two colours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texture {
    /// Which pattern.
    pub kind: TextureKind,
    /// The second colour, display-encoded 0 to 1; the first is that of the surface.
    pub second: [f64; 3],
    /// Size of a cell of the pattern, in metres.
    pub cell: f64,
    /// Seed of random patterns.
    pub seed: u64,
}

/// How a surface looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surface {
    /// What it is made of.
    pub material: Material,
    /// Display-encoded red, green and blue, 0 to 1.
    pub rgb: [f64; 3],
    /// Width of highlights, 0 (mirror) to 1.
    pub roughness: f64,
    /// A pattern on it.
    pub texture: Texture,
}

/// What light falls from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Light {
    /// Light from far away.
    Sun {
        /// Unit vector to where it comes from.
        toward: Vec3,
        /// What a surface facing it receives.
        irradiance: [f64; 3],
        /// Tangent of the half-angle under which it is seen: 0 for hard shadows.
        softness: f64,
    },
    /// A glowing parallelogram that shines to its front.
    Panel {
        /// Its middle.
        center: Vec3,
        /// From the middle to the middle of one edge.
        right: Vec3,
        /// From the middle to the middle of the next edge.
        up: Vec3,
        /// Radiant intensity to its front.
        intensity: [f64; 3],
    },
}

/// What is seen where nothing is, and lights everything a little.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Sky {
    /// One colour, display-encoded.
    Plain([f64; 3]),
    /// From the horizon up to the zenith, display-encoded.
    Gradient {
        /// Colour at the horizon and below.
        horizon: [f64; 3],
        /// Colour overhead.
        zenith: [f64; 3],
    },
    /// A gradient with clouds.
    Clouds {
        /// Colour at the horizon and below.
        horizon: [f64; 3],
        /// Colour overhead.
        zenith: [f64; 3],
        /// Which clouds.
        seed: u64,
    },
}

/// The ground, the plane z = 0. It has the segmentation id 0 like the sky.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// How it looks.
    pub surface: Surface,
    /// Coefficient of friction; that of a pair is the product.
    pub friction: f64,
    /// Coefficient of restitution; that of a pair is the product.
    pub restitution: f64,
}

/// What objects are in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// Acceleration of free fall.
    pub gravity: Vec3,
    /// The ground.
    pub floor: Option<Floor>,
    /// The background.
    pub sky: Sky,
    /// Lights, the same in all frames.
    pub lights: Vec<Light>,
    /// Share of the sky's light that reaches everything.
    pub ambient: f64,
}

/// The geometry of an object; lengths in metres, axes of symmetry z.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Form {
    /// A ball.
    Sphere {
        /// Its radius.
        radius: f64,
    },
    /// A box.
    Box {
        /// Half of its edges.
        half: Vec3,
    },
    /// A cylinder.
    Cylinder {
        /// Its radius.
        radius: f64,
        /// Half of its height.
        half_height: f64,
    },
    /// A cone, apex up.
    Cone {
        /// Radius of the base.
        radius: f64,
        /// Half of its height.
        half_height: f64,
    },
    /// A cylinder with round ends.
    Capsule {
        /// Its radius.
        radius: f64,
        /// Half of the distance between the centres of its ends.
        half_height: f64,
    },
    /// A ring.
    Torus {
        /// Radius of the circle inside the tube.
        major: f64,
        /// Radius of the tube.
        minor: f64,
    },
    /// A flat piece in its plane z = 0.
    Flat {
        /// Its shape.
        outline: Outline,
        /// Half of its width and height.
        half: [f64; 2],
    },
    /// A gear wheel.
    Gear {
        /// Number of teeth.
        teeth: u32,
        /// Their depth, in radii.
        depth: f64,
        /// Half of its thickness, in radii.
        thickness: f64,
        /// Half of its longest edge.
        half_extent: f64,
    },
    /// Two arms at a right angle.
    Bracket {
        /// Width of an arm, in edges.
        arm: f64,
        /// Half of its thickness, in half edges.
        thickness: f64,
        /// Half of its longest edge.
        half_extent: f64,
    },
    /// A knotted tube.
    Knot {
        /// Turns around the axis.
        p: u32,
        /// Turns around the tube of the torus.
        q: u32,
        /// Radius of its tube, in radii of the knot.
        tube: f64,
        /// Half of its longest edge.
        half_extent: f64,
    },
    /// A ball with bumps.
    Rock {
        /// Which bumps.
        seed: u64,
        /// Their height.
        roughness: f64,
        /// Half of its longest edge.
        half_extent: f64,
    },
    /// A mesh from a file.
    File {
        /// OBJ or glTF.
        path: String,
        /// SHA-256 of the file when the scene was made.
        sha256: String,
        /// Half of its longest edge.
        half_extent: f64,
    },
}

/// One object; the id in segmentations is its place in the list, counted from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Its word.
    pub shape: Shape,
    /// Its geometry.
    pub form: Form,
    /// How it looks.
    pub surface: Surface,
    /// The word for its colour, if the colour has one.
    pub color: Option<Color>,
    /// The word for its size, if sizes have words in this scene.
    pub size: Option<Size>,
    /// Text written on it.
    pub text: Option<String>,
    /// Whether it moves at all.
    pub is_static: bool,
    /// Kilograms.
    pub mass: f64,
    /// Coefficient of friction.
    pub friction: f64,
    /// Coefficient of restitution.
    pub restitution: f64,
}

/// Where an object is and how it moves at one frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyState {
    /// From the object's frame to the world.
    pub pose: Pose,
    /// Metres per second.
    pub velocity: Vec3,
    /// Radians per second, about world axes.
    pub angular_velocity: Vec3,
}

/// The moment in which two things begin to touch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collision {
    /// When, in frames.
    pub frame: f64,
    /// Ids of the two, the smaller one first; 0 is the floor.
    pub ids: [u16; 2],
    /// Where, in the world.
    pub position: Vec3,
    /// Unit normal of the contact, from the first to the second.
    pub normal: Vec3,
    /// Mean force of the step, newtons.
    pub force: f64,
}

/// How a camera maps directions to its picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Lens {
    /// A pinhole.
    Perspective {
        /// Distance from pinhole to sensor, millimetres.
        focal_mm: f64,
        /// Width of the sensor, millimetres.
        sensor_mm: f64,
    },
    /// Parallel rays.
    Orthographic {
        /// Width of what is seen, metres.
        width: f64,
    },
}

/// A camera with its whole path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Tells the cameras of a scene apart; the beginning of file names.
    pub name: String,
    /// Its optics.
    pub lens: Lens,
    /// From camera to world at frames -1, 0, …, `frames`: two more than there are pictures.
    pub poses: Vec<Pose>,
}

/// A scene, resolved to numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// [`SCHEMA_VERSION`] of the release that wrote it.
    pub version: u32,
    /// [`GENERATOR_VERSION`] of the release that drew it.
    pub generator: u32,
    /// Name of the configuration.
    pub config: String,
    /// Hash of the configuration and of the meshes it names.
    pub config_hash: String,
    /// The number it was drawn from.
    pub seed: u64,
    /// Which part of the data set it belongs to.
    pub split: Split,
    /// Frames and clock.
    pub video: Video,
    /// How its pictures are made.
    pub image: Image,
    /// Exposure of this scene, in frames.
    pub shutter: f64,
    /// What objects are in.
    pub world: World,
    /// Objects by id.
    pub objects: Vec<Object>,
    /// Cameras.
    pub cameras: Vec<Camera>,
    /// State of every object at frames -1, 0, …, `frames`.
    pub trajectory: Vec<Vec<BodyState>>,
    /// Beginnings of contacts, in order of time.
    pub collisions: Vec<Collision>,
}

impl Scene {
    /// Reads a scene from RON, or JSON if the name ends in `.json`, and checks it.
    ///
    /// # Errors
    /// [`Error::Syntax`], [`Error::SchemaVersion`], [`Error::InvalidField`].
    pub fn from_text(name: &str, text: &str) -> Result<Self, Error> {
        let scene: Self = from_text(name, text)?;
        if scene.version != SCHEMA_VERSION {
            return Err(Error::SchemaVersion { file: name.into(), found: scene.version, expected: SCHEMA_VERSION });
        }
        scene.check()?;
        Ok(scene)
    }

    /// The scene as RON.
    pub fn to_ron(&self) -> String {
        to_ron(self)
    }

    /// State of all objects at a frame, -1 to `frames`.
    pub fn states(&self, frame: i64) -> &[BodyState] {
        &self.trajectory[(frame + 1) as usize]
    }

    fn check(&self) -> Result<(), Error> {
        let expected = self.video.frames + 2;
        if self.trajectory.len() != expected || self.trajectory.iter().any(|s| s.len() != self.objects.len()) {
            let expected = format!("{expected} frames of {} objects", self.objects.len());
            return Err(Error::invalid("trajectory", format!("{} frames", self.trajectory.len()), expected));
        }
        for camera in &self.cameras {
            if camera.poses.len() != expected {
                let field = format!("cameras.{}.poses", camera.name);
                return Err(Error::invalid(field, camera.poses.len(), format!("{expected} poses")));
            }
        }
        if self.generator > GENERATOR_VERSION {
            return Err(Error::invalid("generator", self.generator, format!("at most {GENERATOR_VERSION}")));
        }
        Ok(())
    }
}
