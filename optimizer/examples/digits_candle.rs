//! Trains real handwritten digits with candle, once with a frozen learned optimizer and once with AdamW:
//! `cargo run --release -p velo-optimizer --features candle --example digits_candle -- learned.safetensors`
mod digits;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, Optimizer, VarBuilder, VarMap};
use digits::{Build, DIGITS, Digits, Failure, HIDDEN, PIXELS, STEPS, Trained};
use velo_optimizer::adapters::candle::{CandleOptimizer, named_vars};

fn train(digits: &Digits, build: Build<'_>) -> Result<Trained, Failure> {
    let device = Device::Cpu;
    let variables = VarMap::new();
    let builder = VarBuilder::from_varmap(&variables, DType::F32, &device);
    let model = candle_nn::seq()
        .add(candle_nn::linear(PIXELS, HIDDEN, builder.pp("hidden"))?)
        .add(candle_nn::Activation::Relu)
        .add(candle_nn::linear(HIDDEN, DIGITS, builder.pp("digits"))?);

    let vars = named_vars(&variables);
    let optimizer = build(&CandleOptimizer::layout(&vars)?)?;
    let mut optimizer = CandleOptimizer::from_optimizer(vars, optimizer)?;
    let mut last = f32::NAN;
    for step in 0..STEPS {
        let batch = digits.batch(step);
        let rows = batch.labels.len();
        let images = Tensor::from_vec(batch.pixels, (rows, PIXELS), &device)?;
        let labels = Tensor::from_vec(batch.labels, rows, &device)?;
        let loss = candle_nn::loss::cross_entropy(&model.forward(&images)?, &labels)?;
        optimizer.backward_step(&loss)?;
        last = loss.to_scalar()?;
    }
    let held_out = digits.held_out();
    let images = Tensor::from_vec(held_out.pixels, (held_out.labels.len(), PIXELS), &device)?;
    Ok(Trained { loss: last, outputs: model.forward(&images)?.flatten_all()?.to_vec1()? })
}

fn main() -> Result<(), Failure> {
    digits::compare(train)
}
