//! Pictures for people: colours, ids, depth, normals and flow side by side.

use super::picture::{self, Pixels};
use crate::annotate::{Annotations, Annotator};
use crate::generate::Drawn;
use crate::random::mix;
use crate::render::Renderer;

/// Pixels between panels.
const GAP: usize = 4;

/// A picture in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of every pixel.
    pub rgb: Vec<u8>,
}

impl Sheet {
    fn white(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![255; width * height * 3] }
    }

    fn paste(&mut self, other: &Self, x: usize, y: usize) {
        for row in 0..other.height {
            let from = &other.rgb[row * other.width * 3..][..other.width * 3];
            self.rgb[((y + row) * self.width + x) * 3..][..from.len()].copy_from_slice(from);
        }
    }

    /// Every pixel as a square of `factor` by `factor`.
    pub fn enlarged(&self, factor: usize) -> Self {
        let (width, height) = (self.width * factor, self.height * factor);
        let from = |i: usize| (i / width / factor * self.width + i % width / factor) * 3;
        let rgb = (0..width * height).flat_map(|i| self.rgb[from(i)..from(i) + 3].iter().copied()).collect();
        Self { width, height, rgb }
    }

    /// Sheets below each other.
    pub fn stacked(sheets: &[Self]) -> Self {
        let width = sheets.iter().map(|s| s.width).max().unwrap_or(0);
        let height = sheets.iter().map(|s| s.height + GAP).sum::<usize>().saturating_sub(GAP);
        let mut all = Self::white(width, height);
        let mut y = 0;
        for sheet in sheets {
            all.paste(sheet, 0, y);
            y += sheet.height + GAP;
        }
        all
    }

    /// Sheets beside each other.
    pub fn in_a_row(sheets: &[Self]) -> Self {
        let height = sheets.iter().map(|s| s.height).max().unwrap_or(0);
        let width = sheets.iter().map(|s| s.width + GAP).sum::<usize>().saturating_sub(GAP);
        let mut all = Self::white(width, height);
        let mut x = 0;
        for sheet in sheets {
            all.paste(sheet, x, 0);
            x += sheet.width + GAP;
        }
        all
    }

    /// As PNG.
    pub fn png(&self) -> Vec<u8> {
        picture::encode(self.width, self.height, Pixels::Rgb(&self.rgb))
    }
}

/// One frame of the first camera: colours, ids, depth, normals, forward flow.
pub fn panels(drawn: &Drawn, frame: usize) -> Sheet {
    let (scene, camera) = (&drawn.scene, &drawn.scene.cameras[0]);
    let (width, height) = (scene.image.width, scene.image.height);
    let annotations = Annotator::new(scene, &drawn.solids, camera).frame(frame);
    let colors = Renderer::new(scene, &drawn.solids).rgb(camera, frame as i64);
    let panel = |rgb: Vec<u8>| Sheet { width, height, rgb };
    Sheet::in_a_row(&[
        panel(colors),
        panel(annotations.ids.iter().flat_map(|&id| id_color(id)).collect()),
        panel(depths(&annotations)),
        panel(annotations.normal.iter().flat_map(|n| n.map(|c| ((c * 0.5 + 0.5) * 255.0).round() as u8)).collect()),
        panel(flows(&annotations)),
    ])
}

/// The colours of every `step`-th frame of the first camera, beside each other.
pub fn strip(drawn: &Drawn, step: usize) -> Sheet {
    let scene = &drawn.scene;
    let renderer = Renderer::new(scene, &drawn.solids);
    let picture = |frame: usize| Sheet {
        width: scene.image.width,
        height: scene.image.height,
        rgb: renderer.rgb(&scene.cameras[0], frame as i64),
    };
    Sheet::in_a_row(&(0..scene.video.frames).step_by(step.max(1)).map(picture).collect::<Vec<_>>())
}

fn id_color(id: u16) -> [u8; 3] {
    if id == 0 {
        return [24, 24, 28];
    }
    let bits = mix(u64::from(id) + 7);
    [0, 8, 16].map(|shift| 80 + ((bits >> shift) as u8) % 176)
}

/// Near is bright; the sky is black.
fn depths(annotations: &Annotations) -> Vec<u8> {
    let nearest = annotations.depth.iter().copied().fold(f32::INFINITY, f32::min);
    let bright = |d: &f32| if d.is_finite() { (nearest / d * 255.0) as u8 } else { 0 };
    annotations.depth.iter().flat_map(|d| [bright(d); 3]).collect()
}

/// Hue is the direction, saturation the length relative to the longest flow.
fn flows(annotations: &Annotations) -> Vec<u8> {
    let length = |f: &[f32; 2]| (f[0] * f[0] + f[1] * f[1]).sqrt();
    let longest = annotations.forward_flow.iter().map(length).fold(1e-3, f32::max);
    let color = |f: &[f32; 2]| {
        let angle = libm::atan2f(f[1], f[0]) / std::f32::consts::TAU;
        let share = (length(f) / longest).min(1.0);
        [0.0f32, 1.0 / 3.0, 2.0 / 3.0].map(|shift| {
            let h = ((angle + shift).rem_euclid(1.0) * 6.0 - 3.0).abs() - 1.0;
            (255.0 * (1.0 - share * (1.0 - h.clamp(0.0, 1.0)))) as u8
        })
    };
    annotations.forward_flow.iter().flat_map(color).collect()
}
