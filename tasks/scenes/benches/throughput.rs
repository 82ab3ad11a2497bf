//! `cargo bench -p velo-scenes`: frames per second of one core by preset and resolution, and scenes per second by
//! workers, on this machine.
//!
//! A frame is colour and all annotations of one camera; drawing and simulating a scene are told apart. Times are those of
//! the processor; scenes per second are those of the clock, which on a busy machine says less than scenes per second of a
//! processor: only if the latter fall with a second worker, something of this crate keeps it from scaling.

use std::sync::OnceLock;
use std::time::Instant;

use velo_scenes::annotate::Annotator;
use velo_scenes::description::{Split, presets};
use velo_scenes::files::job::{self, Job};
use velo_scenes::files::manifest::Format;
use velo_scenes::generate::{Drawn, Generator};
use velo_scenes::render::Renderer;

/// Shortest measurement, three rounds together.
const SECONDS: f64 = 0.3;

/// Seconds that this thread has had a processor: other programs on the machine do not count. Where the system does not tell,
/// seconds on the clock.
fn processor_seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds =
        told.as_deref().and_then(|text| text.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64(), |n| n * 1e-9)
}

/// Seconds per call, the best of three rounds.
fn seconds_of(mut work: impl FnMut(usize)) -> f64 {
    let round = |work: &mut dyn FnMut(usize)| {
        let start = processor_seconds();
        let mut calls = 0;
        while processor_seconds() - start < SECONDS / 3.0 {
            work(calls);
            calls += 1;
        }
        (processor_seconds() - start) / calls as f64
    };
    (0..3).map(|_| round(&mut work)).fold(f64::INFINITY, f64::min)
}

fn frames(generator: &Generator) -> [f64; 4] {
    let scenes: Vec<Drawn> = (0..4).map(|seed| generator.draw(seed).expect("presets can be drawn")).collect();
    let frame_of = |call: usize| {
        let drawn = &scenes[call % scenes.len()];
        (drawn, call / scenes.len() % drawn.scene.video.frames)
    };
    let draw = seconds_of(|call| drop(generator.draw(call as u64).expect("presets can be drawn")));
    let rgb = seconds_of(|call| {
        let (drawn, frame) = frame_of(call);
        drop(Renderer::new(&drawn.scene, &drawn.solids).rgb(&drawn.scene.cameras[0], frame as i64));
    });
    let annotations = seconds_of(|call| {
        let (drawn, frame) = frame_of(call);
        drop(Annotator::new(&drawn.scene, &drawn.solids, &drawn.scene.cameras[0]).frame(frame));
    });
    [draw, rgb, annotations, 1.0 / (rgb + annotations)]
}

fn main() {
    println!(
        "| preset | pixels | samples | draw and simulate, ms | colour, ms | annotations, ms | frames/s per core |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, _) in presets::list() {
        for side in [32, 64, 128] {
            let mut config = presets::named(name).expect("the list holds presets");
            (config.image.width, config.image.height, config.image.samples_per_side) = (side, side, 2);
            let [draw, rgb, annotations, rate] = frames(&Generator::new(config).expect("presets are valid"));
            println!(
                "| {name} | {side} × {side} | 4 | {:.1} | {:.2} | {:.2} | {rate:.0} |",
                draw * 1e3,
                rgb * 1e3,
                annotations * 1e3
            );
        }
    }
    println!();
    scaling();
}

/// Processor seconds of all threads of this process, if the system tells.
fn processor_seconds_of_all() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // User and system time are the 14th and 15th field; the second is a name in brackets. A tick is 1/100 s on Linux.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

/// Scenes per second by workers, on the clock and per second of a processor, with the seconds of each stage.
fn scaling() {
    println!(
        "| movi_a, 64 × 64, 24 frames | workers | scenes/s | processors used | scenes per processor second | \
         simulate, s | render, s | annotate, s | write, s |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    const SCENES: u64 = 16;
    for (name, format) in [("tar shards", Format::Tar { scenes: 2 }), ("folders", Format::Folders)] {
        for workers in [1, 2] {
            let generator = Generator::new(presets::named("movi_a").expect("it is a preset")).expect("it is valid");
            let folder = tempfile::tempdir().expect("a temporary folder");
            let job = Job {
                folder: folder.path().to_path_buf(),
                split: Split::Train,
                scenes: 0..SCENES,
                shard: (0, 1),
                workers,
                format,
            };
            let (start, processor) = (Instant::now(), processor_seconds_of_all());
            let seconds = job::run(&generator, &job, &|_| true).expect("the job runs").seconds;
            let clock = start.elapsed().as_secs_f64();
            let used = processor.zip(processor_seconds_of_all()).map_or(f64::NAN, |(before, after)| after - before);
            println!(
                "| {name} | {workers} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                SCENES as f64 / clock,
                used / clock,
                SCENES as f64 / used,
                seconds.simulate,
                seconds.render,
                seconds.annotate,
                seconds.write
            );
        }
    }
}
