//! What may be said about a scene: the objects that are seen well enough at one frame, and where they are.

use serde::{Deserialize, Serialize};

use super::Pattern;
use crate::annotate::Annotations;
use crate::description::{Color, Material, Scene, Shape, Size};

/// Share of an object that has to be visible before anything is said about it.
pub(crate) const LEAST_FRACTION: f64 = 0.3;

/// Share of the picture's pixels that an object needs before anything is said about it: 20 at 64 × 64.
pub(crate) const LEAST_SHARE: f64 = 20.0 / 4096.0;

/// Margins of comparisons: share of the picture's width, and of the nearer depth. Within them nothing is said.
pub(crate) const SIDE_MARGIN: f64 = 0.05;
pub(crate) const DEPTH_MARGIN: f64 = 0.05;

/// One object as a speaker sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Its id.
    pub id: u16,
    /// Its words.
    pub shape: Shape,
    /// The word for its colour, if there is one.
    pub color: Option<Color>,
    /// The word for its material.
    pub material: Material,
    /// The word for its size, if there is one.
    pub size: Option<Size>,
    /// Seen well enough to be mentioned.
    pub is_clear: bool,
    /// Whether any pixel of it is seen.
    pub is_seen: bool,
    /// Text on it that can be read completely.
    pub text: Option<String>,
    /// Column of its projected centre, pixels.
    pub x: f64,
    /// Depth of its centre, metres.
    pub depth: f64,
}

impl Fact {
    /// True if the object has all the words of a pattern.
    pub(crate) fn fits(&self, pattern: &Pattern) -> bool {
        pattern.shape.is_none_or(|shape| shape == self.shape)
            && pattern.color.is_none_or(|color| self.color == Some(color))
            && pattern.material.is_none_or(|material| material == self.material)
            && pattern.size.is_none_or(|size| self.size == Some(size))
    }
}

/// The facts of a frame of the first camera.
pub fn facts(scene: &Scene, annotations: &Annotations, frame: i64) -> Vec<Fact> {
    let (width, height) = (scene.image.width, scene.image.height);
    let view = scene.cameras[0].view(frame, width, height);
    let least = LEAST_SHARE * (width * height) as f64;
    let states = scene.states(frame);
    let each = scene.objects.iter().enumerate().map(|(index, object)| {
        let seen = view.project(states[index].pose.position);
        let fraction = annotations.visible_fraction(index);
        let pixels = f64::from(annotations.visible[index]);
        let is_clear = fraction >= LEAST_FRACTION && pixels >= least && seen.is_some();
        // All of the plate inside the picture, nothing in front of it, and two pixels per cell of a letter.
        let readable = |text: &String| {
            let inside = annotations.amodal_boxes[index]
                .is_some_and(|[x0, y0, x1, y1]| x0 > 0 && y0 > 0 && x1 < width as u32 && y1 < height as u32);
            let cells = (6 * text.chars().count() + 3) as f64 * 11.0;
            inside && fraction > 0.999 && pixels >= 2.0 * cells
        };
        Fact {
            id: index as u16 + 1,
            shape: object.shape,
            color: object.color,
            material: object.surface.material,
            size: object.size,
            is_clear,
            is_seen: annotations.visible[index] > 0,
            text: object.text.clone().filter(readable),
            x: seen.map_or(0.0, |seen| seen.x),
            depth: seen.map_or(0.0, |seen| seen.depth),
        }
    });
    each.collect()
}
