//! A look and a training curve as one PNG file, drawn pixel by pixel: no font is needed.

use std::path::Path;

use anyhow::Context;
use image::{Rgb, RgbImage};
use velo_tasks::training::TrainingCurve;

use crate::look::{Look, Mark, bounds, within};
use crate::plot::Axis;

/// Side of the picture of a plane, and width of a curve.
const SIDE: u32 = 480;

/// Height of a curve.
const CURVE_HEIGHT: u32 = 200;

/// Space around everything.
const MARGIN: u32 = 8;

/// Images in a line.
const IMAGES_IN_LINE: u32 = 8;

/// Side of a shown image, about.
const IMAGE_SIDE: u32 = 72;

const PAPER: Rgb<u8> = Rgb([250, 250, 247]);
const INK: Rgb<u8> = Rgb([40, 44, 52]);
const CURVE: Rgb<u8> = Rgb([200, 60, 40]);

/// Colours of classes, well apart for most eyes (Okabe and Ito's).
const CLASSES: [[u8; 3]; 8] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [60, 60, 60],
    [240, 228, 66],
];

/// Writes the look above the curve.
pub fn save(path: &Path, look: &Look, curve: Option<&TrainingCurve>) -> anyhow::Result<()> {
    let upper = match look {
        Look::Images { height, width, channels, images } => Some(contact_sheet(*height, *width, *channels, images)),
        Look::Plane(points) => Some(plane(points)),
        Look::Slope(losses) => Some(graph(losses)),
        Look::Texts(_) | Look::Numbers { .. } => None,
    };
    let parts: Vec<RgbImage> = upper.into_iter().chain(curve.map(|curve| graph(&curve.train_loss))).collect();
    anyhow::ensure!(!parts.is_empty(), "there is nothing to draw: text and tables have no picture, and --steps is 0");
    let width = parts.iter().map(RgbImage::width).max().unwrap_or(0) + 2 * MARGIN;
    let height = parts.iter().map(|part| part.height() + MARGIN).sum::<u32>() + MARGIN;
    let mut whole = RgbImage::from_pixel(width, height, PAPER);
    let mut top = MARGIN;
    for part in &parts {
        image::imageops::replace(&mut whole, part, i64::from(MARGIN), i64::from(top));
        top += part.height() + MARGIN;
    }
    whole.save_with_format(path, image::ImageFormat::Png).with_context(|| format!("cannot write {}", path.display()))
}

fn byte(level: f32) -> u8 {
    (level.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Images in lines, every pixel a square.
fn contact_sheet(height: usize, width: usize, channels: usize, images: &[(Vec<f32>, String)]) -> RgbImage {
    let zoom = (IMAGE_SIDE / width.max(height) as u32).max(1);
    let (cell_width, cell_height) = (width as u32 * zoom + MARGIN, height as u32 * zoom + MARGIN);
    let columns = IMAGES_IN_LINE.min(images.len() as u32).max(1);
    let lines = (images.len() as u32).div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(columns * cell_width - MARGIN, lines * cell_height - MARGIN, PAPER);
    for ((pixels, _), number) in images.iter().zip(0..) {
        let (left, top) = (number % columns * cell_width, number / columns * cell_height);
        for y in 0..height as u32 * zoom {
            for x in 0..width as u32 * zoom {
                let pixel = ((y / zoom) as usize * width + (x / zoom) as usize) * channels;
                let level = |channel: usize| byte(pixels[pixel + channel.min(channels - 1)]);
                sheet.put_pixel(left + x, top + y, Rgb([level(0), level(1), level(2)]));
            }
        }
    }
    sheet
}

/// Points as small squares.
fn plane(points: &[([f32; 2], Mark)]) -> RgbImage {
    let mut picture = RgbImage::from_pixel(SIDE, SIDE, INK);
    let bounds = bounds(points);
    let reach = if points.len() > 600 { 3 } else { 4 };
    for (place, mark) in points {
        let [x, y] = within(*place, bounds);
        let colour = match mark {
            Mark::Class(class) => CLASSES[*class as usize % CLASSES.len()],
            Mark::Colour(levels) => levels.map(byte),
        };
        let (column, row) = ((x * (SIDE - 1) as f32) as i64, ((1.0 - y) * (SIDE - 1) as f32) as i64);
        for (dx, dy) in (-reach..=reach).flat_map(|dx| (-reach..=reach).map(move |dy| (dx, dy))) {
            let inside = |at: i64| u32::try_from(at).ok().filter(|&at| at < SIDE);
            if let (Some(x), Some(y)) = (inside(column + dx), inside(row + dy)) {
                picture.put_pixel(x, y, Rgb(colour));
            }
        }
    }
    picture
}

/// A curve over an axis, two pixels thick.
fn graph(values: &[f32]) -> RgbImage {
    let mut picture = RgbImage::from_pixel(SIDE, CURVE_HEIGHT, Rgb([255, 255, 255]));
    (0..SIDE).for_each(|x| picture.put_pixel(x, CURVE_HEIGHT - 1, INK));
    (0..CURVE_HEIGHT).for_each(|y| picture.put_pixel(0, y, INK));
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return picture;
    }
    let axis = Axis::new(low, high);
    let height = |value: f32| {
        let level = if value.is_finite() { axis.place(value) } else { 1.0 };
        4.0 + (1.0 - level) * (CURVE_HEIGHT - 9) as f32
    };
    let last = (values.len() - 1).max(1) as f32;
    let mut before = height(values[0]);
    for x in 0..SIDE {
        let place = x as f32 / (SIDE - 1) as f32 * last;
        let (left, share) = (place as usize, place.fract());
        let right = (left + 1).min(values.len() - 1);
        let now = height(values[left.min(right)]) * (1.0 - share) + height(values[right]) * share;
        let (top, bottom) = (before.min(now) as u32, before.max(now) as u32 + 1);
        (top..=bottom.min(CURVE_HEIGHT - 1)).for_each(|y| picture.put_pixel(x, y, CURVE));
        before = now;
    }
    picture
}
