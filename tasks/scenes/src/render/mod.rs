//! Pictures: colour from many samples per pixel, and the one central hit that all annotations are made of.
//!
//! Colour averages a stratified grid of samples in linear light. Annotations never see those samples: averages of
//! identities or normals over an edge would mean nothing.

pub mod font;
mod lamp;
mod occluders;
mod screen;
mod shading;
mod stage;
mod texture;

pub use screen::Screen;
pub use stage::{Hit, Stage};
pub(crate) use texture::linear;

use crate::camera::View;
use crate::description::{Camera, Scene};
use crate::geometry::Solid;
use crate::random::mix;
use crate::vector::Vec3;
use occluders::Occluders;
use shading::{Dice, Display, Lit, Shader};

/// Makes the pictures of a scene.
#[derive(Debug)]
pub struct Renderer<'a> {
    scene: &'a Scene,
    solids: &'a [Solid],
    shader: Shader<'a>,
}

impl<'a> Renderer<'a> {
    /// Prepares colours and lights once for all frames.
    pub fn new(scene: &'a Scene, solids: &'a [Solid]) -> Self {
        Self { scene, solids, shader: Shader::new(scene) }
    }

    /// Share of the points of lights that nothing hides from what is seen at the centre of each pixel, row by row
    /// ([`Pass::Shadow`](crate::description::Pass::Shadow)).
    pub fn shadow(&self, camera: &Camera, frame: i64) -> Vec<f32> {
        let (width, height) = (self.scene.image.width, self.scene.image.height);
        let (stage, view) = (Stage::at(self.scene, self.solids, frame), camera.view(frame, width, height));
        let screen = Screen::new(&stage, &view, self.solids.len());
        let occluders = Occluders::new(&stage, &self.shader.lamps);
        let lit = Lit { stage, occluders };
        let centers = (0..width * height).map(|i| ((i % width) as f64 + 0.5, (i / width) as f64 + 0.5));
        let share = |(x, y): (f64, f64)| {
            let ray = view.ray(x, y);
            screen.closest(&lit.stage, &ray, x, y).map_or(0.0, |hit| self.shader.open_share(&lit, &ray, &hit) as f32)
        };
        centers.map(share).collect()
    }

    /// The colours of a frame, row by row, three bytes each; pixels are a function of scene, camera and frame alone.
    pub fn rgb(&self, camera: &Camera, frame: i64) -> Vec<u8> {
        let image = &self.scene.image;
        let (width, height, side) = (image.width, image.height, image.samples_per_side);
        let count = side * side;
        let seed = mix(self.scene.seed ^ 0x7265_6e64_6572);
        // With motion blur, every sample of a pixel has its own moment, else all share one.
        let blurred = self.scene.shutter > 0.0 && self.scene.video.frames > 1;
        let moments = if blurred { count } else { 1 };
        let moment = |k: usize| {
            if !blurred {
                let view = camera.view(frame, width, height);
                return (Stage::at(self.scene, self.solids, frame), view);
            }
            // Centred on the frame, where the annotations are.
            let offset = ((k as f64 + 0.5) / count as f64 - 0.5) * self.scene.shutter;
            let at = frame as f64 + offset;
            (Stage::between(self.scene, self.solids, at), camera.view_at(at, width, height))
        };
        let moments: Vec<(Lit<'_>, View, Screen)> = (0..moments)
            .map(|k| {
                let (stage, view) = moment(k);
                let screen = Screen::new(&stage, &view, self.solids.len());
                let occluders = Occluders::new(&stage, &self.shader.lamps);
                (Lit { stage, occluders }, view, screen)
            })
            .collect();
        let display = Display::new(!self.scene.world.lights.is_empty());
        let mut pixels = Vec::with_capacity(width * height * 3);
        for row in 0..height {
            for column in 0..width {
                let mut sum = Vec3::ZERO;
                for sample in 0..count {
                    let pixel = row * width + column;
                    let mut dice = Dice::new(seed, frame, pixel, sample);
                    // Which moment goes with which place changes from pixel to pixel, or edges would show a pattern.
                    let shift = if blurred { mix(pixel as u64) as usize } else { 0 };
                    let (lit, view, screen) = &moments[(sample + shift % count) % moments.len()];
                    let (u, v) = dice.pair();
                    let x = column as f64 + ((sample % side) as f64 + u) / side as f64;
                    let y = row as f64 + ((sample / side) as f64 + v) / side as f64;
                    let ray = view.ray(x, y);
                    let hit = screen.closest(&lit.stage, &ray, x, y);
                    sum = sum + self.shader.light(lit, &ray, hit.as_ref(), &mut dice);
                }
                pixels.extend(display.bytes(sum * (image.exposure / count as f64)));
            }
        }
        pixels
    }
}
