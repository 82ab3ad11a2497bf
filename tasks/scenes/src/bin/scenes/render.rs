//! `scenes render`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use velo_scenes::description::{Pass, Scene};
use velo_scenes::files::rerender::{Changes, rerender};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The `scene.ron` of a scene.
    scene: PathBuf,
    /// The folder to write to.
    #[arg(long)]
    out: PathBuf,
    /// The only camera to render.
    #[arg(long)]
    camera: Option<String>,
    /// Pixels, as WIDTHxHEIGHT.
    #[arg(long, value_parser = size)]
    size: Option<(usize, usize)>,
    /// Samples per pixel, a square number.
    #[arg(long)]
    samples: Option<usize>,
    /// The only passes to make, separated by commas: rgb, ids, distance, depth, normal, coordinates, forward_flow,
    /// backward_flow, flags, uv, camera_normal, shadow.
    #[arg(long, value_delimiter = ',', value_parser = pass)]
    passes: Option<Vec<Pass>>,
    /// Write all passes of each frame into one OpenEXR file, too.
    #[arg(long)]
    exr: bool,
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    numbers.ok_or_else(|| "expected WIDTHxHEIGHT".to_owned())
}

fn pass(text: &str) -> Result<Pass, String> {
    let names = || Pass::ALL.iter().map(|pass| pass.name()).collect::<Vec<_>>().join(", ");
    Pass::ALL.iter().copied().find(|pass| pass.name() == text).ok_or_else(|| format!("expected one of {}", names()))
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let name = arguments.scene.display().to_string();
    let text = std::fs::read_to_string(&arguments.scene).with_context(|| name.clone())?;
    let changes = Changes {
        camera: arguments.camera.clone(),
        size: arguments.size,
        samples: arguments.samples,
        passes: arguments.passes.clone(),
        exr: arguments.exr.then_some(true),
    };
    let files = rerender(&Scene::from_text(&name, &text)?, &changes, &arguments.out)?;
    crate::print(&format!("{files} files\n"))
}
