//! What every source of data promises, over all of them and over draws of their difficulty.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use velo_tasks::data::{
    BracketsConfig, CaptionedShapesConfig, CollocationConfig, DataConfig, GaussianMixtureConfig, GlyphsConfig,
    GrammarConfig, IllConditionedConfig, ImplicitImageConfig, InputKind, MarkovConfig, ModularArithmeticConfig,
    ParityConfig, RatingsConfig, RecallConfig, RowCount, ShapesConfig, TargetKind, TeacherConfig, TeacherTarget,
    TexturesConfig,
};
use velo_tasks::rng::Draws;
use velo_tasks::{Batch, Split};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks for.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Random configurations of every procedural source.
fn draws_of_all(draws: &mut Draws) -> Vec<DataConfig> {
    vec![
        DataConfig::IllConditioned(IllConditionedConfig::sample(draws)),
        DataConfig::Parity(ParityConfig::sample(draws)),
        DataConfig::Ratings(RatingsConfig::sample(draws)),
        DataConfig::Collocation(CollocationConfig::sample(draws)),
        DataConfig::ImplicitImage(ImplicitImageConfig::sample(draws)),
        DataConfig::Glyphs(GlyphsConfig::sample(draws, [6, 8, 12])),
        DataConfig::Textures(TexturesConfig::sample(draws)),
        DataConfig::Shapes(ShapesConfig::sample(draws)),
        DataConfig::CaptionedShapes(CaptionedShapesConfig::sample(draws)),
        DataConfig::Markov(MarkovConfig::sample(draws)),
        DataConfig::Brackets(BracketsConfig::sample(draws)),
        DataConfig::Recall(RecallConfig::sample(draws)),
        DataConfig::ModularArithmetic(ModularArithmeticConfig::sample(draws)),
        DataConfig::Grammar(GrammarConfig::sample(draws)),
    ]
}

/// Bundled data, what has no difficulty to draw, and ten draws of everything else.
fn all_sources() -> Vec<DataConfig> {
    let mut draws = Draws::new(1, 1);
    let mixture = DataConfig::GaussianMixture(GaussianMixtureConfig { rows: RowCount::Fresh, ..Default::default() });
    let teacher = |target| {
        DataConfig::Teacher(TeacherConfig { rows: RowCount::Fresh, target, label_noise: 0.1, ..Default::default() })
    };
    let mut sources = vec![
        DataConfig::Digits,
        DataConfig::BreastCancer,
        DataConfig::Wine,
        DataConfig::Diabetes,
        DataConfig::KingJames { length: 32 },
        teacher(TeacherTarget::Class),
        teacher(TeacherTarget::Values),
        DataConfig::NoisyLabels { data: Box::new(mixture.clone()), share: 0.2, seed: 1 },
        DataConfig::Imbalanced { data: Box::new(mixture.clone()), exponent: 1.0, seed: 1 },
        mixture,
    ];
    (0..10).for_each(|_| sources.extend(draws_of_all(&mut draws)));
    sources
}

fn batch(seed: u64, split: Split, index: u64) -> Batch {
    Batch { seed, split, index }
}

#[test]
fn filling_a_batch_allocates_nothing() {
    for source in all_sources() {
        let data = source.load().unwrap();
        let mut rows = data.batch_buffer(32);
        let before = ALLOCATIONS.with(Cell::get);
        for index in 0..4 {
            data.fill(batch(1, Split::Train, index), &mut rows);
            data.fill(batch(1, Split::Validation, index), &mut rows);
        }
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{source:?}");
    }
}

#[test]
fn every_row_is_of_the_kind_that_its_data_set_announces() {
    for source in all_sources() {
        let data = source.load().unwrap();
        let mut rows = data.batch_buffer(64);
        data.fill(batch(3, Split::Train, 0), &mut rows);
        assert!(rows.inputs.iter().chain(&rows.values).all(|x| x.is_finite()), "{source:?}");
        let (width, outputs) = (data.input_width(), data.outputs());
        let tokens = match data.input_kind() {
            InputKind::Features(count) => count..count,
            InputKind::Image { channels, height, width } => channels * height * width..channels * height * width,
            InputKind::Tokens { length, .. } => 0..length,
            InputKind::ImageAndTokens { channels, height, width, length, .. } => {
                channels * height * width..channels * height * width + length
            }
        };
        assert_eq!(tokens.end, width);
        if let Some(vocabulary) = data.input_kind().vocabulary() {
            for row in rows.inputs.chunks(width) {
                let sound = |&token: &f32| token.fract() == 0.0 && (0.0..vocabulary as f32).contains(&token);
                assert!(row[tokens.clone()].iter().all(sound), "{source:?}: {row:?}");
            }
        }
        match data.target() {
            TargetKind::Class(classes) => {
                assert_eq!(outputs, classes);
                assert!(rows.labels.iter().all(|&label| (label as usize) < classes) && rows.values.is_empty());
            }
            TargetKind::Values(count) => assert_eq!((outputs, rows.values.len()), (count, 64 * count)),
            TargetKind::NextToken => {
                assert_eq!(Some(outputs), data.input_kind().vocabulary());
                assert!(rows.values.is_empty());
            }
        }
    }
}

#[test]
fn a_configuration_survives_ron_and_gives_the_same_bits_on_any_thread() {
    for source in all_sources() {
        let text = ron::to_string(&source).unwrap();
        assert_eq!(ron::from_str::<DataConfig>(&text).unwrap(), source);
        let bits = || {
            let data = source.load().unwrap();
            let mut rows = data.batch_buffer(8);
            data.fill(batch(5, Split::Train, 2), &mut rows);
            let numbers = rows.inputs.iter().chain(&rows.values).map(|x| x.to_bits());
            numbers.chain(rows.labels.iter().copied()).collect::<Vec<_>>()
        };
        let there = std::thread::scope(|scope| scope.spawn(bits).join().unwrap());
        assert_eq!(bits(), there, "{source:?}");
    }
}

#[test]
fn batches_of_other_seeds_splits_and_numbers_differ() {
    for source in all_sources() {
        let data = source.load().unwrap();
        let inputs = |batch| {
            let mut rows = data.batch_buffer(32);
            data.fill(batch, &mut rows);
            rows.inputs
        };
        let first = inputs(batch(1, Split::Train, 0));
        assert_eq!(first, inputs(batch(1, Split::Train, 0)), "{source:?}");
        for other in [batch(2, Split::Train, 0), batch(1, Split::Validation, 0), batch(1, Split::Train, 1)] {
            assert_ne!(first, inputs(other), "{source:?}");
        }
    }
}

#[test]
fn sampled_configurations_are_valid() {
    let mut draws = Draws::new(7, 7);
    for _ in 0..300 {
        draws_of_all(&mut draws).iter().for_each(|source| source.check().unwrap());
    }
}

#[test]
fn impossible_configurations_are_refused_by_field_and_bounds() {
    let refused = |text: &str| ron::from_str::<DataConfig>(text).unwrap().load().unwrap_err().to_string();
    for (text, expected) in [
        ("Textures((channels: 2))", "data.channels is 2, expected 1 or 3"),
        ("Shapes((kinds: 7))", "data.kinds is 7, expected 1 to 6"),
        ("Shapes((kinds: 1))", "classes of data.target Kind is 1, expected 2 to 36"),
        ("Parity((inputs: 4, relevant: 5))", "data.relevant is 5, expected 1 to 4"),
        ("Markov((order: 3))", "data.order is 3, expected 1 to 2"),
        ("Recall((items: 0))", "data.items is 0, expected 1 to 256"),
        ("Grammar((length: 1))", "data.length is 1, expected 2 to 1024"),
        ("ModularArithmetic((operations: []))", "data.operations: number of operations is 0, expected 1 to 3"),
        ("KingJames(length: 5000)", "data.length is 5000, expected 2 to 4096"),
        ("NoisyLabels(data: Diabetes, share: 0.1, seed: 0)", "data is data for Values(1), expected data with classes"),
        ("Imbalanced(data: Wine, exponent: 9.0, seed: 0)", "data.exponent is 9, expected 0 to 4"),
    ] {
        assert_eq!(refused(text), expected);
    }
}
