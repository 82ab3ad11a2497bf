//! Which objects a pixel can show.
//!
//! Every object's bounding ball is projected once per frame; a central ray then looks only at the objects whose
//! rectangle holds its pixel.

use super::stage::{Hit, Stage};
use crate::camera::View;
use crate::geometry::Ray;
use crate::vector::vec3;

/// The columns of a row that an object can cover.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: f64,
    to: f64,
    index: usize,
}

/// For every row, the objects that can be seen in it.
#[derive(Debug)]
pub struct Screen {
    rows: Vec<Vec<Span>>,
    rectangles: Vec<[f64; 4]>,
}

impl Screen {
    /// The objects of a stage as a view sees them.
    pub fn new(stage: &Stage<'_>, view: &View, objects: usize) -> Self {
        let (width, height) = (view.width as f64, view.height as f64);
        let mut rows = vec![Vec::new(); view.height];
        let mut rectangles = Vec::with_capacity(objects);
        for index in 0..objects {
            let (center, radius) = stage.ball(index);
            // The corners of a cube around the ball, aligned with the camera: its picture holds that of the ball.
            let mut rectangle = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
            for corner in 0..8 {
                let sign = |bit: usize| if corner >> bit & 1 == 0 { -radius } else { radius };
                let offset = view.pose.rotation.rotate(vec3(sign(0), sign(1), sign(2)));
                match view.project(center + offset) {
                    Some(p) => {
                        rectangle = [
                            rectangle[0].min(p.x),
                            rectangle[1].min(p.y),
                            rectangle[2].max(p.x),
                            rectangle[3].max(p.y),
                        ];
                    }
                    // Partly behind the camera: anywhere.
                    None => rectangle = [f64::NEG_INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::INFINITY],
                }
            }
            let [x0, y0, x1, y1] = rectangle;
            rectangles.push(rectangle);
            if x1 >= 0.0 && x0 <= width && y1 >= 0.0 && y0 <= height {
                let last = (y1.min(height - 1.0).max(0.0)) as usize;
                for row in &mut rows[y0.max(0.0).min(height - 1.0) as usize..=last] {
                    row.push(Span { from: x0, to: x1, index });
                }
            }
        }
        Self { rows, rectangles }
    }

    /// The first thing seen at a place of the picture, along the ray of the view through that place.
    #[inline]
    pub fn closest(&self, stage: &Stage<'_>, ray: &Ray, x: f64, y: f64) -> Option<Hit> {
        let row = &self.rows[(y.max(0.0) as usize).min(self.rows.len() - 1)];
        let here = row.iter().filter(|span| x >= span.from && x <= span.to);
        stage.closest_of(ray, 0.0, here.map(|span| span.index))
    }

    /// Columns and rows of pixels whose centres an object can cover: (first, end) of both.
    pub fn pixels(&self, index: usize, width: usize, height: usize) -> [std::ops::Range<usize>; 2] {
        let [x0, y0, x1, y1] = self.rectangles[index];
        let range = |low: f64, high: f64, count: usize| {
            let first = low.floor().clamp(0.0, count as f64) as usize;
            first..(high.ceil().clamp(0.0, count as f64) as usize).max(first)
        };
        [range(x0, x1, width), range(y0, y1, height)]
    }
}
