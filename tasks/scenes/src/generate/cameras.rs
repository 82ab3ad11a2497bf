//! Cameras and their paths.

use crate::description::{Camera, CameraPath, CameraRig, GeneratorConfig};
use crate::random::Stream;
use crate::vector::{Pose, Vec3, vec3};

/// The cameras of a seed; each rig has its own stream.
pub(super) fn draw(config: &GeneratorConfig, seed: u64) -> Vec<Camera> {
    let mut cameras = Vec::new();
    for (index, rig) in config.cameras.iter().enumerate() {
        let mut stream = Stream::new(seed, &format!("camera {index}"), 0);
        let camera =
            Camera { name: rig.name.clone(), lens: rig.lens, poses: poses(rig, config.video.frames, &mut stream) };
        let right = rig.stereo_baseline.map(|baseline| Camera {
            name: format!("{}_right", rig.name),
            lens: rig.lens,
            poses: camera.poses.iter().map(|pose| beside(pose, baseline)).collect(),
        });
        cameras.push(camera);
        cameras.extend(right);
    }
    cameras
}

fn beside(pose: &Pose, baseline: f64) -> Pose {
    Pose { position: pose.to_world(vec3(baseline, 0.0, 0.0)), ..*pose }
}

/// Poses at frames -1, 0, …, `frames`.
fn poses(rig: &CameraRig, frames: usize, stream: &mut Stream) -> Vec<Pose> {
    // Goes from 0 at the first picture to 1 at the last, and beyond on both sides.
    let steps = (frames.max(2) - 1) as f64;
    let progress = (0..frames + 2).map(|i| (i as f64 - 1.0) / steps);
    match rig.path {
        CameraPath::Still { from, look_at } => {
            let pose = Pose::looking_at(stream.in_box(from.0, from.1), look_at);
            vec![pose; frames + 2]
        }
        CameraPath::HalfShell { radius, min_z, look_at } => {
            vec![Pose::looking_at(stream.in_half_shell(radius, min_z), look_at); frames + 2]
        }
        CameraPath::Linear { radius, min_z, path, look_at } => {
            let start = stream.in_half_shell(radius, min_z);
            let length = path.draw(stream);
            let mut direction = stream.rotation().rotate(Vec3::UP);
            // Neither into the ground nor into the middle of the scene.
            if start.z + direction.z * length < min_z {
                direction.z = -direction.z;
            }
            if start.dot(direction) < 0.0 && (start + direction * length).length() < 0.5 * start.length() {
                direction = vec3(-direction.x, -direction.y, direction.z);
            }
            progress.map(|t| Pose::looking_at(start + direction * (length * t), look_at)).collect()
        }
        CameraPath::Orbit { radius, height, turns, look_at } => {
            let (radius, height) = (radius.draw(stream), height.draw(stream));
            let (turns, start) = (turns.draw(stream), stream.unit());
            // A whole turn ends one step before its beginning, so that no view comes twice.
            let step = turns / frames as f64;
            let at = |i: usize| {
                let (sine, cosine) = libm::sincos(std::f64::consts::TAU * (start + step * (i as f64 - 1.0)));
                Pose::looking_at(look_at + vec3(radius * cosine, radius * sine, height), look_at)
            };
            (0..frames + 2).map(at).collect()
        }
    }
}
