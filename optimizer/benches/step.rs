//! `cargo bench -p velo-optimizer`: what one step costs, as a Markdown table.
//!
//! Four equal matrices of 10⁴, 10⁶ and 10⁷ parameters in all, fixed gradients, one core. In every round all
//! optimizers run in turn, and the ratio to AdamW is taken inside the round, so that a slow moment of the
//! machine hits both sides; the medians over rounds are printed. The yardstick for AdamW is a plain loop that
//! reads and writes the same bytes (three arrays read and written, one read).

use std::hint::black_box;
use std::time::{Duration, Instant};

use velo_optimizer::hand_designed::{AdamW, AdamWConfig};
use velo_optimizer::{Architecture, Celo2Config, LearnedOptimizer, LearnedWeights, Optimizer, ParamLayout};

const ROUNDS: usize = 7;
const MEASURE: Duration = Duration::from_millis(60);

fn main() {
    println!("| optimizer | bytes of state per parameter | 1e4: ns per parameter (× AdamW) | 1e6 | 1e7 |");
    println!("| --- | --- | --- | --- | --- |");
    let columns: Vec<Vec<Row>> = [(50, 50), (400, 625), (1000, 2500)].map(|(rows, cols)| measure(rows, cols)).into();
    for (index, row) in columns[0].iter().enumerate() {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| format!("{:.3} (× {:.2})", column[index].nanoseconds, column[index].ratio))
            .collect();
        println!("| {} | {} | {} |", row.name, row.state_bytes, cells.join(" | "));
    }
}

struct Row {
    name: &'static str,
    state_bytes: usize,
    nanoseconds: f64,
    ratio: f64,
}

/// One line of the table: a name, its bytes of state, and one step as a closure.
struct Contestant<'a> {
    name: &'static str,
    state_bytes: usize,
    step: Box<dyn FnMut() + 'a>,
}

fn measure(rows: usize, cols: usize) -> Vec<Row> {
    let layout = ParamLayout::new((0..4).map(|i| (format!("matrix_{i}"), vec![rows, cols]))).expect("a layout");
    let len = layout.len();
    let grads: Vec<f32> = (0..len).map(|i| (i as f32 * 0.731).sin() * 1e-2).collect();
    let mut contestants = vec![memory_loop(&grads)];
    let adamw = AdamW::new(&layout, AdamWConfig::default()).expect("valid defaults");
    contestants.push(contestant("AdamW", adamw, &grads));
    for (name, config) in [
        ("celo2", Celo2Config::default()),
        ("celo2, orthogonalised", Celo2Config { orthogonalize: true, ..Celo2Config::default() }),
    ] {
        let architecture = Architecture::Celo2(config);
        let mut wave = 0.0f32;
        let theta = architecture.meta_init(&mut || {
            wave += 1.0;
            (wave * 1.7).sin() * 1.4
        });
        let weights = LearnedWeights::new(architecture, theta).expect("theta fits");
        contestants.push(contestant(name, LearnedOptimizer::new(&layout, weights).expect("a valid rule"), &grads));
    }

    let mut times = vec![Vec::new(); contestants.len()];
    for _ in 0..ROUNDS {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            times.push(nanoseconds_per_call(&mut contestant.step) / len as f64);
        }
    }
    let adamw = times[1].clone();
    contestants
        .iter()
        .zip(times)
        .map(|(contestant, times)| Row {
            name: contestant.name,
            state_bytes: contestant.state_bytes / len,
            ratio: median(times.iter().zip(&adamw).map(|(own, adamw)| own / adamw).collect()),
            nanoseconds: median(times),
        })
        .collect()
}

fn contestant<'a>(name: &'static str, mut optimizer: impl Optimizer + 'a, grads: &'a [f32]) -> Contestant<'a> {
    let mut params = vec![0.1f32; grads.len()];
    let state_bytes = optimizer.state_bytes();
    let step = Box::new(move || {
        optimizer.step(black_box(&mut params), black_box(grads), 1.0).expect("finite gradients");
    });
    Contestant { name, state_bytes, step }
}

/// Reads gradients, parameters and two moments and writes the last three, with one addition each.
fn memory_loop(grads: &[f32]) -> Contestant<'_> {
    let mut arrays = [0, 1, 2].map(|_| vec![0.1f32; grads.len()]);
    let step = Box::new(move || {
        let [params, mean, mean_square] = &mut arrays;
        for (((p, &g), m), v) in params.iter_mut().zip(black_box(grads)).zip(mean).zip(mean_square) {
            *m += g;
            *v += g;
            *p += *m + *v;
        }
        black_box(&mut arrays);
    });
    Contestant { name: "memory loop over AdamW's bytes", state_bytes: 8 * grads.len(), step }
}

fn nanoseconds_per_call(step: &mut dyn FnMut()) -> f64 {
    step();
    let (start, mut calls) = (Instant::now(), 0u32);
    while start.elapsed() < MEASURE {
        step();
        calls += 1;
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
