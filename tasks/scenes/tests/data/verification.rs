//! What verification passes and what it finds.

use std::fs;
use std::path::Path;

use velo_scenes::description::{Pass, presets};
use velo_scenes::files::manifest::Format;
use velo_scenes::files::{DataSet, verify};

use crate::{made, small};

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
