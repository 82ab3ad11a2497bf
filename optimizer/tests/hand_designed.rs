//! Every hand-designed optimizer against the recorded run of a published implementation.

mod support;

use support::{Case, TOLERANCE};
use velo_optimizer::OptimizerConfig::{self, *};
use velo_optimizer::hand_designed::*;

/// A recorded case and how its configuration reads here.
type Row = (&'static str, fn(&Case) -> OptimizerConfig);

/// A number of the recorded configuration.
fn number(case: &Case, field: &str) -> f32 {
    let value = case.config[field].as_f64();
    value.unwrap_or_else(|| panic!("case {} records no number {field:?}: {}", case.name, case.config)) as f32
}

const CASES: &[Row] = &[
    ("optax_sgd", |case| Sgd(SgdConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })),
    ("optax_sgdm", |case| {
        let (learning_rate, momentum) = (number(case, "learning_rate"), number(case, "momentum"));
        Sgd(SgdConfig { learning_rate, momentum, ..Default::default() })
    }),
    ("optax_sgdm_nesterov", |case| {
        let (learning_rate, momentum) = (number(case, "learning_rate"), number(case, "momentum"));
        Sgd(SgdConfig { learning_rate, momentum, nesterov: true, ..Default::default() })
    }),
    ("optax_adam", |case| Adam(AdamConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })),
    ("optax_adamw", |case| {
        let (learning_rate, weight_decay) = (number(case, "learning_rate"), number(case, "weight_decay"));
        AdamW(AdamWConfig { learning_rate, weight_decay, ..Default::default() })
    }),
    ("optax_amsgrad", |case| {
        AmsGrad(AmsGradConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_adamax", |case| {
        Adamax(AdamaxConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_nadam", |case| NAdam(NAdamConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })),
    ("optax_nadamw", |case| {
        let (learning_rate, weight_decay) = (number(case, "learning_rate"), number(case, "weight_decay"));
        NAdamW(NAdamWConfig { learning_rate, weight_decay, ..Default::default() })
    }),
    ("lo_nadamw", |case| {
        OptListNAdamW(OptListNAdamWConfig {
            learning_rate: number(case, "learning_rate"),
            beta1: number(case, "beta1"),
            beta2: number(case, "beta2"),
            epsilon: number(case, "epsilon"),
            weight_decay: number(case, "adamw_weight_decay"),
            l2_penalty: number(case, "l2_weight_decay"),
        })
    }),
    ("optax_radam", |case| RAdam(RAdamConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })),
    ("optax_adabelief", |case| {
        AdaBelief(AdaBeliefConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_yogi", |case| Yogi(YogiConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })),
    ("optax_adagrad", |case| {
        AdaGrad(AdaGradConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_adadelta", |case| {
        AdaDelta(AdaDeltaConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_lion", |case| {
        let (learning_rate, weight_decay) = (number(case, "learning_rate"), number(case, "weight_decay"));
        Lion(LionConfig { learning_rate, weight_decay, ..Default::default() })
    }),
    ("optax_adan", |case| Adan(AdanConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })),
    ("optax_ademamix", |case| {
        AdEmaMix(AdEmaMixConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_adopt", |case| Adopt(AdoptConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })),
    ("optax_rmsprop", |case| {
        RmsProp(RmsPropConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_rmsprop_centered", |case| {
        RmsProp(RmsPropConfig {
            learning_rate: number(case, "learning_rate"),
            decay: number(case, "decay"),
            epsilon: number(case, "eps"),
            centred: true,
            ..Default::default()
        })
    }),
    ("optax_rmsprop_mom", |case| {
        RmsProp(RmsPropConfig {
            learning_rate: number(case, "learning_rate"),
            decay: number(case, "decay"),
            epsilon: number(case, "eps"),
            momentum: number(case, "momentum"),
            ..Default::default()
        })
    }),
    ("optax_adafactor_default", |case| {
        Adafactor(AdafactorConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_adafactor_factored", |case| {
        Adafactor(AdafactorConfig {
            learning_rate: number(case, "learning_rate"),
            min_dim_size_to_factor: 2,
            ..Default::default()
        })
    }),
    ("optax_adafactor_full", |case| {
        let learning_rate = number(case, "learning_rate");
        Adafactor(AdafactorConfig {
            learning_rate,
            min_dim_size_to_factor: 2,
            momentum: number(case, "momentum"),
            // optax does not multiply this decay by the learning rate.
            weight_decay: number(case, "weight_decay_rate") / learning_rate,
            ..Default::default()
        })
    }),
    ("optax_lamb", |case| {
        Lamb(LambConfig {
            learning_rate: number(case, "learning_rate"),
            weight_decay: number(case, "weight_decay"),
            ..Default::default()
        })
    }),
    ("optax_lars", |case| {
        Lars(LarsConfig {
            learning_rate: number(case, "learning_rate"),
            momentum: number(case, "momentum"),
            weight_decay: number(case, "weight_decay"),
            ..Default::default()
        })
    }),
    ("optax_novograd", |case| {
        NovoGrad(NovoGradConfig {
            learning_rate: number(case, "learning_rate"),
            weight_decay: number(case, "weight_decay"),
            ..Default::default()
        })
    }),
    ("optax_sm3", |case| {
        Sm3(Sm3Config {
            learning_rate: number(case, "learning_rate"),
            momentum: number(case, "momentum"),
            ..Default::default()
        })
    }),
    ("optax_muon", |case| Muon(MuonConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })),
    ("optax_muon_wd", |case| {
        Muon(MuonConfig {
            learning_rate: number(case, "learning_rate"),
            weight_decay: number(case, "weight_decay"),
            nesterov: false,
            adaptive: true,
            ..Default::default()
        })
    }),
    ("optax_prodigy", |case| {
        Prodigy(ProdigyConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_dadapt_adamw", |case| {
        DAdaptAdamW(DAdaptAdamWConfig { learning_rate: number(case, "learning_rate"), ..Default::default() })
    }),
    ("optax_schedule_free_sgd", |case| {
        ScheduleFreeSgd(ScheduleFreeSgdConfig {
            learning_rate: number(case, "learning_rate"),
            interpolation: number(case, "b1"),
            warmup_steps: number(case, "warmup_steps") as u64,
            ..Default::default()
        })
    }),
    ("optax_schedule_free_adamw", |case| {
        ScheduleFreeAdamW(ScheduleFreeAdamWConfig {
            learning_rate: number(case, "learning_rate"),
            interpolation: number(case, "b1"),
            beta2: number(case, "b2"),
            warmup_steps: number(case, "warmup_steps") as u64,
            weight_decay: number(case, "weight_decay"),
            ..Default::default()
        })
    }),
];

/// Cases whose matrix roots differ between precisions by more than the usual tolerance.
const SHAMPOO_CASES: &[Row] = &[
    ("optax_shampoo_sgd_graft", |case| Shampoo(shampoo(case, Grafting::Sgd))),
    ("optax_shampoo_rmsprop_graft", |case| Shampoo(shampoo(case, Grafting::RmsPropNormalised))),
];

fn shampoo(case: &Case, grafting: Grafting) -> ShampooConfig {
    ShampooConfig {
        learning_rate: number(case, "learning_rate"),
        beta1: number(case, "beta1"),
        beta2: number(case, "beta2"),
        matrix_epsilon: number(case, "matrix_epsilon"),
        weight_decay: number(case, "weight_decay"),
        // Not recorded: the default of that implementation, which makes vectors of these small tensors.
        merge_limit: 4096,
        block_size: number(case, "block_size") as usize,
        start_preconditioning_step: number(case, "start_preconditioning_step") as u64,
        preconditioning_interval: 1,
        nesterov: case.config["nesterov"].as_bool().unwrap(),
        // Recorded only where it is not the default of that implementation.
        moving_average: case.config["moving_average_for_momentum"].as_bool().unwrap_or(false),
        grafting,
    }
}

#[test]
fn every_rule_follows_its_published_implementation() {
    assert_all_follow(CASES, TOLERANCE);
}

#[test]
fn shampoo_follows_its_published_implementation() {
    assert_all_follow(SHAMPOO_CASES, 1e-4);
}

fn assert_all_follow(cases: &[Row], tolerance: f32) {
    let failures = cases.iter().filter_map(|(name, config)| {
        let case = Case::load(name);
        let mut optimizer = config(&case).build(&case.layout).unwrap();
        case.check(optimizer.as_mut(), tolerance).err()
    });
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
