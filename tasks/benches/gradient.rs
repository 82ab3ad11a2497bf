//! Time of one loss and gradient, batch included: hand-written passes against the autodiff library, and the rate of
//! floating-point operations in matrix products (criterion calls them elements).

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use velo_tasks::data::{DataConfig, GaussianMixtureConfig, GlyphsConfig, RowCount, TeacherConfig};
use velo_tasks::models::{
    Backend, CellKind, ConvolutionalConfig, Loss, MixerConfig, ModelConfig, RecurrentConfig, TransformerConfig,
    VisionTransformerConfig,
};
use velo_tasks::registry::named;
use velo_tasks::{Batch, Split, Task, TaskConfig, worker};

/// Time of `gradients` gradients of successive batches, on one thread.
fn time_gradients(task: &mut dyn Task, gradients: u64) -> Duration {
    let mut params = vec![0.0; task.layout().len()];
    let mut grads = params.clone();
    task.init(0, &mut params);
    let timed = || {
        let start = Instant::now();
        for index in 0..gradients {
            let batch = Batch { seed: 0, split: Split::Train, index };
            black_box(task.loss_and_grad(black_box(&params), batch, &mut grads));
        }
        start.elapsed()
    };
    worker::single_threaded(timed).expect("one thread")
}

fn gradients(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gradient");
    for name in ["digits_logistic", "digits_mlp", "digits_tanh_deep", "digits_autoencoder", "diabetes_mlp"] {
        for backend in [Backend::Graph, Backend::Autodiff] {
            let mut task = named(name).expect("a task of that name").build_with(backend).expect("a sound task");
            group.bench_function(format!("{name}/{backend:?}").to_lowercase(), |bencher| {
                bencher.iter_custom(|gradients| time_gradients(task.as_mut(), gradients));
            });
        }
    }
    group.finish();
}

/// One of each architecture, batch 32: on the digits, or on 64 bytes of text.
fn architectures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gradient of 32 rows");
    let digits = |model| (DataConfig::Digits, model, Loss::SoftmaxCrossEntropy);
    let text = |model| (DataConfig::KingJames { length: 64 }, model, Loss::NextToken);
    let wide = TransformerConfig { width: 64, hidden: 256, ..Default::default() };
    let cell = |cell| text(ModelConfig::Recurrent(RecurrentConfig { cell, ..Default::default() }));
    let models = [
        (
            "vit, 2 blocks of 64",
            digits(ModelConfig::VisionTransformer(VisionTransformerConfig { patch: 2, transformer: wide.clone() })),
        ),
        ("vit, 2 blocks of 32", digits(ModelConfig::VisionTransformer(VisionTransformerConfig::default()))),
        ("mixer, 2 blocks of 32", digits(ModelConfig::Mixer(MixerConfig::default()))),
        ("convolutions, 16 and 32", digits(ModelConfig::Convolutional(ConvolutionalConfig::default()))),
        ("transformer, 2 blocks of 32", text(ModelConfig::Transformer(TransformerConfig::default()))),
        ("vanilla 32", cell(CellKind::Vanilla)),
        ("gru 32", cell(CellKind::Gru)),
        ("lstm 32", cell(CellKind::Lstm)),
    ];
    for (name, (data, model, loss)) in models {
        let config = TaskConfig { name: name.to_owned(), data, model, loss, batch_size: 32, augmentations: Vec::new() };
        let mut task = config.build().expect("a sound task");
        group.throughput(Throughput::Elements(task.flops_per_gradient().expect("counted")));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|gradients| time_gradients(task.as_mut(), gradients));
        });
    }
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch of 64 rows");
    let rows = RowCount::Fresh;
    let fresh_glyphs = DataConfig::Glyphs(GlyphsConfig { rows, ..Default::default() });
    let fresh_teacher = DataConfig::Teacher(TeacherConfig { rows, ..Default::default() });
    let fresh_mixture = DataConfig::GaussianMixture(GaussianMixtureConfig { rows, ..Default::default() });
    let sources = [
        ("digits", DataConfig::Digits),
        ("fresh glyphs, 8x8", fresh_glyphs),
        ("fresh teacher, 16 inputs", fresh_teacher),
        ("fresh mixture, 16 inputs", fresh_mixture),
    ];
    for (name, source) in sources {
        let data = source.load().expect("sound data");
        let mut rows = data.batch_buffer(64);
        let mut index = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                index += 1;
                data.fill(Batch { seed: 0, split: Split::Train, index }, &mut rows);
            });
        });
    }
    group.finish();
}

fn normals(criterion: &mut Criterion) {
    let mut out = vec![0.0; 1000];
    criterion.bench_function("1000 normals", |bencher| {
        bencher.iter(|| velo_tasks::rng::normals(1, 2, 0, black_box(&mut out)));
    });
}

criterion_group!(benches, gradients, architectures, batches, normals);
criterion_main!(benches);
