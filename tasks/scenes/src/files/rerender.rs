//! Rendering a resolved scene again, alone: other cameras, sizes, samples and passes of what happened once.
//!
//! Input is a scene as `scene.ron` holds it, output the same files that generation makes of it. With the scene's own
//! settings they have the same bytes.

use std::path::Path;

use super::atomic;
use super::contents::{self, Seconds};
use crate::Error;
use crate::description::{Pass, Scene};
use crate::render::Renderer;

/// What to change; what is absent stays as the scene says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The only camera to render.
    pub camera: Option<String>,
    /// Pixels in a row, and rows.
    pub size: Option<(usize, usize)>,
    /// Samples per pixel, a square number.
    pub samples: Option<usize>,
    /// The only passes to make.
    pub passes: Option<Vec<Pass>>,
    /// Whether to write OpenEXR files.
    pub exr: Option<bool>,
}

/// Renders a scene into a folder, and writes `scene.ron` with the settings used beside the pictures; returns the number of
/// files.
///
/// # Errors
/// [`Error::InvalidField`] and [`Error::UnknownName`] for changes that cannot be made; [`Error::Mesh`], [`Error::File`].
pub fn rerender(scene: &Scene, changes: &Changes, out: &Path) -> Result<usize, Error> {
    let mut scene = scene.clone();
    if let Some(name) = &changes.camera {
        let names: Vec<String> = scene.cameras.iter().map(|camera| camera.name.clone()).collect();
        scene.cameras.retain(|camera| camera.name == *name);
        if scene.cameras.is_empty() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(Error::unknown_name("camera", name, &names));
        }
    }
    if let Some((width, height)) = changes.size {
        let allowed = 1..=4096;
        if !allowed.contains(&width) || !allowed.contains(&height) {
            return Err(Error::invalid("size", format!("{width}x{height}"), "1 to 4096 pixels in both directions"));
        }
        (scene.image.width, scene.image.height) = (width, height);
    }
    if let Some(samples) = changes.samples {
        let side = samples.isqrt();
        if side * side != samples || !(1..=16).contains(&side) {
            return Err(Error::invalid("samples", samples, "a square number, 1 to 256"));
        }
        scene.image.samples_per_side = side;
    }
    if let Some(passes) = &changes.passes {
        scene.image.extra_passes = passes.iter().filter(|pass| !Pass::ALWAYS.contains(pass)).copied().collect();
    }
    scene.image.exr = changes.exr.unwrap_or(scene.image.exr);
    let passes = changes.passes.clone().unwrap_or_else(|| scene.image.passes());
    let solids = crate::assets::solids(&scene)?;
    std::fs::create_dir_all(out).map_err(|error| Error::file(out, error))?;
    let renderer = Renderer::new(&scene, &solids);
    let mut files = 0;
    let mut sink = |name: &str, bytes: Vec<u8>| {
        files += 1;
        atomic::write(&out.join(name), &bytes)
    };
    sink("scene.ron", scene.to_ron().into_bytes())?;
    for camera in &scene.cameras {
        contents::make_passes(&scene, &solids, &renderer, camera, &passes, &mut Seconds::default(), &mut sink)?;
    }
    Ok(files)
}
