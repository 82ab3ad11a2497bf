//! Mesh files are untrusted: whatever is in them, reading ends with a mesh or an error.

use std::fs;

use proptest::prelude::*;
use velo_scenes::geometry::mesh_file;

const OBJ: &str = "o one\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0.5\nvn 0 0 1\nf 1//1 2//1 3//1 4//1\nf -1 -2 -3\n";

fn gltf() -> String {
    // Positions (0,0,0), (1,0,0), (0,1,0) as little-endian floats, then the indices 0, 1, 2 as 16-bit numbers.
    let data = "AAAAAAAAAAAAAAAAAACAPwAAAAAAAAAAAAAAAAAAgD8AAAAAAAABAAIA";
    format!(
        r#"{{"asset":{{"version":"2.0"}},"scene":0,"scenes":[{{"nodes":[0]}}],
        "nodes":[{{"mesh":0,"children":[1],"translation":[0,2,0]}},{{"mesh":0}}],
        "meshes":[{{"primitives":[{{"attributes":{{"POSITION":0}},"indices":1,"mode":4}}]}}],
        "buffers":[{{"byteLength":42,"uri":"data:application/octet-stream;base64,{data}"}}],
        "bufferViews":[{{"buffer":0,"byteLength":36}},{{"buffer":0,"byteOffset":36,"byteLength":6}}],
        "accessors":[
            {{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3","min":[0,0,0],"max":[1,1,0]}},
            {{"bufferView":1,"componentType":5123,"count":3,"type":"SCALAR"}}]}}"#
    )
}

/// The same as a binary file.
fn glb() -> Vec<u8> {
    let mut json = gltf().into_bytes();
    json.resize(json.len().next_multiple_of(4), b' ');
    let mut bytes = b"glTF".to_vec();
    bytes.extend(2u32.to_le_bytes());
    bytes.extend((json.len() as u32 + 20).to_le_bytes());
    bytes.extend((json.len() as u32).to_le_bytes());
    bytes.extend(b"JSON");
    bytes.extend(json);
    bytes
}

fn load(name: &str, bytes: &[u8]) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let mesh = mesh_file::load(&path).map_err(|error| error.to_string())?;
    assert!(mesh.vertices().iter().all(|v| v.is_finite()), "a mesh has finite corners");
    Ok(mesh.triangles().len())
}

#[test]
fn the_files_that_are_spoilt_below_are_good() {
    assert_eq!(load("a.obj", OBJ.as_bytes()), Ok(3));
    assert_eq!(load("a.gltf", gltf().as_bytes()), Ok(2));
    assert_eq!(load("a.glb", &glb()), Ok(2));
}

#[test]
fn nodes_that_name_each_other_end_with_an_error() {
    let children = format!("\"children\":[{}]", vec!["0"; 1000].join(","));
    let error = load("a.gltf", gltf().replace("\"children\":[1]", &children).as_bytes()).unwrap_err();
    assert!(error.contains("100000 nodes"), "{error}");
}

#[test]
fn positions_of_another_type_are_refused() {
    for (old, new) in [("5126", "5123"), ("\"VEC3\"", "\"VEC2\""), ("5123", "5126"), ("\"SCALAR\"", "\"VEC4\"")] {
        assert!(load("a.gltf", gltf().replacen(old, new, 1).as_bytes()).is_err(), "{old} {new}");
    }
}

#[test]
fn positions_that_are_not_there_are_refused() {
    for (old, new) in [("\"accessors\"", "\"accessorz\""), ("\"POSITION\":0", "\"POSITION\":7")] {
        let error = load("a.gltf", gltf().replacen(old, new, 1).as_bytes()).unwrap_err();
        assert!(error.contains("names positions that it does not have"), "{new}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn spoilt_files_give_a_mesh_or_an_error(
        which in 0usize..3,
        end in 0.0..1.3f64,
        changes in prop::collection::vec((0.0..1.0f64, any::<u8>()), 0..4),
        words in prop::collection::vec((0usize..40, 0usize..8), 0..3),
    ) {
        let (name, mut bytes) = match which {
            0 => ("a.obj", OBJ.as_bytes().to_vec()),
            1 => ("a.gltf", gltf().into_bytes()),
            _ => ("a.glb", glb()),
        };
        // Numbers, one after the other, become others.
        for (place, word) in words {
            let new = ["nan", "inf", "-1", "4294967295", "99999999999999999999", "1e39", "0", "2147483648"][word];
            let starts: Vec<usize> = (1..bytes.len())
                .filter(|&i| bytes[i].is_ascii_digit() && !bytes[i - 1].is_ascii_alphanumeric())
                .collect();
            let start = starts[place % starts.len()];
            let length = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
            bytes.splice(start..start + length, new.bytes());
        }
        for (at, byte) in changes {
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        let keep = (end * bytes.len() as f64) as usize;
        bytes.truncate(keep);
        let _ = load(name, &bytes);
    }
}
