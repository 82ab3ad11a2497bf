//! From the description of forms to surfaces that rays can meet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::Error;
use crate::description::{Form, Scene};
use crate::geometry::{Solid, TriangleMesh, mesh_file, procedural};

/// Meshes from files, read once however many objects use them.
#[derive(Debug, Clone, Default)]
pub struct MeshLibrary(BTreeMap<String, (String, Arc<TriangleMesh>)>);

impl MeshLibrary {
    /// Reads these files.
    ///
    /// # Errors
    /// [`Error::Mesh`], [`Error::File`].
    pub fn load<'a>(paths: impl IntoIterator<Item = &'a String>) -> Result<Self, Error> {
        let mut library = Self::default();
        for path in paths {
            if !library.0.contains_key(path) {
                let mesh = mesh_file::load(Path::new(path))?;
                let bytes = std::fs::read(path).map_err(|error| Error::file(path, error))?;
                library.0.insert(path.clone(), (crate::files::hex(&Sha256::digest(&bytes)), Arc::new(mesh)));
            }
        }
        Ok(library)
    }

    /// Hash of a file of the library.
    pub(crate) fn sha256(&self, path: &str) -> &str {
        self.0.get(path).map_or("", |(hash, _)| hash)
    }

    /// The surface of a form.
    ///
    /// # Errors
    /// [`Error::Mesh`] if a file is not in the library or has changed since the scene was made.
    pub fn solid(&self, form: &Form) -> Result<Solid, Error> {
        let fitted = |mesh: TriangleMesh, half_extent: f64| Solid::Mesh(Arc::new(mesh.fitted(half_extent)));
        Ok(match *form {
            Form::Sphere { radius } => Solid::Sphere { radius },
            Form::Box { half } => Solid::Box { half },
            Form::Cylinder { radius, half_height } => Solid::Cylinder { radius, half_height },
            Form::Cone { radius, half_height } => Solid::Cone { radius, half_height },
            Form::Capsule { radius, half_height } => Solid::Capsule { radius, half_height },
            Form::Torus { major, minor } => Solid::Torus { major, minor },
            Form::Flat { outline, half } => Solid::Flat { outline, half },
            Form::Gear { teeth, depth, thickness, half_extent } => {
                fitted(procedural::gear(teeth, depth, thickness)?, half_extent)
            }
            Form::Bracket { arm, thickness, half_extent } => fitted(procedural::bracket(arm, thickness)?, half_extent),
            Form::Knot { p, q, tube, half_extent } => fitted(procedural::knot(p, q, tube)?, half_extent),
            Form::Rock { seed, roughness, half_extent } => fitted(procedural::rock(seed, roughness)?, half_extent),
            Form::File { ref path, ref sha256, half_extent } => {
                let refuse = |problem: &str| Error::Mesh { mesh: path.clone(), problem: problem.to_owned() };
                let (hash, mesh) = self.0.get(path).ok_or_else(|| refuse("was not loaded"))?;
                if hash != sha256 {
                    return Err(refuse("has changed since the scene was made; restore it or generate the scene again"));
                }
                Solid::Mesh(Arc::new(mesh.fitted(half_extent)))
            }
        })
    }
}

/// The surfaces of a scene's objects, in the order of their ids.
///
/// # Errors
/// As [`MeshLibrary::load`] and [`MeshLibrary::solid`].
pub fn solids(scene: &Scene) -> Result<Vec<Solid>, Error> {
    let files = scene.objects.iter().filter_map(|object| match &object.form {
        Form::File { path, .. } => Some(path),
        _ => None,
    });
    let library = MeshLibrary::load(files)?;
    scene.objects.iter().map(|object| library.solid(&object.form)).collect()
}
