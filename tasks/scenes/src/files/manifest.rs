//! What a data set is, and what is in each of its units, with hashes.
//!
//! A unit is what is finished at once: the folder of a scene, or a tar shard of several. Its manifest is written last,
//! so a unit with a manifest is complete.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{atomic, contents::json, hex};
use crate::Error;
use crate::description::SCHEMA_VERSION;
use crate::generate::Generator;

/// How scenes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One folder per scene.
    Folders,
    /// Tar files of this many scenes, as WebDataset reads them.
    Tar {
        /// Scenes in a file.
        scenes: usize,
    },
}

/// `manifest.json` of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub version: u32,
    /// Version of the generator.
    pub generator: u32,
    /// Name of the configuration.
    pub name: String,
    /// Licence of the data.
    pub license: String,
    /// Hash of configuration, meshes and generator version.
    pub config_hash: String,
    /// How scenes are stored.
    pub format: Format,
}

/// A file inside a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Where its bytes begin in a tar file; 0 in folders.
    pub offset: u64,
}

/// The manifest of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitManifest {
    /// [`SCHEMA_VERSION`].
    pub version: u32,
    /// Hash of the configuration.
    pub config_hash: String,
    /// Files of each scene, by seed and name.
    pub scenes: BTreeMap<u64, BTreeMap<String, Entry>>,
    /// Seeds of which no scene can be drawn, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<u64, String>,
}

/// SHA-256 of bytes, as text.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Reads JSON with a `version`, and tells a wrong version before anything else.
pub(crate) fn read_versioned<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let bytes = std::fs::read(path).map_err(|error| Error::file(path, error))?;
    let corrupt = |error: serde_json::Error| Error::corrupt(path, error.to_string());
    let Version { version } = serde_json::from_slice(&bytes).map_err(corrupt)?;
    if version != SCHEMA_VERSION {
        return Err(Error::SchemaVersion { file: path.into(), found: version, expected: SCHEMA_VERSION });
    }
    serde_json::from_slice(&bytes).map_err(corrupt)
}

/// Writes the manifest and the configuration of a data set, or checks that those which are there are the same.
pub(crate) fn begin(folder: &Path, generator: &Generator, format: Format) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
    let path = folder.join("manifest.json");
    let manifest = Manifest {
        version: SCHEMA_VERSION,
        generator: crate::description::GENERATOR_VERSION,
        name: generator.config().name.clone(),
        license: generator.config().license.clone(),
        config_hash: generator.hash().to_owned(),
        format,
    };
    if path.exists() {
        let found: Manifest = read_versioned(&path)?;
        if found.config_hash != manifest.config_hash {
            let (found, expected) = (found.config_hash, manifest.config_hash);
            return Err(Error::OtherConfig { folder: folder.into(), found, expected });
        }
        if found.format != format {
            return Err(Error::invalid(
                "format",
                format!("{format:?}"),
                format!("{:?}, as the folder has", found.format),
            ));
        }
        return Ok(());
    }
    atomic::write(&folder.join("config.ron"), generator.config().to_ron().as_bytes())?;
    atomic::write(&path, &json(&manifest))
}
