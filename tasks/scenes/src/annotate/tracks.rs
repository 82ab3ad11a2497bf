//! Points that stick to surfaces, followed through all frames.

use serde::{Deserialize, Serialize};

use crate::description::{Camera, Scene};
use crate::geometry::{Ray, Solid};
use crate::random::Stream;
use crate::render::{Screen, Stage};
use crate::vector::{Vec3, vec3};

/// One point through all pictures of a camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Id of the object.
    pub id: u16,
    /// The point in the object's frame.
    pub local: Vec3,
    /// Where it is seen, (x, y) in pixels; far outside if it is behind the camera.
    pub places: Vec<[f64; 2]>,
    /// Whether it is inside the picture and nothing hides it.
    pub visible: Vec<bool>,
}

/// `per_object` points of every object, drawn on its surface, as a camera sees them.
pub fn tracks(scene: &Scene, solids: &[Solid], camera: &Camera, per_object: usize) -> Vec<Track> {
    let mut stream = Stream::new(scene.seed, "tracks", 0);
    let mut tracks = Vec::new();
    for (index, solid) in solids.iter().enumerate() {
        for _ in 0..per_object {
            if let Some(local) = surface_point(solid, &mut stream) {
                tracks.push(Track { id: index as u16 + 1, local, places: vec![], visible: vec![] });
            }
        }
    }
    for frame in 0..scene.video.frames as i64 {
        let stage = Stage::at(scene, solids, frame);
        let view = camera.view(frame, scene.image.width, scene.image.height);
        let screen = Screen::new(&stage, &view, solids.len());
        for track in &mut tracks {
            let world = scene.states(frame)[usize::from(track.id) - 1].pose.to_world(track.local);
            let seen = view.project(world);
            track.places.push(seen.map_or([-1e6, -1e6], |seen| [seen.x, seen.y]));
            track.visible.push(seen.is_some_and(|seen| {
                view.contains(seen.x, seen.y) && {
                    let ray = view.ray(seen.x, seen.y);
                    let expected = (world - ray.origin).dot(ray.direction);
                    let hit = screen.closest(&stage, &ray, seen.x, seen.y);
                    hit.is_some_and(|hit| hit.id == track.id && (hit.t - expected).abs() <= 1e-4 * expected.max(1.0))
                }
            }));
        }
    }
    tracks
}

/// Where a random ray through the middle parts of a solid first meets it.
fn surface_point(solid: &Solid, stream: &mut Stream) -> Option<Vec3> {
    let bounds = solid.bounds();
    (0..200).find_map(|_| {
        let outside = stream.rotation().rotate(vec3(0.0, 0.0, 2.0 * solid.bounding_radius()));
        let target = stream.in_box(bounds.min, bounds.max);
        let ray = Ray { origin: outside, direction: (target - outside).normalized() };
        solid.hit(&ray, 0.0, f64::INFINITY).map(|hit| ray.at(hit.t))
    })
}
