//! COCO's formats for detection and panoptic segmentation.
//!
//! `images/*.png`, `instances.json` (boxes and uncompressed run-length masks, column by column), `panoptic.json` with
//! `panoptic/*.png`, whose colours encode segment ids as `red + 256·green + 65536·blue`. Categories are shapes;
//! background is the stuff category.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::dataset::DataSet;
use super::picture::{self, Pixels};
use super::{atomic, contents};
use crate::Error;
use crate::description::{Shape, Split};

/// Category of floor and sky.
const BACKGROUND: usize = 100;

/// Writes a split of a data set; returns the number of pictures.
///
/// # Errors
/// As reading the data set and writing files.
pub fn export(data: &DataSet, split: Split, out: &Path) -> Result<usize, Error> {
    for folder in [out.join("images"), out.join("panoptic")] {
        fs::create_dir_all(&folder).map_err(|error| Error::file(&folder, error))?;
    }
    let (mut images, mut annotations, mut panoptic) = (Vec::new(), Vec::new(), Vec::new());
    for index in data.of_split(split) {
        let files = data.scene(index);
        let scene = files.scene()?;
        let (width, height) = (scene.image.width, scene.image.height);
        for camera in &scene.cameras {
            for frame in 0..scene.video.frames {
                let image_id = images.len() + 1;
                let file_name = format!("{:012}_{}_{frame:05}.png", files.seed(), camera.name);
                let rgb = files.bytes(&format!("{}_rgb_{frame:05}.png", camera.name))?;
                atomic::write(&out.join("images").join(&file_name), &rgb)?;
                images.push(json!({"id": image_id, "file_name": file_name, "width": width, "height": height}));
                let ids = files.ids(&camera.name, frame)?;
                let mut segments = Vec::new();
                let colors: Vec<u8> = ids.iter().flat_map(|&id| segment_color(usize::from(id) + 1)).collect();
                for (id, category) in std::iter::once((0, BACKGROUND))
                    .chain(scene.objects.iter().enumerate().map(|(i, o)| (i as u16 + 1, o.shape as usize + 1)))
                {
                    let Some((area, bbox)) = area_and_box(&ids, id, width) else { continue };
                    segments.push(json!({
                        "id": usize::from(id) + 1, "category_id": category, "area": area, "bbox": bbox, "iscrowd": 0,
                    }));
                    if id > 0 {
                        annotations.push(json!({
                            "id": annotations.len() + 1, "image_id": image_id, "category_id": category, "iscrowd": 0,
                            "area": area, "bbox": bbox,
                            "segmentation": {"size": [height, width], "counts": runs(&ids, id, width, height)},
                        }));
                    }
                }
                let png = picture::encode(width, height, Pixels::Rgb(&colors));
                atomic::write(&out.join("panoptic").join(&file_name), &png)?;
                panoptic.push(json!({"image_id": image_id, "file_name": file_name, "segments_info": segments}));
            }
        }
    }
    let thing = |shape: &Shape| json!({"id": *shape as usize + 1, "name": shape.name(), "supercategory": "object"});
    let things: Vec<Value> = Shape::ALL.iter().map(thing).collect();
    let info = json!({"description": data.manifest().name, "version": "1"});
    let licenses = json!([{"id": 1, "name": data.manifest().license, "url": ""}]);
    let count = images.len();
    let instances = json!({
        "info": info, "licenses": licenses, "images": images, "annotations": annotations, "categories": things,
    });
    atomic::write(&out.join("instances.json"), &contents::json(&instances))?;
    let mut all: Vec<Value> = things;
    all.iter_mut().for_each(|c| c["isthing"] = json!(1));
    all.push(json!({"id": BACKGROUND, "name": "background", "supercategory": "background", "isthing": 0}));
    let panoptic = json!({
        "info": info, "licenses": licenses, "images": images_of(&instances), "annotations": panoptic, "categories": all,
    });
    atomic::write(&out.join("panoptic.json"), &contents::json(&panoptic))?;
    Ok(count)
}

fn images_of(instances: &Value) -> &Value {
    &instances["images"]
}

fn segment_color(id: usize) -> [u8; 3] {
    [id as u8, (id >> 8) as u8, (id >> 16) as u8]
}

/// Pixels of an id and their box as x, y, width, height.
fn area_and_box(ids: &[u16], id: u16, width: usize) -> Option<(usize, [usize; 4])> {
    let mut area = 0;
    let (mut x0, mut y0, mut x1, mut y1) = (usize::MAX, usize::MAX, 0, 0);
    for pixel in ids.iter().enumerate().filter(|(_, other)| **other == id).map(|(pixel, _)| pixel) {
        let (x, y) = (pixel % width, pixel / width);
        (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1));
        area += 1;
    }
    (area > 0).then(|| (area, [x0, y0, x1 - x0, y1 - y0]))
}

/// Lengths of runs outside and inside of an id, in turns, column by column, beginning outside.
fn runs(ids: &[u16], id: u16, width: usize, height: usize) -> Vec<usize> {
    let (mut runs, mut inside, mut length) = (Vec::new(), false, 0);
    for column in 0..width {
        for row in 0..height {
            if (ids[row * width + column] == id) != inside {
                runs.push(length);
                (inside, length) = (!inside, 0);
            }
            length += 1;
        }
    }
    runs.push(length);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_down_the_columns_and_begin_outside() {
        // 1 0
        // 1 1
        assert_eq!(runs(&[1, 0, 1, 1], 1, 2, 2), [0, 2, 1, 1]);
        assert_eq!(runs(&[0, 1, 0, 0], 1, 2, 2), [2, 1, 1]);
        assert_eq!(area_and_box(&[0, 1, 0, 1], 1, 2), Some((2, [1, 0, 1, 2])));
    }
}
