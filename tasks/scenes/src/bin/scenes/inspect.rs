//! `scenes preview`, `verify`, `stats`, `export` and `presets`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use velo_scenes::description::{Split, presets as known};
use velo_scenes::files::contact_sheet::{self, Sheet};
use velo_scenes::files::contents::Seconds;
use velo_scenes::files::stats::stats as count;
use velo_scenes::files::{DataSet, coco, job_log, movi, verify as verification};
use velo_scenes::generate::Generator;

use crate::source::Source;

#[derive(Debug, Args)]
pub(crate) struct Preview {
    #[command(flatten)]
    source: Source,
    /// The PNG to write.
    #[arg(long)]
    out: PathBuf,
    /// Scenes, one row each.
    #[arg(long, default_value_t = 4)]
    scenes: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Size of a pixel.
    #[arg(long, default_value_t = 2)]
    zoom: usize,
    /// Show the colours of every n-th frame instead of the annotations of the middle one.
    #[arg(long)]
    strip: Option<usize>,
}

pub(crate) fn preview(arguments: &Preview) -> anyhow::Result<()> {
    if arguments.source.is_missing() {
        return all_presets(arguments);
    }
    let generator = Generator::new(arguments.source.load()?)?;
    let rows = (arguments.seed..arguments.seed + arguments.scenes).map(|seed| {
        let drawn = generator.draw(seed)?;
        Ok(match arguments.strip {
            Some(step) => contact_sheet::strip(&drawn, step),
            None => contact_sheet::panels(&drawn, drawn.scene.video.frames / 2),
        })
    });
    let sheet =
        Sheet::stacked(&rows.collect::<Result<Vec<_>, velo_scenes::Error>>()?).enlarged(arguments.zoom.clamp(1, 16));
    std::fs::write(&arguments.out, sheet.png()).with_context(|| arguments.out.display().to_string())
}

/// One row per preset, all about equally high.
fn all_presets(arguments: &Preview) -> anyhow::Result<()> {
    let rows = known::list().map(|(name, _)| {
        let drawn = Generator::new(known::named(name)?)?.draw(arguments.seed)?;
        let zoom = (64 / drawn.scene.image.height).max(1);
        Ok(contact_sheet::panels(&drawn, drawn.scene.video.frames / 2).enlarged(zoom))
    });
    let sheet = Sheet::stacked(&rows.collect::<Result<Vec<_>, velo_scenes::Error>>()?);
    let sheet = sheet.enlarged(arguments.zoom.clamp(1, 16));
    std::fs::write(&arguments.out, sheet.png()).with_context(|| arguments.out.display().to_string())
}

#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// The folder of the data set.
    folder: PathBuf,
}

pub(crate) fn verify(arguments: &Folder) -> anyhow::Result<()> {
    let data = DataSet::open(&arguments.folder)?;
    let bar = crate::bar(data.len() as u64);
    let report = verification::verify(&data, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let mut text = String::new();
    for problem in &report.problems {
        writeln!(text, "{problem}")?;
    }
    writeln!(
        text,
        "{} scenes, {} pixels, {} sentences checked: {} problems",
        report.scenes,
        report.pixels,
        report.sentences,
        report.problems.len()
    )?;
    crate::print(&text)?;
    if report.problems.is_empty() { Ok(()) } else { bail!("{} scenes are not right", report.problems.len()) }
}

pub(crate) fn stats(arguments: &Folder) -> anyhow::Result<()> {
    let stats = count(&DataSet::open(&arguments.folder)?)?;
    let mut text = String::new();
    let mut table = |title: &str, rows: Vec<(String, usize)>| {
        let _ = writeln!(text, "{title}");
        for (name, count) in rows {
            let _ = writeln!(text, "  {name:32} {count}");
        }
    };
    let named = |(name, count): (&&str, &usize)| ((*name).to_owned(), *count);
    table("scenes of split", stats.splits.iter().map(named).collect());
    table("scenes by number of objects", stats.objects.iter().map(|(n, c)| (n.to_string(), *c)).collect());
    table("objects by word", stats.words.iter().map(|(n, c)| (n.clone(), *c)).collect());
    let tenth = |(i, c): (usize, &usize)| (format!("{:.1} to {:.1}", i as f64 / 10.0, (i + 1) as f64 / 10.0), *c);
    table("objects by visible fraction, first frame", stats.visible.iter().enumerate().map(tenth).collect());
    table("collisions between objects", vec![(String::new(), stats.collisions)]);
    table("sentences by language", stats.languages.iter().map(named).collect());
    let (lines, torn) = job_log::read(&arguments.folder)?;
    let made: Vec<_> = lines.iter().filter(|line| line.error.is_none()).collect();
    let mut seconds = Seconds::default();
    made.iter().for_each(|line| seconds += line.seconds);
    let stages = [("simulate", seconds.simulate), ("render", seconds.render)];
    let stages = stages.into_iter().chain([("annotate", seconds.annotate), ("write", seconds.write)]);
    let milliseconds = |s: f64| (s * 1e3 / made.len().max(1) as f64).round() as usize;
    table("milliseconds per scene, by the logs", stages.map(|(n, s)| (n.to_owned(), milliseconds(s))).collect());
    let retries = made.iter().map(|line| line.retries as usize).sum();
    let log =
        [("scenes made", made.len()), ("not made", lines.len() - made.len()), ("placed anew", retries), ("torn", torn)];
    table("lines of the logs", log.map(|(name, count)| (name.to_owned(), count)).to_vec());
    table("answers", stats.answers.iter().map(|(n, c)| (n.clone(), *c)).collect());
    crate::print(&text)
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The folder of the data set.
    folder: PathBuf,
    /// The folder to write to.
    #[arg(long)]
    out: PathBuf,
    /// The split: train, validation or test.
    #[arg(long, default_value = "train", value_parser = crate::generate::split)]
    split: Split,
    /// COCO's detection and panoptic segmentation, or the layout of Kubric's MOVi.
    #[arg(long, value_enum, default_value = "coco")]
    format: ExportFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ExportFormat {
    Coco,
    Movi,
}

pub(crate) fn export(arguments: &Export) -> anyhow::Result<()> {
    let data = DataSet::open(&arguments.folder)?;
    let (count, what) = match arguments.format {
        ExportFormat::Coco => (coco::export(&data, arguments.split, &arguments.out)?, "pictures"),
        ExportFormat::Movi => (movi::export(&data, arguments.split, &arguments.out)?, "clips"),
    };
    crate::print(&format!("{count} {what}\n"))
}

#[derive(Debug, Args)]
pub(crate) struct Presets {
    /// Print this one, comments included, as a start for a configuration of your own.
    name: Option<String>,
}

pub(crate) fn presets(arguments: &Presets) -> anyhow::Result<()> {
    match &arguments.name {
        Some(name) => crate::print(known::text(name)?),
        None => known::list().try_for_each(|(name, about)| crate::print(&format!("{name:16} {about}\n"))),
    }
}
