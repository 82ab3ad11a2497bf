//! Holds the data on disk against itself.
//!
//! Files are read back and checked against their hashes; then what they say is checked with geometry that does not
//! share code with the annotations: distances to surfaces instead of ray casts, OpenCV's matrices instead of the
//! camera's own projection. A change that keeps the hashes consistent is therefore found, too.

mod objects;
mod points;

use std::collections::BTreeSet;

use super::contents::{CameraRecord, Metadata};
use super::dataset::{DataSet, SceneFiles};
use crate::Error;
use crate::annotate::Flags;
use crate::description::{Lens, Pass, Scene, Split};
use crate::geometry::{Ray, Solid};
use crate::render::Stage;
use crate::text::check::{self, Counts};
use crate::vector::{Vec3, vec3};

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Scenes looked at.
    pub scenes: usize,
    /// Pixels whose geometry was checked.
    pub pixels: u64,
    /// Sentences whose meaning was re-derived.
    pub sentences: usize,
    /// Problems, each with its file.
    pub problems: Vec<String>,
}

/// Checks a data set. Problems of scenes are collected; an unreadable data set is an error.
///
/// # Errors
/// As [`DataSet::open`].
pub fn verify(data: &DataSet, progress: &dyn Fn()) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut seeds = BTreeSet::new();
    for files in data.scenes() {
        report.scenes += 1;
        if !seeds.insert(files.seed()) {
            report.problems.push(format!("{}: seed {} comes twice", files.unit().display(), files.seed()));
        }
        if let Err(error) = verify_scene(data, &files, &mut report) {
            report.problems.push(error.to_string());
        }
        progress();
    }
    Ok(report)
}

fn verify_scene(data: &DataSet, files: &SceneFiles<'_>, report: &mut Report) -> Result<(), Error> {
    let scene = files.scene()?;
    let wrong = |name: &str, problem: String| Err(Error::corrupt(files.path(name), problem));
    if scene.seed != files.seed() || scene.split != files.split() {
        return wrong("scene.ron", format!("is of seed {} and split {}", scene.seed, scene.split.name()));
    }
    if scene.config_hash != data.manifest().config_hash {
        return wrong("scene.ron", format!("is of the configuration {}", scene.config_hash));
    }
    for name in files.names() {
        files.bytes(name)?;
    }
    let metadata = files.metadata()?;
    if metadata.objects.len() != scene.objects.len() || metadata.cameras.len() != scene.cameras.len() {
        return wrong("metadata.json", "does not have the objects and cameras of scene.ron".to_owned());
    }
    let solids = crate::assets::solids(&scene)?;
    if let Some(problem) = objects::problem(&scene, &solids, &metadata.objects) {
        return wrong("metadata.json", problem);
    }
    for index in 0..scene.cameras.len() {
        verify_camera(&scene, &solids, files, &metadata, index, report)?;
    }
    verify_texts(&scene, files, &metadata, report)
}

fn verify_texts(scene: &Scene, files: &SceneFiles<'_>, metadata: &Metadata, report: &mut Report) -> Result<(), Error> {
    let texts = files.texts()?;
    if texts.frame >= scene.video.frames {
        return Err(Error::corrupt(files.path("text.json"), format!("speaks about frame {}", texts.frame)));
    }
    let of = |values: &dyn Fn(usize) -> u32| (0..scene.objects.len()).map(values).collect::<Vec<_>>();
    let seen = &metadata.cameras[0].objects;
    let (visible, amodal) = (of(&|i| seen[i].visible[texts.frame]), of(&|i| seen[i].amodal[texts.frame]));
    report.sentences += texts.sentences.len();
    match check::problem(scene, &texts, &Counts { visible: &visible, amodal: &amodal }) {
        Some(problem) => Err(Error::corrupt(files.path("text.json"), problem)),
        None => Ok(()),
    }
}

fn verify_camera(
    scene: &Scene,
    solids: &[Solid],
    files: &SceneFiles<'_>,
    metadata: &Metadata,
    index: usize,
    report: &mut Report,
) -> Result<(), Error> {
    let camera = &scene.cameras[index];
    let record = &metadata.cameras[index];
    let (width, height, frames) = (scene.image.width, scene.image.height, scene.video.frames);
    let pixels = width * height;
    let at = |name: &str| files.path(&format!("{}_{name}", camera.name));
    let field = |name: &str, channels: usize| {
        let array = files.field(&camera.name, name)?;
        let expected = frames * pixels * channels;
        if array.data.len() == expected {
            Ok(array.data)
        } else {
            Err(Error::corrupt(at(name), format!("has not {expected} values")))
        }
    };
    let distance = field("distance", 1)?;
    let depth = field("depth", 1)?;
    let normal = field("normal", 3)?;
    let coordinates = field("coordinates", 3)?;
    let forward = field("forward_flow", 2)?;
    let backward = field("backward_flow", 2)?;
    let optional = |pass: Pass| {
        let wanted = scene.image.extra_passes.contains(&pass);
        wanted.then(|| field(pass.name(), pass.channels().len())).transpose()
    };
    let (uv, camera_normal) = (optional(Pass::Uv)?, optional(Pass::CameraNormal)?);
    if let Some(share) = optional(Pass::Shadow)?.iter().flatten().find(|share| !(0.0..=1.0).contains(*share)) {
        return Err(Error::corrupt(at("shadow.npy"), format!("has the share {share}, expected 0 to 1")));
    }
    let flags = files.flags(&camera.name)?.data;
    if flags.len() != frames * pixels {
        return Err(Error::corrupt(at("flags"), "has another size than the pictures"));
    }
    let tracks = files.tracks(&camera.name)?;
    let fits = |t: &crate::annotate::Track| {
        t.places.len() == frames && t.visible.len() == frames && (1..=solids.len()).contains(&usize::from(t.id))
    };
    if !tracks.iter().all(fits) || record.objects.iter().any(|o| o.visible.len() != frames || o.boxes.len() != frames) {
        return Err(Error::corrupt(at("tracks.json"), "has another number of frames than the scene"));
    }
    for frame in 0..frames {
        let ids = files.ids(&camera.name, frame)?;
        let rgb = files.rgb(&camera.name, frame)?;
        let name = format!("ids_{frame:05}.png");
        if ids.len() != pixels || rgb.width * rgb.height != pixels || rgb.channels != 3 {
            return Err(Error::corrupt(at(&name), "or its colours have another size than the scene says"));
        }
        counts_and_boxes(&ids, record, frame, width).map_err(|problem| Error::corrupt(at(&name), problem))?;
        let view = camera.view(frame as i64, width, height);
        let next = (camera.view(frame as i64 + 1, width, height), Stage::at(scene, solids, frame as i64 + 1));
        let last = (camera.view(frame as i64 - 1, width, height), Stage::at(scene, solids, frame as i64 - 1));
        let states = scene.states(frame as i64);
        for (pixel, &id) in ids.iter().enumerate() {
            let i = frame * pixels + pixel;
            let (x, y) = ((pixel % width) as f64 + 0.5, (pixel / width) as f64 + 0.5);
            let here = |problem: String| {
                Error::corrupt(at(&name), format!("pixel ({}, {}): {problem}", pixel % width, pixel / width))
            };
            let is_surface = flags[i] & Flags::SURFACE != 0;
            if is_surface != distance[i].is_finite() || (id > 0 && !is_surface) {
                return Err(here("flags, distance and id disagree about what is seen".to_owned()));
            }
            if !is_surface {
                continue;
            }
            report.pixels += 1;
            let ray = view.ray(x, y);
            let d = f64::from(distance[i]);
            let tolerance = 1e-4 * d.max(1.0);
            if (f64::from(depth[i]) - d * view.cosine(&ray)).abs() > 1e-5 * d.max(1.0) {
                return Err(here(format!("depth {} is not that of distance {d}", depth[i])));
            }
            let point = ray.at(d);
            let n = vec3(f64::from(normal[3 * i]), f64::from(normal[3 * i + 1]), f64::from(normal[3 * i + 2]));
            if let Some(problem) = uv.as_deref().and_then(|uv| {
                let solid = body_of(id).map(|index| (&solids[index], states[index].pose));
                points::uv_problem(solid, point, [f64::from(uv[2 * i]), f64::from(uv[2 * i + 1])], tolerance)
            }) {
                return Err(here(problem));
            }
            if let Some(problem) = camera_normal.as_deref().and_then(|normals| {
                let stored: [f64; 3] = std::array::from_fn(|axis| f64::from(normals[3 * i + axis]));
                points::camera_normal_problem(&record.camera_to_world[frame], n, stored)
            }) {
                return Err(here(problem));
            }
            if (n.length() - 1.0).abs() > 1e-5 || n.dot(ray.direction) > 1e-5 {
                return Err(here(format!("{n:?} is not a unit normal that faces the camera")));
            }
            let body = usize::from(id);
            let off = match body {
                0 => point.z.abs(),
                id => solids[id - 1].distance(states[id - 1].pose.to_local(point)).abs(),
            };
            if off > tolerance {
                return Err(here(format!("the point at distance {d} is {off} from the surface of object {body}")));
            }
            if body > 0 {
                let c = vec3(
                    f64::from(coordinates[3 * i]),
                    f64::from(coordinates[3 * i + 1]),
                    f64::from(coordinates[3 * i + 2]),
                );
                let corners = &metadata.objects[body - 1].boxes_3d[frame];
                let along = |corner: usize| corners[corner] - corners[0];
                let world = corners[0] + along(1) * c.x + along(2) * c.y + along(4) * c.z;
                if (world - point).length() > tolerance {
                    return Err(here(format!(
                        "its object coordinates in its 3-D box are {world:?}, it is at {point:?}"
                    )));
                }
                // Along an axis without extent the coordinate says nothing: the middle is right.
                let seen = project(record, frame, world, camera.lens);
                if (seen[0] - x).abs().max((seen[1] - y).abs()) > 1e-2 {
                    return Err(here(format!("its object coordinates are seen at {seen:?}")));
                }
            }
            // Flow costs two rays: every seventh pixel, another one in every frame.
            if (pixel + frame) % 7 == 0 {
                let local = if body == 0 { point } else { states[body - 1].pose.to_local(point) };
                for (flow, inside, visible, (view, stage), at_frame) in [
                    (&forward, Flags::NEXT_INSIDE, Flags::NEXT_VISIBLE, &next, frame as i64 + 1),
                    (&backward, Flags::PREVIOUS_INSIDE, Flags::PREVIOUS_VISIBLE, &last, frame as i64 - 1),
                ] {
                    let landing = [x + f64::from(flow[2 * i]), y + f64::from(flow[2 * i + 1])];
                    if flags[i] & visible == 0 {
                        continue;
                    }
                    if flags[i] & inside == 0 || !view.contains(landing[0], landing[1]) {
                        return Err(here("a visible landing point lies outside of the picture".to_owned()));
                    }
                    let ray: Ray = view.ray(landing[0], landing[1]);
                    let found = stage.closest(&ray, 0.0);
                    let states = scene.states(at_frame);
                    let target = if body == 0 { local } else { states[body - 1].pose.to_world(local) };
                    let same = found.is_some_and(|hit| {
                        usize::from(hit.id) == body && grazing_distance(&hit, &ray, target) < 5.0 * tolerance
                    });
                    if !same {
                        return Err(here(format!("its flow to frame {at_frame} lands on another point")));
                    }
                }
            }
        }
    }
    if let Some(problem) = points::track_problem(scene, solids, camera, record, &tracks) {
        return Err(Error::corrupt(at("tracks.json"), problem));
    }
    Ok(())
}

/// How far a hit is from where it should be, not counting what a grazing ray slides along the surface.
fn grazing_distance(hit: &crate::render::Hit, ray: &Ray, target: Vec3) -> f64 {
    let cosine = -hit.normal.dot(ray.direction);
    (ray.at(hit.t) - target).length() * cosine.clamp(0.02, 1.0)
}

/// Where a world point is seen, by the matrices in the metadata.
fn project(record: &CameraRecord, frame: usize, p: Vec3, lens: Lens) -> [f64; 2] {
    let (k, e) = (&record.opencv_intrinsics, &record.opencv_extrinsics[frame]);
    let camera = |r: usize| e[r][0] * p.x + e[r][1] * p.y + e[r][2] * p.z + e[r][3];
    let divisor = if matches!(lens, Lens::Perspective { .. }) { camera(2) } else { 1.0 };
    [k[0][0] * camera(0) / divisor + k[0][2], k[1][1] * camera(1) / divisor + k[1][2]]
}

/// Recounts the pixels of every object and compares counts, fractions and boxes with the metadata.
fn counts_and_boxes(ids: &[u16], record: &CameraRecord, frame: usize, width: usize) -> Result<(), String> {
    let mut counted = vec![(0u32, None::<[u32; 4]>); record.objects.len()];
    for (pixel, &id) in ids.iter().enumerate().filter(|(_, id)| **id > 0) {
        let Some((count, bounds)) = counted.get_mut(usize::from(id) - 1) else {
            return Err(format!("has the id {id}, but there are {} objects", record.objects.len()));
        };
        *count += 1;
        let (x, y) = ((pixel % width) as u32, (pixel / width) as u32);
        let b = bounds.get_or_insert([x, y, x + 1, y + 1]);
        *b = [b[0].min(x), b[1].min(y), b[2].max(x + 1), b[3].max(y + 1)];
    }
    for (index, ((count, bounds), seen)) in counted.into_iter().zip(&record.objects).enumerate() {
        let id = index + 1;
        if seen.visible[frame] != count || seen.boxes[frame] != bounds {
            let found = (seen.visible[frame], seen.boxes[frame]);
            return Err(format!("object {id} has {count} pixels in {bounds:?}, metadata.json says {found:?}"));
        }
        if seen.amodal[frame] < count {
            return Err(format!("object {id} has {count} visible pixels but {} in all", seen.amodal[frame]));
        }
        if !(0.0..=1.0).contains(&seen.occluded[frame]) {
            return Err(format!("object {id} is hidden by {}", seen.occluded[frame]));
        }
    }
    Ok(())
}

/// Place of an object in the list, of its id; nothing for floor and sky.
fn body_of(id: u16) -> Option<usize> {
    usize::from(id).checked_sub(1)
}

/// True if no two splits share a seed, and every scene lies in the split that its seed belongs to.
pub fn splits_are_disjoint(data: &DataSet) -> bool {
    let seeds = |split| data.of_split(split).into_iter().map(|i| data.scene(i).seed()).collect::<BTreeSet<u64>>();
    let [a, b, c] = [Split::Train, Split::Validation, Split::Test].map(seeds);
    a.is_disjoint(&b) && a.is_disjoint(&c) && b.is_disjoint(&c)
}
