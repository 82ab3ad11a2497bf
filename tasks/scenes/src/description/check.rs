//! What a configuration may say: every field against its domain, before anything is drawn.

use super::SCHEMA_VERSION;
use super::config::{CameraPath, Colors, GeneratorConfig, Lights, ObjectGroup, Sizes, Splits};
use super::names::Shape;
use super::scene::{Lens, Video};
use crate::Error;
use crate::random::{Range, range};
use crate::vector::Vec3;

impl GeneratorConfig {
    /// Checks every field against its domain.
    ///
    /// # Errors
    /// [`Error::InvalidField`] with the first field outside its domain; [`Error::SchemaVersion`].
    pub fn check(&self) -> Result<(), Error> {
        if self.version != SCHEMA_VERSION {
            let file = format!("configuration {}", self.name).into();
            return Err(Error::SchemaVersion { file, found: self.version, expected: SCHEMA_VERSION });
        }
        let Video { frames, frame_rate, step_rate, settle_frames } = self.video;
        require((1..=10_000).contains(&frames), "video.frames", frames, "1 to 10000")?;
        require((1..=1000).contains(&frame_rate), "video.frame_rate", frame_rate, "1 to 1000")?;
        let multiple = step_rate > 0 && step_rate <= 100_000 && step_rate % frame_rate == 0;
        require(multiple, "video.step_rate", step_rate, format!("a multiple of frame_rate {frame_rate} up to 100000"))?;
        require(settle_frames <= 10_000, "video.settle_frames", settle_frames, "at most 10000")?;
        let image = &self.image;
        require((1..=4096).contains(&image.width), "image.width", image.width, "1 to 4096")?;
        require((1..=4096).contains(&image.height), "image.height", image.height, "1 to 4096")?;
        let samples = image.samples_per_side;
        require((1..=16).contains(&samples), "image.samples_per_side", samples, "1 to 16")?;
        require(image.ambient_occlusion <= 64, "image.ambient_occlusion", image.ambient_occlusion, "at most 64")?;
        require(image.bounce <= 64, "image.bounce", image.bounce, "at most 64")?;
        require((0.0..=1.0).contains(&image.shutter), "image.shutter", image.shutter, "0 to 1 frame")?;
        require(image.exposure > 0.0 && image.exposure < 1e3, "image.exposure", image.exposure, "above 0, below 1000")?;
        let most: usize = self.objects.iter().map(|group| group.count.1).sum();
        require(most <= 1000, "objects.count", most, "at most 1000 objects in a scene")?;
        for (index, group) in self.objects.iter().enumerate() {
            group.check(&format!("objects[{index}]"))?;
        }
        self.check_world()?;
        self.check_cameras()?;
        require(self.tracks_per_object <= 256, "tracks_per_object", self.tracks_per_object, "at most 256")?;
        require(self.text.captions <= 100, "text.captions", self.text.captions, "at most 100")?;
        require(self.text.questions <= 100, "text.questions", self.text.questions, "at most 100")?;
        let Splits { train, validation, test } = self.splits;
        let mut ranges = [train, validation, test];
        ranges.sort_unstable();
        let apart = ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0) && ranges.iter().all(|(a, b)| a <= b);
        require(apart, "splits", format!("{ranges:?}"), "ranges of seeds that do not overlap")
    }

    fn check_world(&self) -> Result<(), Error> {
        let world = &self.world;
        let gravity = world.gravity;
        require(gravity.is_finite() && gravity.length() <= 1e3, "world.gravity", format!("{gravity:?}"), "up to 1000")?;
        require(!world.floor_textures.is_empty(), "world.floor_textures", "empty", "at least one texture")?;
        for (field, value) in [
            ("world.floor_friction", world.floor_friction),
            ("world.floor_restitution", world.floor_restitution),
            ("world.ambient", world.ambient),
        ] {
            require((0.0..=1.0).contains(&value), field, value, "0 to 1")?;
        }
        if let Lights::Clevr { jitter } = world.lights {
            require((0.0..=5.0).contains(&jitter), "world.lights.jitter", jitter, "0 to 5")?;
        }
        Ok(())
    }

    fn check_cameras(&self) -> Result<(), Error> {
        require(
            !self.cameras.is_empty() && self.cameras.len() <= 16,
            "cameras",
            self.cameras.len(),
            "1 to 16 cameras",
        )?;
        for (index, rig) in self.cameras.iter().enumerate() {
            let field = |name: &str| format!("cameras[{index}].{name}");
            let plain = !rig.name.is_empty() && rig.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            require(plain, field("name"), &rig.name, "letters, digits and underscores")?;
            let repeated = self.cameras[..index].iter().any(|other| other.name == rig.name);
            require(!repeated, field("name"), &rig.name, "a name that no other camera has")?;
            let positive = |range: Range| range.low > 0.0 && range.low <= range.high && range.high < 1e4;
            let (radius, finite) = match rig.path {
                CameraPath::Still { from, look_at } => (range(1.0, 1.0), is_box(from) && look_at.is_finite()),
                CameraPath::HalfShell { radius, min_z, look_at } => (radius, min_z.is_finite() && look_at.is_finite()),
                CameraPath::Linear { radius, min_z, path, look_at } => {
                    (radius, min_z.is_finite() && look_at.is_finite() && path.low >= 0.0 && path.low <= path.high)
                }
                CameraPath::Orbit { radius, height, turns, look_at } => {
                    let all = [height.low, height.high, turns.low, turns.high];
                    (radius, look_at.is_finite() && all.iter().all(|v| v.is_finite()))
                }
            };
            require(positive(radius), field("path.radius"), format!("{radius:?}"), "a range above 0")?;
            require(finite, field("path"), format!("{:?}", rig.path), "finite numbers in order")?;
            let valid = match rig.lens {
                Lens::Perspective { focal_mm, sensor_mm } => {
                    (1e-3..1e5).contains(&focal_mm) && (1e-3..1e5).contains(&sensor_mm)
                }
                Lens::Orthographic { width } => (1e-6..1e6).contains(&width),
            };
            require(valid, field("lens"), format!("{:?}", rig.lens), "positive lengths")?;
            if let Some(baseline) = rig.stereo_baseline {
                require((1e-6..1e3).contains(&baseline), field("stereo_baseline"), baseline, "above 0, below 1000")?;
            }
        }
        Ok(())
    }
}

impl ObjectGroup {
    fn check(&self, at: &str) -> Result<(), Error> {
        let field = |name: &str| format!("{at}.{name}");
        let (low, high) = self.count;
        require(low <= high, field("count"), format!("{:?}", self.count), "a range in order")?;
        require(!self.shapes.is_empty(), field("shapes"), "empty", "at least one shape")?;
        require(!self.materials.is_empty(), field("materials"), "empty", "at least one material")?;
        require(!self.textures.is_empty(), field("textures"), "empty", "at least one texture")?;
        let custom = self.shapes.contains(&Shape::Custom);
        require(!custom || !self.meshes.is_empty(), field("meshes"), "empty", "a file for the shape Custom")?;
        if let Colors::Among(colors) = &self.colors {
            require(!colors.is_empty(), field("colors"), "empty", "at least one colour")?;
        }
        let (small, large) = match self.sizes {
            Sizes::Named { small, large } => (small, large),
            Sizes::Uniform(range) => (range.low, range.high),
        };
        let sized = small > 1e-3 && small <= large && large < 1e3;
        require(sized, field("sizes"), format!("{:?}", self.sizes), "a range in order between 0.001 and 1000")?;
        require(is_box(self.spawn), field("spawn"), format!("{:?}", self.spawn), "two corners in order")?;
        require(is_box(self.velocity), field("velocity"), format!("{:?}", self.velocity), "two corners in order")?;
        let fast = self.velocity.0.abs().max(self.velocity.1.abs()).length();
        require(fast < 1e3, field("velocity"), format!("{:?}", self.velocity), "below 1000")?;
        if self.shapes.contains(&Shape::Sign) {
            let lettered = !self.words.is_empty() || !self.letters.is_empty();
            require(lettered, field("letters"), "empty", "letters or words for signs")?;
            let (low, high) = self.letter_count;
            let counted = (1..=high).contains(&low) && high <= 64;
            require(counted, field("letter_count"), format!("{:?}", self.letter_count), "1 to 64")?;
            let all = self.words.iter().map(String::as_str).chain([self.letters.as_str()]);
            for text in all {
                let unknown = text.chars().find(|c| !crate::render::font::has(*c));
                require(unknown.is_none(), field("letters"), format!("{unknown:?}"), "characters of the font")?;
            }
            let empty = self.words.iter().any(|w| w.is_empty() || w.chars().count() > 64);
            require(!empty, field("words"), "an empty or long word", "1 to 64 characters")?;
        }
        Ok(())
    }
}

fn is_box((low, high): (Vec3, Vec3)) -> bool {
    low.is_finite() && high.is_finite() && low.x <= high.x && low.y <= high.y && low.z <= high.z
}

fn require(
    holds: bool,
    field: impl Into<String>,
    found: impl std::fmt::Display,
    expected: impl Into<String>,
) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::invalid(field, found, expected)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_outside_their_domain_are_named() {
        let mut config = GeneratorConfig::default();
        config.video.step_rate = 50;
        assert!(config.check().unwrap_err().to_string().starts_with("video.step_rate is 50, expected a multiple"));
        let mut config = GeneratorConfig::default();
        config.objects[0].sizes = Sizes::Uniform(range(f64::NAN, 1.0));
        assert!(config.check().unwrap_err().to_string().starts_with("objects[0].sizes"));
        let mut config = GeneratorConfig::default();
        config.splits.test = (5, 6);
        assert!(config.check().unwrap_err().to_string().contains("do not overlap"));
    }
}
