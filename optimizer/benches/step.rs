//! `cargo bench -p velo-optimizer`: what one step costs, as a Markdown table.
//!
//! Four equal matrices of 10⁴, 10⁶ and 10⁷ parameters in all, fixed gradients. In every round all optimizers run in
//! turn, and the ratio to AdamW is taken inside the round, so that a slow moment of the machine hits both sides; the
//! medians over rounds are printed. The yardstick of AdamW is a plain loop that reads and writes the same bytes
//! (three arrays read and written, one read). With the feature `rayon` the table is printed for one and for two
//! threads. Words after `--` choose optimizers by part of their name: `cargo bench -p velo-optimizer -- celo velo`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use velo_optimizer::{
    AdafacMlpConfig, Architecture, Celo2Config, CeloAdamConfig, CeloConfig, LearnedOptimizer, LearnedWeights,
    Optimizer, OptimizerConfig, ParamLayout, VeloConfig,
};

const ROUNDS: usize = 7;
const MEASURE: Duration = Duration::from_millis(50);

/// A step above this is measured once a round and not repeated.
const SLOW: Duration = Duration::from_millis(200);

/// Rows and columns of the four matrices.
const SIZES: [(usize, usize); 3] = [(50, 50), (400, 625), (1000, 2500)];

const ADAMW: &str = "adamw";
const MEMORY_LOOP: &str = "memory loop over AdamW's bytes";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| {
        [ADAMW, MEMORY_LOOP].contains(&name) || words.is_empty() || words.iter().any(|word| name.contains(word))
    };
    #[cfg(not(feature = "rayon"))]
    print_table(&wanted);
    #[cfg(feature = "rayon")]
    for threads in [1, 2] {
        println!("\n{threads} thread(s)\n");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| print_table(&wanted));
    }
}

fn print_table(wanted: &(impl Fn(&str) -> bool + Sync)) {
    println!("| optimizer | bytes of state per parameter | 1e4: ns per parameter (× AdamW) | 1e6 | 1e7 |");
    println!("| --- | --- | --- | --- | --- |");
    let columns = SIZES.map(|(rows, cols)| measure(rows, cols, wanted));
    for (index, row) in columns[0].iter().enumerate() {
        let cells = columns.each_ref().map(|column| column[index].cell());
        // Small tensors hide what a large one costs: the state is that of the largest size.
        println!("| {} | {:.2} | {} |", row.name, columns[2][index].state_bytes, cells.join(" | "));
    }
}

struct Row {
    name: String,
    state_bytes: f64,
    nanoseconds: f64,
    ratio: f64,
}

impl Row {
    fn cell(&self) -> String {
        format!("{:.2} (× {:.2})", self.nanoseconds, self.ratio)
    }
}

/// One line of the table: a name, its bytes of state, and one step as a closure.
struct Contestant<'a> {
    name: String,
    state_bytes: usize,
    step: Box<dyn FnMut() + 'a>,
}

fn measure(rows: usize, cols: usize, wanted: &impl Fn(&str) -> bool) -> Vec<Row> {
    let layout = ParamLayout::new((0..4).map(|i| (format!("matrix_{i}"), vec![rows, cols]))).expect("a layout");
    let len = layout.len();
    let grads: Vec<f32> = (0..len).map(|i| (i as f32 * 0.731).sin() * 1e-2).collect();

    let mut contestants = vec![memory_loop(&grads)];
    for name in OptimizerConfig::NAMES.iter().filter(|name| wanted(name)) {
        let optimizer = OptimizerConfig::from_name(name).and_then(|config| config.build(&layout));
        contestants.push(contestant((*name).to_owned(), optimizer.expect("valid defaults"), &grads));
    }
    for (name, architecture) in architectures().into_iter().filter(|(name, _)| wanted(name)) {
        contestants.push(contestant(name.to_owned(), learned(architecture, &layout), &grads));
    }

    let mut times = vec![Vec::new(); contestants.len()];
    for _ in 0..ROUNDS {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            times.push(nanoseconds_per_call(&mut contestant.step) / len as f64);
        }
    }
    let adamw = contestants.iter().position(|contestant| contestant.name == ADAMW).expect("AdamW always runs");
    let adamw = times[adamw].clone();
    contestants
        .iter()
        .zip(times)
        .map(|(contestant, times)| Row {
            name: contestant.name.clone(),
            state_bytes: contestant.state_bytes as f64 / len as f64,
            ratio: median(times.iter().zip(&adamw).map(|(own, adamw)| own / adamw).collect()),
            nanoseconds: median(times),
        })
        .collect()
}

fn architectures() -> Vec<(&'static str, Architecture)> {
    vec![
        ("celo2", Architecture::Celo2(Celo2Config::default())),
        ("celo2, orthogonalised", Architecture::Celo2(Celo2Config { orthogonalize: true, ..Celo2Config::default() })),
        ("celo", Architecture::Celo(CeloConfig::default())),
        ("celo_adam", Architecture::CeloAdam(CeloAdamConfig::default())),
        ("velo", Architecture::Velo(VeloConfig::default())),
        ("adafac_mlp, hidden width 4", Architecture::AdafacMlp(AdafacMlpConfig { hidden: 4, ..Default::default() })),
        ("adafac_mlp, hidden width 32", Architecture::AdafacMlp(AdafacMlpConfig { hidden: 32, ..Default::default() })),
    ]
}

/// With weights that look random; the horizon that some architectures need is far away.
fn learned(architecture: Architecture, layout: &ParamLayout) -> Box<dyn Optimizer> {
    let mut wave = 0.0f32;
    let theta = architecture.meta_init(&mut || {
        wave += 1.0;
        (wave * 1.7).sin() * 1.4
    });
    let weights = LearnedWeights::new(architecture, theta).expect("theta fits");
    let mut optimizer = LearnedOptimizer::new(layout, weights).expect("a valid rule");
    optimizer.set_horizon(Some(1_000_000));
    Box::new(optimizer)
}

fn contestant<'a>(name: String, mut optimizer: Box<dyn Optimizer>, grads: &'a [f32]) -> Contestant<'a> {
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
    Contestant { name: MEMORY_LOOP.to_owned(), state_bytes: 8 * grads.len(), step }
}

fn nanoseconds_per_call(step: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    step();
    let first = start.elapsed();
    if first > SLOW {
        return first.as_nanos() as f64;
    }
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
