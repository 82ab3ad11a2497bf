//! The optimizers that the conformance suites run over: every rule of the registry with its defaults, the options
//! that change what a rule keeps between steps, every learned architecture, and every wrapper around rules of both
//! kinds.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use velo_optimizer::OptimizerConfig::{self, *};
use velo_optimizer::hand_designed::*;
use velo_optimizer::{
    AccumulatedConfig, AccumulatorStorage, AdafacMlpConfig, Architecture, AverageMemory, AveragedConfig, Celo2Config,
    CeloAdamConfig, CeloConfig, ClippedConfig, Group, GroupedConfig, L2RegularisedConfig, LearnedConfig,
    LearnedWeights, Limit, LookaheadConfig, PacedConfig, ParamLayout, Selector, Unit, VeloConfig,
};

/// A label for messages, and a configuration.
pub fn configurations() -> Vec<(String, OptimizerConfig)> {
    let defaults = OptimizerConfig::NAMES.iter().map(|name| (*name, OptimizerConfig::from_name(name).unwrap()));
    let variants = [
        ("the pretrained optimizer", OptimizerConfig::from_name("pretrained").unwrap()),
        ("sgd with nesterov momentum", Sgd(SgdConfig { momentum: 0.9, nesterov: true, ..Default::default() })),
        (
            "centred rmsprop with momentum",
            RmsProp(RmsPropConfig { momentum: 0.9, centred: true, ..Default::default() }),
        ),
        (
            "factored adafactor with momentum",
            Adafactor(AdafactorConfig { min_dim_size_to_factor: 2, momentum: 0.9, ..Default::default() }),
        ),
        ("adaptive muon", Muon(MuonConfig { adaptive: true, nesterov: false, ..Default::default() })),
    ];
    let designed = defaults.chain(variants).chain(wrapped()).map(|(label, config)| (label.to_owned(), config));
    designed.chain(learned()).chain(learned_in_bfloat16()).chain(wrapped_learned()).collect()
}

/// Every learned architecture, small, with weights that descend.
pub fn learned() -> Vec<(String, OptimizerConfig)> {
    let architectures = [
        ("celo2", Architecture::Celo2(Celo2Config::default())),
        ("celo2 with adam for vectors", {
            let adam_pattern = "bias|scalar|vector|embed".to_owned();
            Architecture::Celo2(Celo2Config { adam_pattern, ..Celo2Config::orthogonalized() })
        }),
        ("velo", Architecture::Velo(VeloConfig { lstm_width: 16, bank: 8, ..VeloConfig::default() })),
        ("celo", Architecture::Celo(CeloConfig { lstm_width: 12, bank: 3, ..CeloConfig::default() })),
        ("celo_adam", Architecture::CeloAdam(CeloAdamConfig { lstm_width: 12, ..CeloAdamConfig::default() })),
        ("adafac_mlp", Architecture::AdafacMlp(AdafacMlpConfig::default())),
        ("wide adafac_mlp", Architecture::AdafacMlp(AdafacMlpConfig { hidden: 32, ..AdafacMlpConfig::default() })),
        ("paced", Architecture::Paced(PacedConfig::default())),
        ("orthogonal paced with an average", {
            let average = Some(0.3);
            Architecture::Paced(PacedConfig { orthogonalize: true, average, ..PacedConfig::default() })
        }),
    ];
    let config = |(label, architecture)| (format!("learned {label}"), from_file(label, &descending(architecture)));
    architectures.into_iter().map(config).collect()
}

/// Every wrapper around learned rules: those that read the loss and have a state across tensors, and those without.
fn wrapped_learned() -> Vec<(String, OptimizerConfig)> {
    let learned = learned();
    let of = |name: &str| {
        let found = learned.iter().find(|(label, _)| label.strip_prefix("learned ") == Some(name));
        Box::new(found.expect("one of the architectures").1.clone())
    };
    let matrices = vec![
        // Groups that name an optimizer keep its rate, whatever is tried for the others.
        Group { optimizer: Some(of("celo2").with_learning_rate(20.0)), rate: 0.5, ..Group::new(Selector::Matrices) },
        Group { optimizer: Some(*of("velo")), weight_decay: Some(0.01), ..Group::new(Selector::Named("bias".into())) },
    ];
    let wrapped = [
        ("velo with a clipped norm", Clipped(ClippedConfig { by: Limit::Norm(0.5), inner: of("velo") })),
        ("accumulated velo", Accumulated(AccumulatedConfig { calls: 2, inner: of("velo") })),
        ("averaged celo", Averaged(AveragedConfig { memory: AverageMemory::Decay(0.9), inner: of("celo") })),
        ("lookahead of celo2", Lookahead(LookaheadConfig { updates: 4, fraction: 0.5, inner: of("celo2") })),
        ("velo with decay through the gradient", {
            L2Regularised(L2RegularisedConfig { coefficient: 1e-3, add_to_loss: true, inner: of("velo") })
        }),
        ("learned rules in groups", Grouped(GroupedConfig { groups: matrices, inner: of("celo_adam") })),
    ];
    wrapped.into_iter().map(|(label, config)| (label.to_owned(), config)).collect()
}

/// A configuration that names a file with these weights.
fn from_file(label: &str, weights: &LearnedWeights) -> OptimizerConfig {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(concat!("weights_of_", env!("CARGO_CRATE_NAME")));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        folder
    });
    let path = folder.join(format!("{}.safetensors", label.replace(' ', "_")));
    if std::fs::read(&path).ok() != Some(weights.to_bytes()) {
        // Tests of one binary run side by side: none may see the half of another's file.
        let own = folder.join(format!("{label} {:?}", std::thread::current().id()));
        weights.save(&own).unwrap();
        std::fs::rename(&own, &path).unwrap();
    }
    Learned(LearnedConfig::new(path))
}

/// The rules with a per-parameter network, with their averages in half the room.
fn learned_in_bfloat16() -> Vec<(String, OptimizerConfig)> {
    let names = ["celo2", "velo", "celo", "wide adafac_mlp", "paced"].map(|name| format!("learned {name}"));
    let chosen = learned().into_iter().filter(|(label, _)| names.contains(label));
    let in_bfloat16 = chosen.map(|(label, config)| {
        let Learned(config) = config else { panic!("{label} comes from a file") };
        (format!("{label} in bfloat16"), Learned(LearnedConfig { accumulators: AccumulatorStorage::Bf16, ..config }))
    });
    in_bfloat16.collect()
}

/// Weights under which a rule descends anything: its network puts out Adam's direction, its heads a multiplier of one;
/// all the rest is at work a little, so that every part of the state matters.
fn descending(architecture: Architecture) -> LearnedWeights {
    let layout = architecture.theta_layout();
    let mut wave = 0.0f32;
    let mut theta = architecture.meta_init(&mut || {
        wave += 1.0;
        (wave * 1.7).sin()
    });
    theta.iter_mut().for_each(|weight| *weight *= 0.02);
    // Networks are mixed with these factors when all controls are equal.
    let (unit, step_head, control) = match &architecture {
        Architecture::Velo(config) => (1.0 / config.bank_factor, 1.0, 1.0),
        Architecture::Celo(config) => (config.bank as f32, 10f32.ln(), 0.0),
        _ => (1.0, 10f32.ln(), 0.0),
    };
    // Two hidden units carry the momentum times `e` through: max(x, 0) - max(-x, 0) = x.
    let entries = [
        ("ff_mod_stack/~/w0__5", 0, 0, 1.0),
        ("ff_mod_stack/~/w0__5", 0, 1, -1.0),
        ("nn/~/w0", 6, 0, 1.0),
        ("nn/~/w0", 6, 1, -1.0),
        ("/~/w1", 0, 0, 1.0),
        ("/~/w1", 1, 1, 1.0),
        ("/~/w2", 0, 0, 1.0),
        ("/~/w2", 1, 0, -1.0),
    ];
    for tensor in layout.tensors() {
        let values = &mut theta[tensor.range.clone()];
        if tensor.name.starts_with("ff_mod_stack") {
            values.iter_mut().for_each(|weight| *weight *= unit);
        }
        for (_, row, column, value) in entries.iter().filter(|(name, ..)| tensor.name.ends_with(name)) {
            let columns = *tensor.shape.last().expect("matrices");
            let of_one = columns * tensor.shape[tensor.shape.len() - 2];
            let value = if tensor.name.starts_with("ff_mod_stack") { unit * value } else { *value };
            values.chunks_exact_mut(of_one).for_each(|network| network[row * columns + column] = value);
        }
        match tensor.name.as_str() {
            "rnn_params/step_size/b" => values.fill(step_head),
            "rnn_params/rnn_to_controls/b" => values.fill(control),
            _ => {}
        }
    }
    LearnedWeights::new(architecture, theta).expect("weights of that architecture")
}

/// Every wrapper around some optimizer, and several around one another.
fn wrapped() -> Vec<(&'static str, OptimizerConfig)> {
    let adamw = || Box::new(AdamW(AdamWConfig::default()));
    let clipped = |by, inner| Clipped(ClippedConfig { by, inner });
    let adaptive = |unit| clipped(Limit::Adaptive { ratio: 0.2, floor: 0.1, unit }, adamw());
    let accumulated = |inner| Accumulated(AccumulatedConfig { calls: 2, inner });
    let averaged = |memory, inner| Averaged(AveragedConfig { memory, inner });
    let lookahead = |inner| Lookahead(LookaheadConfig { updates: 4, fraction: 0.5, inner });
    let l2 = |inner| L2Regularised(L2RegularisedConfig { coefficient: 1e-3, add_to_loss: true, inner });
    let groups = vec![
        Group { frozen: true, ..Group::new(Selector::Named("^sta.k$".into())) },
        Group { optimizer: Some(accumulated(adamw()).with_learning_rate(0.03)), ..Group::new(Selector::Vectors) },
        Group { rate: 0.5, weight_decay: Some(0.0), ..Group::new(Selector::Named("conv".into())) },
        Group::new(Selector::Embeddings),
    ];
    let grouped = |inner| Grouped(GroupedConfig { groups, inner });
    vec![
        ("adamw with clipped values", clipped(Limit::Value(0.5), adamw())),
        ("adamw with a clipped norm", clipped(Limit::Norm(0.5), adamw())),
        ("adamw clipped by column", adaptive(Unit::Column)),
        ("adamw clipped by row", adaptive(Unit::Row)),
        ("adamw clipped by tensor", adaptive(Unit::Tensor)),
        ("accumulated adamw", accumulated(adamw())),
        ("averaged adamw", averaged(AverageMemory::Decay(0.9), adamw())),
        ("adamw averaged over a share", averaged(AverageMemory::Share(0.2), adamw())),
        ("lookahead of adamw", lookahead(adamw())),
        ("adamw with decay through the gradient", l2(adamw())),
        (
            "all wrappers around adamw",
            averaged(
                AverageMemory::Decay(0.9),
                Box::new(lookahead(Box::new(accumulated(Box::new(clipped(Limit::Norm(1.0), Box::new(l2(adamw())))))))),
            ),
        ),
        ("adamw in groups", grouped(adamw())),
    ]
}

/// Tensors of every rank from zero to four, and an empty one.
pub fn mixed_layout() -> ParamLayout {
    ParamLayout::new(mixed_tensors()).unwrap()
}

/// The names and shapes of [`mixed_layout`].
pub fn mixed_tensors() -> Vec<(&'static str, Vec<usize>)> {
    vec![
        ("scalar", vec![]),
        ("bias", vec![5]),
        ("dense/kernel", vec![7, 4]),
        ("empty", vec![0, 3]),
        ("stack", vec![2, 3, 4]),
        ("conv/kernel", vec![3, 2, 2, 4]),
    ]
}
