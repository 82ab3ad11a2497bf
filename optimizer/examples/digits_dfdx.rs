//! Trains real handwritten digits with dfdx, once with a frozen learned optimizer and once with AdamW:
//! `cargo run --release -p velo-optimizer --features dfdx --example digits_dfdx -- learned.safetensors`
use std::io::Read;

use dfdx::prelude::*;
use velo_optimizer::adapters::dfdx::DfdxOptimizer;
use velo_optimizer::{LearnedOptimizer, LearnedWeights, OptimizerConfig, ParamLayout, Schedule};

type Builder = (Linear<64, 32>, ReLU, Linear<32, 10>);
type Failure = Box<dyn std::error::Error>;

const STEPS: u64 = 500;
const BATCH: usize = 64;
const TRAINED: usize = 1437;

/// One image, and its digit as ten numbers.
type Row = ([f32; 64], [f32; 10]);

fn digits() -> Result<Vec<Row>, Failure> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tasks/data/digits.csv.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    text.lines()
        .map(|line| {
            let cells = line.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>()?;
            let (pixels, digit) = cells.split_at(64);
            let one_hot = std::array::from_fn(|class| if class as f32 == digit[0] { 1.0 } else { 0.0 });
            Ok((std::array::from_fn(|pixel| pixels[pixel] / 16.0), one_hot))
        })
        .collect()
}

/// Trains on the first four fifths; gives the share of the rest that is recognised.
fn train(
    rows: &[Row],
    build: impl FnOnce(&ParamLayout) -> Result<Box<dyn velo_optimizer::Optimizer>, velo_optimizer::Error>,
) -> Result<f32, Failure> {
    let device = Cpu::default();
    let mut model = device.build_module::<Builder, f32>();
    let mut optimizer = DfdxOptimizer::from_optimizer(build(&DfdxOptimizer::layout(&model)?)?);
    optimizer.optimizer_mut().set_horizon(Some(STEPS));
    optimizer.optimizer_mut().set_schedule(Schedule::Cosine { warmup: 0.05, floor: 0.0 });
    for step in 0..STEPS as usize {
        // Strides that have no factor in common with the number of rows visit all of them.
        let batch: Vec<&Row> = (0..BATCH).map(|i| &rows[(step * BATCH + i) * 101 % TRAINED]).collect();
        let images: Vec<f32> = batch.iter().flat_map(|(pixels, _)| *pixels).collect();
        let classes: Vec<f32> = batch.iter().flat_map(|(_, class)| *class).collect();
        let images = device.tensor_from_vec(images, (BATCH, Const::<64>));
        let outputs = model.forward(images.traced(model.alloc_grads()));
        let loss = cross_entropy_with_logits_loss(outputs, device.tensor_from_vec(classes, (BATCH, Const::<10>)));
        let value = loss.array();
        if step % 100 == 0 {
            println!("  step {step:3}  training loss {value:.4}");
        }
        optimizer.step(&mut model, &loss.backward(), value)?;
    }
    let rest = &rows[TRAINED..];
    let right = rest.iter().filter(|(pixels, class)| {
        let outputs = model.forward(device.tensor(*pixels)).array();
        let best = (0..10).max_by(|&a, &b| outputs[a].total_cmp(&outputs[b]));
        best.is_some_and(|best| class[best] == 1.0)
    });
    Ok(right.count() as f32 / rest.len() as f32)
}

fn main() -> Result<(), Failure> {
    let file = std::env::args().nth(1).ok_or("usage: digits_dfdx WEIGHTS.safetensors")?;
    let weights = LearnedWeights::load(file)?;
    let rows = digits()?;
    println!("frozen learned optimizer, untuned");
    let learned = train(&rows, |layout| Ok(Box::new(LearnedOptimizer::new(layout, weights)?)))?;
    println!("AdamW at its default rate");
    let adamw = train(&rows, |layout| OptimizerConfig::from_name("adamw")?.build(layout))?;
    println!("digits recognised among {} held out: learned {learned:.4}, AdamW {adamw:.4}", rows.len() - TRAINED);
    Ok(())
}
