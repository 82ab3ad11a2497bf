//! Texture coordinates and camera normals of pixels, and points that are followed through the frames.

use super::super::contents::CameraRecord;
use super::project;
use crate::annotate::Track;
use crate::description::{Camera, Lens, Scene};
use crate::geometry::Solid;
use crate::render::Stage;
use crate::vector::{Pose, Vec3, vec3};

/// Compares texture coordinates with those of points near the one that is seen, so that rounding across a seam is no
/// problem; around the poles of an axis `u` counts by the length of its circle.
pub(super) fn uv_problem(
    solid: Option<(&Solid, Pose)>,
    point: Vec3,
    found: [f64; 2],
    tolerance: f64,
) -> Option<String> {
    let apart = |a: f64, b: f64| (a - b).abs().min(1.0 - (a - b).abs());
    let Some((solid, pose)) = solid else {
        let expected = [point.x - point.x.floor(), point.y - point.y.floor()];
        let is_near = apart(found[0], expected[0]) < 2.0 * tolerance && apart(found[1], expected[1]) < 2.0 * tolerance;
        return (!is_near).then(|| format!("its texture coordinates are {found:?}, not {expected:?}"));
    };
    let local = pose.to_local(point);
    let size = solid.bounding_radius();
    let around = if matches!(solid, Solid::Box { .. } | Solid::Flat { .. }) {
        1.0
    } else {
        ((local.x * local.x + local.y * local.y).sqrt() / size).min(1.0)
    };
    let steps = [-1.0, 0.0, 1.0].map(|step| step * tolerance);
    let is_near = steps.iter().any(|&x| {
        steps.iter().any(|&y| {
            steps.iter().any(|&z| {
                let [u, v] = solid.uv(local + vec3(x, y, z));
                apart(found[0], u) * around < 0.01 + tolerance / size
                    && apart(found[1], v) < 0.01 + 4.0 * tolerance / size
            })
        })
    });
    (!is_near).then(|| format!("its texture coordinates are {found:?}, not {:?}", solid.uv(local)))
}

/// Compares a normal in the camera's frame with that in the world, by the matrix in the metadata.
pub(super) fn camera_normal_problem(to_world: &[[f64; 4]; 4], world: Vec3, found: [f64; 3]) -> Option<String> {
    let expected: [f64; 3] = std::array::from_fn(|axis| {
        to_world[0][axis] * world.x + to_world[1][axis] * world.y + to_world[2][axis] * world.z
    });
    let is_near = expected.iter().zip(found).all(|(a, b)| (a - b).abs() < 1e-5);
    (!is_near).then(|| format!("its normal in the camera's frame is {found:?}, not {expected:?}"))
}

/// Derives all tracks anew from their points: the point lies on its object, is seen where the matrices of the metadata put
/// it, and is visible exactly if the first thing on the ray to it is itself.
pub(super) fn track_problem(
    scene: &Scene,
    solids: &[Solid],
    camera: &Camera,
    record: &CameraRecord,
    tracks: &[Track],
) -> Option<String> {
    for (number, track) in tracks.iter().enumerate() {
        let off = solids[usize::from(track.id) - 1].distance(track.local).abs();
        let is_on_surface = off < 1e-6;
        if !is_on_surface {
            return Some(format!("the point of track {number} is {off} from the surface of object {}", track.id));
        }
    }
    for frame in 0..scene.video.frames {
        let view = camera.view(frame as i64, scene.image.width, scene.image.height);
        let stage = Stage::at(scene, solids, frame as i64);
        let axis = record.opencv_extrinsics[frame][2];
        for (number, track) in tracks.iter().enumerate() {
            let point = scene.states(frame as i64)[usize::from(track.id) - 1].pose.to_world(track.local);
            let depth = axis[0] * point.x + axis[1] * point.y + axis[2] * point.z + axis[3];
            let is_behind = depth <= 1e-9 && matches!(camera.lens, Lens::Perspective { .. });
            let place = if is_behind { [-1e6, -1e6] } else { project(record, frame, point, camera.lens) };
            let found = track.places[frame];
            let apart = (place[0] - found[0]).abs().max((place[1] - found[1]).abs());
            let is_near = apart <= 1e-6 * (1.0 + place[0].abs() + place[1].abs());
            if !is_near {
                return Some(format!(
                    "track {number} is at {found:?} in frame {frame}, its point is seen at {place:?}"
                ));
            }
            let mut is_visible = !is_behind && view.contains(place[0], place[1]);
            if is_visible {
                let ray = view.ray(place[0], place[1]);
                let expected = (point - ray.origin).dot(ray.direction);
                let tolerance = 1e-4 * expected.max(1.0);
                let hit = stage.closest(&ray, 0.0);
                let short = hit.map_or(f64::INFINITY, |hit| (hit.t - expected).abs());
                if (short - tolerance).abs() < 1e-6 {
                    // Rounding decides.
                    continue;
                }
                is_visible = short < tolerance && hit.is_some_and(|hit| hit.id == track.id);
            }
            if is_visible != track.visible[frame] {
                let told = if is_visible { "hidden" } else { "visible" };
                return Some(format!("track {number} is told to be {told} in frame {frame}, but is not"));
            }
        }
    }
    None
}
