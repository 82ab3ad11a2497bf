//! PNG files without anything that changes from run to run: no times, no texts, fixed compression.

use std::path::Path;

use crate::Error;
use crate::random::mix;

/// The channels of a PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pixels<'a> {
    /// Red, green, blue; 8 bits each.
    Rgb(&'a [u8]),
    /// One channel of 16 bits: identities, not colours.
    Ids(&'a [u16]),
    /// Three channels of 16 bits: numbers, not colours.
    Triples(&'a [u16]),
    /// One byte, whose colour is only for looking at.
    Palette(&'a [u8]),
}

/// Colours of a palette: black, then hues far from those before.
fn palette() -> Vec<u8> {
    let color = |index: u64| if index == 0 { [0; 3] } else { mix(index).to_le_bytes()[..3].try_into().expect("three") };
    (0..256).flat_map(|index| -> [u8; 3] { color(index) }).collect()
}

/// A picture as PNG.
pub(crate) fn encode(width: usize, height: usize, pixels: Pixels<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    let data = match pixels {
        Pixels::Rgb(data) => {
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            data.to_vec()
        }
        Pixels::Ids(data) => {
            encoder.set_color(png::ColorType::Grayscale);
            encoder.set_depth(png::BitDepth::Sixteen);
            data.iter().flat_map(|id| id.to_be_bytes()).collect()
        }
        Pixels::Triples(data) => {
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Sixteen);
            data.iter().flat_map(|number| number.to_be_bytes()).collect()
        }
        Pixels::Palette(data) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_depth(png::BitDepth::Eight);
            encoder.set_palette(palette());
            data.to_vec()
        }
    };
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::Adaptive);
    let mut writer = encoder.write_header().expect("memory takes every header");
    writer.write_image_data(&data).expect("the data has the size of the header");
    drop(writer);
    bytes
}

/// A decoded PNG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes as stored; 16-bit channels big-endian.
    pub data: Vec<u8>,
    /// Bits of a channel.
    pub bits: u8,
    /// Channels of a pixel.
    pub channels: usize,
}

impl Decoded {
    /// Identities of a picture of one 16-bit channel.
    pub(crate) fn ids(&self) -> Option<Vec<u16>> {
        let is_ids = self.bits == 16 && self.channels == 1;
        is_ids.then(|| self.data.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect())
    }
}

/// Reads a PNG; its size is bounded, as the file is not trusted.
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Decoded, Error> {
    let corrupt = |error: String| Error::corrupt(path, format!("is not a PNG picture: {error}"));
    let limits = png::Limits { bytes: 256 << 20 };
    let decoder = png::Decoder::new_with_limits(std::io::Cursor::new(bytes), limits);
    let mut reader = decoder.read_info().map_err(|error| corrupt(error.to_string()))?;
    let size = reader.output_buffer_size().filter(|size| *size <= 256 << 20);
    let mut data = vec![0; size.ok_or_else(|| corrupt("it is too large".to_owned()))?];
    let info = reader.next_frame(&mut data).map_err(|error| corrupt(error.to_string()))?;
    data.truncate(info.buffer_size());
    Ok(Decoded {
        width: info.width as usize,
        height: info.height as usize,
        data,
        bits: info.bit_depth as u8,
        channels: info.color_type.samples(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_above_255_survive() {
        let ids: Vec<u16> = (0..12).map(|i| i * 5000).collect();
        let png = encode(4, 3, Pixels::Ids(&ids));
        assert_eq!(decode(Path::new("a.png"), &png).unwrap().ids().unwrap(), ids);
        let error = decode(Path::new("a.png"), &png[..png.len() / 2]).unwrap_err().to_string();
        assert!(error.contains("a.png"), "{error}");
    }
}
