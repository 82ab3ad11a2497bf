//! The layout of Kubric's MOVi data sets, one folder per scene and camera, for loaders that expect it.
//!
//! Conventions are Kubric's where they differ from ours: instances are sorted by their visible pixels, most first, and
//! those that are never seen are left out; segmentations are 8-bit palettes of `instance + 1`; flow is (rows, columns), and
//! `backward_flow` is the motion from the last picture to this one, so of our backward flow the opposite; depth is the
//! distance from the camera's centre; boxes are `ymin, xmin, ymax, xmax` in shares of the picture. What is compressed to
//! 16 bits is `round((value - min) / (max - min) · 65535)` with both ends in `data_ranges.json`, zero where they are equal;
//! the sky, which has no depth, is 65535.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::atomic;
use super::contents::{Metadata, json as bytes_of};
use super::dataset::{DataSet, SceneFiles};
use super::picture::{self, Pixels};
use crate::Error;
use crate::description::{Camera, Lens, Scene, Split};
use crate::vector::Vec3;

/// Instances that fit into one byte beside the background.
const MOST: usize = 255;

/// Writes a split of a data set; returns the number of folders.
///
/// # Errors
/// [`Error::InvalidField`] for scenes of more than 255 visible instances; as reading the data set and writing files.
pub fn export(data: &DataSet, split: Split, out: &Path) -> Result<usize, Error> {
    let mut folders = 0;
    for index in data.of_split(split) {
        let files = data.scene(index);
        let (scene, metadata) = (files.scene()?, files.metadata()?);
        for number in 0..scene.cameras.len() {
            let name = match scene.cameras.len() {
                1 => format!("{:012}", files.seed()),
                _ => format!("{:012}_{}", files.seed(), scene.cameras[number].name),
            };
            export_camera(&files, &scene, &metadata, number, &out.join(name))?;
            folders += 1;
        }
    }
    Ok(folders)
}

fn export_camera(
    files: &SceneFiles<'_>,
    scene: &Scene,
    metadata: &Metadata,
    number: usize,
    out: &Path,
) -> Result<(), Error> {
    fs::create_dir_all(out).map_err(|error| Error::file(out, error))?;
    let camera = &scene.cameras[number];
    let (width, height) = (scene.image.width, scene.image.height);
    let seen = &metadata.cameras[number].objects;
    let total = |index: usize| seen[index].visible.iter().map(|count| u64::from(*count)).sum::<u64>();
    let mut order: Vec<usize> = (0..scene.objects.len()).filter(|&index| total(index) > 0).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(total(index)), index));
    if order.len() > MOST {
        return Err(Error::invalid("visible instances", order.len(), format!("at most {MOST} in one byte")));
    }
    let place = |id: u16| order.iter().position(|&index| index + 1 == usize::from(id));
    let put = |name: &str, frame: usize, pixels: Pixels<'_>| {
        atomic::write(&out.join(format!("{name}_{frame:05}.png")), &picture::encode(width, height, pixels))
    };
    let field = |name: &str| files.field(&camera.name, name).map(|array| array.data);
    let rows_and_columns = |flow: Vec<f32>, sign: f32| -> Vec<f32> {
        flow.chunks_exact(2).flat_map(|xy| [sign * xy[1], sign * xy[0]]).collect()
    };
    let forward = rows_and_columns(field("forward_flow")?, 1.0);
    let backward = rows_and_columns(field("backward_flow")?, -1.0);
    let distance = field("distance")?;
    let ranges = [Range::of(&forward), Range::of(&backward), Range::of(&distance)];
    let unit = |low: f32| Range { low, high: 1.0 };
    let (normal, coordinates) = (field("normal")?, field("coordinates")?);
    let pixels = width * height;
    for frame in 0..scene.video.frames {
        put("rgba", frame, Pixels::Rgb(&files.rgb(&camera.name, frame)?.data))?;
        let ids = files.ids(&camera.name, frame)?;
        let bytes: Vec<u8> = ids.iter().map(|&id| place(id).map_or(0, |place| place as u8 + 1)).collect();
        put("segmentation", frame, Pixels::Palette(&bytes))?;
        let of = |values: &[f32], channels: usize, range: &Range| -> Vec<u16> {
            values[frame * pixels * channels..][..pixels * channels].iter().map(|value| range.packed(*value)).collect()
        };
        put("depth", frame, Pixels::Ids(&of(&distance, 1, &ranges[2])))?;
        for (name, flow, range) in [("forward_flow", &forward, &ranges[0]), ("backward_flow", &backward, &ranges[1])] {
            // PNG has no pictures of two channels without transparency: the third is empty, as in Kubric.
            let triples: Vec<u16> = of(flow, 2, range).chunks_exact(2).flat_map(|pair| [pair[0], pair[1], 0]).collect();
            put(name, frame, Pixels::Triples(&triples))?;
        }
        put("normal", frame, Pixels::Triples(&of(&normal, 3, &unit(-1.0))))?;
        put("object_coordinates", frame, Pixels::Triples(&of(&coordinates, 3, &unit(0.0))))?;
    }
    let told = |range: &Range| json!({"min": range.low, "max": range.high});
    let ranges = json!({
        "forward_flow": told(&ranges[0]), "backward_flow": told(&ranges[1]), "depth": told(&ranges[2]),
    });
    let instances: Vec<Value> = order.iter().map(|&index| instance(scene, metadata, number, index)).collect();
    let meta = json!({
        "metadata": {
            "seed": scene.seed, "num_frames": scene.video.frames, "frame_rate": scene.video.frame_rate,
            "step_rate": scene.video.step_rate, "resolution": [width, height], "gravity": scene.world.gravity,
            "num_instances": order.len(),
        },
        "camera": camera_record(scene, camera),
        "instances": instances,
    });
    let instance_of = |id: u16| place(id).map_or(-1, |place| place as i64);
    let collisions: Vec<Value> = scene
        .collisions
        .iter()
        .map(|collision| {
            let view = camera.view(collision.frame.round().max(-1.0) as i64, width, height);
            let seen = view.project(collision.position).map(|seen| shares(scene, [seen.x, seen.y]));
            json!({
                "instances": collision.ids.map(instance_of), "frame": collision.frame, "force": collision.force,
                "position": collision.position, "image_position": seen, "contact_normal": collision.normal,
            })
        })
        .collect();
    atomic::write(&out.join("data_ranges.json"), &bytes_of(&ranges))?;
    atomic::write(&out.join("metadata.json"), &bytes_of(&meta))?;
    atomic::write(&out.join("events.json"), &bytes_of(&json!({ "collisions": collisions })))
}

fn shares(scene: &Scene, [x, y]: [f64; 2]) -> [f64; 2] {
    [x / scene.image.width as f64, y / scene.image.height as f64]
}

/// Kubric's normalised K, and R, which is the 4×4 matrix from the camera to the world at the first frame.
fn camera_record(scene: &Scene, camera: &Camera) -> Value {
    let (width, height) = (scene.image.width as f64, scene.image.height as f64);
    let view = camera.view(0, scene.image.width, scene.image.height);
    let (fx, fy) = (view.scale / width, view.scale / height);
    let (focal, sensor, angle) = match camera.lens {
        Lens::Perspective { focal_mm, sensor_mm } => {
            (Some(focal_mm), Some(sensor_mm), Some(2.0 * libm::atan2(0.5 * sensor_mm, focal_mm)))
        }
        Lens::Orthographic { .. } => (None, None, None),
    };
    let poses = || camera.poses[1..=scene.video.frames].iter();
    json!({
        "focal_length": focal, "sensor_width": sensor, "field_of_view": angle,
        "positions": poses().map(|pose| pose.position).collect::<Vec<Vec3>>(),
        "quaternions": poses().map(|pose| <[f64; 4]>::from(pose.rotation)).collect::<Vec<_>>(),
        "K": [[fx, 0.0, -0.5], [0.0, -fy, -0.5], [0.0, 0.0, -1.0]],
        "R": view.pose.matrix(),
    })
}

fn instance(scene: &Scene, metadata: &Metadata, camera: usize, index: usize) -> Value {
    let (record, seen) = (&metadata.objects[index], &metadata.cameras[camera].objects[index]);
    let object = &scene.objects[index];
    let (width, height) = (scene.image.width as f64, scene.image.height as f64);
    let boxes = || seen.boxes.iter().enumerate().filter_map(|(frame, bounds)| Some((frame, (*bounds)?)));
    let share = |bounds: [u32; 4]| {
        let [x0, y0, x1, y1] = bounds.map(f64::from);
        [y0 / height, x0 / width, y1 / height, x1 / width]
    };
    json!({
        "asset_id": record.shape, "shape_label": record.shape, "material_label": record.material,
        "color_label": record.color, "color": object.surface.rgb, "size_label": record.size, "text": record.text,
        "mass": record.mass, "friction": record.friction, "restitution": record.restitution,
        "is_dynamic": !record.is_static,
        "positions": record.positions, "quaternions": record.rotations, "velocities": record.velocities,
        "angular_velocities": record.angular_velocities, "bboxes_3d": record.boxes_3d, "visibility": seen.visible,
        "image_positions": seen.centers.iter().map(|c| c.map(|c| shares(scene, c))).collect::<Vec<_>>(),
        "bboxes": boxes().map(|(_, bounds)| share(bounds)).collect::<Vec<_>>(),
        "bbox_frames": boxes().map(|(frame, _)| frame).collect::<Vec<_>>(),
    })
}

/// The finite values of a field, from the lowest to the highest.
struct Range {
    low: f32,
    high: f32,
}

impl Range {
    fn of(values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
        if low <= high { Self { low, high } } else { Self { low: 0.0, high: 0.0 } }
    }

    fn packed(&self, value: f32) -> u16 {
        if value.is_infinite() {
            return u16::MAX;
        }
        let extent = f64::from(self.high) - f64::from(self.low);
        if extent == 0.0 {
            return 0;
        }
        ((f64::from(value) - f64::from(self.low)) / extent * 65535.0).round().clamp(0.0, 65535.0) as u16
    }
}
