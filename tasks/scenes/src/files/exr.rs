//! One OpenEXR file per frame, for programs that composite: channels `PASS.CHANNEL` in single precision, `R`, `G`, `B` in
//! linear light. No times, no names of programs: the bytes are a function of the pixels.

use std::io::Cursor;

use exr::prelude::{
    AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes, SmallVec, WritableImage,
};

use crate::render::linear;

/// The channels of a frame.
#[derive(Debug)]
pub(super) struct Exr {
    width: usize,
    height: usize,
    channels: Vec<(String, Vec<f32>)>,
}

impl Exr {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, channels: vec![] }
    }

    /// Adds a pass, pixel by pixel with its channels side by side.
    pub(super) fn add(&mut self, pass: &str, names: &[&str], values: &[f32]) {
        for (offset, name) in names.iter().enumerate() {
            let channel = values.iter().skip(offset).step_by(names.len()).copied().collect();
            self.channels.push((format!("{pass}.{name}"), channel));
        }
    }

    /// Adds display-encoded colours.
    pub(super) fn add_colors(&mut self, rgb: &[u8]) {
        for (offset, name) in ["R", "G", "B"].into_iter().enumerate() {
            let value = |byte: &u8| linear([f64::from(*byte) / 255.0; 3]).x as f32;
            self.channels.push((name.to_owned(), rgb.iter().skip(offset).step_by(3).map(value).collect()));
        }
    }

    /// The file.
    pub(super) fn encode(self) -> Vec<u8> {
        let channel = |(name, data): (String, Vec<f32>)| AnyChannel::new(name.as_str(), FlatSamples::F32(data));
        let channels = AnyChannels::sort(self.channels.into_iter().map(channel).collect::<SmallVec<_>>());
        let attributes = LayerAttributes::named("passes");
        let layer = Layer::new((self.width, self.height), attributes, Encoding::SMALL_LOSSLESS, channels);
        let mut bytes = Cursor::new(Vec::new());
        Image::from_layer(layer).write().non_parallel().to_buffered(&mut bytes).expect("memory takes every picture");
        bytes.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exr::prelude::{ReadChannels, ReadLayers, read};

    #[test]
    fn a_reader_gets_every_bit_back_and_the_bytes_never_change() {
        let normals: Vec<f32> = (0..18).map(|i| i as f32 * 0.37 - 1.0).collect();
        let depth = [1.5, f32::INFINITY, 1e-30, -0.0, 7.25, 1e30];
        let made = || {
            let mut exr = Exr::new(3, 2);
            exr.add("normal", &["X", "Y", "Z"], &normals);
            exr.add("depth", &["Z"], &depth);
            exr.add_colors(&[255; 18]);
            exr.encode()
        };
        let bytes = made();
        assert_eq!(bytes, made());
        let image = read()
            .no_deep_data()
            .largest_resolution_level()
            .all_channels()
            .first_valid_layer()
            .all_attributes()
            .from_buffered(Cursor::new(bytes))
            .unwrap();
        let channel = |name: &str| {
            let found = image.layer_data.channel_data.list.iter().find(|c| c.name.eq(name)).unwrap();
            found.sample_data.values_as_f32().collect::<Vec<f32>>()
        };
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&channel("depth.Z")), bits(&depth));
        for (offset, name) in ["normal.X", "normal.Y", "normal.Z"].into_iter().enumerate() {
            let expected: Vec<f32> = normals.iter().skip(offset).step_by(3).copied().collect();
            assert_eq!(channel(name), expected);
        }
        assert_eq!(channel("R"), [1.0; 6]);
    }
}
