//! Files of weights and state that are not to be trusted: whatever the bytes, the outcome is a value or a typed error,
//! and no more memory is asked for than the file is worth.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use proptest::prelude::*;
use velo_optimizer::import::{self, flax};
use velo_optimizer::{
    AdafacMlpConfig, Architecture, Celo2Config, CeloAdamConfig, CeloConfig, Error, LearnedWeights, Optimizer,
    OptimizerConfig, ParamLayout, VeloConfig,
};

thread_local! {
    /// Bytes that this thread has at the moment, and the most that it had since they were last set.
    static HELD: Cell<[isize; 2]> = const { Cell::new([0; 2]) };
}

/// The system allocator, keeping the books of each thread.
struct Booking;

fn book(bytes: isize) {
    let [held, most] = HELD.get();
    HELD.set([held + bytes, most.max(held + bytes)]);
}

// SAFETY: every request is handed on unchanged to the system allocator; booking touches a thread-local that needs
// neither initialisation nor a destructor.
unsafe impl GlobalAlloc for Booking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        book(layout.size() as isize);
        // SAFETY: the caller's obligations are those of the system allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        book(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Booking = Booking;

/// What `read` returns, and the bytes that it held at most at one time.
fn most_memory<T>(read: impl FnOnce() -> T) -> (T, isize) {
    let [before, _] = HELD.get();
    HELD.set([before; 2]);
    let outcome = read();
    (outcome, HELD.get()[1] - before)
}

/// A reader of files.
type Reader = fn(&[u8]) -> Result<(), Error>;

fn as_weights(bytes: &[u8]) -> Result<(), Error> {
    import::weights([bytes], None).map(drop)
}

/// Read as the state of groups around wrappers; refused without a change.
fn as_state(bytes: &[u8]) -> Result<(), Error> {
    let mut optimizer = grouped();
    let before = optimizer.save_state();
    let outcome = optimizer.load_state(bytes);
    if outcome.is_err() {
        assert_eq!(optimizer.save_state(), before);
    }
    outcome
}

fn grouped() -> Box<dyn Optimizer> {
    let text = r#"{"grouped": {
        "groups": [{"tensors": "Vectors", "optimizer": {"averaged": {"inner": {"adam": {}}}}}],
        "inner": {"accumulated": {"calls": 2, "inner": {"adafactor": {"min_dim_size_to_factor": 2}}}}
    }}"#;
    let config: OptimizerConfig = serde_json::from_str(text).unwrap();
    let layout = ParamLayout::new([("matrix", vec![3, 4]), ("bias", vec![4]), ("empty", vec![0, 2])]).unwrap();
    config.build(&layout).unwrap()
}

fn weights(architecture: Architecture) -> LearnedWeights {
    let theta = (0..architecture.theta_layout().len()).map(|i| (i as f32 * 0.37).sin()).collect();
    LearnedWeights::new(architecture, theta).unwrap().with_provenance("licence", "MIT")
}

/// One right file of every kind, with its reader.
fn right_files() -> Vec<(&'static str, Vec<u8>, Reader)> {
    let celo2 = weights(Architecture::Celo2(Celo2Config::default()));
    let own = celo2.to_bytes();
    // The same arrays without what this crate writes beside them.
    let published = without_metadata(&own);
    let corpus = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/safetensors").join(name);
        std::fs::read(path).unwrap()
    };
    vec![
        ("own", own, as_weights as Reader),
        ("flax", flax::write(&celo2), as_weights),
        ("flax with a recurrent network", flax::write(&weights(small_celo())), as_weights),
        ("published safetensors", published, as_weights),
        ("pylo celo2", corpus("right_pylo_celo2"), as_weights),
        ("pylo adafac_mlp", corpus("right_pylo_meta_mlp"), as_weights),
        ("state", grouped().save_state(), as_state),
    ]
}

fn small_celo() -> Architecture {
    Architecture::Celo(CeloConfig { lstm_width: 3, bank: 2, ..CeloConfig::default() })
}

fn without_metadata(file: &[u8]) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(file).unwrap();
    safetensors::serialize(file.iter(), None).unwrap()
}

/// Memory that a file of `len` bytes may take: its arrays several times over, and a little for names and messages.
fn worth(len: usize) -> isize {
    16 * len as isize + (1 << 16)
}

#[test]
fn right_files_are_right_and_take_memory_in_proportion() {
    for (name, file, read) in right_files() {
        let (outcome, most) = most_memory(|| read(&file));
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(most <= worth(file.len()), "{name}: {most} bytes for a file of {}", file.len());
    }
}

#[test]
fn a_file_cut_off_at_any_byte_is_an_error() {
    for (name, file, read) in right_files() {
        for len in 0..file.len() {
            let error = read(&file[..len]).err().unwrap_or_else(|| panic!("{name} is read from its first {len} bytes"));
            assert!(matches!(error, Error::Malformed { .. }), "{name}, {len} bytes: {error}");
        }
    }
}

#[test]
fn a_file_with_bytes_behind_its_end_is_an_error() {
    for (name, mut file, read) in right_files() {
        file.push(0);
        assert!(matches!(read(&file), Err(Error::Malformed { .. })), "{name}");
    }
}

/// A safetensors file with that header, whose length is told as it is, and no data.
fn with_header(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

#[test]
fn lengths_that_lie_are_errors_and_reserve_nothing() {
    let header = |shape: &str, offsets: &str| {
        with_header(&format!(r#"{{"nn/~/w0":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#))
    };
    let liars = [
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
        [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat(),
        [&99_999_999u64.to_le_bytes()[..], b"{\"a\":"].concat(),
        header("[1099511627776]", "[0,4398046511104]"),
        header("[4294967296,4294967296,4294967296]", "[0,0]"),
        header("[2]", "[8,0]"),
        header("[39,4]", "[0,624]"),
        header("[18446744073709551615]", "[0,18446744073709551615]"),
        // MessagePack: four gigabytes of map, array, text, binary and extension.
        vec![0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, b'w'],
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0x81, 0xdb, 0xff, 0xff, 0xff, 0xff],
        vec![0x81, 0xa1, b'w', 0xc6, 0xff, 0xff, 0xff, 0xff],
        vec![0x81, 0xa1, b'w', 0xc9, 0xff, 0xff, 0xff, 0xff, 0x01],
    ];
    for liar in liars {
        for read in [as_weights as Reader, as_state] {
            let (outcome, most) = most_memory(|| read(&liar));
            assert!(matches!(outcome, Err(Error::Malformed { .. })), "{liar:?}: {outcome:?}");
            assert!(most <= worth(liar.len()), "{liar:?} takes {most} bytes");
        }
    }
}

#[test]
fn nesting_bombs_are_errors() {
    let deep = 200_000;
    let json = format!(r#"{{"a":{}{}}}"#, "[".repeat(deep), "]".repeat(deep));
    let arrays = vec![0x91; deep];
    let maps = [0x81, 0xa1, b'k'].repeat(deep);
    for bomb in [with_header(&json), arrays, maps] {
        for read in [as_weights as Reader, as_state] {
            let (outcome, most) = most_memory(|| read(&bomb));
            assert!(matches!(outcome, Err(Error::Malformed { .. })), "{outcome:?}");
            assert!(most <= worth(bomb.len()), "{most} bytes");
        }
    }
}

#[test]
fn a_small_file_that_claims_a_giant_architecture_is_an_error() {
    let claim = |bank: u64, width: u64| {
        let settings = format!(r#"{{\"Velo\":{{\"lstm_width\":{width},\"bank\":{bank}}}}}"#);
        let format = "velo-optimizer weights 1";
        with_header(&format!(
            r#"{{"__metadata__":{{"format":"{format}","architecture":"{settings}","checksum":"0"}}}}"#
        ))
    };
    for (file, expected) in [
        (claim(65_536, 4096), "has no tensor"),
        (claim(1 << 60, 4096), "velo.bank is 1152921504606846976, expected between 1 and 65536"),
        (claim(1, 1 << 60), "velo.lstm_width is 1152921504606846976, expected between 1 and 4096"),
    ] {
        let (outcome, most) = most_memory(|| as_weights(&file));
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(most <= worth(file.len()), "{most} bytes");
    }
}

/// The seeds of the fuzz target of states: those that are right are states of these optimizers.
#[test]
fn the_seeds_of_states_are_read_as_far_as_they_are_right() {
    let layout = ParamLayout::new([("w", vec![2, 3]), ("b", vec![3])]).unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/state");
    let averaged = r#"{"averaged": {"inner": {"accumulated": {"calls": 2, "inner": {"sgd": {"momentum": 0.9}}}}}}"#;
    for (seed, config, is_right) in [
        ("right_adamw", r#"{"adamw": {}}"#, true),
        ("right_wrapped", averaged, true),
        ("right_grouped", r#"{"grouped": {"groups": [{"tensors": "Vectors"}], "inner": {"lion": {}}}}"#, true),
        ("lying_length", r#"{"adamw": {}}"#, false),
    ] {
        let config: OptimizerConfig = serde_json::from_str(config).unwrap();
        let mut optimizer = config.build(&layout).unwrap();
        let outcome = optimizer.load_state(&std::fs::read(folder.join(seed)).unwrap());
        assert_eq!(outcome.is_ok(), is_right, "{seed}: {outcome:?}");
        assert_eq!(optimizer.steps_taken(), if is_right { 3 } else { 0 }, "{seed}");
    }
}

/// Any architecture of moderate size.
fn any_architecture() -> impl Strategy<Value = Architecture> {
    prop_oneof![
        (1usize..9, 1usize..5).prop_map(|(lstm_width, bank)| {
            Architecture::Velo(VeloConfig { lstm_width, bank, ..VeloConfig::default() })
        }),
        (1usize..9, 1usize..5).prop_map(|(lstm_width, bank)| {
            Architecture::Celo(CeloConfig { lstm_width, bank, ..CeloConfig::default() })
        }),
        (1usize..9).prop_map(|lstm_width| {
            Architecture::CeloAdam(CeloAdamConfig { lstm_width, ..CeloAdamConfig::default() })
        }),
        Just(Architecture::Celo2(Celo2Config::default())),
        prop::sample::select(vec![4, 32])
            .prop_map(|hidden| Architecture::AdafacMlp(AdafacMlpConfig { hidden, ..AdafacMlpConfig::default() })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn weights_of_any_size_survive_every_format(architecture in any_architecture(), seed in any::<u32>()) {
        let number = |i: usize| f32::from_bits((i as u32).wrapping_mul(0x9E37_79B9) ^ seed);
        let finite = |i| Some(number(i)).filter(|x| x.is_finite()).unwrap_or(0.5);
        let theta: Vec<f32> = (0..architecture.theta_layout().len()).map(finite).collect();
        let weights = LearnedWeights::new(architecture, theta).unwrap();
        let own = weights.to_bytes();
        for file in [own.clone(), flax::write(&weights), without_metadata(&own)] {
            let read = import::weights([file.as_slice()], None).unwrap();
            prop_assert_eq!(&read, &weights);
            prop_assert_eq!(read.checksum(), weights.checksum());
        }
    }

    #[test]
    fn damaged_files_give_a_value_or_an_error_within_their_memory(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let files = right_files();
        let (name, mut file, read) = files[which.index(files.len())].clone();
        for (place, byte) in changes {
            // Where lengths, names and shapes are: most of a file is numbers, which may be anything.
            let place = place.index(file.len().min(600));
            file[place] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let (_, most) = most_memory(|| read(&file));
        prop_assert!(most <= worth(file.len()), "{name}: {most} bytes for a file of {}", file.len());
    }

    #[test]
    fn any_bytes_as_state_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(as_state(&bytes).is_err());
    }
}
