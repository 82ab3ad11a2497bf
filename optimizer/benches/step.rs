//! `cargo bench -p velo-optimizer`: what one step costs, as Markdown tables.
//!
//! The first table: fixed gradients, four equal matrices of 10⁴, 10⁶ and 10⁷ parameters in all, and the network
//! 64-32-10 that dominates meta-training. In every round all optimizers run in turn, and the ratio to AdamW is taken
//! inside the round, so that a slow moment of the machine hits both sides; the medians over rounds are printed. With one
//! thread it is the thread's time on the processor that counts. The
//! yardstick of AdamW is a plain loop that reads and writes the same bytes (three arrays read and written, one read).
//! With the feature `rayon` the table is printed for one and for two threads.
//!
//! For rules with a per-parameter network the multiply-adds of one parameter stand beside them, and the share that they
//! take of the multiply-adds that one core was measured to do in the same run (`peak`): 100 % would be a step that does
//! nothing else. Fixed costs of a step (the LSTM of `velo`) are in the nanoseconds and not in the multiply-adds.
//!
//! The second table: what denormal numbers cost where a model has converged, with `step`'s flushing and without.
//!
//! Words after `--` choose optimizers by part of their name, and of the sizes those that are named among the words:
//! `cargo bench -p velo-optimizer -- celo velo mlp 1e6`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use velo_optimizer::rule::{StepContext, UpdateRule};
use velo_optimizer::state::StateLayout;
use velo_optimizer::{
    AccumulatorStorage, AdafacMlpConfig, Architecture, Celo2Config, CeloAdamConfig, CeloConfig, FlushDenormals,
    LearnedOptimizer, LearnedRule, LearnedWeights, Optimizer, OptimizerConfig, PacedConfig, ParamLayout, VeloConfig,
};

const ROUNDS: usize = 5;
/// Linux counts the time of a thread by ticks of some milliseconds.
const MEASURE: Duration = Duration::from_millis(120);

/// A step above this is measured once a round and not repeated.
const SLOW: Duration = Duration::from_millis(100);

/// A step above this is measured in the first round only.
const VERY_SLOW: Duration = Duration::from_secs(1);

/// Name, and rows and columns of the four matrices.
const SIZES: [(&str, usize, usize); 4] = [("mlp", 0, 0), ("1e4", 50, 50), ("1e6", 400, 625), ("1e7", 1000, 2500)];

/// Decompositions of matrices of thousands of rows: minutes a step, and not what these rules are for.
const ONLY_SMALL: [&str; 2] = ["shampoo", "soap"];

const ADAMW: &str = "adamw";
const MEMORY_LOOP: &str = "memory loop over AdamW's bytes";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let is_size = |word: &String| SIZES.iter().any(|size| size.0 == word);
    let names: Vec<&String> = words.iter().filter(|word| !is_size(word)).collect();
    let sizes: Vec<_> = SIZES
        .into_iter()
        .filter(|size| !words.iter().any(is_size) || words.iter().any(|word| word == size.0))
        .collect();
    let wanted = |name: &str| {
        [ADAMW, MEMORY_LOOP].contains(&name)
            || names.is_empty()
            || names.iter().any(|word| name.contains(word.as_str()))
    };
    #[cfg(not(feature = "rayon"))]
    print_table(&sizes, &wanted);
    #[cfg(feature = "rayon")]
    for threads in [1, 2] {
        println!("\n{threads} thread(s)\n");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| print_table(&sizes, &wanted));
    }
    if wanted("denormals") {
        print_denormals();
    }
}

fn print_table(sizes: &[(&str, usize, usize)], wanted: &impl Fn(&str) -> bool) {
    let peak = peak_multiply_adds();
    println!("Peak: {peak:.1} multiply-adds of `f32` a nanosecond on one core.\n");
    let names: Vec<String> = sizes.iter().map(|(name, ..)| format!("{name}: ns per parameter (× AdamW)")).collect();
    println!("| optimizer | bytes of state per parameter | multiply-adds | {} |", names.join(" | "));
    println!("| --- | --- | --- |{}", " --- |".repeat(sizes.len()));
    let columns: Vec<Vec<Row>> = sizes.iter().map(|&(_, rows, cols)| measure(rows, cols, wanted)).collect();
    // A large model shows what a rule keeps; rows of the small sizes come first and have all names.
    for row in &columns[0] {
        let same: Vec<Option<&Row>> =
            columns.iter().map(|column| column.iter().find(|other| other.name == row.name)).collect();
        let cells: Vec<String> = same.iter().map(|row| row.map_or("-".to_owned(), |row| row.cell(peak))).collect();
        let state = same.iter().flatten().next_back().map_or(0.0, |row| row.state_bytes);
        let work = row.multiply_adds.map_or(String::new(), |count| count.to_string());
        println!("| {} | {state:.2} | {work} | {} |", row.name, cells.join(" | "));
    }
}

/// Multiply-adds of `f32` that one core does in a nanosecond where nothing holds it up: the best of some attempts.
fn peak_multiply_adds() -> f64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has what the function is compiled for.
        return best_rate(16, |calls| unsafe { avx512_multiply_adds(calls) });
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: as above.
        return best_rate(8, |calls| unsafe { avx2_multiply_adds(calls) });
    }
    best_rate(8, multiply_adds)
}

/// Independent chains of vectors: enough to hide the latency of a multiply-add.
const CHAINS: usize = 10;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2_multiply_adds(calls: usize) -> f32 {
    use std::arch::x86_64::{_mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};

    let [factor, addend] = [0.999, 0.001].map(|value| _mm256_set1_ps(black_box(value)));
    let mut chains = [addend; CHAINS];
    for _ in 0..calls {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, factor, addend);
        }
    }
    chains.into_iter().map(|chain| _mm256_cvtss_f32(chain)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512_multiply_adds(calls: usize) -> f32 {
    use std::arch::x86_64::{_mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps};

    let [factor, addend] = [0.999, 0.001].map(|value| _mm512_set1_ps(black_box(value)));
    let mut chains = [addend; CHAINS];
    for _ in 0..calls {
        for chain in &mut chains {
            *chain = _mm512_fmadd_ps(*chain, factor, addend);
        }
    }
    chains.into_iter().map(|chain| _mm512_cvtss_f32(chain)).sum()
}

/// Whatever the compiler makes of arrays.
fn multiply_adds(calls: usize) -> f32 {
    let (factor, addend) = (black_box(0.999f32), black_box(0.001f32));
    let mut chains = [[1.0f32; 8]; CHAINS];
    for _ in 0..calls {
        for lane in chains.as_flattened_mut() {
            *lane = *lane * factor + addend;
        }
    }
    chains.iter().flatten().sum()
}

/// The best rate of `work`, which does as many multiply-adds in each of `lanes` lanes of each chain as it is told.
fn best_rate(lanes: usize, work: impl Fn(usize) -> f32) -> f64 {
    const CALLS: usize = 200_000;
    let rates = (0..20).map(|_| {
        let start = Instant::now();
        black_box(work(black_box(CALLS)));
        (CALLS * CHAINS * lanes) as f64 / start.elapsed().as_nanos() as f64
    });
    rates.fold(0.0, f64::max)
}

/// The tensors of one size.
fn layout(rows: usize, cols: usize) -> ParamLayout {
    let tensors = if rows == 0 {
        [("w0", vec![64, 32]), ("b0", vec![32]), ("w1", vec![32, 10]), ("b1", vec![10])]
    } else {
        ["a", "b", "c", "d"].map(|name| (name, vec![rows, cols]))
    };
    ParamLayout::new(tensors).expect("a layout")
}

struct Row {
    name: String,
    state_bytes: f64,
    multiply_adds: Option<usize>,
    nanoseconds: f64,
    ratio: f64,
}

impl Row {
    fn cell(&self, peak: f64) -> String {
        let share = self.multiply_adds.map(|count| 100.0 * count as f64 / peak / self.nanoseconds);
        let share = share.map_or(String::new(), |share| format!(", {share:.0} % of peak"));
        format!("{:.2} (× {:.2}{share})", self.nanoseconds, self.ratio)
    }
}

/// One line of the table: a name, its bytes of state, and one step as a closure.
struct Contestant<'a> {
    name: String,
    state_bytes: usize,
    multiply_adds: Option<usize>,
    step: Box<dyn FnMut() + 'a>,
}

fn measure(rows: usize, cols: usize, wanted: &impl Fn(&str) -> bool) -> Vec<Row> {
    let layout = layout(rows, cols);
    let len = layout.len();
    let grads: Vec<f32> = (0..len).map(|i| (i as f32 * 0.731).sin() * 1e-2).collect();

    let mut contestants = vec![memory_loop(&grads)];
    let fits = |name: &str| rows * cols < 100_000 || !ONLY_SMALL.contains(&name);
    for name in OptimizerConfig::NAMES.iter().filter(|name| wanted(name) && fits(name)) {
        let optimizer = OptimizerConfig::from_name(name).and_then(|config| config.build(&layout));
        contestants.push(contestant((*name).to_owned(), optimizer.expect("valid defaults"), &grads));
    }
    for (name, architecture) in architectures().into_iter().filter(|(name, _)| wanted(name)) {
        for (storage, suffix) in [(AccumulatorStorage::F32, ""), (AccumulatorStorage::Bf16, ", bfloat16")] {
            if storage == AccumulatorStorage::Bf16 && !IN_BFLOAT16.contains(&name) {
                continue;
            }
            let multiply_adds = multiply_adds_of(&architecture);
            let optimizer = learned(architecture.clone(), &layout, storage);
            contestants.push(Contestant { multiply_adds, ..contestant(format!("{name}{suffix}"), optimizer, &grads) });
        }
    }

    let mut times = vec![Vec::new(); contestants.len()];
    for _ in 0..ROUNDS {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            let nanoseconds = match times.first() {
                Some(&first) if first * len as f64 > VERY_SLOW.as_nanos() as f64 => first,
                _ => nanoseconds_per_call(&mut contestant.step) / len as f64,
            };
            times.push(nanoseconds);
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
            multiply_adds: contestant.multiply_adds,
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
        ("paced", Architecture::Paced(PacedConfig::default())),
    ]
}

/// Rules that are measured with averages in half the room, too.
const IN_BFLOAT16: [&str; 3] = ["celo2", "velo", "adafac_mlp, hidden width 4"];

/// Multiply-adds that the network needs for one parameter of a matrix: eighteen channels, of which squares are summed,
/// into the first layer, the second, and the outputs that are read.
fn multiply_adds_of(architecture: &Architecture) -> Option<usize> {
    let (hidden, outputs) = match architecture {
        Architecture::Celo2(_) | Architecture::Paced(_) => (8, 1),
        Architecture::Velo(_) | Architecture::Celo(_) => (4, 2),
        Architecture::AdafacMlp(config) => (config.hidden, 2),
        _ => return None,
    };
    Some(18 + hidden * (18 + hidden + outputs))
}

/// Weights that look random.
fn weights(architecture: Architecture) -> LearnedWeights {
    let mut wave = 0.0f32;
    let theta = architecture.meta_init(&mut || {
        wave += 1.0;
        (wave * 1.7).sin() * 1.4
    });
    LearnedWeights::new(architecture, theta).expect("theta fits")
}

/// The horizon that some architectures need is far away.
fn learned(architecture: Architecture, layout: &ParamLayout, storage: AccumulatorStorage) -> Box<dyn Optimizer> {
    let optimizer = LearnedOptimizer::with_accumulators(layout, weights(architecture), storage);
    let mut optimizer = optimizer.expect("a valid rule");
    optimizer.set_horizon(Some(1_000_000));
    Box::new(optimizer)
}

fn contestant<'a>(name: String, mut optimizer: Box<dyn Optimizer>, grads: &'a [f32]) -> Contestant<'a> {
    let mut params = vec![0.1f32; grads.len()];
    let state_bytes = optimizer.state_bytes();
    let step = Box::new(move || {
        optimizer.step(black_box(&mut params), black_box(grads), 1.0).expect("finite gradients");
    });
    Contestant { name, state_bytes, multiply_adds: None, step }
}

/// Reads gradients, parameters and two moments and writes the last three, with one addition each; on all threads.
fn memory_loop(grads: &[f32]) -> Contestant<'_> {
    let mut arrays = [0, 1, 2].map(|_| vec![0.1f32; grads.len()]);
    let step = Box::new(move || {
        let [params, mean, mean_square] = arrays.each_mut().map(Vec::as_mut_slice);
        on_all_threads(params, black_box(grads), mean, mean_square);
        black_box(&mut arrays);
    });
    Contestant { name: MEMORY_LOOP.to_owned(), state_bytes: 8 * grads.len(), multiply_adds: None, step }
}

fn on_all_threads(params: &mut [f32], grads: &[f32], mean: &mut [f32], mean_square: &mut [f32]) {
    #[cfg(feature = "rayon")]
    if rayon::current_num_threads() > 1 && params.len() > 100_000 {
        let half = params.len() / 2;
        let (params, grads) = (params.split_at_mut(half), grads.split_at(half));
        let (mean, mean_square) = (mean.split_at_mut(half), mean_square.split_at_mut(half));
        rayon::join(
            || touch(params.0, grads.0, mean.0, mean_square.0),
            || touch(params.1, grads.1, mean.1, mean_square.1),
        );
        return;
    }
    touch(params, grads, mean, mean_square);
}

fn touch(params: &mut [f32], grads: &[f32], mean: &mut [f32], mean_square: &mut [f32]) {
    for (((p, &g), m), v) in params.iter_mut().zip(grads).zip(mean).zip(mean_square) {
        *m += g;
        *v += g;
        *p += *m + *v;
    }
}

fn nanoseconds_per_call(step: &mut dyn FnMut()) -> f64 {
    let start = Clock::new();
    step();
    let first = start.elapsed();
    if first > SLOW {
        return first.as_nanos() as f64;
    }
    let (start, mut calls) = (Clock::new(), 0u32);
    while start.elapsed() < MEASURE {
        for _ in 0..(MEASURE.as_nanos() / 10 / first.as_nanos().max(1)).clamp(1, 1000) {
            step();
            calls += 1;
        }
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// The time that this thread has spent on a processor, so that other programs disturb little; where Linux does not
/// say, or several threads work, the time of the wall clock.
struct Clock {
    on_processor: Option<u64>,
    wall: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { on_processor: on_processor(), wall: Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        match (self.on_processor, on_processor()) {
            (Some(start), Some(now)) => Duration::from_nanos(now - start),
            _ => self.wall.elapsed(),
        }
    }
}

/// Nanoseconds that this thread has run.
fn on_processor() -> Option<u64> {
    #[cfg(feature = "rayon")]
    if rayon::current_num_threads() > 1 {
        return None;
    }
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    statistics.split_whitespace().next()?.parse().ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Steps of a network whose gradients have died down, for half of the units to 1e-20: their squares are denormal.
fn print_denormals() {
    println!(
        "\n| 64-32-10, gradients of half of the units at 1e-20 | ns per parameter, as `step` does it | without flushing |"
    );
    println!("| --- | --- | --- |");
    for (name, architecture) in architectures().into_iter().filter(|(name, _)| ["celo2", "velo"].contains(name)) {
        let times = [true, false].map(|flush| dying_step(architecture.clone(), flush));
        println!("| {name} | {:.2} | {:.2} |", times[0], times[1]);
    }
}

fn dying_step(architecture: Architecture, flush: bool) -> f64 {
    let layout = layout(0, 0);
    let mut state_layout = StateLayout::default();
    let mut rule = LearnedRule::build(weights(architecture), &layout, &mut state_layout).expect("a valid rule");
    let (mut params, mut state) = (vec![0.1f32; layout.len()], vec![0.0f32; state_layout.len()]);
    let grads: Vec<f32> =
        (0..layout.len()).map(|i| (i as f32 * 0.731).sin() * if i % 2 == 0 { 1e-20 } else { 1e-6 }).collect();
    let mut step = 0;
    let mut update = || {
        let context =
            StepContext { step, call: step, loss: 1.0, rate: 1.0, weight_decay: 0.0, horizon: Some(1_000_000) };
        let _flush = flush.then(FlushDenormals::new);
        rule.update(black_box(&mut params), black_box(&grads), &mut state, &context);
        step += 1;
    };
    let times = (0..ROUNDS).map(|_| nanoseconds_per_call(&mut update) / layout.len() as f64).collect();
    median(times)
}
