//! Data sets on disk: reproducibility, splits, faults, meshes; tests 10, 11 and 14 of the crate's claims.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use velo_scenes::Error;
use velo_scenes::description::{Color, Combination, GeneratorConfig, Language, Pass, Shape, Split, presets};
use velo_scenes::files::job::{self, Job};
use velo_scenes::files::manifest::Format;
use velo_scenes::files::rerender::{Changes, rerender};
use velo_scenes::files::{DataSet, job_log, stats, verify};
use velo_scenes::generate::Generator;
use velo_scenes::vector::vec3;

mod exports;
mod texts;
mod verification;

/// A preset cut down to a few small frames.
fn small(preset: &str) -> GeneratorConfig {
    let mut config = presets::named(preset).unwrap();
    config.video.frames = config.video.frames.min(3);
    (config.image.width, config.image.height, config.image.samples_per_side) = (48, 40, 1);
    config
}

fn made(
    config: GeneratorConfig,
    folder: &Path,
    scenes: u64,
    format: Format,
    workers: usize,
    shard: (u64, u64),
) -> job::Summary {
    let job = Job { folder: folder.to_path_buf(), split: Split::Train, scenes: 0..scenes, shard, workers, format };
    job::run(&Generator::new(config).unwrap(), &job, &|_| true).unwrap()
}

/// All files below a folder with their bytes, but for the logs, which tell times.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_none_or(|extension| extension != "jsonl") {
                files.insert(path.strip_prefix(folder).unwrap().display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn the_same_bytes_come_from_any_number_of_workers_and_shards() {
    for format in [Format::Folders, Format::Tar { scenes: 2 }] {
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        made(small("movi_b"), folders[0].path(), 4, format, 1, (0, 1));
        made(small("movi_b"), folders[1].path(), 4, format, 2, (0, 1));
        // Backwards and in parts.
        made(small("movi_b"), folders[2].path(), 4, format, 1, (1, 2));
        made(small("movi_b"), folders[2].path(), 4, format, 1, (0, 2));
        let [a, b, c] = [0, 1, 2].map(|i: usize| tree(folders[i].path()));
        assert!(a.len() > 4 && a == b && a == c);
    }
}

#[test]
fn a_second_run_makes_nothing_and_a_longer_one_only_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    made(small("clevr"), folder.path(), 2, Format::Folders, 1, (0, 1));
    let again = made(small("clevr"), folder.path(), 3, Format::Folders, 1, (0, 1));
    assert_eq!((again.made, again.skipped), (1, 2));
    let seeds: Vec<_> = DataSet::open(folder.path()).unwrap().scenes().map(|s| s.seed()).collect();
    assert_eq!(seeds, [0, 1, 2]);
}

#[test]
fn another_configuration_is_not_mixed_in() {
    let folder = tempfile::tempdir().unwrap();
    made(small("clevr"), folder.path(), 1, Format::Folders, 1, (0, 1));
    let job = Job {
        folder: folder.path().to_path_buf(),
        split: Split::Train,
        scenes: 0..1,
        shard: (0, 1),
        workers: 1,
        format: Format::Folders,
    };
    let error = job::run(&Generator::new(small("stereo")).unwrap(), &job, &|_| true).unwrap_err();
    assert!(
        matches!(error, Error::OtherConfig { .. }) && error.to_string().contains("choose another folder"),
        "{error}"
    );
}

#[test]
fn another_camera_leaves_the_objects_as_they_are() {
    let config = small("movi_b");
    let mut other = config.clone();
    other.cameras[0].path = presets::named("movi_e").unwrap().cameras[0].path;
    let [a, b] = [config, other].map(|c| Generator::new(c).unwrap().draw(7).unwrap().scene);
    assert_ne!(a.cameras, b.cameras);
    assert_eq!((a.objects, a.trajectory, a.collisions), (b.objects, b.trajectory, b.collisions));
}

#[test]
fn a_scene_rendered_again_has_the_same_bytes_and_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small("stereo");
    config.image.extra_passes = vec![Pass::Uv, Pass::CameraNormal, Pass::Shadow];
    config.image.exr = true;
    made(config, folder.path(), 1, Format::Folders, 1, (0, 1));
    let data = DataSet::open(folder.path()).unwrap();
    let (files, again) = (data.scene(0), folder.path().join("again"));
    let scene = files.scene().unwrap();
    rerender(&scene, &Changes::default(), &again).unwrap();
    let rendered = tree(&again);
    let expected: BTreeMap<_, _> =
        tree(&folder.path().join("train/000000000")).into_iter().filter(|(name, _)| !name.ends_with(".json")).collect();
    assert!(expected.keys().any(|name| name.ends_with("shadow.npy")) && expected.keys().any(|n| n.ends_with(".exr")));
    assert!(rendered == expected, "{:?}", rendered.keys());
    let changed = folder.path().join("changed");
    let changes = Changes {
        camera: Some("left_right".to_owned()),
        size: Some((24, 20)),
        samples: Some(9),
        passes: Some(vec![Pass::Rgb, Pass::Depth]),
        exr: Some(false),
    };
    rerender(&scene, &changes, &changed).unwrap();
    let names: Vec<String> = tree(&changed).into_keys().collect();
    let rgb = (0..scene.video.frames).map(|frame| format!("left_right_rgb_{frame:05}.png"));
    let expected: Vec<String> =
        std::iter::once("left_right_depth.npy".to_owned()).chain(rgb).chain(["scene.ron".to_owned()]).collect();
    assert_eq!(names, expected);
    let error = rerender(&scene, &Changes { samples: Some(5), ..Changes::default() }, &changed).unwrap_err();
    assert!(error.to_string().contains("square number"), "{error}");
    let error = rerender(&scene, &Changes { camera: Some("lefd".into()), ..Changes::default() }, &changed).unwrap_err();
    assert!(error.to_string().contains("did you mean"), "{error}");
}

#[test]
fn truncated_shards_and_other_versions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    made(small("clevr"), folder.path(), 2, Format::Tar { scenes: 2 }, 1, (0, 1));
    let tar = folder.path().join("train/000000.tar");
    let bytes = fs::read(&tar).unwrap();
    fs::write(&tar, &bytes[..bytes.len() * 3 / 4]).unwrap();
    let problems = verify::verify(&DataSet::open(folder.path()).unwrap(), &|| ()).unwrap().problems;
    assert!(problems.iter().any(|p| p.contains("000000.tar") && p.contains("generate it again")), "{problems:?}");
    let path = folder.path().join("manifest.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"version\":1", "\"version\":9");
    fs::write(&path, text).unwrap();
    let error = DataSet::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("schema version 9") && error.contains("manifest.json"), "{error}");
}

#[test]
fn splits_share_no_seed_and_only_the_test_split_shows_what_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small("clevr");
    config.splits = velo_scenes::description::Splits { train: (0, 40), validation: (40, 45), test: (45, 55) };
    config.text.languages = vec![Language::English];
    let generator = Generator::new(config).unwrap();
    for (split, scenes) in [(Split::Train, 40), (Split::Validation, 5), (Split::Test, 10)] {
        let job = Job {
            folder: folder.path().to_path_buf(),
            split,
            scenes: 0..scenes,
            shard: (0, 1),
            workers: 2,
            format: Format::Tar { scenes: 10 },
        };
        job::run(&generator, &job, &|_| true).unwrap();
    }
    let data = DataSet::open(folder.path()).unwrap();
    assert!(verify::splits_are_disjoint(&data) && data.len() == 55);
    let cyan_cube = Combination { shape: Some(Shape::Cube), color: Some(Color::Cyan), material: None };
    for files in data.scenes() {
        assert_eq!(files.shows(&cyan_cube).unwrap(), files.split() == Split::Test, "seed {}", files.seed());
    }
    // Answers are balanced enough that always saying yes is no strategy.
    let counted = stats::stats(&data).unwrap();
    let of = |answer: &str| counted.answers.get(&format!("existence = {answer}")).copied().unwrap_or(0) as f64;
    let share = of("true") / (of("true") + of("false"));
    assert!((0.3..0.7).contains(&share), "{share} of {}", of("true") + of("false"));
}

#[test]
fn scenes_that_cannot_be_placed_are_reported_and_all_others_are_made() {
    let mut config = small("movi_a");
    // There is room for one object, and most draws want more; some scenes do so twenty times in a row.
    config.objects[0].spawn = (vec3(0.0, 0.0, 1.5), vec3(0.1, 0.1, 1.6));
    config.objects[0].count = (1, 40);
    for format in [Format::Folders, Format::Tar { scenes: 3 }] {
        let folder = tempfile::tempdir().unwrap();
        let first = made(config.clone(), folder.path(), 6, format, 2, (0, 1));
        let failed: Vec<u64> = first.failures.iter().map(|failure| failure.seed).collect();
        assert!(first.made > 0 && !failed.is_empty() && first.made + failed.len() as u64 == 6, "{first:?}");
        assert!(first.failures[0].error.contains(&format!("seed {}", failed[0])), "{first:?}");
        let data = DataSet::open(folder.path()).unwrap();
        assert!(data.scenes().all(|scene| !failed.contains(&scene.seed())) && data.len() as u64 == first.made);
        assert_eq!(verify::verify(&data, &|| ()).unwrap().problems, Vec::<String>::new());
        // The same command again makes nothing and fails alike.
        let again = made(config.clone(), folder.path(), 6, format, 1, (0, 1));
        assert_eq!((again.made, again.skipped, &again.failures), (0, first.made, &first.failures));
        let (lines, torn) = job_log::read(folder.path()).unwrap();
        assert_eq!(torn, 0);
        for line in &lines {
            assert_eq!((line.index, line.error.is_some()), (line.seed, failed.contains(&line.seed)), "{line:?}");
            assert!(line.error.is_none() || line.retries > 0, "{line:?}");
            assert_eq!(line.seconds.render > 0.0, line.error.is_none(), "{line:?}");
        }
        assert!((0..6).all(|seed| lines.iter().any(|line| line.seed == seed)), "{lines:?}");
    }
}

#[test]
fn what_cannot_be_placed_is_told_with_its_seed() {
    let mut config = small("movi_a");
    config.objects[0].spawn = (vec3(0.0, 0.0, 1.0), vec3(0.1, 0.1, 1.1));
    let error = Generator::new(config).unwrap().draw(17).unwrap_err().to_string();
    assert!(error.contains("seed 17") && error.contains("100 attempts") && error.contains("widen"), "{error}");
    let mut config = small("movi_a");
    config.hold_out = vec![Combination::default()];
    let error = Generator::new(config).unwrap().draw(3).unwrap_err().to_string();
    assert!(error.contains("seed 3") && error.contains("hold_out"), "{error}");
}

#[test]
fn the_user_s_meshes_are_drawn_like_any_object() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = folder.path().join("wedge.obj");
    let text = "v 0 0 0\nv 2 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n";
    fs::write(&mesh, text).unwrap();
    let mut config = small("movi_a");
    config.objects[0].shapes = vec![Shape::Custom];
    config.objects[0].meshes = vec![mesh.display().to_string()];
    let out = folder.path().join("out");
    made(config.clone(), &out, 1, Format::Folders, 1, (0, 1));
    let data = DataSet::open(&out).unwrap();
    assert_eq!(verify::verify(&data, &|| ()).unwrap().problems, Vec::<String>::new());
    // A mesh that changes afterwards is noticed, and a bad one is refused at once.
    fs::write(&mesh, text.replace("2 0 0", "3 0 0")).unwrap();
    let problems = verify::verify(&data, &|| ()).unwrap().problems;
    assert!(problems[0].contains("wedge.obj") && problems[0].contains("has changed"), "{problems:?}");
    fs::write(&mesh, text.replace("2 0 0", "inf 0 0")).unwrap();
    let error = Generator::new(config).unwrap_err().to_string();
    assert!(error.contains("wedge.obj"), "{error}");
}
