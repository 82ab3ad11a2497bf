//! Identity, depth, normal, object coordinates and flow of every pixel; visibility and boxes of every object.

use crate::camera::View;
use crate::description::{Camera, Pass, Scene};
use crate::geometry::{Ray, Solid};
use crate::render::{Hit, Screen, Stage};
use crate::vector::Vec3;

/// Bits of the mask of a pixel.
#[derive(Debug, Clone, Copy)]
pub struct Flags;

impl Flags {
    /// A surface is seen, not the sky.
    pub const SURFACE: u8 = 1;
    /// What is seen lies inside the next picture.
    pub const NEXT_INSIDE: u8 = 2;
    /// What is seen is seen in the next picture, too.
    pub const NEXT_VISIBLE: u8 = 4;
    /// What is seen lies inside the previous picture.
    pub const PREVIOUS_INSIDE: u8 = 8;
    /// What is seen was seen in the previous picture, too.
    pub const PREVIOUS_VISIBLE: u8 = 16;
}

/// Annotations of one picture; arrays are row-major, pixel by pixel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotations {
    /// Id of the object; 0 for floor and sky.
    pub ids: Vec<u16>,
    /// Distance from the camera's centre (its plane for parallel projections), metres; infinite for the sky.
    pub distance: Vec<f32>,
    /// Distance along the camera's axis, metres; infinite for the sky.
    pub depth: Vec<f32>,
    /// Unit normal in the world, facing the camera; zero for the sky.
    pub normal: Vec<[f32; 3]>,
    /// Place in the object's own box, 0 to 1 along each axis; zero for floor and sky.
    pub coordinates: Vec<[f32; 3]>,
    /// Where what is seen will be in the next picture, minus where it is: (x, y) in pixels, x right, y down.
    pub forward_flow: Vec<[f32; 2]>,
    /// Where what is seen was in the previous picture, minus where it is.
    pub backward_flow: Vec<[f32; 2]>,
    /// Bits of [`Flags`].
    pub flags: Vec<u8>,
    /// Place on the surface, 0 to 1; empty unless the scene has the pass.
    pub uv: Vec<[f32; 2]>,
    /// Unit normal in the camera's frame; empty unless the scene has the pass.
    pub camera_normal: Vec<[f32; 3]>,
    /// Visible pixels of each object.
    pub visible: Vec<u32>,
    /// Pixels that each object would have if it were alone.
    pub amodal: Vec<u32>,
    /// Box of the visible pixels of each object: x, y of its first pixel, x, y behind its last.
    pub boxes: Vec<Option<[u32; 4]>>,
    /// Box of the pixels that each object would have if it were alone.
    pub amodal_boxes: Vec<Option<[u32; 4]>>,
}

impl Annotations {
    /// Share of an object's pixels that nothing hides; zero if it has none in the picture.
    pub fn visible_fraction(&self, index: usize) -> f64 {
        if self.amodal[index] == 0 { 0.0 } else { f64::from(self.visible[index]) / f64::from(self.amodal[index]) }
    }
}

/// A scene and a camera at one frame.
struct Moment<'a> {
    frame: i64,
    stage: Stage<'a>,
    view: View,
    screen: Screen,
}

/// Annotates the frames of one camera; neighbouring frames share their preparation.
pub struct Annotator<'a> {
    scene: &'a Scene,
    solids: &'a [Solid],
    camera: &'a Camera,
    moments: Vec<Moment<'a>>,
}

impl<'a> Annotator<'a> {
    /// For a camera of the scene.
    pub fn new(scene: &'a Scene, solids: &'a [Solid], camera: &'a Camera) -> Self {
        Self { scene, solids, camera, moments: Vec::new() }
    }

    fn prepare(&mut self, frame: i64) {
        self.moments.retain(|moment| (moment.frame - frame).abs() <= 1);
        for at in [frame - 1, frame, frame + 1] {
            if !self.moments.iter().any(|moment| moment.frame == at) {
                let stage = Stage::at(self.scene, self.solids, at);
                let view = self.camera.view(at, self.scene.image.width, self.scene.image.height);
                let screen = Screen::new(&stage, &view, self.solids.len());
                self.moments.push(Moment { frame: at, stage, view, screen });
            }
        }
        self.moments.sort_by_key(|moment| moment.frame);
    }

    /// The annotations of a frame, 0 to `frames`.
    pub fn frame(&mut self, frame: usize) -> Annotations {
        self.prepare(frame as i64);
        let [previous, now, next] = &self.moments[..] else { unreachable!("three frames were prepared") };
        let (width, height) = (now.view.width, now.view.height);
        let (pixels, objects) = (width * height, self.solids.len());
        let mut out = Annotations {
            ids: Vec::with_capacity(pixels),
            visible: vec![0; objects],
            amodal: vec![0; objects],
            boxes: vec![None; objects],
            amodal_boxes: vec![None; objects],
            ..Annotations::default()
        };
        let has = |pass: Pass| self.scene.image.extra_passes.contains(&pass);
        let (has_uv, has_camera_normal) = (has(Pass::Uv), has(Pass::CameraNormal));
        for row in 0..height {
            for column in 0..width {
                let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
                let ray = now.view.ray(x, y);
                let hit = now.screen.closest(&now.stage, &ray, x, y);
                let id = hit.map_or(0, |hit| hit.id);
                out.ids.push(id);
                let (forward, next_flags) = self.flow(next, &ray, hit.as_ref(), x, y);
                let (backward, previous_flags) = self.flow(previous, &ray, hit.as_ref(), x, y);
                out.forward_flow.push(forward);
                out.backward_flow.push(backward);
                out.flags.push((u8::from(hit.is_some()) * Flags::SURFACE) | (next_flags << 1) | (previous_flags << 3));
                let distance = hit.map_or(f64::INFINITY, |hit| hit.t);
                out.distance.push(distance as f32);
                out.depth.push(hit.map_or(f32::INFINITY, |hit| (hit.t * now.view.cosine(&ray)) as f32));
                out.normal.push(hit.map_or([0.0; 3], |hit| single(hit.normal)));
                if has_camera_normal {
                    out.camera_normal.push(hit.map_or([0.0; 3], |hit| single(now.view.to_camera(hit.normal))));
                }
                if has_uv {
                    out.uv.push(hit.map_or([0.0; 2], |hit| {
                        let [u, v] = match hit.id {
                            0 => [hit.local.x - hit.local.x.floor(), hit.local.y - hit.local.y.floor()],
                            id => self.solids[usize::from(id) - 1].uv(hit.local),
                        };
                        [u as f32, v as f32]
                    }));
                }
                let mut coordinates = [0.0; 3];
                if let Some(hit) = hit.filter(|hit| hit.id > 0) {
                    let index = usize::from(id) - 1;
                    coordinates = single(self.solids[index].object_coordinates(hit.local));
                    out.visible[index] += 1;
                    grow(&mut out.boxes[index], column, row);
                }
                out.coordinates.push(coordinates);
            }
        }
        for index in 0..objects {
            let [columns, rows] = now.screen.pixels(index, width, height);
            for row in rows {
                for column in columns.clone() {
                    let ray = now.view.ray(column as f64 + 0.5, row as f64 + 0.5);
                    if now.stage.only(index, &ray).is_some() {
                        out.amodal[index] += 1;
                        grow(&mut out.amodal_boxes[index], column, row);
                    }
                }
            }
        }
        out
    }

    /// Motion of what is seen until another moment, and two bits: inside the picture there, visible there.
    fn flow(&self, other: &Moment<'_>, ray: &Ray, hit: Option<&Hit>, x: f64, y: f64) -> ([f32; 2], u8) {
        let target = hit.map(|hit| match hit.id {
            // The background does not move.
            0 => hit.local,
            id => self.scene.states(other.frame)[usize::from(id) - 1].pose.to_world(hit.local),
        });
        let seen = match target {
            Some(point) => other.view.project(point),
            None => other.view.project_direction(ray.direction, (x, y)),
        };
        let Some(seen) = seen else { return ([0.0; 2], 0) };
        let flow = [(seen.x - x) as f32, (seen.y - y) as f32];
        if !other.view.contains(seen.x, seen.y) {
            return (flow, 0);
        }
        let back = other.view.ray(seen.x, seen.y);
        let there = other.screen.closest(&other.stage, &back, seen.x, seen.y);
        let is_visible = match (target, there) {
            (None, None) => true,
            (Some(point), Some(found)) => {
                let expected = (point - back.origin).dot(back.direction);
                found.id == hit.map_or(0, |hit| hit.id) && (found.t - expected).abs() <= 1e-4 * expected.max(1.0)
            }
            _ => false,
        };
        (flow, 1 | u8::from(is_visible) << 1)
    }
}

fn single(v: Vec3) -> [f32; 3] {
    [v.x as f32, v.y as f32, v.z as f32]
}

fn grow(bounds: &mut Option<[u32; 4]>, column: usize, row: usize) {
    let (x, y) = (column as u32, row as u32);
    let [x0, y0, x1, y1] = bounds.unwrap_or([x, y, x, y]);
    *bounds = Some([x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)]);
}
