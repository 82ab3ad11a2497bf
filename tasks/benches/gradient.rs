//! Time of one loss and gradient, batch included: hand-written passes against the autodiff library.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use velo_tasks::data::{DataConfig, GaussianMixtureConfig, GlyphsConfig, RowCount, TeacherConfig};
use velo_tasks::models::Backend;
use velo_tasks::registry::named;
use velo_tasks::{Batch, Split, worker};

fn gradients(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gradient");
    for name in ["digits_logistic", "digits_mlp", "digits_tanh_deep", "digits_autoencoder", "diabetes_mlp"] {
        for backend in [Backend::Graph, Backend::Autodiff] {
            let mut task = named(name).expect("a task of that name").build_with(backend).expect("a sound task");
            let mut params = vec![0.0; task.layout().len()];
            let mut grads = params.clone();
            task.init(0, &mut params);
            group.bench_function(format!("{name}/{backend:?}").to_lowercase(), |bencher| {
                bencher.iter_custom(|gradients| {
                    let timed = || {
                        let start = Instant::now();
                        for index in 0..gradients {
                            let batch = Batch { seed: 0, split: Split::Train, index };
                            black_box(task.loss_and_grad(black_box(&params), batch, &mut grads));
                        }
                        start.elapsed()
                    };
                    worker::single_threaded(timed).expect("one thread")
                });
            });
        }
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

criterion_group!(benches, gradients, batches, normals);
criterion_main!(benches);
