//! The files of one scene, made one after the other.
//!
//! ```text
//! scene.ron                       the resolved scene: numbers from which everything can be made again
//! CAMERA_rgb_00000.png            colour, 8 bits
//! CAMERA_ids_00000.png            16-bit ids: 0 floor and sky, i + 1 the object i of scene.ron
//! CAMERA_PASS.npy                 float arrays [frames, rows, columns(, channels)], see description::Pass
//! CAMERA_flags.npy                bytes [frames, rows, columns]: bits of annotate::Flags
//! CAMERA_00000.exr                all passes of a frame once more, if the configuration asks for it, see exr
//! CAMERA_tracks.json              points on objects through all frames
//! metadata.json                   objects and cameras frame by frame, with units
//! text.json                       captions, questions, answers
//! ```

use serde::{Deserialize, Serialize};

use super::exr::Exr;
use super::npy;
use super::picture::{self, Pixels};
use crate::Error;
use crate::annotate::{Annotations, Annotator, tracks};
use crate::description::{Camera, Collision, GeneratorConfig, Pass, SCHEMA_VERSION, Scene};
use crate::generate::Drawn;
use crate::geometry::Solid;
use crate::render::Renderer;
use crate::text;
use crate::vector::{Rotation, Vec3};

/// Units and conventions, told in every `metadata.json`.
const CONVENTIONS: &str = "metres, seconds, radians, kilograms, newtons; world right-handed, z up, floor z = 0; \
    quaternions (w, x, y, z); camera frame x right, y up, looking along -z; pixels (x, y), x right, y down, corner of the \
    picture at (0, 0), centre of column j and row i at (j + 0.5, i + 0.5); depth along the axis, distance from the \
    camera's centre, infinite for the sky; normals in the world; object coordinates 0 to 1 in the object's own box; \
    forward_flow to the next frame, backward_flow to the previous one, both (x, y) in pixels from the pixel's own centre, \
    of surfaces (not of shadows or reflections); uv 0 to 1 on the surface, fractions of metres on the floor; \
    camera_normal in the camera frame; shadow the share of 16 points per light faced that nothing hides; boxes x, y of the first pixel and x, y behind the last";

/// An object at all frames of a camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Visible pixels per frame.
    pub visible: Vec<u32>,
    /// Pixels if it were alone, per frame.
    pub amodal: Vec<u32>,
    /// Share hidden by others, per frame; 0 if it is outside of the picture.
    pub occluded: Vec<f64>,
    /// Boxes of the visible pixels.
    pub boxes: Vec<Option<[u32; 4]>>,
    /// Boxes of the pixels if it were alone.
    pub amodal_boxes: Vec<Option<[u32; 4]>>,
    /// Projected centre, pixels; nothing if behind the camera.
    pub centers: Vec<Option<[f64; 2]>>,
}

/// A camera at all frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CameraRecord {
    /// Its name.
    pub name: String,
    /// OpenCV's K, in pixels.
    pub opencv_intrinsics: [[f64; 3]; 3],
    /// OpenGL's projection matrix for clip planes at 0.1 and 1000 metres.
    pub opengl_projection: [[f64; 4]; 4],
    /// World to OpenCV's camera frame, per frame.
    pub opencv_extrinsics: Vec<[[f64; 4]; 4]>,
    /// OpenGL's camera frame to the world, per frame.
    pub camera_to_world: Vec<[[f64; 4]; 4]>,
    /// What it sees of each object.
    pub objects: Vec<Seen>,
}

/// An object at all frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Its id in segmentations.
    pub id: u16,
    /// Words.
    pub shape: String,
    /// The word for its colour.
    pub color: Option<String>,
    /// The word for its material.
    pub material: String,
    /// The word for its size.
    pub size: Option<String>,
    /// Text on it.
    pub text: Option<String>,
    /// Kilograms.
    pub mass: f64,
    /// Coefficient of friction.
    pub friction: f64,
    /// Coefficient of restitution.
    pub restitution: f64,
    /// Whether it can move.
    pub is_static: bool,
    /// Positions per frame.
    pub positions: Vec<Vec3>,
    /// Rotations per frame, (w, x, y, z).
    pub rotations: Vec<Rotation>,
    /// Velocities per frame.
    pub velocities: Vec<Vec3>,
    /// Angular velocities per frame.
    pub angular_velocities: Vec<Vec3>,
    /// World corners of its oriented box per frame; bit 0 of the index chooses x, bit 1 y, bit 2 z.
    pub boxes_3d: Vec<[Vec3; 8]>,
}

/// The contents of `metadata.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// [`SCHEMA_VERSION`].
    pub version: u32,
    /// Units and axes.
    pub conventions: String,
    /// Seed of the scene.
    pub seed: u64,
    /// Frames per camera.
    pub frames: usize,
    /// Pictures per second.
    pub frame_rate: u32,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Objects by id.
    pub objects: Vec<ObjectRecord>,
    /// Cameras.
    pub cameras: Vec<CameraRecord>,
    /// Beginnings of contacts.
    pub collisions: Vec<Collision>,
}

/// Seconds spent on scenes, by the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Drawing, placing, simulating.
    pub simulate: f64,
    /// Colours.
    pub render: f64,
    /// Everything that is exactly true: pixels, objects, tracks.
    pub annotate: f64,
    /// Everything else: text, encoding, writing.
    pub write: f64,
}

impl std::ops::AddAssign for Seconds {
    fn add_assign(&mut self, other: Self) {
        self.simulate += other.simulate;
        self.render += other.render;
        self.annotate += other.annotate;
        self.write += other.write;
    }
}

/// Takes the name and the bytes of a finished file.
pub type Sink<'a> = dyn FnMut(&str, Vec<u8>) -> Result<(), Error> + 'a;

/// Makes all files of a scene and hands each to `sink` as soon as it is finished.
///
/// # Errors
/// Those of `sink`.
pub fn make(drawn: &Drawn, config: &GeneratorConfig, sink: &mut Sink<'_>) -> Result<Seconds, Error> {
    let begin = std::time::Instant::now();
    let mut seconds = Seconds::default();
    let scene = &drawn.scene;
    sink("scene.ron", scene.to_ron().into_bytes())?;
    let renderer = Renderer::new(scene, &drawn.solids);
    let spoken_frame = scene.video.frames / 2;
    let mut records = Vec::new();
    let mut texts = None;
    for camera in &scene.cameras {
        let passes = scene.image.passes();
        let all = make_passes(scene, &drawn.solids, &renderer, camera, &passes, &mut seconds, sink)?;
        if texts.is_none() {
            let facts = text::facts(scene, &all[spoken_frame], spoken_frame as i64);
            texts = Some(text::write(scene, facts, spoken_frame, &config.text));
        }
        let tracks = timed(&mut seconds.annotate, || tracks(scene, &drawn.solids, camera, config.tracks_per_object));
        sink(&format!("{}_tracks.json", camera.name), json(&tracks))?;
        records.push(camera_record(scene, camera, &all));
    }
    sink("metadata.json", json(&metadata(drawn, records)))?;
    sink("text.json", json(&texts))?;
    seconds.write = begin.elapsed().as_secs_f64() - seconds.render - seconds.annotate;
    Ok(seconds)
}

/// Makes the pictures and arrays of one camera; returns what is known of the objects at each frame.
pub(super) fn make_passes(
    scene: &Scene,
    solids: &[Solid],
    renderer: &Renderer<'_>,
    camera: &Camera,
    passes: &[Pass],
    seconds: &mut Seconds,
    sink: &mut Sink<'_>,
) -> Result<Vec<Annotations>, Error> {
    let (width, height, frames) = (scene.image.width, scene.image.height, scene.video.frames);
    let has = |pass: Pass| passes.contains(&pass);
    let mut annotator = Annotator::new(scene, solids, camera);
    let mut stacks = vec![Vec::new(); passes.len()];
    let mut flags = Vec::new();
    let mut all = Vec::new();
    for frame in 0..frames {
        let mut annotations = timed(&mut seconds.annotate, || annotator.frame(frame));
        let mut exr = Exr::new(width, height);
        if has(Pass::Rgb) {
            let rgb = timed(&mut seconds.render, || renderer.rgb(camera, frame as i64));
            let png = picture::encode(width, height, Pixels::Rgb(&rgb));
            sink(&format!("{}_rgb_{frame:05}.png", camera.name), png)?;
            exr.add_colors(&rgb);
        }
        let ids = std::mem::take(&mut annotations.ids);
        if has(Pass::Ids) {
            let png = picture::encode(width, height, Pixels::Ids(&ids));
            sink(&format!("{}_ids_{frame:05}.png", camera.name), png)?;
            exr.add("ids", &["ID"], &ids.iter().map(|id| f32::from(*id)).collect::<Vec<_>>());
        }
        for (pass, stack) in passes.iter().zip(&mut stacks) {
            let values = match pass {
                Pass::Rgb | Pass::Ids | Pass::Flags => continue,
                Pass::Distance => std::mem::take(&mut annotations.distance),
                Pass::Depth => std::mem::take(&mut annotations.depth),
                Pass::Normal => flat(&mut annotations.normal),
                Pass::Coordinates => flat(&mut annotations.coordinates),
                Pass::ForwardFlow => flat(&mut annotations.forward_flow),
                Pass::BackwardFlow => flat(&mut annotations.backward_flow),
                Pass::Uv => flat(&mut annotations.uv),
                Pass::CameraNormal => flat(&mut annotations.camera_normal),
                Pass::Shadow => timed(&mut seconds.render, || renderer.shadow(camera, frame as i64)),
            };
            exr.add(pass.name(), pass.channels(), &values);
            stack.extend(values);
        }
        if scene.image.exr {
            sink(&format!("{}_{frame:05}.exr", camera.name), exr.encode())?;
        }
        flags.append(&mut annotations.flags);
        all.push(Annotations {
            visible: annotations.visible,
            amodal: annotations.amodal,
            boxes: annotations.boxes,
            amodal_boxes: annotations.amodal_boxes,
            ..Annotations::default()
        });
    }
    for (pass, data) in passes.iter().zip(&stacks) {
        let shape: &[usize] = match pass.channels().len() {
            0 => continue,
            1 => &[frames, height, width],
            channels => &[frames, height, width, channels],
        };
        sink(&format!("{}_{}.npy", camera.name, pass.name()), npy::encode(shape, data))?;
    }
    if has(Pass::Flags) {
        sink(&format!("{}_flags.npy", camera.name), npy::encode(&[frames, height, width], &flags))?;
    }
    Ok(all)
}

fn flat<const CHANNELS: usize>(values: &mut Vec<[f32; CHANNELS]>) -> Vec<f32> {
    std::mem::take(values).into_flattened()
}

/// What `work` gives; the seconds it takes are added to `seconds`.
pub(crate) fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = work();
    *seconds += start.elapsed().as_secs_f64();
    result
}

/// JSON; plain data is always written.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data is always written")
}

fn camera_record(scene: &Scene, camera: &Camera, all: &[Annotations]) -> CameraRecord {
    let view = |frame: usize| camera.view(frame as i64, scene.image.width, scene.image.height);
    let frames = 0..scene.video.frames;
    let objects = (0..scene.objects.len()).map(|index| Seen {
        visible: all.iter().map(|a| a.visible[index]).collect(),
        amodal: all.iter().map(|a| a.amodal[index]).collect(),
        occluded: all
            .iter()
            .map(|a| if a.amodal[index] == 0 { 0.0 } else { 1.0 - a.visible_fraction(index) })
            .collect(),
        boxes: all.iter().map(|a| a.boxes[index]).collect(),
        amodal_boxes: all.iter().map(|a| a.amodal_boxes[index]).collect(),
        centers: frames
            .clone()
            .map(|f| view(f).project(scene.states(f as i64)[index].pose.position).map(|seen| [seen.x, seen.y]))
            .collect(),
    });
    CameraRecord {
        name: camera.name.clone(),
        opencv_intrinsics: view(0).opencv_intrinsics(),
        opengl_projection: view(0).opengl_projection(0.1, 1000.0),
        opencv_extrinsics: frames.clone().map(|f| view(f).opencv_extrinsics()).collect(),
        camera_to_world: frames.clone().map(|f| view(f).pose.matrix()).collect(),
        objects: objects.collect(),
    }
}

fn metadata(drawn: &Drawn, cameras: Vec<CameraRecord>) -> Metadata {
    let scene = &drawn.scene;
    let frames = || (0..scene.video.frames as i64).map(|frame| scene.states(frame));
    let objects = scene.objects.iter().zip(&drawn.solids).enumerate().map(|(index, (object, solid))| ObjectRecord {
        id: index as u16 + 1,
        shape: object.shape.name().to_owned(),
        color: object.color.map(|c| c.name().to_owned()),
        material: object.surface.material.name().to_owned(),
        size: object.size.map(|s| s.name().to_owned()),
        text: object.text.clone(),
        mass: object.mass,
        friction: object.friction,
        restitution: object.restitution,
        is_static: object.is_static,
        positions: frames().map(|s| s[index].pose.position).collect(),
        rotations: frames().map(|s| s[index].pose.rotation).collect(),
        velocities: frames().map(|s| s[index].velocity).collect(),
        angular_velocities: frames().map(|s| s[index].angular_velocity).collect(),
        boxes_3d: frames().map(|s| solid.bounds().corners().map(|corner| s[index].pose.to_world(corner))).collect(),
    });
    Metadata {
        version: SCHEMA_VERSION,
        conventions: CONVENTIONS.to_owned(),
        seed: scene.seed,
        frames: scene.video.frames,
        frame_rate: scene.video.frame_rate,
        width: scene.image.width,
        height: scene.image.height,
        objects: objects.collect(),
        cameras,
        collisions: scene.collisions.clone(),
    }
}
