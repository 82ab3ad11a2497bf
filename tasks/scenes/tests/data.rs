//! Data sets on disk: reproducibility, splits, text, verification, exports; tests 10, 11 and 14 of the crate's claims.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use velo_scenes::Error;
use velo_scenes::description::{Color, Combination, GeneratorConfig, Language, Pass, Shape, Split, presets};
use velo_scenes::files::job::{self, Job};
use velo_scenes::files::manifest::Format;
use velo_scenes::files::rerender::{Changes, rerender};
use velo_scenes::files::{DataSet, TrainingCache, coco, job_log, movi, stats, verify};
use velo_scenes::generate::Generator;
use velo_scenes::text::{Answer, Meaning};
use velo_scenes::vector::vec3;

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
fn every_preset_passes_verification_in_both_formats() {
    for (index, (name, _)) in presets::list().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let format = if index % 2 == 0 { Format::Folders } else { Format::Tar { scenes: 2 } };
        let mut config = small(name);
        config.text.questions = 12;
        made(config, folder.path(), 2, format, 2, (0, 1));
        let report = verify::verify(&DataSet::open(folder.path()).unwrap(), &|| ()).unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "{name}");
        assert!(report.scenes == 2 && report.pixels > 20, "{name}: {report:?}");
        if name == "clevr" {
            assert!(report.sentences > 100, "{report:?}");
        }
    }
}

/// Plants each lie in a file of the first scene, and checks that verification finds it by the hash, and by what it means
/// once the hash is mended.
fn finds(folder: &Path, lies: &[(&str, &str, Lie)]) {
    let unit = folder.join("train/000000000");
    let problems = || verify::verify(&DataSet::open(folder).unwrap(), &|| ()).unwrap().problems;
    assert_eq!(problems(), Vec::<String>::new());
    let manifest = fs::read_to_string(unit.join("manifest.json")).unwrap();
    for (name, symptom, lie) in lies {
        let original = fs::read(unit.join(name)).unwrap();
        let mut bytes = original.clone();
        lie(&mut bytes);
        assert_ne!(bytes, original, "{name}");
        fs::write(unit.join(name), &bytes).unwrap();
        let found = problems();
        assert!(found.len() == 1 && found[0].contains(name) && found[0].contains("other bytes"), "{name}: {found:?}");
        // With the hash mended the geometry has to find it.
        let mended = manifest
            .replace(&sha256(&original), &sha256(&bytes))
            .replace(&format!("\"bytes\":{},", original.len()), &format!("\"bytes\":{},", bytes.len()));
        fs::write(unit.join("manifest.json"), mended).unwrap();
        let found = problems();
        assert!(found.len() == 1 && !found[0].contains("other bytes"), "{name}: {found:?}");
        assert!(found[0].contains(symptom), "{name}: {found:?}");
        fs::write(unit.join(name), original).unwrap();
        fs::write(unit.join("manifest.json"), &manifest).unwrap();
    }
    assert!(problems().is_empty());
}

type Lie = fn(&mut Vec<u8>);

#[test]
fn verification_finds_planted_corruption_even_with_mended_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small("clevr");
    config.image.extra_passes = vec![Pass::Uv, Pass::CameraNormal, Pass::Shadow];
    made(config, folder.path(), 1, Format::Folders, 1, (0, 1));
    finds(
        folder.path(),
        &[
            ("camera_distance.npy", "", |b| shift(b, 0.01)),
            ("camera_depth.npy", "depth", |b| shift(b, 0.01)),
            ("camera_normal.npy", "", |b| shift(b, 0.3)),
            ("camera_flags.npy", "", |b| *b.last_mut().unwrap() ^= 1),
            ("camera_uv.npy", "texture coordinates", |b| shift(b, 0.3)),
            ("camera_camera_normal.npy", "camera's frame", |b| shift(b, 0.3)),
            ("camera_shadow.npy", "the share", |b| shift(b, 2.0)),
            ("metadata.json", "pixels in", |b| replace(b, "\"visible\":[", "\"visible\":[1")),
            ("metadata.json", "corner 0", |b| replace(b, "\"boxes_3d\":[[[", "\"boxes_3d\":[[[1")),
            ("metadata.json", "the position", |b| replace(b, "\"positions\":[[", "\"positions\":[[1")),
            ("metadata.json", "the angular velocity", |b| {
                replace(b, "\"angular_velocities\":[[0", "\"angular_velocities\":[[1")
            }),
            ("camera_tracks.json", "seen at", |b| replace(b, "\"places\":[[", "\"places\":[[1")),
            ("camera_tracks.json", "from the surface", |b| replace(b, "\"local\":[", "\"local\":[1")),
            ("camera_tracks.json", "told to be hidden", |b| replace(b, "\"visible\":[true", "\"visible\":[false")),
            ("camera_tracks.json", "told to be visible", |b| replace(b, "\"visible\":[false", "\"visible\":[true")),
            ("text.json", "derived", |b| replace(b, "\"Truth\":true", "\"Truth\":false")),
        ],
    );
}

#[test]
fn velocities_that_the_places_contradict_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small("movi_a");
    // Nothing to hit: free fall throughout.
    config.world.floor = false;
    config.objects[0].count = (1, 1);
    made(config, folder.path(), 1, Format::Folders, 1, (0, 1));
    let data = DataSet::open(folder.path()).unwrap();
    let mut scene = data.scene(0).scene().unwrap();
    assert_eq!(verify::verify(&data, &|| ()).unwrap().problems, Vec::<String>::new());
    let unit = folder.path().join("train/000000000");
    let manifest = fs::read_to_string(unit.join("manifest.json")).unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&fs::read(unit.join("metadata.json")).unwrap()).unwrap();
    for (field, symptom) in [("velocities", "the velocity"), ("angular_velocities", "the angular velocity")] {
        // The same lie in both files, hashes mended.
        let state = &mut scene.trajectory[2][0];
        let value = if field == "velocities" { &mut state.velocity } else { &mut state.angular_velocity };
        value.x += 0.3;
        let mut lied = metadata.clone();
        lied["objects"][0][field][1][0] = value.x.into();
        let files = [("scene.ron", scene.to_ron().into_bytes()), ("metadata.json", serde_json::to_vec(&lied).unwrap())];
        let mut mended: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        for (name, bytes) in files {
            mended["scenes"]["0"][name]["sha256"] = sha256(&bytes).into();
            mended["scenes"]["0"][name]["bytes"] = bytes.len().into();
            fs::write(unit.join(name), bytes).unwrap();
        }
        fs::write(unit.join("manifest.json"), mended.to_string()).unwrap();
        let found = verify::verify(&DataSet::open(folder.path()).unwrap(), &|| ()).unwrap().problems;
        assert!(found.len() == 1 && found[0].contains(symptom) && found[0].contains("by its"), "{found:?}");
        let state = &mut scene.trajectory[2][0];
        (if field == "velocities" { &mut state.velocity } else { &mut state.angular_velocity }).x -= 0.3;
    }
}

fn shift(bytes: &mut [u8], by: f32) {
    let at = bytes.len() - 4 * 200;
    let old = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    bytes[at..at + 4].copy_from_slice(&(old + by).to_le_bytes());
}

fn replace(bytes: &mut Vec<u8>, old: &str, new: &str) {
    *bytes = String::from_utf8(bytes.clone()).unwrap().replacen(old, new, 1).into_bytes();
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
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
fn tar_shards_are_what_other_tools_read() {
    let folder = tempfile::tempdir().unwrap();
    made(small("clevr"), folder.path(), 2, Format::Tar { scenes: 2 }, 1, (0, 1));
    let data = DataSet::open(folder.path()).unwrap();
    let mut archive = tar::Archive::new(fs::File::open(folder.path().join("train/000000.tar")).unwrap());
    let mut count = 0;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let (key, name) = path.split_once('.').unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        let index: usize = key.parse().unwrap();
        assert_eq!(data.scene(index).bytes(name).unwrap(), bytes, "{path}");
        count += 1;
    }
    assert_eq!(count, data.scenes().map(|s| s.names().count()).sum::<usize>());
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
fn no_answer_of_any_family_is_a_good_guess() {
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for preset in ["clevr", "movi_a"] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = small(preset);
        // Objects of one clip meet in its later frames.
        config.video.frames = if preset == "movi_a" { 12 } else { 1 };
        (config.text.questions, config.text.languages) = (12, vec![Language::English, Language::Turkish]);
        made(config, folder.path(), 40, Format::Tar { scenes: 20 }, 2, (0, 1));
        let data = DataSet::open(folder.path()).unwrap();
        for (answer, count) in stats::stats(&data).unwrap().answers {
            *answers.entry(answer).or_default() += count;
        }
        assert_eq!(verify::verify(&data, &|| ()).unwrap().problems, Vec::<String>::new());
    }
    let mut families: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (answer, count) in &answers {
        families.entry(answer.split_once(" = ").unwrap().0).or_default().push(*count);
    }
    for family in ["existence", "relation", "collision", "size", "material", "shape", "color", "count"] {
        let counts = &families[family];
        let (most, all) = (*counts.iter().max().unwrap(), counts.iter().sum::<usize>());
        assert!(all >= 30, "{family}: {answers:?}");
        // Of two answers none comes much more often than the other; of more, none comes in more than half of the cases.
        let allowed = if counts.len() == 2 { 0.6 } else { 0.5 };
        assert!((most as f64) < allowed * all as f64, "{family}: {answers:?}");
    }
}

#[test]
fn exports_and_caches_hold_the_same_pixels() {
    let folder = tempfile::tempdir().unwrap();
    made(small("movi_a"), folder.path(), 2, Format::Folders, 1, (0, 1));
    let data = DataSet::open(folder.path()).unwrap();
    let out = folder.path().join("coco");
    assert_eq!(coco::export(&data, Split::Train, &out).unwrap(), 6);
    let instances: serde_json::Value = serde_json::from_slice(&fs::read(out.join("instances.json")).unwrap()).unwrap();
    let visible: u64 = data
        .scenes()
        .flat_map(|s| s.metadata().unwrap().cameras[0].objects.clone())
        .flat_map(|o| o.visible)
        .map(u64::from)
        .sum();
    let mut area = 0;
    for annotation in instances["annotations"].as_array().unwrap() {
        let runs: Vec<u64> =
            annotation["segmentation"]["counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(runs.iter().sum::<u64>(), 48 * 40);
        assert_eq!(runs.iter().skip(1).step_by(2).sum::<u64>(), annotation["area"].as_u64().unwrap());
        area += annotation["area"].as_u64().unwrap();
    }
    assert_eq!(area, visible);
    let path = folder.path().join("train.cache");
    for _ in 0..2 {
        // Built, then opened.
        let cache = TrainingCache::open(&data, &[0, 1], "camera", &path).unwrap();
        assert_eq!((cache.len(), cache.extents()), (2, [3, 48, 40]));
        assert_eq!(cache.rgb(1, 2), data.scene(1).rgb("camera", 2).unwrap().data);
        assert!(cache.ids(1, 2).eq(data.scene(1).ids("camera", 2).unwrap()));
    }
    // Another choice of scenes is another key.
    assert_eq!(TrainingCache::open(&data, &[1], "camera", &path).unwrap().len(), 1);
}

#[test]
fn the_movi_layout_follows_kubric_s_conventions() {
    let folder = tempfile::tempdir().unwrap();
    made(small("movi_e"), folder.path(), 1, Format::Folders, 1, (0, 1));
    let data = DataSet::open(folder.path()).unwrap();
    let out = folder.path().join("movi");
    assert_eq!(movi::export(&data, Split::Train, &out).unwrap(), 1);
    let (files, clip) = (data.scene(0), out.join("000000000000"));
    let read =
        |name: &str| -> serde_json::Value { serde_json::from_slice(&fs::read(clip.join(name)).unwrap()).unwrap() };
    let decoded = |name: &str| {
        let mut reader = png::Decoder::new(fs::File::open(clip.join(name)).map(std::io::BufReader::new).unwrap());
        reader.set_transformations(png::Transformations::IDENTITY);
        let mut reader = reader.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        bytes
    };
    let numbers =
        |name: &str| -> Vec<u16> { decoded(name).chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect() };
    let ranges = read("data_ranges.json");
    let frame = 1;
    let pixels = 48 * 40;
    // Flow: rows before columns, and backward is the motion from the last picture to this one.
    for (name, sign) in [("forward_flow", 1.0), ("backward_flow", -1.0)] {
        let ours = files.field("camera", name).unwrap().data;
        let (low, high) = (ranges[name]["min"].as_f64().unwrap(), ranges[name]["max"].as_f64().unwrap());
        assert!(high > low, "the camera moves");
        let theirs = numbers(&format!("{name}_00001.png"));
        let value = |number: u16| low + f64::from(number) / 65535.0 * (high - low);
        for pixel in 0..pixels {
            let xy = &ours[2 * (frame * pixels + pixel)..][..2];
            let (row, column) = (value(theirs[3 * pixel]), value(theirs[3 * pixel + 1]));
            let apart = (row - sign * f64::from(xy[1])).abs().max((column - sign * f64::from(xy[0])).abs());
            assert!(apart <= 0.51 * (high - low) / 65535.0, "{name}: {row} {column} {xy:?}");
        }
    }
    // Segmentation: the place in the list of instances, which is sorted by visibility, plus one.
    let metadata = read("metadata.json");
    let instances = metadata["instances"].as_array().unwrap();
    let segmentation = decoded("segmentation_00001.png");
    let mut before = u64::MAX;
    for (place, instance) in instances.iter().enumerate() {
        let visible: Vec<u64> =
            instance["visibility"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        let total: u64 = visible.iter().sum();
        assert!(total > 0 && total <= before);
        before = total;
        let counted = segmentation.iter().filter(|byte| usize::from(**byte) == place + 1).count() as u64;
        assert_eq!(counted, visible[frame]);
    }
    // Kubric's K maps the camera frame to shares of the picture.
    let k = &metadata["camera"]["K"];
    assert_eq!((k[2][2].as_f64(), k[0][2].as_f64()), (Some(-1.0), Some(-0.5)));
    let angle = metadata["camera"]["field_of_view"].as_f64().unwrap();
    assert!((angle - 0.8576).abs() < 1e-3, "{angle} rad");
    let scene = files.scene().unwrap();
    let events = read("events.json");
    let events = events["collisions"].as_array().unwrap();
    assert_eq!(events.len(), scene.collisions.len());
    for (event, collision) in events.iter().zip(&scene.collisions) {
        let first = event["instances"][0].as_i64().unwrap();
        assert!(collision.ids[0] > 0 || first == -1, "the floor is -1");
    }
}

#[test]
fn texts_come_in_all_languages_with_paraphrases_and_read_signs_from_left_to_right() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = presets::named("signs").unwrap();
    config.image.samples_per_side = 1;
    config.text.questions = 12;
    made(config, folder.path(), 6, Format::Folders, 2, (0, 1));
    let data = DataSet::open(folder.path()).unwrap();
    let mut texts = std::collections::BTreeSet::new();
    let mut readings = 0;
    for files in data.scenes() {
        let scene = files.scene().unwrap();
        for sentence in files.texts().unwrap().sentences {
            texts.insert((sentence.language, sentence.text.clone()));
            assert!(!sentence.text.contains('{'), "{}", sentence.text);
            if let (Meaning::Reading, Some(Answer::Text(text))) = (&sentence.meaning, &sentence.answer) {
                readings += 1;
                let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
                let mut written: Vec<_> = scene.objects.iter().filter_map(|o| o.text.clone()).collect();
                words.sort();
                written.retain(|w| words.contains(w));
                assert_eq!(written.len(), words.len());
            }
        }
    }
    assert!(readings > 0);
    for language in Language::ALL {
        let count = texts.iter().filter(|(l, _)| l == language).count();
        assert!(count > 5, "{language:?}: {count}");
    }
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
