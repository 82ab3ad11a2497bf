//! Meshes of the user's own: Wavefront OBJ and glTF 2.0 (`.gltf` with its buffers beside it or inside, `.glb`).
//!
//! Files are untrusted: their size is bounded before they are read, and everything in them goes through the checks of
//! [`TriangleMesh::new`]. Materials of the file are not read: colours come from the configuration.

use std::fs;
use std::path::Path;

use gltf::accessor::{DataType, Dimensions};

use super::TriangleMesh;
use crate::Error;
use crate::vector::{Vec3, vec3};

/// Bytes of a mesh file or of one of its buffers at most.
pub const MAX_BYTES: u64 = 512 << 20;

/// Reads a mesh by the extension of its file, z up: glTF, whose files have y up, is turned.
///
/// # Errors
/// [`Error::Mesh`] for what is not a mesh in a known format, [`Error::File`] for what cannot be read.
pub fn load(path: &Path) -> Result<TriangleMesh, Error> {
    let name = path.display().to_string();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let (vertices, triangles) = match extension.as_str() {
        "obj" => obj(&name, &read(path)?)?,
        "gltf" | "glb" => gltf(&name, path)?,
        _ => return Err(mesh_error(&name, "has no known extension; expected .obj, .gltf or .glb")),
    };
    TriangleMesh::new(&name, vertices, triangles, false)
}

fn mesh_error(mesh: &str, problem: impl ToString) -> Error {
    Error::Mesh { mesh: mesh.to_owned(), problem: problem.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let length = fs::metadata(path).map_err(|e| Error::file(path, e))?.len();
    if length > MAX_BYTES {
        let problem = format!("has {length} bytes, at most {MAX_BYTES} are read; decimate it");
        return Err(mesh_error(&path.display().to_string(), problem));
    }
    fs::read(path).map_err(|e| Error::file(path, e))
}

type Triangles = (Vec<Vec3>, Vec<[u32; 3]>);

fn obj(name: &str, bytes: &[u8]) -> Result<Triangles, Error> {
    let options =
        tobj::LoadOptions { triangulate: true, ignore_points: true, ignore_lines: true, ..Default::default() };
    // Without a reader of material libraries: the materials named in the file are left alone.
    let (models, _) = tobj::load_obj_buf(&mut std::io::Cursor::new(bytes), &options, |_| Ok(Default::default()))
        .map_err(|error| mesh_error(name, format!("is not a Wavefront OBJ file: {error}")))?;
    let (mut vertices, mut triangles) = (Vec::new(), Vec::new());
    for model in models {
        let first = vertices.len() as u32;
        vertices.extend(
            model.mesh.positions.chunks_exact(3).map(|p| vec3(f64::from(p[0]), f64::from(p[1]), f64::from(p[2]))),
        );
        triangles.extend(model.mesh.indices.chunks_exact(3).map(|t| [first + t[0], first + t[1], first + t[2]]));
    }
    Ok((vertices, triangles))
}

/// Whether the positions that meshes name are there: the validation of the crate panics where they are not.
fn has_positions(json: &gltf::json::Root) -> bool {
    let positions = gltf::json::validation::Checked::Valid(gltf::Semantic::Positions);
    let mut primitives = json.meshes.iter().flat_map(|mesh| &mesh.primitives);
    primitives.all(|primitive| {
        let named = primitive.attributes.get(&positions);
        named.is_none_or(|accessor| accessor.value() < json.accessors.len())
    })
}

fn gltf(name: &str, path: &Path) -> Result<Triangles, Error> {
    let refused = |error: gltf::Error| mesh_error(name, format!("is not a glTF 2.0 file: {error}"));
    let gltf::Gltf { document, mut blob } = gltf::Gltf::from_slice_without_validation(&read(path)?).map_err(refused)?;
    let json = document.into_json();
    if !has_positions(&json) {
        return Err(mesh_error(name, "is not a glTF 2.0 file: it names positions that it does not have"));
    }
    let document = gltf::Document::from_json(json).map_err(refused)?;
    let mut buffers = Vec::new();
    for buffer in document.buffers() {
        let bytes = match buffer.source() {
            gltf::buffer::Source::Bin => blob.take().ok_or_else(|| mesh_error(name, "has no binary chunk"))?,
            gltf::buffer::Source::Uri(uri) => match uri.strip_prefix("data:") {
                Some(data) => {
                    let (_, text) =
                        data.split_once(";base64,").ok_or_else(|| mesh_error(name, "has a data URI without base64"))?;
                    base64(text).ok_or_else(|| mesh_error(name, "has a data URI that is not base64"))?
                }
                None if uri.contains("..") || uri.contains(':') || uri.starts_with('/') => {
                    return Err(mesh_error(name, format!("names a buffer outside of its folder: {uri}")));
                }
                None => read(&path.with_file_name(uri))?,
            },
        };
        if bytes.len() < buffer.length() {
            let problem = format!("buffer {} has {} of {} bytes", buffer.index(), bytes.len(), buffer.length());
            return Err(mesh_error(name, problem));
        }
        buffers.push(bytes);
    }
    // The accessors of the library index without asking, so every view is checked against its buffer first.
    for accessor in document.accessors() {
        if let Some(view) = accessor.view() {
            let buffer = buffers[view.buffer().index()].len();
            let stride = view.stride().unwrap_or(accessor.size());
            let needed = accessor.count().saturating_sub(1).saturating_mul(stride).saturating_add(accessor.size());
            let view_end = view.offset().saturating_add(view.length());
            if view_end > buffer || accessor.offset().saturating_add(needed) > view.length() {
                return Err(mesh_error(name, format!("accessor {} reaches beyond its buffer", accessor.index())));
            }
        }
        if accessor.sparse().is_some() {
            return Err(mesh_error(name, "has sparse accessors; save it without morph targets"));
        }
    }
    let (mut vertices, mut triangles) = (Vec::new(), Vec::new());
    let scene = document.default_scene().or_else(|| document.scenes().next());
    let scene = scene.ok_or_else(|| mesh_error(name, "has no scene"))?;
    let identity = [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]];
    let mut waiting: Vec<_> = scene.nodes().map(|node| (node, identity)).collect();
    let mut reached = waiting.len();
    while let Some((node, parent)) = waiting.pop() {
        let matrix = product(parent, node.transform().matrix());
        // Counted before they are kept: nodes may name each other without end.
        reached += node.children().len();
        if reached > 100_000 {
            return Err(mesh_error(name, "has a hierarchy of more than 100000 nodes"));
        }
        waiting.extend(node.children().map(|child| (child, matrix)));
        for primitive in node.mesh().iter().flat_map(gltf::Mesh::primitives) {
            if primitive.mode() != gltf::mesh::Mode::Triangles {
                return Err(mesh_error(name, "has primitives that are not triangles; triangulate it"));
            }
            let is_places = |accessor: &gltf::Accessor<'_>| {
                accessor.data_type() == DataType::F32 && accessor.dimensions() == Dimensions::Vec3
            };
            let is_indices = |accessor: &gltf::Accessor<'_>| {
                matches!(accessor.data_type(), DataType::U8 | DataType::U16 | DataType::U32)
                    && accessor.dimensions() == Dimensions::Scalar
            };
            let places = primitive.get(&gltf::Semantic::Positions);
            if !places.iter().all(is_places) || !primitive.indices().iter().all(is_indices) {
                return Err(mesh_error(name, "has positions or indices of another type than glTF 2.0 allows"));
            }
            let reader = primitive.reader(|buffer| buffers.get(buffer.index()).map(Vec::as_slice));
            let positions =
                reader.read_positions().ok_or_else(|| mesh_error(name, "has a primitive without positions"))?;
            let first = vertices.len() as u32;
            vertices.extend(positions.map(|p| {
                let p = transformed(&matrix, p);
                // y up to z up.
                vec3(p[0], -p[2], p[1])
            }));
            let indices: Vec<u32> = match reader.read_indices() {
                Some(indices) => indices.into_u32().collect(),
                None => (0..vertices.len() as u32 - first).collect(),
            };
            triangles.extend(indices.chunks_exact(3).map(|t| [0, 1, 2].map(|i| first.saturating_add(t[i]))));
            // Many nodes may share one mesh.
            let most = super::mesh::MAX_TRIANGLES;
            if triangles.len() > most || vertices.len() > 3 * most {
                return Err(mesh_error(name, format!("has more than {most} triangles; decimate it")));
            }
        }
    }
    Ok((vertices, triangles))
}

/// Product of column-major matrices: first `b`, then `a`.
fn product(a: [[f32; 4]; 4], b: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    std::array::from_fn(|column| std::array::from_fn(|row| (0..4).map(|k| a[k][row] * b[column][k]).sum()))
}

fn transformed(m: &[[f32; 4]; 4], p: [f32; 3]) -> [f64; 3] {
    std::array::from_fn(|row| {
        f64::from(m[0][row]) * f64::from(p[0])
            + f64::from(m[1][row]) * f64::from(p[1])
            + f64::from(m[2][row]) * f64::from(p[2])
            + f64::from(m[3][row])
    })
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for symbol in text.bytes().filter(|b| *b != b'=') {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(name: &str, text: &[u8]) -> Result<TriangleMesh, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn an_obj_file_is_triangulated() {
        let mesh = load_text("quad.obj", b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n").unwrap();
        assert_eq!((mesh.vertices().len(), mesh.triangles().len()), (4, 2));
    }

    #[test]
    fn a_gltf_triangle_is_turned_upright_and_moved_by_its_node() {
        // Positions (0,0,0), (1,0,0), (0,1,0) as little-endian floats.
        let data = "AAAAAAAAAAAAAAAAAACAPwAAAAAAAAAAAAAAAAAAgD8AAAAA";
        let text = format!(
            r#"{{"asset":{{"version":"2.0"}},"scene":0,"scenes":[{{"nodes":[0]}}],
            "nodes":[{{"mesh":0,"translation":[0,2,0]}}],"meshes":[{{"primitives":[{{"attributes":{{"POSITION":0}}}}]}}],
            "buffers":[{{"byteLength":36,"uri":"data:application/octet-stream;base64,{data}"}}],
            "bufferViews":[{{"buffer":0,"byteLength":36}}],
            "accessors":[{{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3","min":[0,0,0],"max":[1,1,0]}}]}}"#
        );
        let mesh = load_text("one.gltf", text.as_bytes()).unwrap();
        assert_eq!(mesh.vertices(), [vec3(0.0, 0.0, 2.0), vec3(1.0, 0.0, 2.0), vec3(0.0, 0.0, 3.0)]);
        let short = text.replace("\"count\":3", "\"count\":300");
        let error = load_text("short.gltf", short.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("accessor 0 reaches beyond its buffer"), "{error}");
    }

    #[test]
    fn what_is_no_mesh_is_named() {
        let error = load_text("a.stl", b"").unwrap_err().to_string();
        assert!(error.contains("expected .obj, .gltf or .glb"), "{error}");
        let error = load_text("a.obj", b"v 0 nan 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\n").unwrap_err().to_string();
        assert!(error.contains("vertex 0") || error.contains("not a Wavefront"), "{error}");
        let error = load_text("a.glb", b"glTF\x02\0\0\0").unwrap_err().to_string();
        assert!(error.contains("not a glTF 2.0 file"), "{error}");
        assert!(load(Path::new("/nonexistent/a.obj")).unwrap_err().to_string().contains("/nonexistent/a.obj"));
    }
}
