//! What the examples of all frameworks share: real handwritten digits, and the comparison of two optimizers on them.
//!
//! A framework trains the same network, 64 pixels to 32 hidden units to 10 digits, on the same batches, and says what
//! its last training loss was and how many digits it then recognises among those held out.

use std::io::Read;

use velo_optimizer::{LearnedOptimizer, LearnedWeights, Optimizer, OptimizerConfig, ParamLayout, Schedule};

pub type Failure = Box<dyn std::error::Error>;

/// Makes the optimizer to train with.
pub type Build<'a> = &'a dyn Fn(&ParamLayout) -> Result<Box<dyn Optimizer>, velo_optimizer::Error>;

pub const STEPS: usize = 500;
pub const BATCH: usize = 64;
pub const PIXELS: usize = 64;
pub const HIDDEN: usize = 32;
pub const DIGITS: usize = 10;

/// The first four fifths are trained on.
const TRAINED: usize = 1437;

/// The UCI set of 1797 images.
pub struct Digits {
    images: Vec<[f32; PIXELS]>,
    labels: Vec<u8>,
}

/// Images, row by row, with their digits.
pub struct Rows {
    pub pixels: Vec<f32>,
    pub labels: Vec<u8>,
}

/// How a training run ended.
pub struct Trained {
    pub loss: f32,
    /// The outputs for the images held out, ten for each.
    pub outputs: Vec<f32>,
}

impl Digits {
    /// Reads the file.
    pub fn load() -> Result<Self, Failure> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tasks/data/digits.csv.gz");
        let mut text = String::new();
        flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let cells = line.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>()?;
            let (pixels, label) = cells.split_at(PIXELS);
            images.push(std::array::from_fn(|pixel| pixels[pixel] / 16.0));
            labels.push(label[0] as u8);
        }
        Ok(Self { images, labels })
    }

    /// The batch to train on at `step`.
    pub fn batch(&self, step: usize) -> Rows {
        // Strides that have no factor in common with the number of rows visit all of them.
        self.rows((0..BATCH).map(|i| (step * BATCH + i) * 101 % TRAINED))
    }

    /// The images that are never trained on.
    pub fn held_out(&self) -> Rows {
        self.rows(TRAINED..self.images.len())
    }

    fn rows(&self, indices: impl Iterator<Item = usize> + Clone) -> Rows {
        Rows {
            pixels: indices.clone().flat_map(|row| self.images[row]).collect(),
            labels: indices.map(|row| self.labels[row]).collect(),
        }
    }

    /// The share of the images held out whose largest output is that of their digit.
    pub fn recognised(&self, outputs: &[f32]) -> f32 {
        let labels = &self.labels[TRAINED..];
        let right = outputs.chunks_exact(DIGITS).zip(labels).filter(|(outputs, label)| {
            let best = (0..DIGITS).max_by(|&a, &b| outputs[a].total_cmp(&outputs[b]));
            best == Some(usize::from(**label))
        });
        right.count() as f32 / labels.len() as f32
    }
}

/// Trains with the learned optimizer in the file that the command line names, and with AdamW; prints a table.
pub fn compare(train: impl Fn(&Digits, Build<'_>) -> Result<Trained, Failure>) -> Result<(), Failure> {
    let file = std::env::args().nth(1).ok_or("name a file of weights, such as learned.safetensors")?;
    let weights = LearnedWeights::load(file)?;
    let digits = Digits::load()?;
    let scheduled = |mut optimizer: Box<dyn Optimizer>| {
        optimizer.set_horizon(Some(STEPS as u64));
        optimizer.set_schedule(Schedule::Cosine { warmup: 0.05, floor: 0.0 });
        optimizer
    };
    let learned = |layout: &ParamLayout| Ok(scheduled(Box::new(LearnedOptimizer::new(layout, weights.clone())?)));
    let adamw = |layout: &ParamLayout| OptimizerConfig::from_name("adamw")?.build(layout).map(scheduled);
    let rows: [(&str, Build<'_>); 2] = [("learned, untuned", &learned), ("AdamW at its default rate", &adamw)];
    println!("{:<28}{:>14}{:>22}", "optimizer", "training loss", "held out, recognised");
    for (name, build) in rows {
        let trained = train(&digits, build)?;
        println!("{name:<28}{:>14.4}{:>20.2} %", trained.loss, 100.0 * digits.recognised(&trained.outputs));
    }
    Ok(())
}
