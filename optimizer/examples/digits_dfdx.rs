//! Trains real handwritten digits with dfdx, once with a frozen learned optimizer and once with AdamW:
//! `cargo run --release -p velo-optimizer --features dfdx --example digits_dfdx -- learned.safetensors`
mod digits;

use dfdx::data::OneHotEncode;
use dfdx::prelude::*;
use digits::{BATCH, Build, DIGITS, Digits, Failure, HIDDEN, PIXELS, STEPS, Trained};
use velo_optimizer::adapters::dfdx::DfdxOptimizer;

type Builder = (Linear<PIXELS, HIDDEN>, ReLU, Linear<HIDDEN, DIGITS>);

fn train(digits: &Digits, build: Build<'_>) -> Result<Trained, Failure> {
    let device = Cpu::default();
    let mut model = device.build_module::<Builder, f32>();
    let mut optimizer = DfdxOptimizer::from_optimizer(build(&DfdxOptimizer::layout(&model)?)?);
    let mut last = f32::NAN;
    for step in 0..STEPS {
        let batch = digits.batch(step);
        let images = device.tensor_from_vec(batch.pixels, (BATCH, Const::<PIXELS>));
        let labels: Vec<usize> = batch.labels.into_iter().map(usize::from).collect();
        let classes = device.one_hot_encode(Const::<DIGITS>, labels);
        let outputs = model.forward(images.traced(model.alloc_grads()));
        let loss = cross_entropy_with_logits_loss(outputs, classes);
        last = loss.array();
        optimizer.step(&mut model, &loss.backward(), last)?;
    }
    let held_out = digits.held_out();
    let images = device.tensor_from_vec(held_out.pixels, (held_out.labels.len(), Const::<PIXELS>));
    Ok(Trained { loss: last, outputs: model.forward(images).as_vec() })
}

fn main() -> Result<(), Failure> {
    digits::compare(train)
}
