//! Time of one row of every source of batches: an inner step of meta-training pays it for every row.
//!
//! The numbers are for fresh rows in batches of 64; of bundled data, for rows picked from memory.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use velo_tasks::data::{
    BracketsConfig, CaptionedShapesConfig, CollocationConfig, DataConfig, GaussianMixtureConfig, GlyphsConfig,
    GrammarConfig, IllConditionedConfig, ImplicitImageConfig, MarkovConfig, ModularArithmeticConfig, ParityConfig,
    RatingsConfig, RecallConfig, RowCount, ShapesConfig, TeacherConfig, TexturesConfig,
};
use velo_tasks::{Batch, Split};

const BATCH_ROWS: usize = 64;

fn sources() -> Vec<(&'static str, DataConfig)> {
    let rows = RowCount::Fresh;
    let mixture = DataConfig::GaussianMixture(GaussianMixtureConfig { rows, ..Default::default() });
    vec![
        ("digits, 8x8, from memory", DataConfig::Digits),
        ("king james, 64 bytes", DataConfig::KingJames { length: 64 }),
        ("teacher, 16 inputs", DataConfig::Teacher(TeacherConfig { rows, ..Default::default() })),
        ("mixture, 16 inputs", mixture.clone()),
        ("noisy mixture, 16 inputs", DataConfig::NoisyLabels { data: Box::new(mixture.clone()), share: 0.2, seed: 1 }),
        ("imbalanced mixture, 16 inputs", DataConfig::Imbalanced { data: Box::new(mixture), exponent: 1.0, seed: 1 }),
        ("ill-conditioned, 32 inputs", DataConfig::IllConditioned(IllConditionedConfig { rows, ..Default::default() })),
        ("parity, 8 inputs", DataConfig::Parity(ParityConfig { rows, ..Default::default() })),
        ("ratings, rank 4", DataConfig::Ratings(RatingsConfig { rows, ..Default::default() })),
        ("collocation, 3 terms", DataConfig::Collocation(CollocationConfig { rows, ..Default::default() })),
        ("implicit image, 12 waves", DataConfig::ImplicitImage(ImplicitImageConfig { rows, ..Default::default() })),
        ("glyphs, 8x8", DataConfig::Glyphs(GlyphsConfig { rows, ..Default::default() })),
        ("glyphs, 16x16", DataConfig::Glyphs(GlyphsConfig { rows, side: 16, ..Default::default() })),
        ("textures, 8x8", DataConfig::Textures(TexturesConfig { rows, ..Default::default() })),
        (
            "textures, 16x16x3",
            DataConfig::Textures(TexturesConfig { rows, side: 16, channels: 3, ..Default::default() }),
        ),
        ("shapes, 8x8", DataConfig::Shapes(ShapesConfig { rows, side: 8, channels: 1, ..Default::default() })),
        ("shapes, 12x12x3", DataConfig::Shapes(ShapesConfig { rows, ..Default::default() })),
        (
            "captioned shapes, 12x12x3 + 4",
            DataConfig::CaptionedShapes(CaptionedShapesConfig { rows, ..Default::default() }),
        ),
        ("markov, 32 tokens", DataConfig::Markov(MarkovConfig { rows, ..Default::default() })),
        ("brackets, 32 tokens", DataConfig::Brackets(BracketsConfig { rows, ..Default::default() })),
        ("recall, 17 tokens", DataConfig::Recall(RecallConfig { rows, ..Default::default() })),
        (
            "modular arithmetic, 5 tokens",
            DataConfig::ModularArithmetic(ModularArithmeticConfig { rows, ..Default::default() }),
        ),
        ("grammar, 32 tokens", DataConfig::Grammar(GrammarConfig { rows, ..Default::default() })),
    ]
}

fn rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("row");
    group.throughput(Throughput::Elements(BATCH_ROWS as u64));
    for (name, source) in sources() {
        let data = source.load().expect("sound data");
        let mut buffer = data.batch_buffer(BATCH_ROWS);
        let mut index = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                index += 1;
                data.fill(Batch { seed: 0, split: Split::Train, index }, &mut buffer);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
