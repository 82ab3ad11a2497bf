//! What the rows of a task look like, as data for text and pictures.

use velo_tasks::data::{DataConfig, Dataset, InputKind, Rows, TargetKind};
use velo_tasks::{Batch, Split, Task, TaskConfig};

use crate::plot;
use crate::table::Table;

/// Images shown.
const IMAGES: usize = 24;

/// Images in a line of text.
const IMAGES_IN_LINE: usize = 6;

/// Rows of text and numbers shown.
const ROWS: usize = 8;

/// Numbers shown of a row.
const COLUMNS: usize = 10;

/// Points shown of a plane.
const POINTS: usize = 1500;

/// Points on the line through a surface.
const LINE: usize = 61;

/// A look at a task.
pub enum Look {
    /// Pictures with a word under each.
    Images { height: usize, width: usize, channels: usize, images: Vec<(Vec<f32>, String)> },
    /// Lines of text.
    Texts(Vec<String>),
    /// Points of a plane, each with a class or a value from 0 to 1 for each of its colours.
    Plane(Vec<([f32; 2], Mark)>),
    /// Numbers under headings.
    Numbers { headings: Vec<String>, rows: Vec<Vec<String>> },
    /// The loss along the steepest line through the start.
    Slope(Vec<f32>),
}

/// What is known of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mark {
    /// Its class.
    Class(u32),
    /// Red, green and blue.
    Colour([f32; 3]),
}

impl Look {
    /// Looks at the training rows of a task, or at its loss where it has none.
    ///
    /// # Errors
    /// Those of loading the data.
    pub fn at(config: &TaskConfig, task: &mut dyn Task) -> Result<Self, velo_tasks::Error> {
        if config.data == DataConfig::None {
            return Ok(Self::Slope(slope(task)));
        }
        let data = config.data.load()?;
        let rows = data.rows(Split::Train);
        Ok(match data.input_kind() {
            InputKind::Image { channels, height, width } => {
                let image = |row: usize| {
                    let pixels = rows.inputs[row * data.input_width()..][..data.input_width()].to_vec();
                    (pixels, target(&data, rows, row))
                };
                let images = (0..rows.len().min(IMAGES)).map(image).collect();
                Self::Images { height, width, channels, images }
            }
            InputKind::ImageAndTokens { channels, height, width, .. } => {
                let pixels = channels * height * width;
                let image = |row: usize| {
                    let row = &rows.inputs[row * data.input_width()..][..data.input_width()];
                    (row[..pixels].to_vec(), tokens(&row[pixels..], None))
                };
                let images = (0..rows.len().min(IMAGES)).map(image).collect();
                Self::Images { height, width, channels, images }
            }
            InputKind::Tokens { vocabulary, .. } => {
                let lines = rows.inputs.chunks(data.input_width()).take(ROWS).enumerate();
                let lines = lines.map(|(row, line)| {
                    let text = tokens(line, (vocabulary == 256).then_some(()));
                    if data.target() == TargetKind::NextToken {
                        text
                    } else {
                        text + " → " + &target(&data, rows, row)
                    }
                });
                Self::Texts(lines.collect())
            }
            InputKind::Features(2) => Self::Plane(plane(&data, rows)),
            InputKind::Features(width) => numbers(&data, rows, width),
        })
    }

    /// The look as characters.
    pub fn to_text(&self) -> String {
        match self {
            Self::Images { height, width, channels, images } => {
                let blocks = images.iter().take(2 * IMAGES_IN_LINE).map(|(pixels, word)| {
                    let grey: Vec<f32> =
                        pixels.chunks(*channels).map(|p| p.iter().sum::<f32>() / *channels as f32).collect();
                    let mut lines = plot::grey(&grey, *width);
                    debug_assert_eq!(lines.len(), *height);
                    lines.push(word.chars().take(2 * width).collect());
                    lines
                });
                let blocks: Vec<_> = blocks.collect();
                // At most about 200 characters in a line.
                let in_line = (200 / (2 * width + 2)).clamp(1, IMAGES_IN_LINE);
                blocks.chunks(in_line).map(plot::beside).collect::<Vec<_>>().join("\n")
            }
            Self::Texts(lines) => lines.join("\n") + "\n",
            Self::Plane(points) => plane_text(points),
            Self::Numbers { headings, rows } => {
                let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
                rows.iter().for_each(|row| table.push(row.iter().cloned()));
                table.to_text()
            }
            Self::Slope(losses) => {
                format!(
                    "loss from the start (in the middle) along the gradient, downhill to the right\n{}",
                    plot::curve(losses)
                )
            }
        }
    }
}

/// The target of a row in a word.
fn target(data: &Dataset, rows: &Rows, row: usize) -> String {
    match data.target() {
        TargetKind::Class(_) => rows.labels[row].to_string(),
        TargetKind::Values(width) => {
            let values = rows.values[row * width..][..width].iter().map(|value| format!("{value:.2}"));
            values.collect::<Vec<_>>().join(" ")
        }
        TargetKind::NextToken => String::new(),
    }
}

/// Tokens as numbers, or as the text that their bytes spell.
fn tokens(line: &[f32], bytes: Option<()>) -> String {
    match bytes {
        Some(()) => {
            let bytes: Vec<u8> = line.iter().map(|&token| token as u8).collect();
            format!("{:?}", String::from_utf8_lossy(&bytes))
        }
        None => line.iter().map(|token| token.to_string()).collect::<Vec<_>>().join(" "),
    }
}

fn plane(data: &Dataset, rows: &Rows) -> Vec<([f32; 2], Mark)> {
    let width = data.target().value_width();
    let ranges: Vec<(f32, f32)> = (0..width)
        .map(|column| {
            let values = rows.values.iter().skip(column).step_by(width);
            values.fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)))
        })
        .collect();
    let mark = |row: usize| match data.target() {
        TargetKind::Values(width) => {
            let values = &rows.values[row * width..][..width];
            // One value is grey; two are shown by the first; three are a colour.
            Mark::Colour(std::array::from_fn(|channel| {
                let column = if width >= 3 { channel } else { 0 };
                let (low, high) = ranges[column];
                if high > low { (values[column] - low) / (high - low) } else { 0.5 }
            }))
        }
        _ => Mark::Class(rows.labels[row]),
    };
    let points = rows.inputs.as_chunks::<2>().0.iter().enumerate();
    points.take(POINTS).map(|(row, &place)| (place, mark(row))).collect()
}

/// Points on a grid of characters: digits for classes, shades for values.
fn plane_text(points: &[([f32; 2], Mark)]) -> String {
    const WIDTH: usize = 72;
    const HEIGHT: usize = 32;
    let bounds = bounds(points);
    let mut cells = vec![vec![' '; WIDTH]; HEIGHT];
    for (place, mark) in points {
        let [x, y] = within(*place, bounds);
        let column = ((x * WIDTH as f32) as usize).min(WIDTH - 1);
        let row = (((1.0 - y) * HEIGHT as f32) as usize).min(HEIGHT - 1);
        cells[row][column] = match mark {
            Mark::Class(class) => char::from_digit(class % 36, 36).unwrap_or('?'),
            Mark::Colour(colour) => {
                let grey = colour.iter().sum::<f32>() / 3.0;
                // A point of value zero is still a point.
                plot::grey(&[0.1 + 0.9 * grey], 1)[0].chars().next().unwrap_or('.')
            }
        };
    }
    let lines = cells.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n");
    lines.collect()
}

/// Smallest and largest coordinates.
pub fn bounds(points: &[([f32; 2], Mark)]) -> [(f32, f32); 2] {
    [0, 1].map(|axis| {
        points
            .iter()
            .fold((f32::MAX, f32::MIN), |(low, high), (place, _)| (low.min(place[axis]), high.max(place[axis])))
    })
}

/// A place relative to bounds, from 0 to 1.
pub fn within(place: [f32; 2], bounds: [(f32, f32); 2]) -> [f32; 2] {
    [0, 1].map(|axis| {
        let (low, high) = bounds[axis];
        if high > low { (place[axis] - low) / (high - low) } else { 0.5 }
    })
}

fn numbers(data: &Dataset, rows: &Rows, width: usize) -> Look {
    let shown = width.min(COLUMNS);
    let mut headings: Vec<_> = (0..shown).map(|column| format!("x{column}")).collect();
    if width > shown {
        headings.push(format!("… x{}", width - 1));
    }
    headings.push("target".to_owned());
    let cells = (0..rows.len().min(ROWS)).map(|row| {
        let inputs = &rows.inputs[row * width..][..width];
        let mut cells: Vec<_> = inputs[..shown].iter().map(|x| format!("{x:.2}")).collect();
        if width > shown {
            cells.push(format!("{:.2}", inputs[width - 1]));
        }
        cells.push(target(data, rows, row));
        cells
    });
    Look::Numbers { rows: cells.collect(), headings }
}

/// Losses along the gradient at the start, as far to both sides as a linear function would need to lose all of its loss, thrice.
fn slope(task: &mut dyn Task) -> Vec<f32> {
    let mut params = vec![0.0; task.layout().len()];
    let mut grads = params.clone();
    task.init(0, &mut params);
    let batch = Batch { seed: 0, split: Split::Train, index: 0 };
    let loss = task.loss_and_grad(&params, batch, &mut grads);
    let square: f32 = grads.iter().map(|g| g * g).sum();
    let reach = 3.0 * loss.abs() / square.max(f32::MIN_POSITIVE);
    let at = |point: usize| {
        let step = reach * (point as f32 / (LINE - 1) as f32 * 2.0 - 1.0);
        let moved: Vec<f32> = params.iter().zip(&grads).map(|(p, g)| p - step * g).collect();
        task.loss(&moved, batch)
    };
    (0..LINE).map(at).collect()
}
