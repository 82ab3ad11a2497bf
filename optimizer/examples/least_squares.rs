//! Fits a line with a frozen learned optimizer, on plain slices:
//! `cargo run --release -p velo-optimizer --example least_squares -- runs/quick/learned.safetensors`
use velo_optimizer::{LearnedOptimizer, LearnedWeights, Optimizer, ParamLayout, Schedule};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: least_squares WEIGHTS.safetensors")?;
    let points: Vec<(f32, f32)> =
        (0..100).map(|i| (i as f32 / 50.0 - 1.0, 0.8 * (i as f32 / 50.0 - 1.0) - 0.5)).collect();

    let layout = ParamLayout::new([("slope", vec![1]), ("offset", vec![1])])?;
    let steps = 1000;
    let schedule = Schedule::Cosine { warmup: 0.05, floor: 0.0 };
    let mut optimizer = LearnedOptimizer::new(&layout, LearnedWeights::load(file)?)?.with_schedule(schedule, steps);

    let mut params = [0.0, 0.0];
    for step in 0..=steps {
        let (mut loss, mut grads) = (0.0, [0.0; 2]);
        for (x, y) in &points {
            let error = params[0] * x + params[1] - y;
            loss += error * error / points.len() as f32;
            grads[0] += 2.0 * error * x / points.len() as f32;
            grads[1] += 2.0 * error / points.len() as f32;
        }
        if step % 200 == 0 {
            println!("step {step:4}  loss {loss:.6}  y = {:.3} x {:+.3}", params[0], params[1]);
        }
        optimizer.step(&mut params, &grads, loss)?;
    }
    Ok(())
}
