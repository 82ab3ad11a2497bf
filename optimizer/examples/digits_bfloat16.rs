//! What bfloat16 does to a training run: real digits, the optimizer that comes along, its averages in four bytes and in
//! two, from five starts. No framework: the gradients of the network are written by hand.
//!
//! `cargo run --release -p velo-optimizer --example digits_bfloat16`

#[allow(dead_code, reason = "the comparison of a framework is not used here")]
mod digits;

use digits::{BATCH, DIGITS, Digits, Failure, HIDDEN, PIXELS, Rows, STEPS};
use velo_optimizer::{AccumulatorStorage, LearnedOptimizer, LearnedWeights, Optimizer, ParamLayout};

/// Where the tensors of the network begin.
const STARTS: [usize; 4] = [0, PIXELS * HIDDEN, PIXELS * HIDDEN + HIDDEN, PIXELS * HIDDEN + HIDDEN + HIDDEN * DIGITS];

fn layout() -> Result<ParamLayout, velo_optimizer::Error> {
    let (hidden, output) = (vec![PIXELS, HIDDEN], vec![HIDDEN, DIGITS]);
    ParamLayout::new([("w0", hidden), ("b0", vec![HIDDEN]), ("w1", output), ("b1", vec![DIGITS])])
}

/// Uniform numbers with the variance `1 / inputs`; zero biases.
fn start(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut params = vec![0.0; len];
    params[STARTS[0]..STARTS[1]].iter_mut().for_each(|p| *p = uniform() * (3.0 / PIXELS as f32).sqrt());
    params[STARTS[2]..STARTS[3]].iter_mut().for_each(|p| *p = uniform() * (3.0 / HIDDEN as f32).sqrt());
    params
}

/// Hidden units and outputs for one image.
fn forward(params: &[f32], pixels: &[f32]) -> ([f32; HIDDEN], [f32; DIGITS]) {
    let mut hidden: [f32; HIDDEN] = std::array::from_fn(|h| params[STARTS[1] + h]);
    for (pixel, weights) in pixels.iter().zip(params.chunks_exact(HIDDEN)) {
        hidden.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += pixel * weight);
    }
    hidden.iter_mut().for_each(|unit| *unit = unit.max(0.0));
    let mut outputs: [f32; DIGITS] = std::array::from_fn(|d| params[STARTS[3] + d]);
    for (unit, weights) in hidden.iter().zip(params[STARTS[2]..STARTS[3]].chunks_exact(DIGITS)) {
        outputs.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += unit * weight);
    }
    (hidden, outputs)
}

/// The mean cross-entropy over a batch; its gradient is added to `grads`.
fn loss_and_grad(params: &[f32], rows: &Rows, grads: &mut [f32]) -> f32 {
    let (mut loss, share) = (0.0, 1.0 / rows.labels.len() as f32);
    for (pixels, &label) in rows.pixels.chunks_exact(PIXELS).zip(&rows.labels) {
        let (hidden, outputs) = forward(params, pixels);
        let largest = outputs.iter().copied().fold(f32::MIN, f32::max);
        let total: f32 = outputs.iter().map(|output| (output - largest).exp()).sum();
        loss += share * (total.ln() + largest - outputs[usize::from(label)]);
        let of_output: [f32; DIGITS] = std::array::from_fn(|d| {
            share * ((outputs[d] - largest).exp() / total - f32::from(u8::from(d == usize::from(label))))
        });
        let mut of_hidden = [0.0; HIDDEN];
        for (h, &unit) in hidden.iter().enumerate().filter(|(_, unit)| **unit > 0.0) {
            for (d, grad) in of_output.iter().enumerate() {
                grads[STARTS[2] + h * DIGITS + d] += unit * grad;
                of_hidden[h] += params[STARTS[2] + h * DIGITS + d] * grad;
            }
        }
        grads[STARTS[3]..].iter_mut().zip(of_output).for_each(|(sum, grad)| *sum += grad);
        grads[STARTS[1]..STARTS[2]].iter_mut().zip(of_hidden).for_each(|(sum, grad)| *sum += grad);
        for (pixel, grads) in pixels.iter().zip(grads[..STARTS[1]].chunks_exact_mut(HIDDEN)) {
            grads.iter_mut().zip(of_hidden).for_each(|(sum, grad)| *sum += pixel * grad);
        }
    }
    loss
}

/// The mean loss over the last fifty batches, and the share of the images held out that is recognised.
fn train(digits: &Digits, storage: AccumulatorStorage, seed: u64) -> Result<(f32, f32), Failure> {
    let layout = layout()?;
    let mut optimizer = LearnedOptimizer::with_accumulators(&layout, LearnedWeights::pretrained(), storage)?;
    optimizer.set_horizon(Some(STEPS as u64));
    let (mut params, mut grads) = (start(seed, layout.len()), vec![0.0; layout.len()]);
    let mut last = 0.0;
    for step in 0..STEPS {
        let rows = digits.batch(step + seed as usize * STEPS);
        assert_eq!(rows.labels.len(), BATCH);
        grads.fill(0.0);
        let loss = loss_and_grad(&params, &rows, &mut grads);
        optimizer.step(&mut params, &grads, loss)?;
        last += if step + 50 >= STEPS { loss / 50.0 } else { 0.0 };
    }
    let held_out = digits.held_out();
    let outputs: Vec<f32> =
        held_out.pixels.chunks_exact(PIXELS).flat_map(|pixels| forward(&params, pixels).1).collect();
    Ok((last, digits.recognised(&outputs)))
}

fn main() -> Result<(), Failure> {
    let digits = Digits::load()?;
    println!("{:<6}{:>18}{:>18}{:>18}{:>18}", "start", "loss, f32", "loss, bf16", "held out, f32", "held out, bf16");
    for seed in 0..5 {
        let full = train(&digits, AccumulatorStorage::F32, seed)?;
        let half = train(&digits, AccumulatorStorage::Bf16, seed)?;
        println!("{seed:<6}{:>18.5}{:>18.5}{:>18.4}{:>18.4}", full.0, half.0, full.1, half.1);
    }
    Ok(())
}
