//! Pixels for training as one memory-mapped file: colours and ids of every frame, without decoding.
//!
//! ```text
//! 64 bytes   magic, then scenes, frames, width, height as u64, then zeros
//! 64 bytes   hash of configuration, seeds and camera, as text: the key
//! frames     width × height × 3 bytes of colour, then width × height ids as little-endian u16
//! ```
//! The key is checked on opening; a cache of other data is made again.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use memmap2::Mmap;

use super::atomic;
use super::dataset::DataSet;
use super::manifest::sha256;
use crate::Error;

const MAGIC: &[u8; 16] = b"velo-scenes 1\0\0\0";
const HEADER: usize = 128;

/// A mapped cache.
#[derive(Debug)]
pub struct TrainingCache {
    map: Mmap,
    scenes: usize,
    frames: usize,
    width: usize,
    height: usize,
}

impl TrainingCache {
    /// Opens the cache of these scenes of a data set as one camera sees them, and makes it first if need be.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Corrupt`] for data that cannot be read.
    pub fn open(data: &DataSet, scenes: &[usize], camera: &str, path: &Path) -> Result<Self, Error> {
        let seeds: Vec<_> = scenes.iter().map(|&index| data.scene(index).seed()).collect();
        let key = sha256(format!("{} {camera} {seeds:?}", data.manifest().config_hash).as_bytes());
        if path.exists()
            && let Ok(cache) = Self::map(path, &key)
        {
            return Ok(cache);
        }
        let temporary = atomic::partial(path);
        let built = Self::build(data, scenes, camera, &key, &temporary)
            .and_then(|()| std::fs::rename(&temporary, path).map_err(|error| Error::file(path, error)));
        if built.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        built?;
        Self::map(path, &key)
    }

    fn build(data: &DataSet, scenes: &[usize], camera: &str, key: &str, path: &Path) -> Result<(), Error> {
        let io = |error| Error::file(path, error);
        let mut out = BufWriter::new(File::create(path).map_err(io)?);
        let first = scenes.first().map(|&index| data.scene(index).metadata()).transpose()?;
        let (frames, width, height) = first.map_or((0, 0, 0), |m| (m.frames, m.width, m.height));
        let mut header = MAGIC.to_vec();
        for number in [scenes.len(), frames, width, height] {
            header.extend((number as u64).to_le_bytes());
        }
        header.resize(64, 0);
        header.extend(key.bytes());
        out.write_all(&header).map_err(io)?;
        for &index in scenes {
            let files = data.scene(index);
            for frame in 0..frames {
                let (rgb, ids) = (files.rgb(camera, frame)?, files.ids(camera, frame)?);
                if rgb.data.len() != width * height * 3 || ids.len() != width * height {
                    return Err(Error::corrupt(files.unit(), "has pictures of another size than the first scene"));
                }
                out.write_all(&rgb.data).map_err(io)?;
                let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
                out.write_all(&bytes).map_err(io)?;
            }
        }
        out.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)
    }

    fn map(path: &Path, key: &str) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::file(path, error))?;
        // SAFETY: the mapping is read-only, and caches are replaced by renaming, never written in place, so the bytes
        // behind it do not change while it lives. What it bought: no copy and no decoding per batch.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::file(path, error))?;
        let corrupt = |problem: &str| Error::corrupt(path, problem);
        if map.len() < HEADER || !map.starts_with(MAGIC) {
            return Err(corrupt("is not a training cache"));
        }
        if &map[64..HEADER] != key.as_bytes() {
            return Err(corrupt("is the cache of other data"));
        }
        let number = |i: usize| {
            let bytes: [u8; 8] = map[16 + 8 * i..24 + 8 * i].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes) as usize
        };
        let (scenes, frames, width, height) = (number(0), number(1), number(2), number(3));
        let expected = [scenes, frames, width, height, 5].iter().try_fold(1usize, |n, &m| n.checked_mul(m));
        if expected.and_then(|n| n.checked_add(HEADER)) != Some(map.len()) {
            return Err(corrupt("is shorter or longer than its header says"));
        }
        Ok(Self { map, scenes, frames, width, height })
    }

    /// Number of scenes.
    pub fn len(&self) -> usize {
        self.scenes
    }

    /// True if there is no scene.
    pub fn is_empty(&self) -> bool {
        self.scenes == 0
    }

    /// Frames per scene, width and height.
    pub fn extents(&self) -> [usize; 3] {
        [self.frames, self.width, self.height]
    }

    fn frame(&self, scene: usize, frame: usize) -> &[u8] {
        assert!(scene < self.scenes && frame < self.frames, "scene {scene}, frame {frame} is not in the cache");
        let bytes = self.width * self.height * 5;
        &self.map[HEADER + (scene * self.frames + frame) * bytes..][..bytes]
    }

    /// Colours of a frame, row by row.
    pub fn rgb(&self, scene: usize, frame: usize) -> &[u8] {
        &self.frame(scene, frame)[..self.width * self.height * 3]
    }

    /// Ids of a frame, row by row.
    pub fn ids(&self, scene: usize, frame: usize) -> impl Iterator<Item = u16> {
        self.frame(scene, frame)[self.width * self.height * 3..]
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
    }
}
