//! What other tools read: archives, COCO, the MOVi layout, the training cache.

use std::fs;

use velo_scenes::description::Split;
use velo_scenes::files::manifest::Format;
use velo_scenes::files::{DataSet, TrainingCache, coco, movi};

use crate::{made, small};

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
