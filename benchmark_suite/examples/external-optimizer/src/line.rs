//! A task of one's own: a line through noisy points, written without any library of ours but the contract.

use velo_comparison::{Error, TaskSource};
use velo_optimizer::ParamLayout;
use velo_tasks::rng::{Stream, stream_number};
use velo_tasks::{Batch, Metrics, Split, Task};

/// What a suite makes the task of.
#[derive(Debug)]
pub struct LineSource;

impl TaskSource for LineSource {
    fn build(&self) -> Result<Box<dyn Task>, Error> {
        Ok(Box::new(Line { layout: ParamLayout::new([("slope", vec![1]), ("offset", vec![1])])? }))
    }

    fn fingerprint(&self) -> String {
        "line 1".to_owned()
    }
}

const BATCH_SIZE: u64 = 16;

struct Line {
    layout: ParamLayout,
}

impl Line {
    /// Mean squared error and its two derivatives on the points with these numbers.
    fn errors(params: &[f32], stream: Stream, points: std::ops::Range<u64>) -> [f32; 3] {
        let mut sums = [0.0; 3];
        let count = (points.end - points.start) as f64;
        for point in points {
            let x = 2.0 * stream.uniform(2 * point) - 1.0;
            let y = 3.0 * x - 1.0 + 0.2 * (stream.uniform(2 * point + 1) - 0.5);
            let error = f64::from(params[0]) * x + f64::from(params[1]) - y;
            sums[0] += error * error;
            sums[1] += 2.0 * error * x;
            sums[2] += 2.0 * error;
        }
        sums.map(|sum| (sum / count) as f32)
    }

    /// Points of different splits come from different streams, so none is in two of them.
    fn stream(seed: u64, split: Split) -> Stream {
        Stream::new(seed.wrapping_mul(3) + split as u64, stream_number("points of a line"))
    }
}

impl Task for Line {
    fn name(&self) -> &str {
        "line"
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, seed: u64, params: &mut [f32]) {
        params[0] = Stream::new(seed, stream_number("start of a line")).uniform(0) as f32;
        params[1] = 0.0;
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        let first = batch.index * BATCH_SIZE;
        let [loss, slope, offset] =
            Self::errors(params, Self::stream(batch.seed, batch.split), first..first + BATCH_SIZE);
        grads.copy_from_slice(&[slope, offset]);
        loss
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        self.loss_and_grad(params, batch, &mut [0.0; 2])
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        let [loss, ..] = Self::errors(params, Self::stream(0, split), 0..1024);
        Metrics { loss, accuracy: None }
    }

    /// The variance of `y`: that of `3 x` and of the noise.
    fn reference_loss(&self) -> f32 {
        3.0 + 0.04 / 12.0
    }
}
