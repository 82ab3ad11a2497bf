//! Trains real handwritten digits with burn, once with a frozen learned optimizer and once with AdamW:
//! `cargo run --release -p velo-optimizer --features burn_0_22_cpu --example digits_burn -- learned.safetensors`
mod digits;

use burn_core as burn; // the name that burn's derive macro writes; `use burn::…` throughout where `burn` itself is used

use burn_core::module::{Module, Param};
use burn_core::tensor::activation::relu;
use burn_core::tensor::loss::cross_entropy_with_logits;
use burn_core::tensor::{Device, Distribution, Int, Tensor, TensorData};
use burn_optim::GradientsParams;
use digits::{Build, DIGITS, Digits, Failure, HIDDEN, PIXELS, STEPS, Trained};
use velo_optimizer::adapters::burn::BurnOptimizer;

#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Layer {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight = Tensor::random([inputs, outputs], Distribution::Uniform(-bound, bound), device);
        Self { weight: Param::from_tensor(weight), bias: Param::from_tensor(Tensor::zeros([outputs], device)) }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        inputs.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

#[derive(Module, Debug)]
struct Network {
    hidden: Layer,
    digits: Layer,
}

impl Network {
    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        self.digits.forward(relu(self.hidden.forward(images)))
    }
}

fn train(digits: &Digits, build: Build<'_>) -> Result<Trained, Failure> {
    let device = Device::flex().autodiff();
    device.seed(0);
    let mut model =
        Network { hidden: Layer::new(PIXELS, HIDDEN, &device), digits: Layer::new(HIDDEN, DIGITS, &device) };
    let images = |pixels: Vec<f32>| {
        let rows = pixels.len() / PIXELS;
        Tensor::<2>::from_data(TensorData::new(pixels, [rows, PIXELS]), &device)
    };
    let mut optimizer = BurnOptimizer::from_optimizer(build(&BurnOptimizer::layout(&model)?)?);
    let mut last = f32::NAN;
    for step in 0..STEPS {
        let batch = digits.batch(step);
        let labels: Vec<i32> = batch.labels.into_iter().map(i32::from).collect();
        let classes = Tensor::<1, Int>::from_data(labels.as_slice(), &device).one_hot(DIGITS).float();
        let loss = cross_entropy_with_logits(model.forward(images(batch.pixels)), classes);
        last = loss.clone().into_scalar();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1.0, model, gradients, last)?;
    }
    let outputs = model.forward(images(digits.held_out().pixels)).into_data();
    Ok(Trained { loss: last, outputs: outputs.as_slice()?.to_vec() })
}

fn main() -> Result<(), Failure> {
    digits::compare(train)
}
