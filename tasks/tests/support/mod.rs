//! A slow MLP in `f64`, written from the formulas: what gradients are checked against.

use velo_tasks::data::Rows;
use velo_tasks::models::{Activation, Loss, MlpConfig, ModelConfig};
use velo_tasks::{Batch, TaskConfig};

/// The loss of one batch as a function of `f64` parameters.
pub struct Reference {
    hidden: Vec<usize>,
    activation: Activation,
    loss: Loss,
    inputs: usize,
    outputs: usize,
    rows: Rows,
}

impl Reference {
    /// The model, loss and batch of a task; its augmentations are ignored.
    pub fn new(config: &TaskConfig, batch: Batch) -> Self {
        let data = config.data.load().unwrap();
        let mut rows = data.batch_buffer(config.batch_size);
        data.fill(batch, &mut rows);
        let ModelConfig::Mlp(MlpConfig { hidden, activation, .. }) = config.model.clone() else {
            unreachable!("an MLP")
        };
        let outputs = if config.loss == Loss::AutoEncoding { data.input_width() } else { data.outputs() };
        Self { hidden, activation, loss: config.loss, inputs: data.input_width(), outputs, rows }
    }

    /// Mean loss at `params`.
    pub fn loss(&self, params: &[f64]) -> f64 {
        let total: f64 = (0..self.rows.len()).map(|row| self.row_loss(params, row)).sum();
        total / self.rows.len() as f64
    }

    /// `∂L/∂params · direction` by central differences. Both moves are equally long however many parameters there are:
    /// each coordinate of a wide network adds to the moves of all units behind it, and rectified units have kinks.
    pub fn slope_along(&self, params: &[f32], direction: &[f64]) -> f64 {
        let step = 1e-5 / direction.iter().map(|d| d * d).sum::<f64>().sqrt();
        let at = |sign: f64| {
            let moved: Vec<_> = params.iter().zip(direction).map(|(&p, d)| f64::from(p) + sign * step * d).collect();
            self.loss(&moved)
        };
        (at(1.0) - at(-1.0)) / (2.0 * step)
    }

    fn row_loss(&self, params: &[f64], row: usize) -> f64 {
        let input: Vec<_> =
            self.rows.inputs[row * self.inputs..][..self.inputs].iter().map(|&x| f64::from(x)).collect();
        let mut signal = input.clone();
        let mut rest = params;
        for width in self.hidden.iter().chain([&self.outputs]) {
            let (kernel, after) = rest.split_at(signal.len() * width);
            let (bias, after) = after.split_at(*width);
            let sum =
                |j: usize| bias[j] + signal.iter().enumerate().map(|(i, x)| x * kernel[i * width + j]).sum::<f64>();
            let mut next: Vec<_> = (0..*width).map(sum).collect();
            if !after.is_empty() {
                next.iter_mut().for_each(|x| *x = activate(self.activation, *x));
            }
            (signal, rest) = (next, after);
        }
        let mean = |f: &dyn Fn(f64) -> f64, targets: &[f64]| {
            signal.iter().zip(targets).map(|(z, y)| f(z - y)).sum::<f64>() / targets.len() as f64
        };
        match self.loss {
            Loss::SoftmaxCrossEntropy => {
                let largest = signal.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = signal.iter().map(|z| (z - largest).exp()).sum();
                sum.ln() + largest - signal[self.rows.labels[row] as usize]
            }
            Loss::AutoEncoding => mean(&|e| e * e, &input),
            Loss::MeanSquaredError => mean(&|e| e * e, &self.values(row)),
            Loss::Huber => mean(&|e| if e.abs() > 1.0 { e.abs() - 0.5 } else { 0.5 * e * e }, &self.values(row)),
            other => unreachable!("no MLP here is trained for {other:?}"),
        }
    }

    fn values(&self, row: usize) -> Vec<f64> {
        self.rows.values[row * self.outputs..][..self.outputs].iter().map(|&y| f64::from(y)).collect()
    }
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Sin => x.sin(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Gelu => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
    }
}
