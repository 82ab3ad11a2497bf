//! Reading data sets: any scene by its number, any file of it by its name.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::atomic;
use super::contents::Metadata;
use super::job::manifest_path;
use super::manifest::{Entry, Manifest, UnitManifest, read_versioned, sha256};
use super::npy::{self, Array};
use super::picture::{self, Decoded};
use crate::Error;
use crate::annotate::Track;
use crate::description::{Combination, Scene, Split};
use crate::text::Texts;

/// A data set on disk.
#[derive(Debug)]
pub struct DataSet {
    folder: PathBuf,
    manifest: Manifest,
    scenes: Vec<Place>,
}

/// Where a scene is.
#[derive(Debug, Clone)]
struct Place {
    split: Split,
    seed: u64,
    unit: PathBuf,
    files: std::collections::BTreeMap<String, Entry>,
}

impl DataSet {
    /// Opens a folder that `scenes generate` has written; incomplete units are not part of it.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Corrupt`], [`Error::SchemaVersion`]; [`Error::OtherConfig`] if units disagree.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref().to_path_buf();
        let manifest: Manifest = read_versioned(&folder.join("manifest.json"))?;
        let mut scenes = Vec::new();
        for &split in Split::ALL {
            let part = folder.join(split.name());
            if !part.is_dir() {
                continue;
            }
            let mut units = Vec::new();
            for entry in fs::read_dir(&part).map_err(|error| Error::file(&part, error))? {
                let path = entry.map_err(|error| Error::file(&part, error))?.path();
                let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
                let is_unit = path.is_dir() || name.ends_with(".tar");
                if is_unit && !atomic::is_partial(&name) && manifest_path(&path).exists() {
                    units.push(path);
                }
            }
            units.sort();
            for unit in units {
                let found: UnitManifest = read_versioned(&manifest_path(&unit))?;
                if found.config_hash != manifest.config_hash {
                    let (found, expected) = (found.config_hash, manifest.config_hash);
                    return Err(Error::OtherConfig { folder: unit, found, expected });
                }
                scenes.extend(found.scenes.into_iter().map(|(seed, files)| Place {
                    split,
                    seed,
                    unit: unit.clone(),
                    files,
                }));
            }
        }
        Ok(Self { folder, manifest, scenes })
    }

    /// What the data set is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of complete scenes of all splits.
    pub fn len(&self) -> usize {
        self.scenes.len()
    }

    /// True if there is no complete scene.
    pub fn is_empty(&self) -> bool {
        self.scenes.is_empty()
    }

    /// Numbers of the scenes of a split, in the order of their seeds.
    pub fn of_split(&self, split: Split) -> Vec<usize> {
        (0..self.len()).filter(|&index| self.scenes[index].split == split).collect()
    }

    /// A scene by its number.
    pub fn scene(&self, index: usize) -> SceneFiles<'_> {
        SceneFiles { place: &self.scenes[index] }
    }

    /// All scenes in order.
    pub fn scenes(&self) -> impl Iterator<Item = SceneFiles<'_>> {
        self.scenes.iter().map(|place| SceneFiles { place })
    }
}

/// The files of one scene.
#[derive(Debug, Clone, Copy)]
pub struct SceneFiles<'a> {
    place: &'a Place,
}

impl SceneFiles<'_> {
    /// The seed.
    pub fn seed(&self) -> u64 {
        self.place.seed
    }

    /// The split.
    pub fn split(&self) -> Split {
        self.place.split
    }

    /// Names of its files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.place.files.keys().map(String::as_str)
    }

    /// The folder or tar shard that it is in.
    pub fn unit(&self) -> &Path {
        &self.place.unit
    }

    /// A path for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        let tar = self.place.unit.is_file();
        if tar { self.place.unit.join(format!("{:012}.{name}", self.place.seed)) } else { self.place.unit.join(name) }
    }

    /// The bytes of a file, whose hash is checked.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for missing, shortened and changed files, [`Error::File`].
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.path(name);
        let entry = self.place.files.get(name).ok_or_else(|| Error::corrupt(&path, "is not in the manifest"))?;
        let bytes = if self.place.unit.is_file() {
            let unit = &self.place.unit;
            let io = |error| Error::file(unit, error);
            let mut file = File::open(unit).map_err(io)?;
            let length = file.metadata().map_err(io)?.len();
            if entry.offset.checked_add(entry.bytes).is_none_or(|end| end > length) {
                return Err(Error::corrupt(
                    unit,
                    format!("ends at byte {length}, inside {}; generate it again", path.display()),
                ));
            }
            file.seek(SeekFrom::Start(entry.offset)).map_err(io)?;
            let mut bytes = vec![0; entry.bytes as usize];
            file.read_exact(&mut bytes).map_err(io)?;
            bytes
        } else {
            fs::read(&path).map_err(|error| Error::file(&path, error))?
        };
        if sha256(&bytes) != entry.sha256 {
            return Err(Error::corrupt(
                &path,
                "has other bytes than its manifest says; delete the unit and generate again",
            ));
        }
        Ok(bytes)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes(name)?).map_err(|error| Error::corrupt(self.path(name), error.to_string()))
    }

    /// The resolved scene.
    ///
    /// # Errors
    /// As [`SceneFiles::bytes`] and [`Scene::from_text`].
    pub fn scene(&self) -> Result<Scene, Error> {
        let path = self.path("scene.ron");
        let text = String::from_utf8(self.bytes("scene.ron")?).map_err(|_| Error::corrupt(&path, "is not text"))?;
        Scene::from_text(&path.display().to_string(), &text)
    }

    /// Objects and cameras frame by frame.
    ///
    /// # Errors
    /// As [`SceneFiles::bytes`].
    pub fn metadata(&self) -> Result<Metadata, Error> {
        self.json("metadata.json")
    }

    /// Captions and questions.
    ///
    /// # Errors
    /// As [`SceneFiles::bytes`].
    pub fn texts(&self) -> Result<Texts, Error> {
        self.json("text.json")
    }

    /// Point tracks of a camera.
    ///
    /// # Errors
    /// As [`SceneFiles::bytes`].
    pub fn tracks(&self, camera: &str) -> Result<Vec<Track>, Error> {
        self.json(&format!("{camera}_tracks.json"))
    }

    /// Colours of a frame.
    ///
    /// # Errors
    /// As [`SceneFiles::bytes`].
    pub fn rgb(&self, camera: &str, frame: usize) -> Result<Decoded, Error> {
        let name = format!("{camera}_rgb_{frame:05}.png");
        picture::decode(&self.path(&name), &self.bytes(&name)?)
    }

    /// Ids of a frame.
    ///
    /// # Errors
    /// As [`SceneFiles::bytes`].
    pub fn ids(&self, camera: &str, frame: usize) -> Result<Vec<u16>, Error> {
        let name = format!("{camera}_ids_{frame:05}.png");
        let decoded = picture::decode(&self.path(&name), &self.bytes(&name)?)?;
        decoded.ids().ok_or_else(|| Error::corrupt(self.path(&name), "is not a picture of 16-bit ids"))
    }

    /// A pass of floating-point channels by its name, all frames.
    ///
    /// # Errors
    /// As [`SceneFiles::bytes`].
    pub fn field(&self, camera: &str, name: &str) -> Result<Array<f32>, Error> {
        let name = format!("{camera}_{name}.npy");
        npy::decode(&self.path(&name), &self.bytes(&name)?)
    }

    /// Flags of all frames.
    ///
    /// # Errors
    /// As [`SceneFiles::bytes`].
    pub fn flags(&self, camera: &str) -> Result<Array<u8>, Error> {
        let name = format!("{camera}_flags.npy");
        npy::decode(&self.path(&name), &self.bytes(&name)?)
    }

    /// True if an object of the scene is of this composition: to keep held-out ones apart.
    ///
    /// # Errors
    /// As [`SceneFiles::scene`].
    pub fn shows(&self, combination: &Combination) -> Result<bool, Error> {
        let scene = self.scene()?;
        Ok(scene.objects.iter().any(|o| combination.matches(o.shape, o.color, o.surface.material)))
    }
}
