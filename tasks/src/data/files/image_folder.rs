//! A directory with one folder of PNG and JPEG images for each class.
//!
//! Classes and images are taken in the order of their names; other files are passed over. With a side, images are
//! resized, whatever their size; without one they must all have the size of the first.

use std::path::{Path, PathBuf};

use image::{ImageReader, Limits};
use serde::{Deserialize, Serialize};

use super::pixels::{Images, Shape};
use super::{name, open};
use crate::Error;
use crate::data::dataset::Dataset;
use crate::error::{check_choice, check_range};

/// Classes at most.
const MAX_CLASSES: usize = 1000;

/// Files at most.
const MAX_FILES: usize = 1_000_000;

/// Side of an image at most, before it is resized.
const MAX_SIDE: u32 = 8192;

/// Memory that decoding one image may take.
const MAX_DECODING_BYTES: u64 = 512 << 20;

/// Images by class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFolderConfig {
    /// The directory that holds the folders.
    pub path: PathBuf,
    /// 1 for grey, 3 for colours.
    #[serde(default = "three")]
    pub channels: usize,
    /// Side that the images are resized to, 1 to 256; as they are without it.
    #[serde(default)]
    pub side: Option<usize>,
}

fn three() -> usize {
    3
}

impl ImageFolderConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_choice("data.channels", self.channels, &[1, 3])?;
        self.side.map_or(Ok(()), |side| check_range("data.side", side, 1..=256))
    }

    pub(crate) fn read(&self) -> Result<Dataset, Error> {
        let folders = entries(&self.path, |path| path.is_dir())?;
        if !(2..=MAX_CLASSES).contains(&folders.len()) {
            let problem = format!("{} folders, expected one for each of 2 to {MAX_CLASSES} classes", folders.len());
            return Err(Error::corrupt(name(&self.path), problem));
        }
        let mut files = Vec::new();
        for (class, folder) in folders.iter().enumerate() {
            let images = entries(folder, is_image)?;
            if images.is_empty() {
                return Err(Error::corrupt(name(folder), "no PNG or JPEG image, expected at least one in every class"));
            }
            files.extend(images.into_iter().map(|path| (path, class as u32)));
            if files.len() > MAX_FILES {
                return Err(Error::corrupt(name(&self.path), format!("more than {MAX_FILES} images")));
            }
        }
        let mut images: Option<(Shape, Images)> = None;
        for (path, class) in &files {
            let (bytes, from) = decode(path, self.channels)?;
            let (first, images) = match &mut images {
                Some(started) => started,
                none => {
                    let (height, width) = self.side.map_or((from.height, from.width), |side| (side, side));
                    let shape = Shape { height, width, channels: self.channels };
                    none.insert((from, Images::new(&name(&self.path), shape, files.len())?))
                }
            };
            if self.side.is_none() && *first != from {
                let (found, expected) = ([from.height, from.width], [first.height, first.width]);
                let problem = format!(
                    "{}x{} pixels, expected {}x{} as in {}; a side resizes all of them",
                    found[0],
                    found[1],
                    expected[0],
                    expected[1],
                    name(&files[0].0)
                );
                return Err(Error::corrupt(name(path), problem));
            }
            images.push(&bytes, from, *class);
        }
        match images {
            Some((_, images)) => Ok(images.into_dataset(folders.len())),
            None => Err(Error::corrupt(name(&self.path), "no image")),
        }
    }
}

/// What `wanted` wants of a directory, by name.
fn entries(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File { file: name(folder), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    path.is_file() && ["png", "jpg", "jpeg"].contains(&extension.as_str())
}

/// The bytes of an image with one or three channels.
fn decode(path: &Path, channels: usize) -> Result<(Vec<u8>, Shape), Error> {
    let (file, _) = open(path)?;
    let failed = |error: image::ImageError| Error::corrupt(name(path), format!("cannot be decoded: {error}"));
    let reader = ImageReader::new(std::io::BufReader::new(file)).with_guessed_format();
    let mut reader = reader.map_err(|source| Error::File { file: name(path), source })?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODING_BYTES);
    reader.limits(limits);
    let image = reader.decode().map_err(failed)?;
    let (height, width) = (image.height() as usize, image.width() as usize);
    if height * width == 0 {
        return Err(Error::corrupt(name(path), "no pixels"));
    }
    let bytes = if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
    Ok((bytes, Shape { height, width, channels }))
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;
    use crate::data::{InputKind, TargetKind};
    use crate::task::Split;

    /// Two classes, dark and light, of five images each.
    fn folder_of_images() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (class, level) in [("dark", 10), ("light", 200)] {
            let folder = root.path().join(class);
            std::fs::create_dir(&folder).unwrap();
            for number in 0..5u8 {
                let image = RgbImage::from_pixel(6, 4, Rgb([level + number, 0, 20]));
                image.save(folder.join(format!("{number}.png"))).unwrap();
            }
            std::fs::write(folder.join("notes.txt"), "not an image").unwrap();
        }
        root
    }

    fn read(root: &tempfile::TempDir, channels: usize, side: Option<usize>) -> Result<Dataset, String> {
        let config = ImageFolderConfig { path: root.path().to_owned(), channels, side };
        let prefix = root.path().display().to_string();
        config.read().map_err(|error| error.to_string().replace(&prefix, "root"))
    }

    #[test]
    fn folders_are_classes_in_the_order_of_their_names() {
        let root = folder_of_images();
        let dataset = read(&root, 3, None).unwrap();
        assert_eq!(dataset.input_kind(), InputKind::Image { channels: 3, height: 4, width: 6 });
        assert_eq!(dataset.target(), TargetKind::Class(2));
        let rows = dataset.rows(Split::Train);
        assert_eq!(rows.len(), 8);
        for (image, &label) in rows.inputs.chunks(72).zip(&rows.labels) {
            assert_eq!(image[0] > 0.5, label == 1);
            assert_eq!(image[2], 20.0 / 255.0);
        }
    }

    #[test]
    fn png_and_jpeg_grey_and_coloured_small_and_large_mix_when_there_is_a_side() {
        let root = folder_of_images();
        let folder = root.path().join("light");
        GrayImage::from_pixel(30, 50, Luma([250])).save(folder.join("grey.jpg")).unwrap();
        let dataset = read(&root, 1, Some(8)).unwrap();
        assert_eq!(dataset.input_kind(), InputKind::grey(8));
        let brightest = |split| dataset.rows(split).inputs.iter().copied().fold(0.0, f32::max);
        let brightest = brightest(Split::Train).max(brightest(Split::Validation));
        assert!((brightest - 250.0 / 255.0).abs() < 0.01, "{brightest}");
    }

    #[test]
    fn unsound_folders_and_images_are_refused_by_name() {
        let root = folder_of_images();
        let odd = root.path().join("light/odd.png");
        RgbImage::from_pixel(5, 4, Rgb([0; 3])).save(&odd).unwrap();
        let expected = "root/light/odd.png: 4x5 pixels, expected 4x6 as in root/dark/0.png; a side resizes all of them";
        assert_eq!(read(&root, 3, None).unwrap_err(), expected);

        let png = std::fs::read(root.path().join("dark/0.png")).unwrap();
        for broken in [&png[..png.len() / 2], b"GIF89a", b""] {
            std::fs::write(&odd, broken).unwrap();
            let error = read(&root, 3, Some(8)).unwrap_err();
            assert!(error.starts_with("root/light/odd.png: cannot be decoded: "), "{error}");
        }
        // A header that promises 2³⁰ × 2³⁰ pixels.
        let mut liar = png.clone();
        liar[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
        std::fs::write(&odd, &liar).unwrap();
        assert!(read(&root, 3, Some(8)).unwrap_err().starts_with("root/light/odd.png: "));

        std::fs::create_dir(root.path().join("none")).unwrap();
        let expected = "root/none: no PNG or JPEG image, expected at least one in every class";
        assert_eq!(read(&root, 3, Some(8)).unwrap_err(), expected);
        let empty = tempfile::tempdir().unwrap();
        let expected = "root: 0 folders, expected one for each of 2 to 1000 classes";
        assert_eq!(read(&empty, 3, None).unwrap_err(), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn changed_images_are_read_or_refused_but_never_a_panic(
            jpeg: bool, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(if jpeg { "image.jpg" } else { "image.png" });
            RgbImage::from_fn(9, 7, |x, y| Rgb([20 * x as u8, 30 * y as u8, 100])).save(&path).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            changes.iter().for_each(|(place, value)| { let at = place.index(bytes.len()); bytes[at] = *value });
            std::fs::write(&path, &bytes).unwrap();
            if let Ok((pixels, shape)) = decode(&path, 3) {
                prop_assert_eq!(pixels.len(), shape.len());
            }
        }
    }
}
